/**
 * `HttpServer` of the coroutine style, and its handlers by path.
 *
 * @module
 */

import type { ConnectionData } from "../transport/connection_end.ts";
import { SWOOLE_PROCESS } from "../constants.ts";
import { SWOOLE_ERROR_INVALID_PARAMS } from "../errors.ts";
import type { BytePipe } from "../transport/runtime.ts";
import { checkHost, describe, portNumber } from "../values.ts";
import { ServerCore } from "../server/core.ts";
import type { HttpRequest } from "../server/http/http_request.ts";
import { metricsOf } from "../server/metrics.ts";
import type { AnyHandlers, EventHandler, EventName, WorkerEvents } from "../server/events.ts";
import type { Refusal } from "../server/refusals.ts";
import {
  type AppendOptions,
  type AppendResult,
  type MembersOptions,
  ServerTopics,
  type TopicMembersPage,
} from "../server/server_topics.ts";
import { checkSeconds } from "../server/shutdown.ts";
import { type ServerStats, statsOf } from "../server/stats.ts";
import type { ServerSettings } from "../server/settings/settings.ts";
import type { IgnoredSettings } from "../server/settings/swoole_settings.ts";
import { masterPid, pidOf, reloadWorkers, stopWorker, workerId } from "../server/worker_methods.ts";
import { systemCode } from "../transport/system_codes.ts";
import type { Pushable } from "../websocket/prepared_message.ts";
import type { SlowReader } from "../topics/delivery.ts";
import type { PublishOptions } from "../topics/publication.ts";
import type { TopicGap, TopicPresence } from "../topics/topics.ts";
import { coroutineFactory, type RequestHandler } from "./application.ts";
import type { HttpResponse } from "./http_response.ts";
import { Router } from "./router.ts";

/** A function that decides whether a client may open a WebSocket. */
export type AuthenticateHandler<Data extends ConnectionData = ConnectionData> = (
  request: HttpRequest<Data>,
  response: HttpResponse<Data>,
  server: HttpServer<Data>,
) => boolean | PromiseLike<boolean>;

/** A function that receives the errors thrown by handlers. */
export type ErrorHandler<Data extends ConnectionData = ConnectionData> = (
  server: HttpServer<Data>,
  error: unknown,
  fd: number,
) => unknown;

/** A function that receives the WebSockets that read more slowly than is published. */
export type SlowReaderHandler<Data extends ConnectionData = ConnectionData> = (
  server: HttpServer<Data>,
  reader: SlowReader,
) => unknown;

/** A function that receives the gaps of kept topics. */
export type TopicGapHandler<Data extends ConnectionData = ConnectionData> = (
  server: HttpServer<Data>,
  gap: TopicGap,
) => unknown;

/** A function that receives changes of who is in a topic. */
export type PresenceHandler<Data extends ConnectionData = ConnectionData> = (
  server: HttpServer<Data>,
  presence: TopicPresence,
) => unknown;

/** A function that receives the refusals of the server. */
export type RefusalHandler<Data extends ConnectionData = ConnectionData> = (
  server: HttpServer<Data>,
  refusal: Refusal,
) => unknown;

/** The events of an `HttpServer`. */
export interface CoroutineServerEvents<Data extends ConnectionData = ConnectionData> extends WorkerEvents<HttpServer<Data>> {
  /**
   * A client wants to open a WebSocket, at a path that has a handler. It is asked for before that handler is called: see the event
   * of `WebSocketServerEvents`.
   */
  authenticate: AuthenticateHandler<Data>;
  /** A handler threw. Without a handler for this, the error is logged. */
  error: ErrorHandler<Data>;
  /** A connection, a request or a handshake was refused. */
  refuse: RefusalHandler<Data>;
  /** A WebSocket reads more slowly than is published. */
  slowReader: SlowReaderHandler<Data>;
  /** Subscribers of a kept topic have missed messages: see the event of `WebSocketServerEvents`. */
  topicGap: TopicGapHandler<Data>;
  /** Members of a topic have come, left, or show something else: see the event of `WebSocketServerEvents`. */
  presence: PresenceHandler<Data>;
}

/** What `on()` of an `HttpServer` takes. */
export interface CoroutineServerHandlers<Data extends ConnectionData = ConnectionData>
  extends CoroutineServerEvents<Data>, AnyHandlers {}

let readCore: (server: HttpServer) => ServerCore;

/** Returns the core of a server. No entry point exports this function. */
export function coreOfCoroutineServer(server: HttpServer): ServerCore {
  return readCore(server);
}

