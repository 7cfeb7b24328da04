/**
 * The constants of Swoole's WebSocket and server pages: the same names, the same numbers.
 *
 * @module
 */

// Opcodes (Swoole page "WebSocket\Server", data frame types; RFC 6455 section 11.8).

/** Continuation frame of a fragmented message (RFC 6455 section 5.4). */
export const WEBSOCKET_OPCODE_CONTINUATION = 0;
/** Continuation frame of a fragmented message (RFC 6455 section 5.4). */
export const SWOOLE_WEBSOCKET_OPCODE_CONTINUATION = 0;
/** Text frame, the payload is UTF-8 (RFC 6455 section 5.6). */
export const WEBSOCKET_OPCODE_TEXT = 1;
/** Text frame, the payload is UTF-8 (RFC 6455 section 5.6). */
export const SWOOLE_WEBSOCKET_OPCODE_TEXT = 1;
/** Binary frame (RFC 6455 section 5.6). */
export const WEBSOCKET_OPCODE_BINARY = 2;
/** Binary frame (RFC 6455 section 5.6). */
export const SWOOLE_WEBSOCKET_OPCODE_BINARY = 2;
/** Close frame (RFC 6455 section 5.5.1). */
export const WEBSOCKET_OPCODE_CLOSE = 8;
/** Close frame (RFC 6455 section 5.5.1). */
export const SWOOLE_WEBSOCKET_OPCODE_CLOSE = 8;
/** Ping frame (RFC 6455 section 5.5.2). */
export const WEBSOCKET_OPCODE_PING = 9;
/** Ping frame (RFC 6455 section 5.5.2). */
export const SWOOLE_WEBSOCKET_OPCODE_PING = 9;
/** Pong frame (RFC 6455 section 5.5.3). */
export const WEBSOCKET_OPCODE_PONG = 10;
/** Pong frame (RFC 6455 section 5.5.3). */
export const SWOOLE_WEBSOCKET_OPCODE_PONG = 10;

// Flags of a frame, a sum.

/** The frame is the last one of its message. */
export const SWOOLE_WEBSOCKET_FLAG_FIN = 1;
/** Compress the message where permessage-deflate was negotiated (RFC 7692). */
export const SWOOLE_WEBSOCKET_FLAG_COMPRESS = 2;
/** The first reserved bit was set: the message came compressed. */
export const SWOOLE_WEBSOCKET_FLAG_RSV1 = 4;
/** The second reserved bit. */
export const SWOOLE_WEBSOCKET_FLAG_RSV2 = 8;
/** The third reserved bit. */
export const SWOOLE_WEBSOCKET_FLAG_RSV3 = 16;
/** The payload was masked, as every client does (RFC 6455 section 5.3). */
export const SWOOLE_WEBSOCKET_FLAG_MASK = 32;

// Connection states, as in `getClientInfo(fd).websocket_status`.

/** The connection waits for its opening handshake. */
export const WEBSOCKET_STATUS_CONNECTION = 1;
/** The connection waits for its opening handshake. */
export const SWOOLE_WEBSOCKET_STATUS_CONNECTION = 1;
/** The opening handshake is in progress. */
export const WEBSOCKET_STATUS_HANDSHAKE = 2;
/** The opening handshake is in progress. */
export const SWOOLE_WEBSOCKET_STATUS_HANDSHAKE = 2;
/** The handshake succeeded; frames flow. */
export const WEBSOCKET_STATUS_ACTIVE = 3;
/** The handshake succeeded; frames flow. */
export const SWOOLE_WEBSOCKET_STATUS_ACTIVE = 3;
/** The closing handshake is in progress. */
export const WEBSOCKET_STATUS_CLOSING = 4;
/** The closing handshake is in progress. */
export const SWOOLE_WEBSOCKET_STATUS_CLOSING = 4;
/** The older name of `WEBSOCKET_STATUS_ACTIVE`. */
export const WEBSOCKET_STATUS_FRAME = 3;
/** The opening handshake was refused. */
export const WEBSOCKET_STATUS_HANDSHAKE_FAILED = 5;

// Close codes (RFC 6455 section 7.4.1 and the IANA registry).

