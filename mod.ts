/**
 * Sluice is a WebSocket and HTTP server with Swoole's interface, for Deno, Bun and Node.
 *
 * This module is the event style: create a server, register handlers, start it. The same program runs unchanged in all three
 * runtimes and behaves the same on the wire.
 *
 * @example An echo server
 * ```ts
 * import { WebSocketServer } from "@sluice/server";
 *
 * const server = new WebSocketServer("127.0.0.1", 0);
 * server.on("message", (server, frame) => server.push(frame.fd, frame));
 * await server.start();
 * console.log(`ws://127.0.0.1:${server.port}/`);
 * server.shutdown();
 * await server.finished;
 * ```
 *
 * @module
 */

import "./adapters/auto.ts";

export { CloseInfo } from "./src/transport/connection_end.ts";
export type { ConnectionData } from "./src/transport/connection_end.ts";
export * from "./src/constants.ts";
export * from "./src/errors.ts";
export { Cookie } from "./src/http/cookies.ts";
export type { CookieParts } from "./src/http/cookies.ts";
export type { FormFields, FormValue } from "./src/http/form.ts";
export {
  swooleMimeTypeAdd,
  swooleMimeTypeDelete,
  swooleMimeTypeExists,
  swooleMimeTypeGet,
  swooleMimeTypeList,
  swooleMimeTypeSet,
} from "./src/http/media_types.ts";
export { BaseRequest } from "./src/http/base_request.ts";
export type { Fields, ServerVariables } from "./src/http/base_request.ts";
export { BaseResponse } from "./src/http/base_response.ts";
export type { HeaderValue } from "./src/http/response_head.ts";
export { setRuntime } from "./src/transport/current_runtime.ts";
export type {
  AcceptGate,
  Address,
  BytePipe,
  ClientCertificates,
  ConnectOptions,
  ConnectTls,
  DatagramOptions,
  DatagramSocket,
  HandshakeGate,
  KeyPair,
  Lane,
  LaneSink,
  Listener,
  ListenOptions,
  MemoryUsage,
  NativeFunctions,
  Preamble,
  PreambleGate,
  ProxyHandshake,
  Runtime,
  SignalControl,
  SignalName,
  TlsChoices,
  TlsOptions,
  TlsVersion,
} from "./src/transport/runtime.ts";
export type {
  ChildProcess,
  ProcessChannel,
  ProcessControl,
  ProcessExit,
  ProcessMessage,
  ProcessOptions,
  SharedListener,
  SharedListening,
  SocketHandle,
} from "./src/transport/processes.ts";
export type { FileSink, FileSource, FolderEntry, WriteOptions } from "./src/transport/file_pieces.ts";
export type { CompressionSettings } from "./src/websocket/connection/compression_policy.ts";
export { type ClientInfo, ConnectionList } from "./src/server/connection_list.ts";
export type {
  AnyHandlers,
  EventHandler,
  EventName,
  Handled,
  HandlersByName,
  HttpServerEvents,
  HttpServerHandlers,
  NamesByName,
  ObjectEventHandler,
  ObjectEvents,
  PortEvents,
  PortHandlers,
  ServerEvents,
  ServerHandlers,
  WebSocketServerEvents,
  WebSocketServerHandlers,
  WorkerEvents,
} from "./src/server/events.ts";
export { fromFetch } from "./src/server/http/from_fetch.ts";
export { LightResponse, type LightResponseConstructor } from "./src/server/http/light_response.ts";
export type { FetchApplication, FetchFunction } from "./src/server/http/from_fetch.ts";
export { HttpRequest } from "./src/server/http/http_request.ts";
export { type FileFields, type FileValue, UploadedFile } from "./src/server/http/uploaded_file.ts";
export type { ParseOptions } from "./src/server/http/http_request.ts";
export { HttpResponse, WaitingResponse } from "./src/server/http/http_response.ts";
export { HttpServer } from "./src/server/http_server.ts";
export type { HttpSettings } from "./src/server/settings/http_settings.ts";
export type { BrokerStats, ServerStats } from "./src/server/stats.ts";
export type { LogEvent, LogFields, Logger, LogRecord, LogSettings } from "./src/server/settings/log_settings.ts";
export type { LimitSettings, ProxySettings, SocketSettings } from "./src/server/settings/connection_settings.ts";
export type { StatusSettings } from "./src/server/settings/status_settings.ts";
export type { PackageSettings } from "./src/server/settings/connection_settings.ts";
export type { LengthFunction, LengthType } from "./src/server/raw/packages.ts";
export type { Refusal } from "./src/server/refusals.ts";
export { Server } from "./src/server/server.ts";
export { ServerConnections } from "./src/server/server_connections.ts";
export { ServerWorkers } from "./src/server/server_workers.ts";
export { Packet, PipeMessage, ServerEvent, StatusInfo } from "./src/server/server_event.ts";
export { type FinishHandler, Task, TaskResult } from "./src/server/task.ts";
export type { PacketInfo } from "./src/server/server_event.ts";
export { ServerPort } from "./src/server/server_port.ts";
export type { PortSettings, ServerSettings, ServerWideSetting } from "./src/server/settings/settings.ts";
export type { WorkerSettings } from "./src/server/settings/worker_settings.ts";
export type { IgnoredSettings } from "./src/server/settings/swoole_settings.ts";
export type { SniCertificate, TlsSettings } from "./src/server/settings/tls_settings.ts";
export type { SharedTlsSettings } from "./src/transport/tls.ts";
export { WebSocketServer } from "./src/server/websocket_server.ts";
export type {
  ContentCoding,
  ContentEncoder,
  DeflateCapabilities,
  DeflateEngine,
  Deflater,
  DeflaterOptions,
  InflateFailure,
  Inflater,
} from "./src/transport/codecs.ts";
export * from "./src/server/topics_api.ts";
export { CloseFrame, Frame } from "./src/websocket/frame.ts";
export type {
  BinaryFrame,
  ControlFrame,
  MessageFrame,
  ReceivedCloseFrame,
  ReceivedFrame,
  TextFrame,
} from "./src/websocket/frame.ts";
export type { HandshakeRefusal } from "./src/websocket/handshake.ts";
export { PreparedMessage } from "./src/websocket/prepared_message.ts";
export type { Pushable } from "./src/websocket/prepared_message.ts";
