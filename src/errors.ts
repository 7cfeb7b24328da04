/**
 * The error codes that `getLastError()` returns after a method returned `false`, with Swoole's numbers and texts.
 *
 * @module
 */

/** This side has already closed the connection. */
export const EBADF = 9;
/** The peer has closed the connection. */
export const EPIPE = 32;
/** The peer reset the connection. */
export const ECONNRESET = 104;
/** The operation timed out. */
export const ETIMEDOUT = 110;
/** Nothing listens at this address. */
export const ECONNREFUSED = 111;

/** An argument is out of range. */
export const SWOOLE_ERROR_INVALID_PARAMS = 505;
/** The connection has as many topics as it may (`max_topics_per_connection`), or publishes too much (`max_publish_rate`). */
export const SWOOLE_ERROR_QUEUE_FULL = 506;
/** The connection belongs to another process of the server, which this method does not reach. */
export const SWOOLE_ERROR_OPERATION_NOT_SUPPORT = 507;
/** The bytes are not a frame. Not set here. */
export const SWOOLE_ERROR_PROTOCOL_ERROR = 508;
/** `send` was called without data. */
export const SWOOLE_ERROR_NO_PAYLOAD = 550;
/** The host name could not be resolved. */
export const SWOOLE_ERROR_DNSLOOKUP_RESOLVE_FAILED = 711;
/** The server closed the connection. Not set here: see 1005. */
export const SWOOLE_ERROR_SESSION_CLOSED_BY_SERVER = 1001;
/** The client closed the connection. Not set here: see 1005. */
export const SWOOLE_ERROR_SESSION_CLOSED_BY_CLIENT = 1002;
/** The connection is in its closing handshake. */
export const SWOOLE_ERROR_SESSION_CLOSING = 1003;
/** The connection has been closed. Not set here: see 1005. */
export const SWOOLE_ERROR_SESSION_CLOSED = 1004;
/** No open connection has this fd. */
export const SWOOLE_ERROR_SESSION_NOT_EXIST = 1005;
/** The send queue of the connection is full (`socket_buffer_size`). */
export const SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW = 1009;
/** The peer's certificate is not trusted, or was issued for another host. */
export const SWOOLE_ERROR_SSL_VERIFY_FAILED = 1014;
/** The TLS handshake failed. */
export const SWOOLE_ERROR_SSL_HANDSHAKE_FAILED = 1018;
/** A message is larger than `package_max_length`. */
export const SWOOLE_ERROR_PACKAGE_LENGTH_TOO_LARGE = 1201;
/** The length of a package cannot be determined from its first `package_max_length` bytes. */
export const SWOOLE_ERROR_PACKAGE_LENGTH_NOT_FOUND = 1202;
/** A length field is malformed. */
export const SWOOLE_ERROR_PACKAGE_MALFORMED_DATA = 1204;
/** The client is not connected. */
export const SWOOLE_ERROR_CLIENT_NO_CONNECTION = 5001;
/** The SOCKS proxy uses another version of the protocol. */
export const SWOOLE_ERROR_SOCKS5_UNSUPPORT_VERSION = 7001;
/** The SOCKS proxy requires an authentication method other than user name and password. */
export const SWOOLE_ERROR_SOCKS5_UNSUPPORT_METHOD = 7002;
/** The SOCKS proxy rejected the user name or the password. */
export const SWOOLE_ERROR_SOCKS5_AUTH_FAILED = 7003;
/** The SOCKS proxy did not connect to the server. */
export const SWOOLE_ERROR_SOCKS5_SERVER_ERROR = 7004;
/** The SOCKS proxy violated the protocol. */
export const SWOOLE_ERROR_SOCKS5_HANDSHAKE_FAILED = 7005;
/** The HTTP proxy violated the protocol. */
export const SWOOLE_ERROR_HTTP_PROXY_HANDSHAKE_ERROR = 7101;
/** The peer does not speak HTTP. */
export const SWOOLE_ERROR_HTTP_INVALID_PROTOCOL = 7102;
/** The HTTP proxy did not connect to the server. */
export const SWOOLE_ERROR_HTTP_PROXY_BAD_RESPONSE = 7104;
/** The response has already ended. */
export const SWOOLE_ERROR_HTTP_CONTEXT_UNAVAILABLE = 7106;
/** The client is not a WebSocket client. Not set here, nor by Swoole. */
export const SWOOLE_ERROR_WEBSOCKET_BAD_CLIENT = 8501;
/** The opcode does not exist. Not set here, nor by Swoole: see 8505. */
export const SWOOLE_ERROR_WEBSOCKET_BAD_OPCODE = 8502;
/** The connection is not an established WebSocket. */
export const SWOOLE_ERROR_WEBSOCKET_UNCONNECTED = 8503;
/** The opening handshake failed. */
export const SWOOLE_ERROR_WEBSOCKET_HANDSHAKE_FAILED = 8504;
/** The frame cannot be packed: its opcode, length or order is invalid. */
export const SWOOLE_ERROR_WEBSOCKET_PACK_FAILED = 8505;
/** The frame cannot be unpacked. */
export const SWOOLE_ERROR_WEBSOCKET_UNPACK_FAILED = 8506;
/** The frame is incomplete. Not set here. */
export const SWOOLE_ERROR_WEBSOCKET_INCOMPLETE_PACKET = 8507;

