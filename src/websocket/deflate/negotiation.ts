/**
 * Agreeing on permessage-deflate (RFC 7692 sections 5 and 7.1): what a server answers to an offer, what a client offers, and what
 * it accepts as the answer.
 *
 * @module
 */

import type { Extension } from "../extensions.ts";

/** The name of the extension. */
export const PERMESSAGE_DEFLATE = "permessage-deflate";

/** What an engine is able to do when it compresses. Every engine can inflate with any window and with takeover. */
export interface DeflateCapabilities {
  /** Whether a message can refer to the ones before it. */
  readonly sendTakeover: boolean;
  /** The smallest window that it can keep to, 8 to 15 bits. */
  readonly minSendWindowBits: number;
}

/** What an endpoint would like. The same in both roles. */
export interface DeflateOptions {
  /** Whether what it sends may refer to earlier messages: better compression for memory that is kept. */
  readonly sendTakeover: boolean;
  /** Whether what it receives may refer to earlier messages. */
  readonly receiveTakeover: boolean;
  /** The largest window for what it sends, 8 to 15 bits. The engine may need a larger one. */
  readonly sendWindowBits: number;
  /** The window that it asks the peer to keep to, 8 to 15 bits. A client that cannot be asked uses up to 15. */
  readonly receiveWindowBits: number;
  /** What the engine is able to do. */
  readonly engine: DeflateCapabilities;
}

/** What was agreed for one direction. */
export interface DirectionAgreement {
  /** The window, 8 to 15 bits. */
  readonly windowBits: number;
  /** Whether a message may refer to the ones before it. */
  readonly takeover: boolean;
}

/** What was agreed for a connection. */
export interface DeflateAgreement {
  /** For what this endpoint sends. */
  readonly send: DirectionAgreement;
  /** For what it receives. */
  readonly receive: DirectionAgreement;
}

/** The parameters of RFC 7692 section 7.1. */
interface Parameters {
  serverNoContextTakeover: boolean;
  clientNoContextTakeover: boolean;
  serverMaxWindowBits: number | undefined;
  /** 0: the parameter came without a value. */
  clientMaxWindowBits: number | undefined;
}

const WINDOW_BITS = ["8", "9", "10", "11", "12", "13", "14", "15"];

/** Reads the parameters of an offer or an answer. Gives a text if one is unknown, comes twice or has a value it may not have. */
function readParameters(extension: Extension, isOffer: boolean): Parameters | string {
  const read: Parameters = {
    serverNoContextTakeover: false,
    clientNoContextTakeover: false,
    serverMaxWindowBits: undefined,
    clientMaxWindowBits: undefined,
  };
  for (const { name, value } of extension.parameters) {
    let key: keyof Parameters;
    let bits: number | undefined;
    switch (name) {
      case "server_no_context_takeover":
      case "client_no_context_takeover":
        if (value !== undefined) return `${name} has a value`;
        key = name === "server_no_context_takeover" ? "serverNoContextTakeover" : "clientNoContextTakeover";
        break;
      case "server_max_window_bits":
      case "client_max_window_bits":
        key = name === "server_max_window_bits" ? "serverMaxWindowBits" : "clientMaxWindowBits";
        // Only a client may leave the value out, and only this one (section 7.1.2.2).
        if (value === undefined && isOffer && key === "clientMaxWindowBits") bits = 0;
        else if (value !== undefined && WINDOW_BITS.includes(value)) bits = Number(value);
        else return `${name} needs a value of 8 to 15`;
        break;
      default:
        return `the parameter ${name} is unknown`;
    }
    if (read[key] !== undefined && read[key] !== false) return `${name} comes twice`;
    if (key === "serverMaxWindowBits" || key === "clientMaxWindowBits") read[key] = bits;
    else read[key] = true;
  }
  return read;
}

/** The window to send with, if the peer allows up to `most` bits; `undefined` if the engine needs more. */
function sendWindow(options: DeflateOptions, most: number): number | undefined {
  const { minSendWindowBits } = options.engine;
  return minSendWindowBits > most ? undefined : Math.max(minSendWindowBits, Math.min(options.sendWindowBits, most));
}

/**
 * What a server answers to the extensions that a client offers: the first offer of permessage-deflate that it can keep to.
 * An offer that is malformed or cannot be kept to is passed over (RFC 7692 section 5.1).
 *
 * @param offers The client's extensions.
 * @param options What the server would like.
 * @returns The value of the `Sec-WebSocket-Extensions` of the answer and what it means, or `undefined`: then there is no
 * compression on this connection.
 */
