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
import type { Metrics } from "./all_processes.ts";
import { METRICS_TYPES, metricsOf, metricsText } from "./metrics.ts";
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

/** Returns the content of a page; a promise of it if other processes are asked. */
type PageMaker = () => Page | Promise<Page>;

/** The pages of a server, by path. */
export class StatusPages implements OwnPages {
  readonly #pages: Map<string, PageMaker> = new Map();
  readonly #context: ServerContext;
  #text: string | undefined = undefined; // of the metrics, as they were in this turn
  #metrics: Metrics | undefined = undefined; // of all processes, of which `#text` was made

  /**
   * @param context The server that the pages are about.
   * @param paths Their paths; empty for a page that is not served.
   * @param delay Returns another delay of the event loop to consider, in seconds.
   */
  constructor(context: ServerContext, paths: Required<StatusSettings>, delay: () => number = () => 0) {
    this.#context = context;
    this.#add(paths.metrics_path, () => this.#metricsPage());
    this.#add(paths.livez_path, () => health([]));
    this.#add(paths.readyz_path, () => {
      const { member, topics, workerHealth } = context;
      const own = reasonsAgainst(context, Math.max(context.loopDelay, delay()), paths);
      const broker = topics?.broker && { broker: topics.broker.node.isUp ? "up" : "down" };
      if (own.length > 0) return health(own, member !== undefined && own.includes(LATE) ? [member.id] : [], broker);
      if (workerHealth === undefined) return health([], [], broker);
      return workerHealth.check().then(({ reasons, workers }) => health(reasons, workers, broker));
    });
  }

  #add(path: string, make: PageMaker): void {
    if (path !== "") this.#pages.set(path, make);
  }

  /**
   * Returns the metrics. All connections are looked at for them: once per turn, or less often if other processes have to be asked,
   * however many requests there are.
   */
  #metricsPage(): Page | Promise<Page> {
    const { workerStats } = this.#context;
    if (workerStats !== undefined) return workerStats.freshMetrics().then((metrics) => this.#metricsOfAll(metrics));
    if (this.#text === undefined) nextTurn(() => this.#text = undefined);
    return metricsPage(this.#text ??= metricsOf(this.#context, "prometheus"));
  }

  #metricsOfAll(metrics: Metrics): Page {
    if (metrics !== this.#metrics) this.#text = metricsText(metrics, "prometheus");
    this.#metrics = metrics;
    return metricsPage(this.#text!);
  }

  /** Whether there is no page. */
  get isEmpty(): boolean {
    return this.#pages.size === 0;
  }

  /** The paths. */
  get paths(): string[] {
    return [...this.#pages.keys()];
  }

  respond(exchange: Exchange): boolean | Promise<void> {
    const { head, writer } = exchange;
    const make = this.#pages.get(pathOf(pathAndQuery(head.target)));
    if (make === undefined) return false;
    exchange.isOwnPage = true;
    if (head.method !== "GET" && head.method !== "HEAD") {
      writer.header("Allow", "GET, HEAD");
      send(writer, { status: 405, type: "text/plain", body: "only GET and HEAD are allowed here" });
      return true;
    }
    const page = make();
    if (page instanceof Promise) return this.#sendLater(exchange, page);
    send(writer, page);
    return true;
  }

  async #sendLater(exchange: Exchange, later: Promise<Page>): Promise<void> {
    let page = UNKNOWN;
    try {
      page = await later;
    } catch (error) {
      this.#context.fault(error);
    }
    exchange.connection.gather(() => {
      if (exchange.isOpen) send(exchange.writer, page);
    });
  }
}

function send(writer: Exchange["writer"], { status, type, body }: Page): void {
  writer.status(status);
  writer.header("Content-Type", type);
  writer.header("Cache-Control", "no-store");
  writer.endWith(body);
}

/** The reason of a server whose event loop is late. */
const LATE = "event_loop_delay";

/** The page if there is an error of ours. */
const UNKNOWN: Page = { status: 500, type: "text/plain", body: "" };

function metricsPage(body: string): Page {
  return { status: 200, type: METRICS_TYPES.prometheus, body };
}

/**
 * @param reasons Why the server is not well.
 * @param workers The workers that are the reason.
 * @param more What else the page says.
 */
function health(reasons: readonly string[], workers: readonly number[] = [], more: object = {}): Page {
  const isWell = reasons.length === 0;
  const details = isWell || workers.length === 0 ? {} : { workers };
  const body = `${JSON.stringify({ status: isWell ? "ok" : "unavailable", reasons, ...details, ...more })}\n`;
  return { status: isWell ? 200 : 503, type: "application/json", body };
}

/** Returns why a server should not get requests. */
function reasonsAgainst(
  { state, topics }: ServerContext,
  delay: number,
  { readyz_max_delay: limit, readyz_needs_broker }: Required<StatusSettings>,
): string[] {
  const reasons: string[] = [];
  if (state === "starting") reasons.push("starting");
  if (state === "stopping" || state === "stopped") reasons.push("stopping");
  if (limit > 0 && delay > limit) reasons.push(LATE);
  if (readyz_needs_broker && topics?.broker?.node.isUp === false) reasons.push("broker");
  return reasons;
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
    this.#pages = new StatusPages(watched, paths, () => port.context.loopDelay);
  }

  makeResponse(exchange: Exchange): BaseResponse {
    return new BaseResponse(exchange.fd, exchange.writer);
  }

  onRequest(exchange: Exchange): void | Promise<void> {
    const response = this.#pages.respond(exchange);
    if (response !== false) return response === true ? undefined : response;
    send(exchange.writer, { status: 404, type: "text/plain", body: `there is only ${this.#pages.paths.join(", ")}` });
  }

  onMisuse(): void {}
}