/**
 * A server whose handlers run as long as their connections (Swoole pages "Coroutine\\Http\\Server" and "WebSocket Server" of the
 * coroutine style). `Data` is the type of `request.data`.
 *
 * @example Plain HTTP and a WebSocket on one port
 * ```ts
 * import { HttpServer } from "@sluice/server/coroutine";
 *
 * const server = new HttpServer("127.0.0.1", 0, false);
 * server.handle("/websocket", async (_request, ws) => {
 *   await ws.upgrade();
 *   for await (const frame of ws) await ws.push(`Hello ${frame.data}!`);
 * });
 * server.handle("/", (_request, response) => response.end("<h1>Hello</h1>"));
 * await server.start();
 * const page = await fetch(`http://127.0.0.1:${server.port}/`);
 * console.assert(await page.text() === "<h1>Hello</h1>");
 * server.shutdown();
 * await server.finished;
 * ```
 */
export class HttpServer<Data extends ConnectionData = ConnectionData> {
  /** The address to bind; for a Unix socket `unix:` and a path. */
  readonly host: string;
  /** The port; after `start()` the actual one. */
  port: number;
  /** Whether the server uses TLS. */
  readonly ssl: boolean;
  /** The error number if `start()` or `reloadCertificates()` failed; 0 if it did not, or the system has no number for it. */
  errCode = 0;
  /** The error message if `start()` or `reloadCertificates()` failed. */
  errMsg = "";

  readonly #reusePort: boolean;
  readonly #core: ServerCore;
  readonly #topics: ServerTopics;
  readonly #router: Router<RequestHandler> = new Router();