export function acceptOffer(
  offers: readonly Extension[],
  options: DeflateOptions,
): { answer: string; agreed: DeflateAgreement } | undefined {
  for (const offer of offers) {
    if (offer.name !== PERMESSAGE_DEFLATE) continue;
    const offered = readParameters(offer, true);
    if (typeof offered === "string") continue;
    const sendBits = sendWindow(options, offered.serverMaxWindowBits ?? 15);
    if (sendBits === undefined) continue;

    let answer = PERMESSAGE_DEFLATE;
    const receiveTakeover = options.receiveTakeover && !offered.clientNoContextTakeover;
    if (!receiveTakeover) answer += "; client_no_context_takeover";
    const sendTakeover = options.sendTakeover && options.engine.sendTakeover && !offered.serverNoContextTakeover;
    if (!sendTakeover) answer += "; server_no_context_takeover";
    if (offered.serverMaxWindowBits !== undefined) answer += `; server_max_window_bits=${sendBits}`;
    // What the client announces holds without an answer. It can be asked for less only if it offered that (section 7.1.2.2).
    let receiveBits = offered.clientMaxWindowBits || 15;
    if (offered.clientMaxWindowBits !== undefined && options.receiveWindowBits < receiveBits) {
      receiveBits = options.receiveWindowBits;
      answer += `; client_max_window_bits=${receiveBits}`;
    }
    return {
      answer,
      agreed: {
        send: { windowBits: sendBits, takeover: sendTakeover },
        receive: { windowBits: receiveBits, takeover: receiveTakeover },
      },
    };
  }
  return undefined;
}

/**
 * What a client offers.
 *
 * @param options What the client would like.
 * @returns The value of the `Sec-WebSocket-Extensions` of the request.
 */
export function makeOffer(options: DeflateOptions): string {
  let offer = PERMESSAGE_DEFLATE;
  if (!options.sendTakeover || !options.engine.sendTakeover) offer += "; client_no_context_takeover";
  if (!options.receiveTakeover) offer += "; server_no_context_takeover";
  if (options.receiveWindowBits < 15) offer += `; server_max_window_bits=${options.receiveWindowBits}`;
  if (canShrink(options)) {
    const bits = sendWindow(options, 15)!;
    offer += bits < 15 ? `; client_max_window_bits=${bits}` : "; client_max_window_bits";
  }
  return offer;
}

/** Whether a server may ask the client for a smaller window. */
function canShrink(options: DeflateOptions): boolean {
  return options.engine.minSendWindowBits < 15;
}

/**
 * Checks what a server answered to `makeOffer()` with the same options.
 *
 * @param answer The extensions of the answer.
 * @param options What the client would like.
 * @returns What was agreed, or what is wrong: then the client has to fail the connection (RFC 7692 section 5.1), with 1010 where
 * it can.
 */
export function checkAgreement(answer: readonly Extension[], options: DeflateOptions): DeflateAgreement | string {
  const foreign = answer.find(({ name }) => name !== PERMESSAGE_DEFLATE);
  if (foreign !== undefined) return `the server chose the extension ${foreign.name}, which was not offered`;
  if (answer.length !== 1) return `the server chose ${PERMESSAGE_DEFLATE} ${answer.length} times`;
  const chosen = readParameters(answer[0], false);
  if (typeof chosen === "string") return chosen;

  if (!options.receiveTakeover && !chosen.serverNoContextTakeover) {
    return "the server did not agree to server_no_context_takeover"; // section 7.1.1.1
  }
  const receiveBits = chosen.serverMaxWindowBits ?? 15;
  if (receiveBits > options.receiveWindowBits) {
    return `the server did not agree to server_max_window_bits=${options.receiveWindowBits}`; // section 7.1.2.1
  }
  const most = sendWindow(options, 15)!;
  const asked = chosen.clientMaxWindowBits;
  if (asked !== undefined && !canShrink(options)) return "the server chose client_max_window_bits, which was not offered";
  if (asked !== undefined && asked > most) return `the server chose client_max_window_bits=${asked}, above the offered ${most}`;
  const sendBits = sendWindow(options, asked ?? 15);
  if (sendBits === undefined) return `the server asks for client_max_window_bits=${asked}, which is too small here`;
  return {
    send: {
      windowBits: sendBits,
      takeover: options.sendTakeover && options.engine.sendTakeover && !chosen.clientNoContextTakeover,
    },
    receive: { windowBits: receiveBits, takeover: !chosen.serverNoContextTakeover },
  };
}
