/**
 * Sluice in the coroutine style: a handler runs as long as its connection, and waits with `await`.
 *
 * @example A server and a client
 * ```ts
 * import { HttpClient, HttpServer } from "@sluice/server/coroutine";
 * import { assertEquals } from "@std/assert";
 *
 * const server = new HttpServer("127.0.0.1");
 * server.handle("/websocket", async (_request, ws) => {
 *   await ws.upgrade();
 *   while (true) {
 *     const frame = await ws.recv();
 *     if (frame === "" || frame === false || frame.opcode === 8) break;
 *     await ws.push(`Hello ${frame.data}!`);
 *   }
 * });
 * await server.start();
 *
 * const client = new HttpClient("127.0.0.1", server.port);
 * await client.upgrade("/websocket");
 * await client.push("Ada");
 * const answer = await client.recv();
 * assertEquals(answer && answer.data, "Hello Ada!");
 * client.disconnect();
 * server.shutdown();
 * await server.finished;
 * ```
 *
 * @module
 */

import "../../adapters/auto.ts";

export { CloseInfo, type ConnectionData } from "../transport/connection_end.ts";
export { Cookie } from "../http/cookies.ts";
export type { CookieParts } from "../http/cookies.ts";
export type { CompressionSettings } from "../websocket/connection/compression_policy.ts";
export { type FetchApplication, type FetchFunction, fromFetch } from "../server/http/from_fetch.ts";
export { LightResponse, type LightResponseConstructor } from "../server/http/light_response.ts";
export { HttpRequest } from "../server/http/http_request.ts";
export type { AnyHandlers, EventHandler, EventName, HandlersByName, NamesByName, WorkerEvents } from "../server/events.ts";
export type { WorkerSettings } from "../server/settings/worker_settings.ts";
export type { Refusal } from "../server/refusals.ts";
export { UploadedFile } from "../server/http/uploaded_file.ts";
export type { SharedTlsSettings } from "../transport/tls.ts";
export { BaseClient } from "../client/base_client.ts";
export type { Received } from "../websocket/connection/received_messages.ts";
export type { ClientTlsSettings, HttpClientSettings, WriteFunction } from "../client/client_settings.ts";
export { HttpClient } from "../client/http_client.ts";
export { HttpServer } from "./http_server.ts";
export type {
  AuthenticateHandler,
  CoroutineServerEvents,
  CoroutineServerHandlers,
  ErrorHandler,
  PresenceHandler,
  RefusalHandler,
  SlowReaderHandler,
  TopicGapHandler,
} from "./http_server.ts";
export type { RequestFields as ClientFormFields, RequestFieldValue, UploadFile } from "../client/outgoing_body.ts";
export type { RequestData } from "../client/request_draft.ts";
export * from "../server/topics_api.ts";
export { PreparedMessage } from "../websocket/prepared_message.ts";
export type { Pushable } from "../websocket/prepared_message.ts";
export type { RequestHandler } from "./application.ts";
export { HttpResponse } from "./http_response.ts";