/** The purpose of the connection is fulfilled. */
export const WEBSOCKET_CLOSE_NORMAL = 1000;
/** The purpose of the connection is fulfilled. */
export const SWOOLE_WEBSOCKET_CLOSE_NORMAL = 1000;
/** The endpoint goes away: a server stops, a page is left. */
export const WEBSOCKET_CLOSE_GOING_AWAY = 1001;
/** The endpoint goes away: a server stops, a page is left. */
export const SWOOLE_WEBSOCKET_CLOSE_GOING_AWAY = 1001;
/** The peer broke the protocol. */
export const WEBSOCKET_CLOSE_PROTOCOL_ERROR = 1002;
/** The peer broke the protocol. */
export const SWOOLE_WEBSOCKET_CLOSE_PROTOCOL_ERROR = 1002;
/** The peer sent a type of data that cannot be accepted. */
export const WEBSOCKET_CLOSE_DATA_ERROR = 1003;
/** The peer sent a type of data that cannot be accepted. */
export const SWOOLE_WEBSOCKET_CLOSE_DATA_ERROR = 1003;
/** No code was in the Close frame. Never sent, only reported. */
export const WEBSOCKET_CLOSE_STATUS_ERROR = 1005;
/** No code was in the Close frame. Never sent, only reported. */
export const SWOOLE_WEBSOCKET_CLOSE_STATUS_ERROR = 1005;
/** The connection ended without a Close frame. Never sent, only reported. */
export const WEBSOCKET_CLOSE_ABNORMAL = 1006;
/** The connection ended without a Close frame. Never sent, only reported. */
export const SWOOLE_WEBSOCKET_CLOSE_ABNORMAL = 1006;
/** The data does not fit its type, for example text that is not UTF-8. */
export const WEBSOCKET_CLOSE_MESSAGE_ERROR = 1007;
/** The data does not fit its type, for example text that is not UTF-8. */
export const SWOOLE_WEBSOCKET_CLOSE_MESSAGE_ERROR = 1007;
/** The message violates a policy of the endpoint. */
export const WEBSOCKET_CLOSE_POLICY_ERROR = 1008;
/** The message violates a policy of the endpoint. */
export const SWOOLE_WEBSOCKET_CLOSE_POLICY_ERROR = 1008;
/** The message is larger than the endpoint accepts. */
export const WEBSOCKET_CLOSE_MESSAGE_TOO_BIG = 1009;
/** The message is larger than the endpoint accepts. */
export const SWOOLE_WEBSOCKET_CLOSE_MESSAGE_TOO_BIG = 1009;
/** The client misses an extension that the server did not agree to. */
export const WEBSOCKET_CLOSE_EXTENSION_MISSING = 1010;
/** The client misses an extension that the server did not agree to. */
export const SWOOLE_WEBSOCKET_CLOSE_EXTENSION_MISSING = 1010;
/** An unexpected condition kept the server from going on. */
export const WEBSOCKET_CLOSE_SERVER_ERROR = 1011;
/** An unexpected condition kept the server from going on. */
export const SWOOLE_WEBSOCKET_CLOSE_SERVER_ERROR = 1011;
/** The service restarts (the doubled word is Swoole's spelling). */
export const WEBSOCKET_CLOSE_CLOSE_SERVICE_RESTART = 1012;
/** The service restarts (the doubled word is Swoole's spelling). */
export const SWOOLE_WEBSOCKET_CLOSE_CLOSE_SERVICE_RESTART = 1012;
/** The service is overloaded for now. */
export const WEBSOCKET_CLOSE_TRY_AGAIN_LATER = 1013;
/** The service is overloaded for now. */
export const SWOOLE_WEBSOCKET_CLOSE_TRY_AGAIN_LATER = 1013;
/** A gateway got an invalid answer from its upstream. */
export const WEBSOCKET_CLOSE_BAD_GATEWAY = 1014;
/** A gateway got an invalid answer from its upstream. */
export const SWOOLE_WEBSOCKET_CLOSE_BAD_GATEWAY = 1014;
/** The TLS handshake failed. Never sent, only reported. */
export const WEBSOCKET_CLOSE_TLS = 1015;
/** The TLS handshake failed. Never sent, only reported. */
export const SWOOLE_WEBSOCKET_CLOSE_TLS = 1015;

