import { assertEquals } from "@std/assert";
import { test } from "node:test";
import * as sluice from "../../mod.ts";

/** With the prefix `WEBSOCKET_` and with `SWOOLE_WEBSOCKET_`. */
const BOTH_PREFIXES: Record<string, number> = {
  OPCODE_CONTINUATION: 0,
  OPCODE_TEXT: 1,
  OPCODE_BINARY: 2,
  OPCODE_CLOSE: 8,
  OPCODE_PING: 9,
  OPCODE_PONG: 10,

  STATUS_CONNECTION: 1,
  STATUS_HANDSHAKE: 2,
  STATUS_ACTIVE: 3,
  STATUS_CLOSING: 4,

  CLOSE_NORMAL: 1000,
  CLOSE_GOING_AWAY: 1001,
  CLOSE_PROTOCOL_ERROR: 1002,
  CLOSE_DATA_ERROR: 1003,
  CLOSE_STATUS_ERROR: 1005,
  CLOSE_ABNORMAL: 1006,
  CLOSE_MESSAGE_ERROR: 1007,
  CLOSE_POLICY_ERROR: 1008,
  CLOSE_MESSAGE_TOO_BIG: 1009,
  CLOSE_EXTENSION_MISSING: 1010,
  CLOSE_SERVER_ERROR: 1011,
  CLOSE_CLOSE_SERVICE_RESTART: 1012, // spelled so in Swoole
  CLOSE_TRY_AGAIN_LATER: 1013,
  CLOSE_BAD_GATEWAY: 1014,
  CLOSE_TLS: 1015,
};

const AS_THEY_ARE: Record<string, number> = {
  WEBSOCKET_STATUS_FRAME: 3,
  WEBSOCKET_STATUS_HANDSHAKE_FAILED: 5,

  SWOOLE_WEBSOCKET_FLAG_FIN: 1,
  SWOOLE_WEBSOCKET_FLAG_COMPRESS: 2,
  SWOOLE_WEBSOCKET_FLAG_RSV1: 4,
  SWOOLE_WEBSOCKET_FLAG_RSV2: 8,
  SWOOLE_WEBSOCKET_FLAG_RSV3: 16,
  SWOOLE_WEBSOCKET_FLAG_MASK: 32,

  SWOOLE_BASE: 1,
  SWOOLE_PROCESS: 2,
  SWOOLE_SOCK_TCP: 1,
  SWOOLE_SOCK_UDP: 2,
  SWOOLE_SOCK_TCP6: 3,
  SWOOLE_SOCK_UDP6: 4,
  SWOOLE_SOCK_UNIX_STREAM: 5,
  SWOOLE_SOCK_UNIX_DGRAM: 6,
  SWOOLE_SSL: 512,

  SWOOLE_SSL_SSLv2: 2,
  SWOOLE_SSL_SSLv3: 4,
  SWOOLE_SSL_TLSv1: 8,
  SWOOLE_SSL_TLSv1_1: 16,
  SWOOLE_SSL_TLSv1_2: 32,
  SWOOLE_SSL_TLSv1_3: 64,

  SWOOLE_LOG_DEBUG: 0,
  SWOOLE_LOG_TRACE: 1,
  SWOOLE_LOG_INFO: 2,
  SWOOLE_LOG_NOTICE: 3,
  SWOOLE_LOG_WARNING: 4,
  SWOOLE_LOG_ERROR: 5,
  SWOOLE_LOG_NONE: 6,

  SWOOLE_LOG_ROTATION_SINGLE: 0,
  SWOOLE_LOG_ROTATION_MONTHLY: 1,
  SWOOLE_LOG_ROTATION_DAILY: 2,
  SWOOLE_LOG_ROTATION_HOURLY: 3,
  SWOOLE_LOG_ROTATION_EVERY_MINUTE: 4,

  SWOOLE_WORKER_BUSY: 1,
  SWOOLE_WORKER_IDLE: 2,
  SWOOLE_WORKER_EXIT: 3,

  SWOOLE_HTTP_CLIENT_ESTATUS_CONNECT_FAILED: -1,
  SWOOLE_HTTP_CLIENT_ESTATUS_REQUEST_TIMEOUT: -2,
  SWOOLE_HTTP_CLIENT_ESTATUS_SERVER_RESET: -3,
  SWOOLE_HTTP_CLIENT_ESTATUS_SEND_FAILED: -4,
};

