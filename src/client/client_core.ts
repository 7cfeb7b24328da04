/**
 * The internals of a client: its connection, and one request at a time on it.
 *
 * @module
 */

import type { Connection } from "../transport/connection.ts";
import { checkPipe, dropPipe } from "../transport/pipes.ts";
import type { BytePipe } from "../transport/runtime.ts";
import type { WebSocketChannel } from "../websocket/connection/channel.ts";
import { addClientConnection, connect, type Route, routeTo, type Target } from "./connecting.ts";
import { ClientFailure, closedMeanwhile, Unanswered } from "./client_failure.ts";
import { ClientSession, type Outcome, type OutgoingRequest } from "./client_session.ts";
import type { ResolvedClientSettings } from "./client_settings.ts";

/** Methods whose requests may be repeated if no response arrived (RFC 9110 section 9.2.2). */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** A connection that is opened on demand, and one request at a time on it. */
export class ClientCore {
  readonly #target: Target;
  #connection: Connection | undefined = undefined;
  #session: ClientSession | undefined = undefined;
  #pipe: BytePipe | undefined = undefined; // used for the next connection instead of connecting
  #wasGiven = false; // whether the connection came from `use()`
  #timeout = 0; // of the response to the last request
  #aborter: AbortController | undefined = undefined; // set while a request is running
  #latest: AbortController | undefined = undefined; // of the last request

  constructor(target: Target) {
    this.#target = target;
  }

  /** The connection while it is open and the client's. */
  get connection(): Connection | undefined {
    return this.#connection?.isOpen ? this.#connection : undefined;
  }

  /** Whether a request is running. */
  get isBusy(): boolean {
    return this.#aborter !== undefined;
  }

  /** Uses a pipe for the next connection. */
  use(pipe: BytePipe): void {
    this.#pipe = pipe;
  }

  /**
   * Aborts the running request, and ends the connection. The connection is no longer the client's, even if it stays open until
   * all that was pushed is compressed and sent: the next request opens another one.
   *
   * @param channel The WebSocket that the connection has become, if it has.
   * @returns Whether the connection was open.
   */
  close(channel: WebSocketChannel | undefined): boolean {
    this.#aborter?.abort();
    this.#aborter = undefined;
    const isOpen = this.connection !== undefined;
    if (isOpen && channel !== undefined) channel.close();
    else this.#session?.leave(); // the program may still be consuming the body after the connection has closed
    this.#connection = this.#session = undefined;
    return isOpen;
  }

  /** Changes the time limit of the response, in milliseconds from now; 0 for none. It remains when the request is repeated. */
  limit(timeout: number): void {
    this.#timeout = timeout;
    this.#session?.limit(timeout);
  }

  /** Whether the next request uses a pipe passed to `use()`. */
  get isGiven(): boolean {
    return this.#pipe !== undefined || (this.#wasGiven && this.connection !== undefined);
  }

  /** Returns the route of the next request. A pipe passed to `use()` leads to the server itself. */
  routeFor(settings: ResolvedClientSettings, upgrades: boolean): Route {
    return routeTo(this.#target, settings, upgrades || this.isGiven);
  }

  /**
   * Runs a request. The client is busy until its result has been stored.
   *
   * @param work Does what the request needs.
   * @param store Stores the outcome. `isLatest` is `false` if the client was closed and another request has begun.
   */
  async run<T>(
    work: (aborter: AbortController) => Promise<Outcome>,
    store: (outcome: Outcome, isLatest: boolean) => T,
  ): Promise<T> {
    const aborter = this.#latest = this.#aborter = new AbortController();
    try {
      const outcome = await work(aborter);
      return store(aborter.signal.aborted ? closedMeanwhile() : outcome, this.#latest === aborter);
    } finally {
      if (this.#aborter === aborter) this.#aborter = undefined;
    }
  }

  /**
   * Sends a request and waits for its response. Must be called within `run()`.
   *
   * @param request The request.
   * @param route The route that it was composed for.
   * @param settings The settings of the client.
   * @param aborter The abort controller passed by `run()`.
   * @param onSent Called once the request has been sent.
   * @throws {Error} If a file named in the settings cannot be read, or the error that the program threw while consuming the body.
   */
  async request(
    request: OutgoingRequest,
    route: Route,
    settings: ResolvedClientSettings,
    aborter: AbortController,
    onSent: () => void,
  ): Promise<Outcome> {
    this.#timeout = request.timeout;
    let retries = settings.max_retries;
    while (!aborter.signal.aborted) {
      // A server may close an idle connection just as the next request is being sent.
      const wasKept = this.connection !== undefined && !this.#wasGiven;
      const session = await this.#connect(route, settings, aborter);
      if (session instanceof ClientFailure) return session;
      const answer = session.request(request, this.#timeout);
      session.sent().then(onSent, onSent);
      const outcome = await answer;
      if (!(outcome instanceof Unanswered)) return outcome;
      if (wasKept && IDEMPOTENT.has(request.method)) continue;
      if (retries-- === 0) return outcome;
    }
    return closedMeanwhile();
  }

  async #connect(
    route: Route,
    settings: ResolvedClientSettings,
    aborter: AbortController,
  ): Promise<ClientSession | ClientFailure> {
    const { asksProxy } = route;
    if (this.connection !== undefined) {
      if (this.#session!.asksProxy === asksProxy) return this.#session!;
      this.#session!.leave(); // one leads to the proxy, the other to the server
    }
    const given = this.#pipe;
    this.#pipe = undefined;
    if (given !== undefined) checkPipe(given, "use"); // again, since the program may have read it meanwhile
    const pipe = given ?? await connect(this.#target, route, settings, aborter);
    if (pipe instanceof ClientFailure) return pipe;
    if (aborter.signal.aborted) {
      dropPipe(pipe);
      return closedMeanwhile();
    }
    this.#wasGiven = given !== undefined;
    let session: ClientSession | undefined;
    this.#connection = addClientConnection(pipe, (connection) => session = new ClientSession(connection, asksProxy));
    return this.#session = session!;
  }
}