// What `statusCode` of an `HttpClient` tells when there was no answer (Swoole page "Coroutine\\Http\\Client").

/** The connection could not be established. */
export const SWOOLE_HTTP_CLIENT_ESTATUS_CONNECT_FAILED: number = -1;
/** The answer took too long. */
export const SWOOLE_HTTP_CLIENT_ESTATUS_REQUEST_TIMEOUT: number = -2;
/** The server ended the connection. */
export const SWOOLE_HTTP_CLIENT_ESTATUS_SERVER_RESET: number = -3;
/** The request could not be sent. */
export const SWOOLE_HTTP_CLIENT_ESTATUS_SEND_FAILED: number = -4;

// Server modes and socket types (Swoole page "Server", constructor).

/** Every worker accepts and serves its own connections. */
export const SWOOLE_BASE = 1;
/** Swoole's manager and worker processes. Accepted; works as `SWOOLE_BASE` here. */
export const SWOOLE_PROCESS = 2;
// What `getWorkerStatus()` tells.

/** The worker is at work. */
export const SWOOLE_WORKER_BUSY = 1;
/** The worker waits for work. Never told here: who asks is the one worker. */
export const SWOOLE_WORKER_IDLE = 2;
/** The worker is about to end. Never told here: there are no workers that are replaced. */
export const SWOOLE_WORKER_EXIT = 3;

/** TCP over IPv4. */
export const SWOOLE_SOCK_TCP = 1;
/** UDP over IPv4. */
export const SWOOLE_SOCK_UDP = 2;
/** TCP over IPv6. */
export const SWOOLE_SOCK_TCP6 = 3;
/** UDP over IPv6. */
export const SWOOLE_SOCK_UDP6 = 4;
/** Unix domain stream socket; the host is its path. */
export const SWOOLE_SOCK_UNIX_STREAM = 5;
/** Unix domain datagram socket. No server takes it here. */
export const SWOOLE_SOCK_UNIX_DGRAM = 6;
/** Added to a socket type: TLS with `ssl_cert_file` and `ssl_key_file`. */
export const SWOOLE_SSL = 512;

// Versions of TLS, for the setting `ssl_protocols`, which takes their sum (Swoole page "Constants").

/** SSL 2, which nobody speaks any more: accepted, and without effect. */
export const SWOOLE_SSL_SSLv2 = 2;
/** SSL 3, which nobody speaks any more: accepted, and without effect. */
export const SWOOLE_SSL_SSLv3 = 4;
/** TLS 1.0. */
export const SWOOLE_SSL_TLSv1 = 8;
/** TLS 1.1. */
export const SWOOLE_SSL_TLSv1_1 = 16;
/** TLS 1.2. */
export const SWOOLE_SSL_TLSv1_2 = 32;
/** TLS 1.3. */
export const SWOOLE_SSL_TLSv1_3 = 64;

// Levels of the log (Swoole page "Server", setting `log_level`): what is below it is not logged. There are only errors here.

/** Everything. */
export const SWOOLE_LOG_DEBUG = 0;
/** What happens inside. */
export const SWOOLE_LOG_TRACE = 1;
/** What is good to know; the default of `log_level`. */
export const SWOOLE_LOG_INFO = 2;
/** What may matter. */
export const SWOOLE_LOG_NOTICE = 3;
/** What may be wrong. */
export const SWOOLE_LOG_WARNING = 4;
/** Errors. */
export const SWOOLE_LOG_ERROR = 5;
/** Nothing. */
export const SWOOLE_LOG_NONE = 6;

// When the log begins a new file (Swoole page "Server", setting `log_rotation`).

/** Never. */
export const SWOOLE_LOG_ROTATION_SINGLE = 0;
/** Each month; `202401` stands behind the name of the file. */
export const SWOOLE_LOG_ROTATION_MONTHLY = 1;
/** Each day; `20240131` stands behind the name of the file. */
export const SWOOLE_LOG_ROTATION_DAILY = 2;
/** Each hour; `2024013123` stands behind the name of the file. */
export const SWOOLE_LOG_ROTATION_HOURLY = 3;
/** Each minute; `202401312359` stands behind the name of the file. */
export const SWOOLE_LOG_ROTATION_EVERY_MINUTE = 4;
