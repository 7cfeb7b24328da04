/**
 * Where our server deliberately does something else than Swoole did, and what instead; and which recordings have to wait for a
 * part of the server that is not there yet.
 *
 * The decisions are those of the project: RFC 6455, 7692, 9110 and 9112 come first, then Swoole's pages, then what Swoole does;
 * its bugs are not copied.
 *
 * @module
 */

import type { Result } from "./replay.ts";

/** A result that differs: the decision, and the parts that are not as recorded. */
export interface Difference extends Partial<Result> {
  reason: string;
}

/** A recording that cannot be replayed yet. */
export interface Later {
  reason: string;
  /** Whether what it needs is still missing. Once it is there, the recording has to be replayed. */
  missing(): boolean;
}

// ---- the decisions --------------------------------------------------------------------------------------------------

const STRICT = "a handshake is as RFC 6455 section 4.2 wants it, else 400 with the reason; an answer before a close says so";
const FAILED = "what breaks the protocol is answered with a Close frame and its code (RFC 6455 section 7.1.7)";
const CONTROL = "a control frame has up to 125 bytes of payload, masked or not (RFC 6455 section 5.5)";
const CLOSING =
  "a Close starts the closing handshake: the peer's Close is awaited, nothing else is sent (RFC 6455 section 7.1.2)";
const FRAMED = "an answer has a Date, tells how long it is and whether the connection stays (RFC 9110 section 6.6.1, RFC 9112)";
const CODES = "last-error codes are the intended ones: 8503 for what is no WebSocket, 1005 for an unknown fd";
const TYPES = "what is pushed is a string, a number, a Uint8Array or a frame with properties of the right type";
const ORDER = "frames are handled when the handshake is complete, and then at once";

// ---- what is sent ---------------------------------------------------------------------------------------------------

const SERVER = "Server: sluice\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
const OPENED = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  `Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Version: 13\r\n${SERVER}\r\n`;
const BARE_101 = `HTTP/1.1 101 Switching Protocols\r\n${SERVER}\r\n`;
const PAGE = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/html; charset=UTF-8\r\n" +
  `Cache-Control: must-revalidate,no-cache,no-store\r\n${SERVER}Content-Length: 83\r\n\r\n` +
  "<html><body><h2>HTTP 400 Bad Request</h2><hr><i>Powered by Sluice</i></body></html>";

