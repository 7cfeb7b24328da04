/**
 * The constants of Swoole's WebSocket and server pages, with the same names and numbers.
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

// Flags of a frame; combine them by adding.

/** The frame is the last one of its message. */
export const SWOOLE_WEBSOCKET_FLAG_FIN = 1;
/** Compresses the message if permessage-deflate was negotiated (RFC 7692). */
export const SWOOLE_WEBSOCKET_FLAG_COMPRESS = 2;
/** The first reserved bit was set: the message arrived compressed. */
export const SWOOLE_WEBSOCKET_FLAG_RSV1 = 4;
/** The second reserved bit. */
export const SWOOLE_WEBSOCKET_FLAG_RSV2 = 8;
/** The third reserved bit. */
export const SWOOLE_WEBSOCKET_FLAG_RSV3 = 16;
/** The payload was masked; every client masks (RFC 6455 section 5.3). */
export const SWOOLE_WEBSOCKET_FLAG_MASK = 32;

// Connection states, as in `getClientInfo(fd).websocket_status`.

/** The connection is waiting for its opening handshake. */
export const WEBSOCKET_STATUS_CONNECTION = 1;
/** The connection is waiting for its opening handshake. */
export const SWOOLE_WEBSOCKET_STATUS_CONNECTION = 1;
/** The opening handshake is in progress. */
export const WEBSOCKET_STATUS_HANDSHAKE = 2;
/** The opening handshake is in progress. */
export const SWOOLE_WEBSOCKET_STATUS_HANDSHAKE = 2;
/** The handshake has succeeded; frames can be exchanged. */
export const WEBSOCKET_STATUS_ACTIVE = 3;
/** The handshake has succeeded; frames can be exchanged. */
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

/** The connection has fulfilled its purpose. */
export const WEBSOCKET_CLOSE_NORMAL = 1000;
/** The connection has fulfilled its purpose. */
export const SWOOLE_WEBSOCKET_CLOSE_NORMAL = 1000;
/** The endpoint is going away: a server stops, or the user leaves a page. */
export const WEBSOCKET_CLOSE_GOING_AWAY = 1001;
/** The endpoint is going away: a server stops, or the user leaves a page. */
export const SWOOLE_WEBSOCKET_CLOSE_GOING_AWAY = 1001;
/** The peer violated the protocol. */
export const WEBSOCKET_CLOSE_PROTOCOL_ERROR = 1002;
/** The peer violated the protocol. */
export const SWOOLE_WEBSOCKET_CLOSE_PROTOCOL_ERROR = 1002;
/** The peer sent a type of data that the endpoint cannot accept. */
export const WEBSOCKET_CLOSE_DATA_ERROR = 1003;
/** The peer sent a type of data that the endpoint cannot accept. */
export const SWOOLE_WEBSOCKET_CLOSE_DATA_ERROR = 1003;
/** The Close frame had no code. Only reported, never sent. */
export const WEBSOCKET_CLOSE_STATUS_ERROR = 1005;
/** The Close frame had no code. Only reported, never sent. */
export const SWOOLE_WEBSOCKET_CLOSE_STATUS_ERROR = 1005;
/** The connection ended without a Close frame. Only reported, never sent. */
export const WEBSOCKET_CLOSE_ABNORMAL = 1006;
/** The connection ended without a Close frame. Only reported, never sent. */
export const SWOOLE_WEBSOCKET_CLOSE_ABNORMAL = 1006;
/** The data does not match its type, for example text that is not valid UTF-8. */
export const WEBSOCKET_CLOSE_MESSAGE_ERROR = 1007;
/** The data does not match its type, for example text that is not valid UTF-8. */
export const SWOOLE_WEBSOCKET_CLOSE_MESSAGE_ERROR = 1007;
/** The message violates a policy of the endpoint. */
export const WEBSOCKET_CLOSE_POLICY_ERROR = 1008;
/** The message violates a policy of the endpoint. */
export const SWOOLE_WEBSOCKET_CLOSE_POLICY_ERROR = 1008;
/** The message is larger than the endpoint accepts. */
export const WEBSOCKET_CLOSE_MESSAGE_TOO_BIG = 1009;
/** The message is larger than the endpoint accepts. */
export const SWOOLE_WEBSOCKET_CLOSE_MESSAGE_TOO_BIG = 1009;
/** The client requires an extension that the server did not agree to. */
export const WEBSOCKET_CLOSE_EXTENSION_MISSING = 1010;
/** The client requires an extension that the server did not agree to. */
export const SWOOLE_WEBSOCKET_CLOSE_EXTENSION_MISSING = 1010;
/** The server encountered an unexpected condition and cannot continue. */
export const WEBSOCKET_CLOSE_SERVER_ERROR = 1011;
/** The server encountered an unexpected condition and cannot continue. */
export const SWOOLE_WEBSOCKET_CLOSE_SERVER_ERROR = 1011;
/** The service is restarting. (The doubled word is Swoole's spelling.) */
export const WEBSOCKET_CLOSE_CLOSE_SERVICE_RESTART = 1012;
/** The service is restarting. (The doubled word is Swoole's spelling.) */
export const SWOOLE_WEBSOCKET_CLOSE_CLOSE_SERVICE_RESTART = 1012;
/** The service is temporarily overloaded. */
export const WEBSOCKET_CLOSE_TRY_AGAIN_LATER = 1013;
/** The service is temporarily overloaded. */
export const SWOOLE_WEBSOCKET_CLOSE_TRY_AGAIN_LATER = 1013;
/** A gateway received an invalid response from its upstream server. */
export const WEBSOCKET_CLOSE_BAD_GATEWAY = 1014;
/** A gateway received an invalid response from its upstream server. */
export const SWOOLE_WEBSOCKET_CLOSE_BAD_GATEWAY = 1014;
/** The TLS handshake failed. Only reported, never sent. */
export const WEBSOCKET_CLOSE_TLS = 1015;
/** The TLS handshake failed. Only reported, never sent. */
export const SWOOLE_WEBSOCKET_CLOSE_TLS = 1015;

