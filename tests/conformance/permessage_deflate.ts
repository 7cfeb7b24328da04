/**
 * The suite's own permessage-deflate (RFC 7692): what it agrees on and how it compresses. It shares no code with what it tests.
 *
 * @module
 */

import { constants, createDeflateRaw, type DeflateRaw, deflateRawSync, inflateRawSync } from "node:zlib";
import type { Acceptance, Blocks, Compression } from "./case.ts";
import { joined } from "./frame_reader.ts";

const NAME = "permessage-deflate";

/** What is taken off the end of a message (section 7.2.1). */
const TAIL = new Uint8Array([0, 0, 0xff, 0xff]);

/** What the two directions are allowed. */
export interface Agreement {
  readonly send: Direction;
  readonly receive: Direction;
}

/** What one direction is allowed. */
export interface Direction {
  readonly windowBits: number;
  readonly takeover: boolean;
}

type Parameters = Map<string, string | undefined>;

/** The value of `Sec-WebSocket-Extensions` that a client sends. */
export function offerOf({ offers }: Compression): string {
  return offers.map((parameters) => `${NAME}; ${parameters}`).join(", ");
}

/** Reads the value of a `Sec-WebSocket-Extensions`; a text says what is wrong with it. */
function readExtensions(value: string, isOffer: boolean): Parameters[] | string {
  const all: Parameters[] = [];
  for (const extension of value.split(",")) {
    const [name, ...parameters] = extension.split(";").map((part) => part.trim());
    if (name !== NAME) return `an extension is called "${name}"`;
    const read: Parameters = new Map();
    for (const parameter of parameters) {
      const [, key, given] = /^([a-z_]+)(?:=(.*))?$/.exec(parameter) ?? [];
      const withoutValue = key === "client_no_context_takeover" || key === "server_no_context_takeover" ||
        (key === "client_max_window_bits" && isOffer);
      const withValue = key === "client_max_window_bits" || key === "server_max_window_bits";
      if (given === undefined ? !withoutValue : !withValue || !/^([89]|1[0-5])$/.test(given)) {
        return `the extension's parameter "${parameter}" is wrong`;
      }
      if (read.has(key)) return `the extension's parameter "${key}" comes twice`;
      read.set(key, given);
    }
    all.push(read);
  }
  return all;
}

function bits(parameters: Parameters, key: string): number {
  return Number(parameters.get(key) ?? 15);
}

/** What a client announces holds, whether it is answered or not (section 7.1.2.2). */
function clientBits(answer: Parameters, offer: Parameters): number {
  return Math.min(bits(answer, "client_max_window_bits"), bits(offer, "client_max_window_bits"));
}

/** Whether a server may answer this to an offer (sections 7.1.1 and 7.1.2). */
function fits(answer: Parameters, offer: Parameters): boolean {
  if (offer.has("server_no_context_takeover") && !answer.has("server_no_context_takeover")) return false;
  if (offer.has("server_max_window_bits") && !answer.has("server_max_window_bits")) return false;
  if (bits(answer, "server_max_window_bits") > bits(offer, "server_max_window_bits")) return false;
  return !answer.has("client_max_window_bits") ||
    (offer.has("client_max_window_bits") && bits(answer, "client_max_window_bits") <= bits(offer, "client_max_window_bits"));
}

/**
 * A client's side: takes the server's answer.
 *
 * @param answer The value of its `Sec-WebSocket-Extensions`.
 * @returns What was agreed, or what is wrong.
 */
export function takeAnswer(answer: string, compression: Compression): Agreement | string {
  const offers = readExtensions(offerOf(compression), true);
  const chosen = readExtensions(answer, false);
  if (typeof offers === "string") throw new Error(`Cannot offer compression: ${offers}`);
  if (typeof chosen === "string") return chosen;
  if (chosen.length !== 1) return "the handshake's answer has more than one extension";
  const offer = offers.find((one) => fits(chosen[0], one));
  if (offer === undefined) return "the handshake's answer goes beyond what was offered";
  return {
    send: {
      windowBits: clientBits(chosen[0], offer),
      takeover: !chosen[0].has("client_no_context_takeover") && !offer.has("client_no_context_takeover"),
    },
    receive: {
      windowBits: bits(chosen[0], "server_max_window_bits"),
      takeover: !chosen[0].has("server_no_context_takeover"),
    },
  };
}

/**
 * A server's side: chooses an answer.
 *
 * @param value The client's `Sec-WebSocket-Extensions`.
 * @returns The answer and what it means, `undefined` if there is none that the offer allows, or what is wrong with the offer.
 */
