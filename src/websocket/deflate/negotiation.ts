/**
 * The negotiation of permessage-deflate (RFC 7692 sections 5 and 7.1): how a server answers an offer, what a client offers, and
 * which responses it accepts.
 *
 * @module
 */

import type { DeflateCapabilities } from "../../transport/codecs.ts";
import type { Extension } from "../extensions.ts";

/** The name of the extension. */
export const PERMESSAGE_DEFLATE = "permessage-deflate";

/** The preferences of an endpoint, in either role. */
export interface DeflateOptions {
  /** Whether sent messages may refer to earlier ones: better compression, at the cost of memory. */
  readonly sendTakeover: boolean;
  /** Whether received messages may refer to earlier ones. */
  readonly receiveTakeover: boolean;
  /** The largest window for sending, 8 to 15 bits. The engine may need a larger one. */
  readonly sendWindowBits: number;
  /** The window to request from the peer, 8 to 15 bits. A client that does not support the request uses up to 15. */
  readonly receiveWindowBits: number;
  /** The capabilities of the engine. */
  readonly engine: DeflateCapabilities;
}

/** The agreement for one direction. */
export interface DirectionAgreement {
  /** The window, 8 to 15 bits. */
  readonly windowBits: number;
  /** Whether a message may refer to earlier ones. */
  readonly takeover: boolean;
}

/** The agreement for a connection. */
export interface DeflateAgreement {
  /** The agreement for messages that this endpoint sends. */
  readonly send: DirectionAgreement;
  /** The agreement for messages that it receives. */
  readonly receive: DirectionAgreement;
}

/** The parameters of RFC 7692 section 7.1. */
interface Parameters {
  serverNoContextTakeover: boolean;
  clientNoContextTakeover: boolean;
  serverMaxWindowBits: number | undefined;
  /** 0 if the parameter has no value. */
  clientMaxWindowBits: number | undefined;
}

const WINDOW_BITS = ["8", "9", "10", "11", "12", "13", "14", "15"];

/**
 * Reads the parameters of an offer or a response. Returns an error text if one is unknown or repeated, or has an invalid value.
 */
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
        // Only a client may omit the value, and only of this parameter (section 7.1.2.2).
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

/** Returns the window to send with if the peer allows up to `most` bits; `undefined` if the engine needs more. */
function sendWindow(options: DeflateOptions, most: number): number | undefined {
  const { minSendWindowBits } = options.engine;
  return minSendWindowBits > most ? undefined : Math.max(minSendWindowBits, Math.min(options.sendWindowBits, most));
}

/**
 * Determines how a server answers the extensions that a client offers: with the first offer of permessage-deflate that it can
 * fulfil. Malformed offers and those it cannot fulfil are skipped (RFC 7692 section 5.1).
 *
 * @param offers The client's extensions.
 * @param options The preferences of the server.
 * @returns The `Sec-WebSocket-Extensions` of the response and the agreement, or `undefined` if the connection is not compressed.
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
    // A limit that the client announces holds without an answer. The server can request a smaller window only if the client
    // offered it (section 7.1.2.2).
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
 * Returns the offer of a client.
 *
 * @param options The preferences of the client.
 * @returns The `Sec-WebSocket-Extensions` of the request.
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

/** Reports whether a server may request a smaller window from the client. */
function canShrink(options: DeflateOptions): boolean {
  return options.engine.minSendWindowBits < 15;
}

/**
 * Checks a server's response to `makeOffer()` with the same options.
 *
 * @param answer The extensions of the response.
 * @param options The preferences of the client.
 * @returns The agreement, or a description of the error. The client must then fail the connection (RFC 7692 section 5.1), with
 * 1010 where it can.
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