// Values of `HttpClient.statusCode` if there was no response (Swoole page "Coroutine\\Http\\Client").

/** The connection could not be established. */
export const SWOOLE_HTTP_CLIENT_ESTATUS_CONNECT_FAILED: number = -1;
/** The response did not arrive in time. */
export const SWOOLE_HTTP_CLIENT_ESTATUS_REQUEST_TIMEOUT: number = -2;
/** The server closed the connection. */
export const SWOOLE_HTTP_CLIENT_ESTATUS_SERVER_RESET: number = -3;
/** The request could not be sent. */
export const SWOOLE_HTTP_CLIENT_ESTATUS_SEND_FAILED: number = -4;

// Server modes and socket types (Swoole page "Server", constructor).

/** Every worker accepts and serves its own connections. */
export const SWOOLE_BASE = 1;
/** A worker can use the connections of all workers. */
export const SWOOLE_PROCESS = 2;

// Results of `getWorkerStatus()`.

/** The worker is busy. */
export const SWOOLE_WORKER_BUSY = 1;
/** It is another worker, which may be idle. */
export const SWOOLE_WORKER_IDLE = 2;
/** The worker has been replaced, and is about to exit. */
export const SWOOLE_WORKER_EXIT = 3;

// Values of `dispatch_mode`.

/** Workers get connections in turn. */
export const SWOOLE_DISPATCH_ROUND = 1;
/** The system chooses the worker for a connection. */
export const SWOOLE_DISPATCH_FDMOD = 2;
/** The worker with the fewest connections gets the next one. */
export const SWOOLE_DISPATCH_IDLE_WORKER = 3;
/** An IP address always gets the same worker. */
export const SWOOLE_DISPATCH_IPMOD = 4;
/** The same as `SWOOLE_DISPATCH_CO_CONN_LB`. */
export const SWOOLE_DISPATCH_STREAM = 7;
/** The worker with the fewest connections gets the next one. */
export const SWOOLE_DISPATCH_CO_CONN_LB = 8;

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
/** Unix domain datagram socket. No server accepts it here. */
export const SWOOLE_SOCK_UNIX_DGRAM = 6;
/** Add this to a socket type to use TLS with `ssl_cert_file` and `ssl_key_file`. */
export const SWOOLE_SSL = 512;

// TLS versions for the setting `ssl_protocols`, which takes their sum (Swoole page "Constants").

/** SSL 2, which is obsolete: accepted, but has no effect. */
export const SWOOLE_SSL_SSLv2 = 2;
/** SSL 3, which is obsolete: accepted, but has no effect. */
export const SWOOLE_SSL_SSLv3 = 4;
/** TLS 1.0. */
export const SWOOLE_SSL_TLSv1 = 8;
/** TLS 1.1. */
export const SWOOLE_SSL_TLSv1_1 = 16;
/** TLS 1.2. */
export const SWOOLE_SSL_TLSv1_2 = 32;
/** TLS 1.3. */
export const SWOOLE_SSL_TLSv1_3 = 64;

// Log levels (Swoole page "Server", setting `log_level`): lower entries are not logged. Sluice logs warnings and errors.

/** Debug entries and everything above. */
export const SWOOLE_LOG_DEBUG = 0;
/** Traces of internal operations. */
export const SWOOLE_LOG_TRACE = 1;
/** Information; the default of `log_level`. */
export const SWOOLE_LOG_INFO = 2;
/** Events that may matter. */
export const SWOOLE_LOG_NOTICE = 3;
/** Possible problems. */
export const SWOOLE_LOG_WARNING = 4;
/** Errors. */
export const SWOOLE_LOG_ERROR = 5;
/** No logging. */
export const SWOOLE_LOG_NONE = 6;

// When to start a new log file (Swoole page "Server", setting `log_rotation`).

/** Never. */
export const SWOOLE_LOG_ROTATION_SINGLE = 0;
/** Every month; `202401` is appended to the file name. */
export const SWOOLE_LOG_ROTATION_MONTHLY = 1;
/** Every day; `20240131` is appended to the file name. */
export const SWOOLE_LOG_ROTATION_DAILY = 2;
/** Every hour; `2024013123` is appended to the file name. */
export const SWOOLE_LOG_ROTATION_HOURLY = 3;
/** Every minute; `202401312359` is appended to the file name. */
export const SWOOLE_LOG_ROTATION_EVERY_MINUTE = 4;