const answer = (status: string, body: string) =>
  `HTTP/1.1 ${status}\r\n${SERVER}Connection: close\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

const refusedHead = (length: number) =>
  `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n${SERVER}Connection: close\r\nContent-Length: ${length}\r\n\r\n`;

/** What is no request at all is refused before there is a response to put headers into. */
const malformed = (status: string, why: string) =>
  `HTTP/1.1 ${status}\r\n${SERVER}Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${why.length}\r\n\r\n${why}`;

/** A short frame, as the server sends it. */
const frame = (opcode: number, payload: string) => String.fromCharCode(0x80 | opcode, payload.length) + payload;

const close = (code: number, reason = "") => frame(8, String.fromCharCode(code >> 8, code & 255) + reason);

const message = (data: string) => `message(Swoole\\WebSocket\\Frame{fd=1, data="${data}", opcode=1, flags=33, finish=true})`;

/** A handshake that is refused, and whatever the client sends afterwards. */
function refused(why: string, steps: number): Difference {
  return {
    reason: STRICT,
    server: [refusedHead(why.length) + why, ...Array(steps - 1).fill("")],
    closed: Array(steps).fill("FIN"),
    events: ["close(fd=1, reactor=-1)"],
  };
}

/** A WebSocket that fails with a code in a step. */
function fails(code: number, why: string, step: number, steps: number): Difference {
  return {
    reason: FAILED,
    server: [OPENED, ...Array(step - 1).fill(""), close(code, why), ...Array(steps - step - 1).fill("")],
    closed: [...Array(step).fill(""), ...Array(steps - step).fill("FIN")],
    events: ["open(fd=1)", "close(fd=1, reactor=0)"],
  };
}

/** A WebSocket that the program closes in answer to "go", and whose client does not answer but leaves. */
function closes(reason: string, payload: string, ...logged: string[]): Difference {
  return {
    reason,
    server: [OPENED, payload],
    closed: ["", ""],
    events: ["open(fd=1)", message("go"), ...logged, "close(fd=1, reactor=-1)"],
  };
}

/** A handshake that agrees on compression. Swoole spells the header `Sec-Websocket-Extensions`. */
const compressing = (more = "") =>
  OPENED.replace(
    SERVER,
    `Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover${more}\r\n${SERVER}`,
  );
const SPELLED = "the header is spelled as in RFC 6455";
const FLAGGED = "a message is compressed when its flags say so, as on the page, and where that makes it shorter";

// ---- the recordings -------------------------------------------------------------------------------------------------

/** The recordings with another result, and that result. */
export const DIFFERENCES: Readonly<Record<string, Difference>> = {
  "hs-missing-key": refused("Sec-WebSocket-Key is not 16 bytes in base64", 1),
  "hs-short-key": refused("Sec-WebSocket-Key is not 16 bytes in base64", 1),
  "hs-key-twice": refused("Sec-WebSocket-Key is not 16 bytes in base64", 1),
  "hs-post": refused("a WebSocket handshake has to be a GET request", 2),
  "hs-post-body": refused("a WebSocket handshake has to be a GET request", 2),
  "hs-put": refused("a WebSocket handshake has to be a GET request", 2),
  "y-head-upgrade": { ...refused("", 1), server: [refusedHead("a WebSocket handshake has to be a GET request".length)] },
  "hs-lf-only": {
    reason: "a line ends in CRLF, a bare LF is refused at once instead of never being answered (RFC 9112 section 2.2)",
    server: [malformed("400 Bad Request", "a line does not end in CRLF")],
    closed: ["FIN"],
  },
  "y-http2-preface": {
    reason: "an HTTP version that is not spoken gets 505 (RFC 9110 section 15.6.6)",
    server: [malformed("505 HTTP Version Not Supported", "only HTTP/1.1 is spoken here")],
  },
  "hs-ext-on": { reason: SPELLED, server: [compressing()] },
  "hs-ext-on-browser": { reason: SPELLED, server: [compressing()] },
  "hs-ext-on-server-bits": {
    reason: "a window that the client asks for is kept to, and that is said (RFC 7692 section 7.1.2.1)",
    server: [compressing("; server_max_window_bits=10")],
  },
  "hs-ext-on-second": {
    reason: "the first offer of permessage-deflate that can be kept to is taken, wherever it stands (RFC 7692 section 5.1)",
    server: [compressing()],
  },
  "pmd-push-default": { reason: FLAGGED, server: [compressing(), frame(1, "hello hello hello")] },
  "pmd-push-flag": { reason: FLAGGED, server: [compressing(), frame(1, "Hello Swoole")] },
  "pmd-push-flag-fin-only": { reason: FLAGGED, server: [compressing(), frame(1, "Hello Swoole")] },
  "pmd-push-ping": {
    ...closes(CLOSING, "", "true", "true", "true"),
    server: [compressing(), frame(9, "pppp") + frame(10, "qqqq") + frame(8, "\x03\xe8rrrr")],
  },
  "pmd-recv-frame-echo": {
    reason: FLAGGED,
    server: [compressing(), "\xc1\x0b\xcaH\xcd\xc9\xc9W\xc8@\x90\x00\x00", frame(1, "plain")],
  },
  "pmd-recv-plain": { reason: SPELLED, server: [compressing(), ""] },
  "pmd-recv-frag": { reason: SPELLED, server: [compressing(), "", ""] },
  "pmd-recv-bad": {
    reason: FAILED,
    server: [compressing(), frame(8, "\x03\xefthe compressed data is corrupt"), ""],
    closed: ["", "FIN", "FIN"],
    events: ["open(fd=1)", "close(fd=1, reactor=0)"],
  },
  "pmd-recv-empty": { reason: SPELLED, server: [compressing(), ""] },
  "hs-no-upgrade": { reason: FRAMED, server: [PAGE] },
  "http-400-disc": { reason: FRAMED, server: [PAGE] },
  "pm-400": { reason: FRAMED, server: [PAGE] },
  "pm-same-segment": { reason: ORDER, server: [OPENED + frame(1, "early"), frame(1, "late")] },
  "hs-same-segment-ping": { reason: ORDER, server: [OPENED + frame(10, "early"), frame(1, "late")] },
  "hs-subproto-option-no-offer": {
    reason: "a subprotocol is answered only when the client offered it (RFC 6455 section 4.2.2)",
    server: [OPENED],
  },
  "hs-before-close": {
    reason: "close is for connections that were a WebSocket, disconnect for the others",
    events: ["beforeHandshakeResponse(fd=1)", "disconnect(fd=1)", "true"],
  },
  "x-args": {
    reason: "beforeHandshakeResponse gets request and response first, as on the page, and the server last; close and " +
      "disconnect get a CloseInfo behind Swoole's arguments",
    events: [
      "connect: Swoole\\WebSocket\\Server, 1, 0",
      "beforehandshakeresponse: Swoole\\Http\\Request, Swoole\\Http\\Response, Swoole\\WebSocket\\Server",
      "open: Swoole\\WebSocket\\Server, Swoole\\Http\\Request",
      "message: Swoole\\WebSocket\\Server, Swoole\\WebSocket\\Frame",
      "close: Swoole\\WebSocket\\Server, 1, 0, CloseInfo",
      "connect: Swoole\\WebSocket\\Server, 2, 0",
      "request: Swoole\\Http\\Request, Swoole\\Http\\Response",
      "disconnect: Swoole\\WebSocket\\Server, 2, -1, CloseInfo",
    ],
  },

  "hsk-nothing": { reason: FRAMED, server: [answer("500 Internal Server Error", ""), ""] },
  "hsk-200": { reason: FRAMED, server: [answer("200 OK", "ok"), ""] },
  "hsk-nokey": { reason: FRAMED, server: [answer("400 Bad Request", "")] },
  "hsk-101-body": {
    reason: "an answer with status 101 has no body: what follows are frames (RFC 9110 section 15.2)",
    server: [BARE_101, frame(1, "x")],
  },
  "hsk-late": {
    reason: ORDER,
    server: ["", BARE_101 + frame(1, "early"), frame(1, "late")],
    events: ["handshake(fd=1)", "st=2", "end=true", "st=3", message("early"), message("late"), "close(fd=1, reactor=0)"],
  },
  "y-hsk-push-before-end": {
    reason: ORDER,
    server: [BARE_101],
    events: ["handshake(fd=1)", "st=2 est=false", "push=false", "end=true", "st=3", "close(fd=1, reactor=0)"],
  },
  "http-cookie": {
    reason: "cookie() writes a blank as %20, since whoever reads cookies as RFC 6265 has them gets a plus sign of a +",
    server: [
      "HTTP/1.1 200 OK\r\nSet-Cookie: a=b%20c; path=/; domain=ex.org; secure; HttpOnly; SameSite=Lax\r\n" + SERVER +
      "Connection: keep-alive\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 0\r\n\r\n",
    ],
  },
  "http-exception": {
    reason: "a handler that fails ends its own connection, with 500, and no other",
    server: [answer("500 Internal Server Error", "")],
    events: ["request(fd=1 GET /)", "close(fd=1, reactor=-1)", "error(boom)"],
  },

  "fr-invalid-utf8": fails(1007, "text is not UTF-8", 1, 2),
  "fr-rsv1": fails(1002, "a reserved bit is set", 1, 3),
  "pmd-off-recv": fails(1002, "a reserved bit is set", 1, 2),
  "fr-opcode-3": fails(1002, "the opcode is reserved", 1, 3),
  "fr-frag-text-between": fails(1002, "a message begins inside another", 2, 4),
  "fr-cont-alone": fails(1002, "a continuation has nothing to continue", 1, 3),
  "fr-cont-alone-nofin": fails(1002, "a continuation has nothing to continue", 1, 3),
  "fr-frag-unmasked": fails(1002, "the frame is not masked", 1, 3),
  "sz-64bit-msb": fails(1002, "the length has its top bit set", 1, 3),
  "ping-unmasked": fails(1002, "the frame is not masked", 1, 2),
  "ping-unmasked-125": fails(1002, "the frame is not masked", 1, 3),
  "ping-fragmented": fails(1002, "a control frame is fragmented", 1, 3),
  "close-nofin": fails(1002, "a control frame is fragmented", 1, 2),
  "close-unmasked-125": fails(1002, "the frame is not masked", 1, 2),
  "close-1byte": fails(1002, "the Close frame is not valid", 1, 2),
  "close-1006": fails(1002, "the Close frame is not valid", 1, 2),
  "close-1015": fails(1002, "the Close frame is not valid", 1, 2),
  "close-open-1byte": fails(1002, "the Close frame is not valid", 1, 2),

  "ping-121": {
    reason: CONTROL,
    server: [OPENED, frame(10, "p".repeat(121)), ""],
    closed: ["", "", ""],
    events: ["open(fd=1)", message("x"), "close(fd=1, reactor=0)"],
  },
  "ping-123": {
    reason: CONTROL,
    server: [OPENED, frame(10, "p".repeat(123)), ""],
    closed: ["", "", ""],
    events: ["open(fd=1)", message("x"), "close(fd=1, reactor=0)"],
  },
  "close-len-123": { reason: CONTROL, server: [OPENED, close(1000, "r".repeat(121))] },
  "close-then-data": {
    reason: "what follows a Close is read and dropped, so that the peer gets our Close and no reset (RFC 6455 section 7.1.1)",
    closed: ["", "FIN"],
  },
  "sz-plus1": {
    reason: "package_max_length counts the payload of a message, in one frame or in several",
    server: [
      OPENED,
      "\x82\x7f\0\0\0\0\0\x01\x11\x63" + "x".repeat(69987),
      frame(1, "x"),
    ],
    closed: ["", "", ""],
    events: [
      "open(fd=1)",
      "message(Swoole\\WebSocket\\Frame{fd=1, data=len=69987 sha1=6b2efafa3e9de8dbf1cc0855534e63a4930db2b4, opcode=2, " +
      "flags=33, finish=true})",
      message("x"),
      "close(fd=1, reactor=0)",
    ],
  },

  "push-http-fd": {
    reason: CODES,
    events: [
      "open(fd=1)",
      "request(fd=2 GET /)",
      message("go"),
      "push=false err=8503",
      "est=false exist=true info=0",
      "close(fd=1, reactor=0)",
      "close(fd=2, reactor=0)",
    ],
  },
  "disc-unknown": {
    reason: CODES,
    events: ["open(fd=1)", message("go"), "disc=false err=1005", "disc0=false err=1005", "close(fd=1, reactor=0)"],
  },
  "push-in-close": {
    reason: "nothing is sent after a Close (RFC 6455 section 5.5.1); no runtime tells the numbers of its descriptors",
    server: [OPENED, close(1000)],
    events: [
      "open(fd=1)",
      "close(fd=1, reactor=0)",
      "push=false err=1005",
      "est=false exist=false",
      'info=["server_port","socket_type","remote_port","remote_ip","reactor_id","connect_time","last_time",' +
      '"last_recv_time","last_send_time","last_dispatch_time","close_errno","recv_queued_bytes","send_queued_bytes","websocket_status"] status=3',
    ],
  },
  "push-types": {
    reason: TYPES,
    server: [OPENED, frame(1, "123") + frame(1, "1.5")],
    events: [
      "open(fd=1)",
      message("go"),
      "123 -> true",
      "1.5 -> true",
      ...[
        ["true", "a boolean", ""],
        ["false", "a boolean", ""],
        ["null", "null", ""],
        ["array", "a list", "; use JSON.stringify()"],
        ["stringable", "an object", "; use JSON.stringify()"],
      ].map(([name, what, hint]) =>
        `${name} -> TypeError: Cannot send ${what}: a string, a number, a Uint8Array, a Frame or a PreparedMessage is needed${hint}`
      ),
      "close(fd=1, reactor=0)",
    ],
  },
  "y-close-code-types": {
    reason: TYPES,
    server: [OPENED, ""],
    events: ["open(fd=1)", message("go"), "false", "close(fd=1, reactor=0)"],
  },
  "y-reason-binary": closes(
    "a reason is text, and text is UTF-8 (RFC 6455 section 5.5.1)",
    close(4000, "\xc3\xbf\xc3\xbe"),
    "true",
  ),
  "push-opcodes": {
    reason: "opcodes are those of RFC 6455; a continuation needs something to continue; nothing is sent after a Close",
    server: [OPENED, frame(1, "d1") + frame(2, "d2") + close(1000, "d8")],
    events: [
      "open(fd=1)",
      message("go"),
      "op 0 -> false err=8505",
      "op 1 -> true err=0",
      "op 2 -> true err=0",
      ...[3, 4, 5, 6, 7].map((opcode) => `op ${opcode} -> false err=8505`),
      "op 8 -> true err=0",
      ...[9, 10, 11, 12, 13, 14, 15, 16].map((opcode) => `op ${opcode} -> false err=1003`),
      "close(fd=1, reactor=-1)",
    ],
  },
  "push-opcode-neg": {
    reason: "an opcode that is none is refused, it does not wrap around",
    server: [OPENED, ""],
    events: ["open(fd=1)", message("go"), "-1 -> false err=8505", "256 -> false err=8505", "close(fd=1, reactor=0)"],
  },
  "push-ping-long": {
    reason: CONTROL,
    server: [OPENED, frame(9, "p".repeat(125))],
    events: ["open(fd=1)", message("go"), "false err=8505", "true", "close(fd=1, reactor=0)"],
  },
  "push-closeframe-long": closes(
    CLOSING,
    close(1000, "r".repeat(123)),
    "123 -> true err=0",
    "124 -> false err=1003",
    "125 -> false err=1003",
    "126 -> false err=1003",
  ),
  "push-opcode8": closes(
    "the code of a pushed text with opcode 8 is 1000, not 0; and so on as with a CloseFrame",
    close(1000, "bye"),
    "true",
  ),
  "push-opcode8-empty": closes("the code of a pushed text with opcode 8 is 1000, not 0", close(1000), "true"),
  "disc-with-ondisconnect": closes(CLOSING, close(4000, "bye"), "disc=true"),
  "x-reason-utf8": closes(CLOSING, close(4000, "\xd0\xbf\xd0\xbe\xd0\xba\xd0\xb0"), "true"),
  "close-reset": {
    reason: "what is sent in a turn leaves as one chunk at its end: a reset drops it",
    server: [OPENED, ""],
    closed: ["", "END"],
  },
  "x-pause": {
    reason: "what arrives during a pause is handled after it, and does not reset the connection",
    closed: ["", "", "", ""],
    events: [
      "open(fd=1)",
      message("pause"),
      "pause=true",
      "resume=true",
      message("held"),
      "close(fd=1, reactor=0)",
    ],
  },
  "api-shutdown": {
    reason: "a server that stops closes its WebSockets with 1001",
    server: [OPENED, close(1001), ""],
    closed: ["", "", ""],
  },
};

// ---- what has to wait -----------------------------------------------------------------------------------------------

/** The recordings that are not replayed, and why. */
export const LATER: Readonly<Record<string, Later>> = {};
