/**
 * What is inside of a client: its connection, and a request on it.
 *
 * @module
 */

import type { Connection } from "../../connection.ts";
import type { BytePipe } from "../../runtime.ts";
import { addClientConnection } from "./client_connections.ts";
import { ClientFailure, Unanswered } from "./client_failure.ts";
import { ClientSession, type Incoming, type Outgoing } from "./client_session.ts";
import type { ResolvedClientSettings } from "./client_settings.ts";
import { connect, notConnected } from "./connecting.ts";
import { asksProxy, type Target } from "./proxy.ts";

/** What became of a request. */
export type Outcome = Incoming | ClientFailure;

/** By which way a request goes. */
export interface Route {
  /** Whether it is one for a proxy, and not for the server. */
  readonly asksProxy: boolean;
}

/** Methods whose requests may be repeated when nothing has come back (RFC 9110 section 9.2.2). */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** A connection that is made when it is needed, and one request at a time on it. */
export class ClientCore {
  readonly #target: Target;
  #connection: Connection | undefined = undefined;
  #session: ClientSession | undefined = undefined;
  #pipe: BytePipe | undefined = undefined; // to be used instead of connecting
  #wasGiven = false; // whether the connection came about like that
  #aborter: AbortController | undefined = undefined; // while a request is under way

  constructor(target: Target) {
    this.#target = target;
  }

  /** The connection, as long as it is open. */
  get connection(): Connection | undefined {
    return this.#connection?.isOpen ? this.#connection : undefined;
  }

  /** Whether a request is under way. */
  get isBusy(): boolean {
    return this.#aborter !== undefined;
  }

  /** Uses a pipe for the next connection. */
  use(pipe: BytePipe): void {
    this.#pipe = pipe;
  }

  /** What is under way fails, and is not in the way of the next request; returns whether there is a connection. */
  abort(): boolean {
    this.#aborter?.abort();
    this.#aborter = undefined;
    return this.connection !== undefined;
  }

  /** Ends the connection, which is there. */
  hangUp(): true {
    this.#session!.leave();
    return true;
  }

  /** Says that the answer is too late so many milliseconds from now; 0 for never. */
  limit(timeout: number): void {
    this.#session?.limit(timeout);
  }

  /** Whether the next request goes over a pipe that was made elsewhere. */
  get isGiven(): boolean {
    return this.#pipe !== undefined || (this.#wasGiven && this.connection !== undefined);
  }

  /** Whether a request is one for a proxy. */
  asksProxy(settings: ResolvedClientSettings, upgrades: boolean): boolean {
    return !this.isGiven && asksProxy(this.#target, settings, upgrades);
  }

  /** Runs a request, and is busy meanwhile. */
  async run(work: (aborter: AbortController) => Promise<Outcome>): Promise<Outcome> {
    const aborter = this.#aborter = new AbortController();
    try {
      const outcome = await work(aborter);
      return aborter.signal.aborted ? closedMeanwhile() : outcome;
    } finally {
      if (this.#aborter === aborter) this.#aborter = undefined;
    }
  }

  /**
   * Sends a request and waits for its answer; inside of `run()`.
   *
   * @param request The request.
   * @param settings The client's.
   * @param aborter That of `run()`.
   * @param onSent Called once the request is out.
   * @throws {Error} If a file of the settings cannot be read; what the program throws while it takes the body.
   */
  async request(
    request: Outgoing & Route,
    settings: ResolvedClientSettings,
    aborter: AbortController,
    onSent: () => void,
  ): Promise<Outcome> {
    let retries = settings.max_retries;
    while (!aborter.signal.aborted) {
      // A server may close a connection that it has kept just when the next request is on its way.
      const wasKept = this.connection !== undefined && !this.#wasGiven;
      const session = await this.#connect(settings, request, aborter);
      if (session instanceof ClientFailure) return session;
      const answer = session.request(request);
      session.sent().then(onSent, onSent);
      const outcome = await answer;
      if (!(outcome instanceof Unanswered)) return outcome;
      if (wasKept && IDEMPOTENT.has(request.method)) continue;
      if (retries-- === 0) return outcome;
    }
    return closedMeanwhile();
  }

  async #connect(
    settings: ResolvedClientSettings,
    { asksProxy, upgrade }: Outgoing & Route,
    aborter: AbortController,
  ): Promise<ClientSession | ClientFailure> {
    if (this.connection !== undefined) {
      if (this.#session!.asksProxy === asksProxy) return this.#session!;
      this.hangUp(); // it leads to the proxy, and should lead to the server, or the other way round
    }
    const given = this.#pipe;
    this.#pipe = undefined;
    const pipe = given ?? await connect(this.#target, settings, upgrade !== undefined, aborter);
    if (pipe instanceof ClientFailure) return pipe;
    if (aborter.signal.aborted) {
      pipe.abort();
      return closedMeanwhile();
    }
    this.#wasGiven = given !== undefined;
    let session: ClientSession | undefined;
    this.#connection = addClientConnection(pipe, (connection) => session = new ClientSession(connection, asksProxy));
    return this.#session = session!;
  }
}

function closedMeanwhile(): ClientFailure {
  return notConnected("it was closed meanwhile");
}
