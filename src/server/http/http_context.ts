/**
 * What the HTTP connections of a port share, and what it does with their requests.
 *
 * @module
 */

import type { Connection, Protocol } from "../../transport/connection.ts";
import type { Exchange, ExchangeApplication, ExchangeContext, HttpRefusal, OwnPages } from "./exchange.ts";
import { type ConnectionData, type ConnectionEnd, TimeoutError } from "../../transport/connection_end.ts";
import { pathAndQuery } from "../../http/base_request.ts";
import { type BodyCompression, CODINGS } from "../../http/content_coding.ts";
import type { RequestHead } from "../../http/request_head.ts";
import type { RequestLimits } from "../../http/request_parser.ts";
import { formatHttpDate } from "../../http/field_values.ts";
import { type Forwarded, readForwarded } from "../../http/forwarded.ts";
import { StaticFiles } from "../files/static_files.ts";
import { quoted, quotedRequest, requestFields } from "../log.ts";
import type { PortCore } from "../port_core.ts";
import { type Denial, ipOf, settingOf } from "../refusals.ts";
import type { ServerContext } from "../server_context.ts";
import { type FormOptions, formOptions } from "./form_reader.ts";
import type { HttpRequestOptions } from "./http_request.ts";
import type { ContentCoding } from "../../transport/codecs.ts";
import type { Address } from "../../transport/runtime.ts";
import { originMistake } from "../../websocket/handshake.ts";
import { currentRuntime } from "../../transport/current_runtime.ts";
import { listOf } from "../settings/http_settings.ts";
import type { ResolvedSettings } from "../settings/settings.ts";

/** The difference between the classes of servers that speak HTTP. */
export interface HttpApplication extends ExchangeApplication {
  /** Handles a request. The promise, if any, settles when the handler is done. */
  onRequest(exchange: Exchange): void | Promise<void>;
  /** Responds to a handshake. Without it, handshakes are requests like any others. */
  onUpgrade?(exchange: Exchange): void | Promise<void>;
  /** Creates the protocol that replaces HTTP after a response with status 101. */
  onSwitch?(exchange: Exchange): Protocol;
}

const UNREAD_FORM = "request.post and request.files have nothing of a form that is sent as multipart/form-data: " +
  "set http_parse_files to true, or await request.formData()";

/** The settings and counters of the HTTP connections of a port. Times are in milliseconds; 0 disables a timeout. */
export class HttpContext implements ExchangeContext {
  /** What is done with requests. */
  readonly application: HttpApplication;
  /** The limits of requests. */
  readonly requestLimits: RequestLimits;
  readonly requestOptions: HttpRequestOptions;
  /** How forms with files are read before the handler is called; `undefined` if they are not. */
  readonly forms: FormOptions | undefined;
  /** Whether the handler is called before the body has arrived. */
  readonly streamsBodies: boolean;
  readonly bodyCompression: BodyCompression | undefined;
  /** The pages of the server itself, if it has any on this port. */
  readonly pages: OwnPages | undefined;
  /** The time that the head of a request may take to arrive. */
  readonly headerTimeout: number;
  /** The time that a client may send nothing of a body; see `bodyMinRate`. */
  readonly bodyTimeout: number;
  /** The minimum rate of a body in bytes per second; a client may lag by `bodyTimeout`. 0 for no minimum. */
  readonly bodyMinRate: number;
  /** The time that a handler may take. */
  readonly handlerTimeout: number;
  /** The time that a handshake may take, including the work of the program. */
  readonly handshakeTimeout: number;
  /** The time that a connection may wait for its next request. */
  readonly keepAliveTimeout: number;
  /** The time that a client may take nothing of a response. */
  readonly sendTimeout: number;
  /** Whether clients that end their side still receive pending responses. */
  readonly allowsHalfOpen: boolean;

  readonly #files: StaticFiles | undefined;
  readonly #port: PortCore;
  readonly #context: ServerContext;
  #hasWarned = false; // about forms that are not parsed
  #lastHead: RequestHead | undefined = undefined; // with trusted proxies: the last head that was asked for
  #lastForwarded: Forwarded | undefined = undefined;
  #date = "";
  #dateTick = -1; // of the clock