  /**
   * Creates a server. `start()` makes it listen.
   *
   * @param host The address to bind; for a Unix socket `unix:` and a path.
   * @param port The port, as a number or a string of digits. 0, the default, picks a free port: see `port` after `start()`.
   * @param ssl Whether to use TLS, with the settings `ssl_cert_file` and `ssl_key_file`.
   * @param reusePort Whether other servers may listen on the same port (SO_REUSEPORT).
   * @throws {RangeError} If the port is out of range.
   * @throws {TypeError} If the host is not a string or is empty, the port is not a number, or `ssl` or `reusePort` is not a
   * boolean.
   */
  constructor(host: string, port: number | string = 0, ssl = false, reusePort = false) {
    checkHost(host, "make a server", "new HttpServer");
    this.host = host;
    this.port = portNumber(port, "make a server");
    for (const [name, value] of Object.entries({ ssl, reusePort })) {
      if (typeof value === "boolean") continue;
      const settings = typeof value === "object" ? "; settings go to set()" : "";
      throw new TypeError(`Cannot make a server: ${name} has to be a boolean, not ${describe(value)}${settings}`);
    }
    this.ssl = ssl;
    this.#reusePort = reusePort;
    const core = this.#core = new ServerCore(this);
    core.mode = SWOOLE_PROCESS;
    const topics = this.#topics = new ServerTopics(core.context);
    core.speak("http", (port) => coroutineFactory(port, this.#router, topics));
  }

  static {
    readCore = (server) => server.#core;
  }

  /** A frozen copy of the settings passed to `set()` so far. */
  get settings(): Readonly<ServerSettings> {
    return Object.freeze({ ...this.#core.port.config.given });
  }

  /**
   * Settles after `shutdown()`, when the server has stopped and its handlers have settled or were given up. Each start has its
   * own promise.
   */
  get finished(): Promise<void> {
    return this.#core.finished;
  }

  /**
   * Changes settings. Must be called before `start()`. Later calls add to earlier ones.
   *
   * @returns `true`.
   * @throws {TypeError} If a key is unknown, a value has the wrong type, or a setting of Swoole is not supported.
   * @throws {RangeError} If a number is out of range.
   * @throws {Error} If the server has started.
   */
  set(settings: ServerSettings & IgnoredSettings): boolean {
    this.#core.port.set(settings);
    return true;
  }

  /**
   * Registers the handler of a path and of all paths below it. The longest matching pattern wins, ignoring case; `/` matches all
   * remaining paths. Without a handler the response is 404. Handlers can also be added while the server runs.
   *
   * @param pattern The path: `/chat` matches `/chat` and `/chat/room`, but not `/chatter`. Percent escapes in requests are
   * decoded.
   * @param handler The handler. If it throws, the client gets 500, or close code 1011; if it returns without a response, 500.
   * @returns `true`.
   * @throws {TypeError} If the pattern is not a path, or has a wildcard or a parameter, or the handler is not a function.
   */
  handle(pattern: string, handler: RequestHandler<Data>): boolean {
    if (typeof pattern === "function") {
      throw new TypeError('Cannot add a handler: the path comes first; write server.handle("/", handler)');
    }
    if (typeof handler !== "function") {
      const path = typeof pattern === "string" ? pattern : describe(pattern);
      throw new TypeError(`Cannot add a handler for ${path}: it is no function`);
    }
    this.#router.add(pattern, handler as RequestHandler);
    return true;
  }

  /**
   * Registers a function for errors thrown by handlers (logged by default), for refused connections, requests and handshakes, for
   * WebSockets that are too slow for what is published, or for what happens to workers.
   *
   * @param event `authenticate`, `error`, `refuse`, `slowReader`, `topicGap`, `presence`, or an event of `WorkerEvents`, in any letter case.
   * @param handler The function; its arguments depend on the event.
   * @returns `true`.
   * @throws {TypeError} If the event is unknown, or the handler is not a function.
   */
  on<Name extends string>(
    event: EventName<CoroutineServerEvents<Data>, Name>,
    handler: EventHandler<CoroutineServerHandlers<Data>, Name>,
  ): boolean {
    this.#core.port.register(event, handler);
    return true;
  }

  /**
   * Sends a message to all WebSockets that have subscribed to a topic with `ws.subscribe()`. It waits for nobody. It is framed
   * once, and compressed at most once for each window size.
   *
   * @param topic The topic.
   * @param message What to send, as for `push()`: a whole text or binary message. For a `Frame` or a `PreparedMessage`, `opcode`
   * and `flags` are ignored.
   * @param options The frame type and the flags, as for `push()`, and connections to leave out, for example `request.fd`.
   * @returns The number of WebSockets of this program to which it was sent, or for which it waits; 0 if there are none. What
   * happens to readers that are too slow is up to `topic_slow_readers`. `false` with 505 if it is not a topic, 506 above `max_publish_rate`, 8505 if such a
   * message is not allowed.
   * @throws {TypeError} If an argument has another type.
   *
   * @example A room
   * ```ts
   * import { HttpServer } from "@sluice/server/coroutine";
   *
   * const server = new HttpServer("127.0.0.1");
   * server.handle("/room", async (request, ws) => {
   *   await ws.upgrade();
   *   ws.subscribe("room");
   *   for await (const frame of ws) server.publish("room", frame, { except: request.fd });
   * });
   * ```
   */
  publish(topic: string, message: Pushable, options: PublishOptions = {}): number | false {
    return this.#topics.publish(topic, message, options);
  }

  /**
   * Appends a message to a kept topic, see the setting `broker`. It is sent to the subscribers of all servers in the order in which
   * the broker has stored the messages. It never rejects for what a broker does.
   *
   * @param topic The topic.
   * @param message What to send, as for `publish()`.
   * @param options As for `publish()`, and an id that prevents that it is stored twice.
   * @returns `stored` with its position; `refused` if it was not stored; `unknown` if the broker has not said so in time.
   * @throws {TypeError} If an argument has another type.
   * @throws {RangeError} If the id is longer than 128 UTF-16 units.
   */
  append(topic: string, message: Pushable, options: AppendOptions = {}): Promise<AppendResult> {
    return this.#topics.append(topic, message, options);
  }

  /**
   * Sends a message to all WebSockets of this program. The arguments and the result are those of `publish()`.
   *
   * @throws {TypeError} If an argument has another type.
   */
  broadcast(message: Pushable, options: PublishOptions = {}): number | false {
    return this.#topics.broadcast(message, options);
  }

  /**
   * Lists who is in a topic, in all workers and on all servers with the same broker: those shown with `ws.show()`.
   *
   * @param options How many members, and after which key.
   * @returns Members in the order of their keys, the number of all, and whether this may be old.
   * @throws {TypeError} If an argument has another type.
   * @throws {RangeError} If the limit is no whole number from 1 on.
   */
  members(topic: string, options: MembersOptions = {}): TopicMembersPage {
    return this.#topics.members(topic, options);
  }

  /** Returns the number of subscribers of a topic in this program; 0 for a topic that does not exist. */
  subscriberCount(topic: string): number {
    return this.#topics.subscriberCount(topic);
  }

  /**
   * Returns the error code of the last `publish()`, `broadcast()`, `reload()`, `stop()` or `reloadCertificates()` that
   * returned `false`. Success does not reset it.
   */
  getLastError(): number {
    return this.#core.context.lastError;
  }

  /**
   * Starts to listen. With `worker_num`, starts the workers, which run the program from its beginning and listen when they reach this
   * call.
   *
   * @returns `true`, once connections are accepted, in all workers; `port` is then the actual port. In a worker the promise never
   * settles: what follows in the program is done by the master alone.
   * @throws {Error} If the address cannot be bound or the certificate cannot be used; `cause` is the runtime's error. `errCode`
   * and `errMsg` are set too. Also if `shutdown()` was called before the server could listen; `finished` then waits until nothing
   * is left of the start. Also if a worker cannot be started, ends ten times before it is ready, or takes longer than
   * `worker_start_timeout`.
   */
  async start(): Promise<boolean> {
    const unix = this.host.startsWith("unix:");
    try {
      await this.#core.start({
        transport: unix ? "unix" : "tcp",
        hostname: unix ? this.host.replace(/^unix:(?:\/\/)?/, "") : this.host,
        port: this.port,
        ssl: this.ssl,
        reusePort: this.#reusePort,
      }, (port) => this.port = port);
    } catch (error) {
      this.errCode = systemCode(error) ?? 0;
      this.errMsg = (error as Error).message;
      throw error;
    }
    this.errCode = 0;
    this.errMsg = "";
    return true;
  }

  /**
   * Reads the files of certificates and keys again, and uses them for connections from then on: also those of `ssl_sni_certs`, and
   * the authorities of client certificates. Open connections stay.
   *
   * @returns `true` if the certificates are in use. `false` if one of the files cannot be used, or the server does not listen with
   * TLS: the certificates then stay as they are, `errCode` and `errMsg` have the reason, and so has the log. Never rejects.
   */
  async reloadCertificates(): Promise<boolean> {
    const error = await this.#core.renewal.run();
    this.errCode = error === undefined ? 0 : systemCode(error) ?? systemCode(error.cause) ?? SWOOLE_ERROR_INVALID_PARAMS;
    this.errMsg = error?.message ?? "";
    return error === undefined || this.#core.context.failed(this.errCode);
  }

  /**
   * Serves a connection that did not come through the listener: any pair of streams. Does not need `start()`.
   *
   * @returns The fd, or 0 if there are too many connections or the server is stopping; the pipe is then aborted.
   * @throws {TypeError} If it is no pipe, or one of its streams is locked.
   * @throws {Error} If the requested compression engine is not available; `zlib` is available after `start()`.
   */
  accept(pipe: BytePipe): number {
    return this.#core.accept(pipe);
  }

  /** The port of the setting `admin_server`; 0 without it, and while the server is not running. */
  get admin_port(): number {
    return this.#core.adminPort;
  }

  /**
   * Replaces all workers, one after the other, by new processes: see `reload()` of the `Server` of the event style.
   *
   * @returns `true` if the reload begins, or was asked for by a worker. `false` with 507 without workers, with 505 if the server is not
   * running, or reloads already.
   */
  reload(): boolean {
    return reloadWorkers(this.#core, false);
  }

  /**
   * Stops a worker, which is replaced. Without workers, the same as `shutdown(0)`.
   *
   * @param id The number of the worker, by default -1 for the current one.
   * @returns `false` if the server is not running; with 505 if the worker does not exist, or -1 is given in the master.
   */
  stop(id = -1): boolean {
    return stopWorker(this.#core, id);
  }

  /**
   * The number of the worker, from 0; -1 in the master. In a worker it is known before `start()`. Without workers, 0 while the server
   * is running.
   */
  get worker_id(): number {
    return workerId(this.#core);
  }

  /** The process ID of the worker; 0 in the master, and while the server is not running. */
  get worker_pid(): number {
    return pidOf(this.#core, -1);
  }

  /** The process ID of the master, which without workers is the only process; 0 while the server is not running. */
  get master_pid(): number {
    return masterPid(this.#core);
  }

  /** Returns the counters since the start; with workers those of all processes, as they told them about a second ago. */
  stats(): ServerStats;
  /**
   * Returns the counters since the start, as text.
   *
   * @param format `json`, or `openmetrics` for the metrics of `metrics()` as OpenMetrics 1.0. The content type of the latter is
   * `application/openmetrics-text; version=1.0.0; charset=utf-8`.
   */
  stats(format: "json" | "openmetrics"): string;
  stats(format?: "json" | "openmetrics"): ServerStats | string {
    return statsOf(this.#core.context, format);
  }

  /**
   * Returns all metrics in the text format 0.0.4 of Prometheus. Its content type is `text/plain; version=0.0.4; charset=utf-8`. With
   * workers they are those of all processes, as they told them about a second ago; the page at `metrics_path` asks them.
   */
  metrics(): string {
    return metricsOf(this.#core.context, "prometheus");
  }

  /**
   * Stops the server: accepts no more connections, ends idle ones, and lets pending responses finish. Open WebSockets go on until
   * they end by themselves, as in Swoole. `finished` settles when the last connection has ended and all handlers have settled. In a
   * worker, it asks the master to stop all of them.
   *
   * @param timeout The time in seconds after which remaining WebSockets are closed with 1001. After another
   * `websocket_close_timeout`, unless that is 0, all remaining connections are aborted. The default is `max_wait_time`; `Infinity`
   * means never. While the server stops, another call can shorten the time.
   * @returns `false` if the server is not running, or would stop as soon as that anyway.
   * @throws {RangeError} If `timeout` is not a number of seconds.
   */
  shutdown(timeout: number = this.#core.patience): boolean {
    checkSeconds(timeout);
    return this.#core.shutdown(timeout + (this.#core.context.settings.websocket_close_timeout || Infinity), timeout);
  }
}