const TEXTS: ReadonlyMap<number, string> = new Map([
  [1, "Operation not permitted"],
  [2, "No such file or directory"],
  [5, "Input/output error"],
  [9, "Bad file descriptor"],
  [13, "Permission denied"],
  [16, "Device or resource busy"],
  [20, "Not a directory"],
  [21, "Is a directory"],
  [22, "Invalid argument"],
  [23, "Too many open files in system"],
  [24, "Too many open files"],
  [27, "File too large"],
  [28, "No space left on device"],
  [30, "Read-only file system"],
  [32, "Broken pipe"],
  [36, "File name too long"],
  [40, "Too many levels of symbolic links"],
  [90, "Message too long"],
  [97, "Address family not supported by protocol"],
  [99, "Cannot assign requested address"],
  [101, "Network is unreachable"],
  [104, "Connection reset by peer"],
  [110, "Connection timed out"],
  [111, "Connection refused"],
  [113, "No route to host"],
  [122, "Disk quota exceeded"],
  [505, "Invalid params"],
  [506, "Queue full"],
  [507, "Operation not support"],
  [508, "Protocol error"],
  [550, "No payload"],
  [711, "DNS Lookup resolve failed"],
  [1001, "Session closed by server"],
  [1002, "Session closed by client"],
  [1003, "Session closing"],
  [1004, "Session closed"],
  [1005, "Session not exist"],
  [1009, "Output buffer overflow"],
  [1014, "SSL verify failed"],
  [1018, "SSL handshake failed"],
  [1201, "Package length too large"],
  [1202, "Package length not found"],
  [1204, "Package malformed data"],
  [5001, "Client no connection"],
  [7001, "Socks5 unsupport version"],
  [7002, "Socks5 unsupport method"],
  [7003, "Socks5 auth failed"],
  [7004, "Socks5 server error"],
  [7005, "Socks5 handshake failed"],
  [7101, "Http proxy handshake error"],
  [7102, "Http invalid protocol"],
  [7104, "Http proxy bad response"],
  [7106, "Http context unavailable"],
  [8501, "Websocket bad client"],
  [8502, "Websocket bad opcode"],
  [8503, "Websocket unconnected"],
  [8504, "Websocket handshake failed"],
  [8505, "Websocket pack failed"],
  [8506, "Websocket unpack failed"],
  [8507, "Websocket incomplete packet"],
]);

/**
 * Returns the text of an error code, worded as by Swoole's `swoole_strerror()`.
 *
 * @param code A number that `getLastError()` returned.
 * @returns The text, or `Unknown error <code>` for an unknown number.
 *
 * @example
 * ```ts
 * import { swooleStrerror } from "@sluice/server";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(swooleStrerror(1005), "Session not exist");
 * ```
 */
export function swooleStrerror(code: number): string {
  return TEXTS.get(code) ?? `Unknown error ${code}`;
}
