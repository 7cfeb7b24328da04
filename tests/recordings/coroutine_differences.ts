/**
 * Where our coroutine server and client deliberately do something else than Swoole's did, and what instead; see
 * `differences.ts`, whose decisions these are too.
 *
 * @module
 */

import { SAMPLE_KEY } from "../support/raw_client.ts";
import type { Outcome } from "./coroutine_replay.ts";
import type { Later } from "./differences.ts";

/** A result that differs: the decision, and the parts that are not as recorded. */
export interface Difference extends Partial<Outcome> {
  reason: string;
}

// ---- the decisions --------------------------------------------------------------------------------------------------

const STRICT = "a handshake is as RFC 6455 sections 4.1 and 4.2 want it, and upgrade() is true when there is a WebSocket";
const FAILED = "what breaks the protocol is answered with a Close frame and its code (RFC 6455 section 7.1.7)";
const RETURNS = "a handler that returns with the WebSocket open closes it with 1000 (RFC 6455 section 7.1.1)";
const CLOSING = "disconnect() waits for the peer's Close (RFC 6455 section 7.1.2)";
const CLOSE_FRAME = "recv() gives a Close as a CloseFrame, as the pages' examples test for; its flags are those of any frame";
const PLAIN = "an answer to what is no request says why, in text";
const CODES = "last-error codes are the intended ones: 8503 for what is no WebSocket";
const GONE = "a connection that is gone needs no closing, and a push to it is false";

// ---- what is sent ---------------------------------------------------------------------------------------------------

const SERVER = "Server: sluice\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
const OPENED = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  `Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Version: 13\r\n${SERVER}\r\n`;
const OPENING = "GET / HTTP/1.1\r\nHost: 127.0.0.1:9501\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${SAMPLE_KEY}\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n`;
const OFFERING = OPENING.replace(
  "Accept-",
  "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover; " +
    "client_max_window_bits\r\nAccept-",
);

const refusal = (status: string, why: string, fields = "Content-Type: text/plain; charset=utf-8\r\n", connection = "close") =>
  `HTTP/1.1 ${status}\r\n${fields}${SERVER}Connection: ${connection}\r\nContent-Length: ${why.length}\r\n\r\n${why}`;

const malformed = (status: string, why: string) =>
  `HTTP/1.1 ${status}\r\n${SERVER}Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${why.length}\r\n\r\n${why}`;

const close = (code: number, reason = "") => String.fromCharCode(0x88, reason.length + 2, code >> 8, code & 255) + reason;

/** A frame of a client, with the masking key 0. */
const masked = (first: number, payload: string) => String.fromCharCode(first, 0x80 | payload.length) + "\0\0\0\0" + payload;

const maskedClose = (code: number, reason: string) => masked(0x88, String.fromCharCode(code >> 8, code & 255) + reason);

/** A list with something in one place. */
const at = (step: number, steps: number, what: string) => Array.from({ length: steps }, (_, i) => i === step ? what : "");

/** The connection is open up to a step. */
const until = (step: number, steps: number) => Array.from({ length: steps }, (_, i) => i < step ? "" : "FIN");

const closeFrame = (reason: string) =>
  `recv=Swoole\\WebSocket\\CloseFrame{fd=1, data="", opcode=8, flags=33, finish=true, code=1000, reason="${reason}"}`;

/** A server that fails a WebSocket in a step. */
function fails(code: number, why: string, step: number, steps: number, error = "8506 Websocket unpack failed"): Difference {
  const sent = at(step, steps, close(code, why));
  sent[0] = OPENED;
  return {
    reason: FAILED,
    sent,
    closed: until(step, steps),
    events: ["upgrade=true", `recv=false err=${error}`, "close=false"],
  };
}

const STATE = "statusCode=101 connected=";
const UPGRADED = `upgrade=true errCode=0 errMsg="" ${STATE}true`;
const UNPACK_FAILED = `recv=false errCode=8506 errMsg="Websocket unpack failed" ${STATE}false`;
const NOT_CONNECTED = `errCode=5001 errMsg="Client no connection" ${STATE}false`;