  constructor(port: PortCore, application: HttpApplication) {
    const { settings } = this.#port = port;
    this.application = application;
    this.pages = port.pages;
    const context = this.#context = port.context;
    this.forms = formOptions(settings);
    this.requestLimits = {
      maxHeadSize: settings.http_max_header_size,
      maxHeaders: settings.http_max_headers,
      maxBodySize: settings.http_stream_body ? settings.http_stream_body_max_length || Infinity : settings.package_max_length,
      maxFormSize: this.forms?.maxSize,
      maxHandshakeSize: settings.package_max_length,
    };
    this.requestOptions = {
      parsePost: settings.http_parse_post,
      parseCookie: settings.http_parse_cookie,
      maxParameters: settings.http_max_parameters,
      maxBodySize: settings.package_max_length,
      onUnreadForm: settings.http_parse_files ? undefined : () => this.#warnOfUnreadForm(),
    };
    this.streamsBodies = settings.http_stream_body;
    this.bodyCompression = bodyCompression(settings);
    if (settings.enable_static_handler && settings.document_root !== "") {
      this.#files = new StaticFiles(settings, (error) => context.fault(error)); // without a connection: it gets its response
    }
    this.headerTimeout = settings.http_header_timeout * 1000;
    this.bodyTimeout = settings.http_body_timeout * 1000;
    this.bodyMinRate = settings.http_body_min_rate;
    this.handlerTimeout = settings.http_handler_timeout * 1000;
    this.handshakeTimeout = settings.websocket_handshake_timeout * 1000;
    this.allowsHalfOpen = settings.http_allow_half_open;
    this.keepAliveTimeout = settings.http_keepalive_timeout * 1000;
    this.sendTimeout = settings.http_send_timeout * 1000;
  }

  /** The coarse clock of deadlines. */
  get now(): number {
    return this.#port.now;
  }

  /** The value of `Date` (RFC 9110 section 6.6.1), formatted once for each tick of the clock. */
  get date(): string {
    const { now } = this.#port;
    if (now !== this.#dateTick) {
      this.#dateTick = now;
      this.#date = formatHttpDate(Date.now());
    }
    return this.#date;
  }

  get isSecure(): boolean {
    return this.#port.place?.ssl === true;
  }

  forwardedOf({ pipe }: Connection, head: RequestHead): Forwarded | undefined {
    const { proxies } = this.#port;
    if (proxies === undefined) return undefined;
    if (this.#lastHead !== head) { // a request is asked for several times
      const { hidesClient, remoteAddress } = pipe;
      this.#lastHead = head;
      this.#lastForwarded = !hidesClient && proxies.trusts(remoteAddress) ? readForwarded(head.header, proxies) : undefined;
    }
    return this.#lastForwarded;
  }

  /** Responds to a request with a file, if there is one; resolves to `false` if not, and never rejects. */
  serveFile(exchange: Exchange): Promise<boolean> | undefined {
    if (this.#files === undefined || !this.#files.takes(exchange.request)) return undefined;
    return this.#files.serve(exchange).catch((error) => {
      this.#context.fault(error, this.#context.connection(exchange.fd), "", exchange);
      return true;
    });
  }

  /** Whether all connections together hold more memory than allowed, so that no request with a body is accepted. */
  get isShortOfMemory(): boolean {
    return this.#context.table!.memory.isExceeded;
  }

  /** Returns the reason if a handshake is refused before the program sees it. */
  refuseHandshake(exchange: Exchange): Denial | undefined {
    const { admission, clients, refusals } = this.#context;
    const { connection, forwarded, head, remoteAddress } = exchange;
    if (forwarded?.client !== undefined) clients.set(connection.fd, forwarded.client);
    const denial = admission!.refuseHandshake(connection, forwarded?.client);
    if (denial === undefined) return undefined;
    const { reason, setting } = denial;
    refusals.add({
      kind: "handshake",
      status: 503,
      reason,
      setting,
      address: ipOf(remoteAddress),
      path: pathAndQuery(head.target),
      origin: head.header.origin,
    });
    return denial;
  }

  /** Called when a response is complete. */
  onAnswered(exchange: Exchange, status: number): void {
    const { accessLog, counters } = this.#context;
    if (exchange.isOwnPage) return;
    if (status !== 101) counters.responses++;
    this.#count(exchange, status);
    if (accessLog === undefined) return;
    accessLog.addRequest(exchange, status, false);
    if (status === 101) accessLog.open(exchange);
  }

  /** Counts a request or a handshake whose response is complete, or will never be. */
  #count(exchange: Exchange, status: number): void {
    const { counters } = this.#context;
    const duration = (Date.now() - exchange.time) / 1000;
    if (exchange.isUpgrade) return counters.addHandshake(status, duration);
    const count = counters.http[exchange.scheme].get(exchange.head.method, status);
    count.count++;
    count.duration.add(duration);
  }

  /**
   * Called when bytes are refused that are no request, or not a complete one.
   *
   * @param size The size of the response.
   */
  onRejected(connection: Connection, failure: HttpRefusal, head: RequestHead | undefined, size: number): void {
    this.onRefused(connection, "request", failure, head);
    const { accessLog, counters } = this.#context;
    counters.http[this.isSecure ? "https" : "http"].get(head?.method, failure.status).count++;
    if (accessLog === undefined) return;
    const client = head && this.forwardedOf(connection, head)?.client;
    accessLog.addRefused(connection, ipOf(client ?? connection.remoteAddress), failure.status, head, size);
  }

  /** Warns once that the fields and files of a form are empty because the form was not parsed. */
  #warnOfUnreadForm(): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#context.log.warn(UNREAD_FORM);
  }

  /** Called when the connection of an exchange ended before the response was complete. */
  onCutOff(exchange: Exchange, { error }: ConnectionEnd): void {
    const { headSent, isOccupied, isDetached, statusCode } = exchange.writer;
    if (exchange.isOwnPage) return;
    const { accessLog, endings, lateHandlers } = this.#context;
    const status = headSent ? statusCode : exchange.refusedStatus;
    this.#count(exchange, status);
    accessLog?.addRequest(exchange, status, headSent || exchange.refusedStatus === 0);
    if (isOccupied || isDetached) return; // the handler is no longer in charge of the response
    if (error instanceof TimeoutError && error.setting === "max_wait_time") {
      endings.warnOfHandler(exchange, "when the server stopped");
    } else lateHandlers.add(exchange);
  }

  /** Called when the handler of an exchange has settled, or is not going to be called. */
  onHandled(exchange: Exchange): void {
    this.#context.lateHandlers.delete(exchange);
  }

  onRefused(
    connection: Connection,
    kind: "handshake" | "request",
    { status, reason }: HttpRefusal,
    head: RequestHead | undefined,
  ): void {
    const forwarded = head && this.forwardedOf(connection, head);
    const { origin, host = "" } = head?.header ?? {};
    const setting = settingOf(kind, reason);
    const isOfPage = setting === "websocket_origins" && origin !== undefined;
    const hint = isOfPage ? originHint(origin, host, this.#port, forwarded, connection.remoteAddress) : "";
    const address = ipOf(forwarded?.client ?? connection.remoteAddress);
    this.#context.refusals.add(
      { kind, status, reason, address, origin, path: head?.target, setting },
      hint,
    );
  }

  dataOf(fd: number): ConnectionData | undefined {
    return this.#context.dataOf(fd);
  }

  /** Logs a problem with an exchange. */
  warn({ fd, head }: Exchange, what: string): void {
    this.#context.log.warn(`fd ${fd}: ${quotedRequest(head)}: ${what}`, { fd, ...requestFields(head) }, "handler");
  }

  hasRoom(queued: number, size: number): boolean {
    return this.#port.hasRoom(queued, "", size);
  }
}