const ERRORS: [name: string, code: number, text: string][] = [
  ["INVALID_PARAMS", 505, "Invalid params"],
  ["PROTOCOL_ERROR", 508, "Protocol error"],
  ["NO_PAYLOAD", 550, "No payload"],
  ["DNSLOOKUP_RESOLVE_FAILED", 711, "DNS Lookup resolve failed"],
  ["SESSION_CLOSED_BY_SERVER", 1001, "Session closed by server"],
  ["SESSION_CLOSED_BY_CLIENT", 1002, "Session closed by client"],
  ["SESSION_CLOSING", 1003, "Session closing"],
  ["SESSION_CLOSED", 1004, "Session closed"],
  ["SESSION_NOT_EXIST", 1005, "Session not exist"],
  ["OUTPUT_BUFFER_OVERFLOW", 1009, "Output buffer overflow"],
  ["SSL_VERIFY_FAILED", 1014, "SSL verify failed"],
  ["SSL_HANDSHAKE_FAILED", 1018, "SSL handshake failed"],
  ["PACKAGE_LENGTH_TOO_LARGE", 1201, "Package length too large"],
  ["PACKAGE_LENGTH_NOT_FOUND", 1202, "Package length not found"],
  ["PACKAGE_MALFORMED_DATA", 1204, "Package malformed data"],
  ["CLIENT_NO_CONNECTION", 5001, "Client no connection"],
  ["HTTP_INVALID_PROTOCOL", 7102, "Http invalid protocol"],
  ["HTTP_CONTEXT_UNAVAILABLE", 7106, "Http context unavailable"],
  ["WEBSOCKET_BAD_CLIENT", 8501, "Websocket bad client"],
  ["WEBSOCKET_BAD_OPCODE", 8502, "Websocket bad opcode"],
  ["WEBSOCKET_UNCONNECTED", 8503, "Websocket unconnected"],
  ["WEBSOCKET_HANDSHAKE_FAILED", 8504, "Websocket handshake failed"],
  ["WEBSOCKET_PACK_FAILED", 8505, "Websocket pack failed"],
  ["WEBSOCKET_UNPACK_FAILED", 8506, "Websocket unpack failed"],
  ["WEBSOCKET_INCOMPLETE_PACKET", 8507, "Websocket incomplete packet"],
];

const EXPECTED: Record<string, number> = { ...AS_THEY_ARE };
for (const [name, value] of Object.entries(BOTH_PREFIXES)) {
  EXPECTED[`WEBSOCKET_${name}`] = EXPECTED[`SWOOLE_WEBSOCKET_${name}`] = value;
}

/** What is exported, by name. */
const EXPORTED = new Map<string, unknown>(Object.entries(sluice));

for (const [name, value] of Object.entries(EXPECTED)) {
  test(`${name} is ${value}`, () => assertEquals(EXPORTED.get(name), value));
}

for (const [name, code, text] of ERRORS) {
  test(`SWOOLE_ERROR_${name} is ${code}, ${text}`, () => {
    assertEquals(EXPORTED.get(`SWOOLE_ERROR_${name}`), code);
    assertEquals(sluice.swooleStrerror(code), text);
  });
}

test("no constant about frames, connections, modes or sockets is exported that is not in the list above", () => {
  const others = [...EXPORTED.keys()].filter((name) => /^(SWOOLE_)?WEBSOCKET_|^SWOOLE_(BASE|PROCESS|SOCK_|SSL)/.test(name))
    .filter((name) => !(name in EXPECTED));
  assertEquals(others, []);
});

test("the codes of the system are Linux's numbers, on every system", () => {
  const { EBADF, EPIPE, ECONNRESET, ETIMEDOUT, ECONNREFUSED } = sluice;
  assertEquals([EBADF, EPIPE, ECONNRESET, ETIMEDOUT, ECONNREFUSED], [9, 32, 104, 110, 111]);
  assertEquals(sluice.swooleStrerror(ECONNREFUSED), "Connection refused");
});

test("a number without a text is an unknown error", () => {
  assertEquals(sluice.swooleStrerror(-1), "Unknown error -1");
});