/** A client that fails a WebSocket in a step. */
function clientFails(code: number, why: string, step: number, steps: number, ...further: string[]): Difference {
  const sent = at(step, steps, maskedClose(code, why));
  sent[0] = OPENING;
  return { reason: FAILED, sent, closed: until(step, steps), events: [UPGRADED, UNPACK_FAILED, ...further] };
}

/** A server whose handler returns after it has sent something. */
function returns(sent: string): Difference {
  return { reason: RETURNS, sent: [OPENED + sent + close(1000)], closed: [""] };
}

// ---- the recordings -------------------------------------------------------------------------------------------------

/** The recordings with another result, and that result. */
export const DIFFERENCES: Readonly<Record<string, Difference>> = {
  "co-tcp-rst": { reason: GONE, events: ["upgrade=true", "recv=false err=104 Connection reset by peer", "close=false"] },
  "co-push-closed-peer": { reason: GONE, events: ["upgrade=true", ...Array(4).fill("push=false err=32")] },
  "co-close-frame-empty": {
    reason: CLOSE_FRAME + "; nothing is received behind it, and TCP ends",
    sent: [OPENED, "\x88\0", "", ""],
    closed: until(1, 4),
    events: ["upgrade=true", closeFrame(""), "close=false"],
  },
  "co-close-frame-open": { reason: CLOSE_FRAME, events: ["upgrade=true", closeFrame("bye"), "close=true"] },
  "co-close-frame-open-empty": { reason: CLOSE_FRAME, events: ["upgrade=true", closeFrame(""), "close=true"] },
  "co-close-125": {
    reason: CLOSE_FRAME,
    closed: until(1, 3),
    events: ["upgrade=true", closeFrame("r".repeat(123)), "close=false"],
  },
  "co-upgrade-plain": {
    reason: `${PLAIN}; ${CODES}`,
    sent: [
      refusal("400 Bad Request", "this is a WebSocket: the request has no Upgrade header", undefined, "keep-alive"),
    ],
    events: ["upgrade=false err=8504", "push=false"],
  },
  "co-upgrade-nokey": {
    reason: STRICT,
    sent: [refusal("400 Bad Request", "Sec-WebSocket-Key is not 16 bytes in base64")],
  },
  "co-upgrade-badver": {
    reason: STRICT,
    sent: [
      refusal(
        "426 Upgrade Required",
        "only WebSocket version 13 is spoken here",
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nContent-Type: text/plain; charset=utf-8\r\n",
        "Upgrade, close",
      ),
    ],
    events: ["upgrade=false"],
  },
  "co-noupgrade-push": {
    reason: CODES,
    events: ["push=false err=8503", "recv=false err=8503", "disconnect=false", "ping=false"],
  },
  "co-upgrade-twice": returns(""),
  "co-end-after-upgrade": returns(""),
  "co-return-noclose": returns("\x81\x03bye"),
  "co-push-mask-flag": returns("\x81\x04data"),
  "co-disconnect-code": { reason: CLOSING, closed: [""] },
  "co-bad-request": { reason: PLAIN, sent: [malformed("400 Bad Request", "the request line is malformed")] },
  "co-413": { reason: PLAIN, sent: [malformed("413 Content Too Large", "the body is too large")] },
  "co-routing-order2": {
    reason: "a pattern ends where a segment of the path ends",
    sent: [
      ...["/a", "/a/b", "/a"].map((body) =>
        `HTTP/1.1 200 OK\r\n${SERVER}Connection: keep-alive\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: ${body.length}\r\n\r\n${body}`
      ),
      `HTTP/1.1 404 Not Found\r\n${SERVER}Connection: keep-alive\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 0\r\n\r\n`,
    ],
    events: ["request(fd=1 GET /a) h=/a", "request(fd=1 GET /a/b) h=/a/b", "request(fd=1 GET /a/bc) h=/a"],
  },

  "co-ext-bad": fails(1002, "a reserved bit is set", 1, 2),
  "co-rsv2": fails(1002, "a reserved bit is set", 1, 2),
  "co-invalid-utf8": fails(1007, "text is not UTF-8", 1, 2),
  "co-cont-alone": fails(1002, "a continuation has nothing to continue", 1, 2),
  "co-opcode-nofin": fails(1002, "the opcode is reserved", 1, 3),
  "co-ping-126": fails(1002, "a control frame is longer than 125", 1, 3),
  "co-ping-frag": fails(1002, "a control frame is fragmented", 1, 3),
  "co-close-1": fails(1002, "the Close frame is not valid", 1, 3),
  "co-64bit-msb": fails(1002, "the length has its top bit set", 1, 2),
  "co-frag-over": fails(1009, "the message is too big", 2, 3, "1201 Package length too large"),
  "co-frag-bad-continue": {
    ...fails(1002, "a message begins inside another", 2, 5),
    events: ["upgrade=true", "recv=false err=8506", "recv=false err=9", "recv=false err=9"],
  },

  "cl-upgrade-200": {
    reason: STRICT,
    events: [
      'upgrade=false errCode=8504 errMsg="Websocket handshake failed: the server answered with status 200" statusCode=200 ' +
      "connected=false",
      'push=false errCode=5001 errMsg="Client no connection" statusCode=200 connected=false',
    ],
  },
  "cl-upgrade-bad-accept": {
    reason: STRICT,
    closed: until(1, 3),
    events: [
      'upgrade=false errCode=8504 errMsg="Websocket handshake failed: Sec-WebSocket-Accept does not belong to the key" ' +
      "statusCode=101 connected=false",
      `recv=false ${NOT_CONNECTED}`,
    ],
  },
  "cl-early-short-frame": {
    reason: "no frame is lost",
    events: [
      UPGRADED,
      `recv=Swoole\\WebSocket\\Frame{fd=1, data="", opcode=1, flags=1, finish=true} errCode=0 errMsg="" ${STATE}true`,
    ],
  },
  "cl-seed-ping": {
    reason: "recv() of a client gives pongs, as the pages' example needs it",
    events: [
      UPGRADED,
      "push=true",
      `recv=Swoole\\WebSocket\\Frame{fd=1, data="", opcode=10, flags=1, finish=true} errCode=0 errMsg="" ${STATE}true`,
      "is pong=true",
    ],
  },
  "cl-ping-method": {
    reason: "a control frame has up to 125 bytes of payload (RFC 6455 section 5.5)",
    sent: [OPENING, masked(0x89, "") + masked(0x89, "hi"), ""],
    events: [UPGRADED, "true", "true", `falseerrCode=8505 errMsg="Websocket pack failed" ${STATE}true`],
  },
  "cl-disconnect-code": { reason: CLOSING, events: [UPGRADED, `true errCode=0 errMsg="" ${STATE}true`] },
  "cl-frag-bad": clientFails(1002, "a message begins inside another", 3, 5, `recv=false ${NOT_CONNECTED}`),
  "cl-cont-alone": clientFails(1002, "a continuation has nothing to continue", 2, 3),
  "cl-masked": clientFails(1002, "the frame is masked", 2, 3),
  "cl-rsv2": clientFails(1002, "a reserved bit is set", 2, 3),
  "cl-opcode3": clientFails(1002, "the opcode is reserved", 2, 3),
  "cl-pmd": {
    reason: "what grows by compression is sent as it is; the window of the client may be limited by the server",
    sent: [OFFERING, masked(0x81, "Hello Swoole").repeat(2), "", ""],
  },
  "cl-pmd-bad": {
    reason: FAILED,
    sent: [OFFERING, "", maskedClose(1007, "the compressed data is corrupt"), ""],
    closed: until(2, 4),
    events: [UPGRADED, UNPACK_FAILED, `recv=false ${NOT_CONNECTED}`],
  },
};

/** The recordings that are not replayed, and why. */
export const LATER: Readonly<Record<string, Later>> = {};