export function chooseAnswer(
  value: string,
  { accept }: Compression,
): { readonly answer: string; readonly agreed: Agreement } | undefined | string {
  const offers = readExtensions(value, true);
  if (typeof offers === "string") return offers;
  for (const acceptance of accept) {
    for (const offer of offers) {
      const answer = answerTo(offer, acceptance);
      if (!fits(answer, offer)) continue;
      const agreed: Agreement = {
        send: { windowBits: bits(answer, "server_max_window_bits"), takeover: !answer.has("server_no_context_takeover") },
        receive: {
          windowBits: clientBits(answer, offer),
          takeover: !answer.has("client_no_context_takeover") && !offer.has("client_no_context_takeover"),
        },
      };
      const parameters = [...answer].map(([key, given]) => given === undefined ? `; ${key}` : `; ${key}=${given}`);
      return { answer: NAME + parameters.join(""), agreed };
    }
  }
  return undefined;
}

function answerTo(offer: Parameters, { clientNoContextTakeover, clientMaxWindowBits }: Acceptance): Parameters {
  const answer: Parameters = new Map();
  if (offer.has("server_no_context_takeover")) answer.set("server_no_context_takeover", undefined);
  if (offer.has("server_max_window_bits")) answer.set("server_max_window_bits", offer.get("server_max_window_bits"));
  if (clientNoContextTakeover) answer.set("client_no_context_takeover", undefined);
  if (clientMaxWindowBits !== undefined) answer.set("client_max_window_bits", String(clientMaxWindowBits));
  return answer;
}

/** Compresses what is sent on one connection and inflates what comes. */
export class Codec {
  readonly #agreed: Agreement;
  #deflater: DeflateRaw | undefined;
  /** The last bytes that came: what the next message may refer to. */
  #history: Uint8Array = new Uint8Array(0);

  constructor(agreed: Agreement) {
    this.#agreed = agreed;
  }

  /** Compresses a message that is not empty. */
  deflate(message: Uint8Array, blocks: Blocks): Uint8Array | Promise<Uint8Array> {
    const { windowBits, takeover } = this.#agreed.send;
    if (blocks === "final") return joined([deflateRawSync(message, { windowBits }), new Uint8Array(1)]);
    if (takeover) return this.#deflateOn(message);
    // Our own compression is not what is tested: fast will do.
    return withoutTail(deflateRawSync(message, { windowBits, level: 1, finishFlush: constants.Z_SYNC_FLUSH }));
  }

  #deflateOn(message: Uint8Array): Promise<Uint8Array> {
    const { windowBits } = this.#agreed.send;
    const deflater = this.#deflater ??= createDeflateRaw({ windowBits, level: 1 });
    return new Promise((resolve, reject) => {
      const parts: Uint8Array[] = [];
      const take = (part: Uint8Array) => void parts.push(part);
      deflater.on("data", take).once("error", reject);
      deflater.write(message);
      deflater.flush(constants.Z_SYNC_FLUSH, () => {
        deflater.off("data", take).off("error", reject);
        resolve(withoutTail(joined(parts)));
      });
    });
  }

  /**
   * Inflates a message. It may refer to nothing but what was agreed.
   *
   * @throws {Error} If it is corrupt, or refers to more than that.
   */
  inflate(payload: Uint8Array): Uint8Array {
    const { windowBits, takeover } = this.#agreed.receive;
    const length = this.#history.length;
    // zlib has no synchronous way to go on with a context, so the context goes in front, as a block that is not compressed.
    const before = length === 0
      ? []
      : [new Uint8Array([0, length & 255, length >> 8, ~length & 255, (~length >> 8) & 255]), this.#history];
    const whole = inflateRawSync(joined([...before, payload, TAIL]), {
      windowBits: Math.max(windowBits, 9),
      // zlib notices what reaches beyond a small window only where it reaches beyond the piece that is being written too.
      chunkSize: windowBits < 15 ? 1 << windowBits : 1 << 17,
      finishFlush: constants.Z_SYNC_FLUSH,
    });
    if (takeover) this.#history = new Uint8Array(whole.subarray(Math.max(0, whole.length - (1 << windowBits))));
    return new Uint8Array(whole.subarray(length));
  }

  /** Whether the peer is right not to compress a message: that would hardly make it smaller, and is not needed for the next one. */
  mayBePlain(message: Uint8Array): boolean {
    const { windowBits, takeover } = this.#agreed.receive;
    if (takeover) return false;
    const { length } = deflateRawSync(message, { windowBits: Math.max(windowBits, 9), finishFlush: constants.Z_SYNC_FLUSH });
    return (length - TAIL.length) * 1.1 + 8 > message.length;
  }

  /** Gives the memory back. */
  close(): void {
    this.#deflater?.close();
  }
}

function withoutTail(deflated: Uint8Array): Uint8Array {
  return deflated.subarray(0, deflated.length - TAIL.length);
}
