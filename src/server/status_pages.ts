/**
 * The pages that a server has of its own: metrics, whether it lives, and whether it is ready for requests; and the server on an
 * address of their own.
 *
 * @module
 */

import { pathAndQuery } from "../http/base_request.ts";
import { BaseResponse } from "../http/base_response.ts";
import type { Exchange, OwnPages } from "./http/exchange.ts";
import { type HttpApplication, HttpContext } from "./http/http_context.ts";
import { HttpSession } from "./http/http_session.ts";
import { pathOf } from "./log.ts";
import { METRICS_TYPES, metricsOf } from "./metrics.ts";
import type { PortCore, ProtocolFactory } from "./port_core.ts";
import type { ServerContext } from "./server_context.ts";
import type { StatusSettings } from "./settings/status_settings.ts";
import { nextTurn } from "../transport/current_runtime.ts";

/** A page: its status, type and content. */
interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** Returns the content of a page. */
type PageMaker = () => Page;

/** The pages of a server, by path. */
export class StatusPages implements OwnPages {
  readonly #pages: Map<string, PageMaker> = new Map();
  readonly #context: ServerContext;
  #metrics: string | undefined = undefined; // as they were in this turn

  /**
   * @param context The server that the pages are about.
   * @param paths Their paths; empty for a page that is not served.
   * @param delay Returns another delay of the event loop to consider, in seconds.
   */
  constructor(context: ServerContext, paths: Required<StatusSettings>, delay: () => number = () => 0) {
    const limit = paths.readyz_max_delay || Infinity;
    this.#context = context;
    this.#add(paths.metrics_path, () => ({ status: 200, type: METRICS_TYPES.prometheus, body: this.#metricsText() }));
    this.#add(paths.livez_path, () => health([]));
    this.#add(paths.readyz_path, () => health(reasonsAgainst(context, Math.max(delayOf(context), delay()), limit)));
  }

  #add(path: string, make: PageMaker): void {
    if (path !== "") this.#pages.set(path, make);
  }

  /** Returns the metrics. All connections are looked at for them: once per turn, however many requests there are. */
  #metricsText(): string {
    if (this.#metrics === undefined) nextTurn(() => this.#metrics = undefined);
    return this.#metrics ??= metricsOf(this.#context, "prometheus");
  }

  /** Whether there is no page. */
  get isEmpty(): boolean {
    return this.#pages.size === 0;
  }

  /** The paths. */
  get paths(): string[] {
    return [...this.#pages.keys()];
  }

  respond(exchange: Exchange): boolean {
    const { head, writer } = exchange;
    const make = this.#pages.get(pathOf(pathAndQuery(head.target)));
    if (make === undefined) return false;
    exchange.isOwnPage = true;
    if (head.method !== "GET" && head.method !== "HEAD") {
      writer.header("Allow", "GET, HEAD");
      send(writer, { status: 405, type: "text/plain", body: "only GET and HEAD are allowed here" });
    } else {
      send(writer, make());
    }
    return true;
  }
}

function send(writer: Exchange["writer"], { status, type, body }: Page): void {
  writer.status(status);
  writer.header("Content-Type", type);
  writer.header("Cache-Control", "no-store");
  writer.endWith(body);
}

/** @param reasons Why the server is not well. */
function health(reasons: readonly string[]): Page {
  const isWell = reasons.length === 0;
  const body = `${JSON.stringify({ status: isWell ? "ok" : "unavailable", reasons })}\n`;
  return { status: isWell ? 200 : 503, type: "application/json", body };
}

/** Returns why a server should not get requests. */
function reasonsAgainst({ state }: ServerContext, delay: number, limit: number): string[] {
  const reasons: string[] = [];
  if (state === "starting") reasons.push("starting");
  if (state === "stopping" || state === "stopped") reasons.push("stopping");
  if (delay > limit) reasons.push("event_loop_delay");
  return reasons;
}

/** Returns the recent delay of the event loop, in seconds: also if a tick of the clock is overdue right now. */
export function delayOf({ counters, table }: ServerContext): number {
  return Math.max(counters.loopDelay.recent, table?.overdue ?? 0);
}

const ADMIN_PATHS = { metrics_path: "/metrics", livez_path: "/livez", readyz_path: "/readyz" } as const;

/**
 * Returns what the server of `admin_server` speaks.
 *
 * @param port Its port.
 * @param watched The server that it is about.
 */
export function adminFactory(port: PortCore, watched: ServerContext): ProtocolFactory {
  let context: HttpContext | undefined;
  return {
    makeProtocol: (connection) => {
      context ??= new HttpContext(port, new AdminApplication(port, watched));
      return new HttpSession(connection, context);
    },
    events: [],
    required: [],
    closeEvent: () => "",
    close: ({ protocol }) => (protocol as HttpSession).close(),
  };
}

/** Responds to requests with the pages. */
class AdminApplication implements HttpApplication {
  readonly #pages: StatusPages;

  constructor(port: PortCore, watched: ServerContext) {
    const { settings } = watched;
    const paths = { ...settings };
    for (const key of ["metrics_path", "livez_path", "readyz_path"] as const) paths[key] ||= ADMIN_PATHS[key];
    this.#pages = new StatusPages(watched, paths, () => delayOf(port.context));
  }

  makeResponse(exchange: Exchange): BaseResponse {
    return new BaseResponse(exchange.fd, exchange.writer);
  }

  onRequest(exchange: Exchange): void {
    if (this.#pages.respond(exchange)) return;
    send(exchange.writer, { status: 404, type: "text/plain", body: `there is only ${this.#pages.paths.join(", ")}` });
  }

  onMisuse(): void {}
}