/**
 * Says what to do about a page that may not connect.
 *
 * @param peer The address of the peer of the connection, which may be a proxy.
 */
function originHint(
  origin: string,
  host: string,
  { proxies, settings }: PortCore,
  forwarded: Forwarded | undefined,
  peer: Address | undefined,
): string {
  const target = `${forwarded?.scheme === undefined ? "" : `${forwarded.scheme}://`}${forwarded?.host ?? host}`;
  const parts = [`the request went to ${quoted(target)}`];
  if (originMistake(origin) === undefined) {
    const allowed = [...listOf(settings.websocket_origins), origin].map(quoted).join(", ");
    parts.push(`websocket_origins: [${allowed}] lets such pages in`);
  }
  const proxy = quoted(peer?.transport === "unix" ? "unix" : ipOf(peer));
  if (forwarded !== undefined) {
    if (forwarded.host === undefined) parts.push("the proxy has to pass on Host, or to send X-Forwarded-Host");
  } else if (proxies !== undefined) {
    parts.push(`${proxy} is not among trusted_proxies`);
  } else if (peer !== undefined) {
    parts.push(`behind a proxy, have it pass on Host, or send X-Forwarded-Host and set trusted_proxies: [${proxy}]`);
  }
  return parts.join("; ");
}

/** Returns how a server compresses bodies; `undefined` if it does not. */
function bodyCompression(settings: ResolvedSettings): BodyCompression | undefined {
  if (!settings.http_compression) return undefined;
  const { http_compression_level: level, http_compression_min_length: minLength } = settings;
  const types = listOf(settings.http_compression_types);
  const runtime = currentRuntime();
  const encoder = (coding: ContentCoding, whole: boolean) => runtime?.encoder?.(coding, levelOf(coding, level), whole);
  const codings = CODINGS.filter((coding) => {
    const trial = encoder(coding, false);
    trial?.close();
    return trial !== undefined;
  });
  if (codings.length > 0) return { minLength, types, codings, encoder };
  return { minLength, types, codings: ["gzip", "deflate"], compress };
}

/** Returns the level for a coding. Brotli has the levels 0 to 11, the others 1 to 9; Swoole's 0 is their default. */
function levelOf(coding: ContentCoding, level: number): number {
  if (coding === "br") return level;
  return level === 0 ? 6 : Math.min(level, 9);
}

/** Compresses with `CompressionStream`: at its fixed level, and only a whole body, because it cannot flush. */
function compress(coding: ContentCoding, body: Uint8Array, done: (coded: Uint8Array | undefined) => void): void {
  const coder = new CompressionStream(coding as "gzip" | "deflate");
  const writer = coder.writable.getWriter();
  writer.write(new Uint8Array(body)).catch(() => {}); // the reader fails too
  writer.close().catch(() => {});
  new Response(coder.readable).arrayBuffer().then((coded) => done(new Uint8Array(coded)), () => done(undefined));
}
