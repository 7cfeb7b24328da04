/**
 * What a server counts and measures, for `stats()` and `metrics()`. In the path of a message these are additions to numbers; times
 * are measured per request, or of a part of the calls.
 *
 * @module
 */

import { reasonPhrase } from "../http/response_head.ts";
import type { MessageCounters } from "../websocket/connection/session_interfaces.ts";

/** Numbers in ascending order. */
type Bounds = readonly number[];

/** The upper bounds of durations of requests and handlers, in seconds: those of OpenTelemetry for HTTP. */
export const DURATIONS: Bounds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/** The upper bounds of durations that are shorter: handlers, and delays of the event loop. */
export const SHORT_DURATIONS: Bounds = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

/** The upper bounds of numbers of receivers. */
export const RECEIVERS: Bounds = [0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000];

/** The numbers of values up to each of several bounds. */
export class Histogram {
  /** The upper bounds, in ascending order. */
  readonly bounds: Bounds;
  /** The number of values above the bound before, up to each bound; the last one is for those above all bounds. */
  readonly counts: number[];
  /** The sum of all values. */
  sum = 0;

  constructor(bounds: Bounds) {
    this.bounds = bounds;
    this.counts = new Array(bounds.length + 1).fill(0);
  }

  /** The number of values. */
  get count(): number {
    return this.counts.reduce((sum, count) => sum + count, 0);
  }

  /** Adds a value. Values below 0, which clocks may give, count as 0. */
  add(value: number): void {
    const { bounds } = this;
    let index = 0;
    while (index < bounds.length && value > bounds[index]) index++;
    this.counts[index]++;
    if (value > 0) this.sum += value;
  }
}

/** The methods that have a label of their own. Peers may send any other. */
const METHODS: ReadonlyMap<string, string> = new Map(
  ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"].map((name) => [name, name]),
);

/** Returns the label of a status: the class for one that is not registered, and `none` for 0. */
function labelOf(status: number): string {
  if (status === 0) return "none";
  return reasonPhrase(status) === "" ? `${Math.floor(status / 100)}xx` : String(status);
}

/** The requests with one method and one status. */
export class RequestCount {
  /** The method, or `_OTHER`. */
  readonly method: string;
  /** A status for which this is the count. */
  readonly code: number;
  /** The label of the status of the response: a class such as `4xx` if it is not registered, `none` if there was no response. */
  readonly status: string;
  /** The number of requests. */
  count = 0;
  /** How long they took, without those that were refused before they were complete. */
  readonly duration: Histogram = new Histogram(DURATIONS);

  constructor(method: string, code: number, status: string) {
    this.method = method;
    this.code = code;
    this.status = status;
  }
}

/** The requests of one scheme, by method and status. */
export class RequestCounts {
  readonly #counts: Map<string, RequestCount> = new Map();
  #last: RequestCount | undefined = undefined;

  /** All counts. */
  get all(): IterableIterator<RequestCount> {
    return this.#counts.values();
  }

  /** Returns the count for a method, `undefined` if it is not known, and a status. */
  get(method: string | undefined, status: number): RequestCount {
    const last = this.#last; // most requests are like the last one
    if (last !== undefined && last.code === status && last.method === method) return last;
    return this.#last = this.#find(METHODS.get(method ?? "") ?? "_OTHER", status);
  }

  #find(method: string, status: number): RequestCount {
    const label = labelOf(status);
    const key = `${method} ${label}`;
    let count = this.#counts.get(key);
    if (count === undefined) this.#counts.set(key, count = new RequestCount(method, status, label));
    return count;
  }
}

/** One call of a handler in so many is measured. A prime, so that batches of messages do not always have the same one measured. */
export const SAMPLED = 61;

/** The handlers of one event. */
export interface HandlerCount {
  /** The number of errors thrown. */
  errors: number;
  /** How long the measured calls took, promises included. */
  readonly duration: Histogram;
}

/** The time over which the delay of the event loop is looked at, in milliseconds, and the ticks of the clock in it. */
const RECENT = 5000;
const RECENT_TICKS = 20;

/** How late the ticks of the server's clock are, because the event loop was busy. */
export class LoopDelay {
  /** All delays, in seconds. */
  readonly histogram: Histogram = new Histogram(SHORT_DURATIONS);
  readonly #clock: () => number;
  readonly #delays: number[] = new Array(RECENT_TICKS).fill(0);
  readonly #times: number[] = new Array(RECENT_TICKS).fill(-Infinity);
  #at = 0;

  /** @param clock A monotonic clock, in milliseconds. */
  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  /** Adds the delay of a tick, in seconds. */
  add(delay: number): void {
    this.histogram.add(delay);
    this.#delays[this.#at] = delay;
    this.#times[this.#at] = this.#clock();
    this.#at = (this.#at + 1) % RECENT_TICKS;
  }

  /** The longest delay of the last 5 seconds, in seconds; 0 while the clock does not run. */
  get recent(): number {
    const since = this.#clock() - RECENT;
    return this.#delays.reduce((longest, delay, index) => this.#times[index] >= since ? Math.max(longest, delay) : longest, 0);
  }
}

/** The counters of a server, on all its ports. */
export class Counters implements MessageCounters {
  /** Requests, packages and datagrams passed to a handler. */
  requests = 0;
  /** Responses, and data sent by the program on raw connections and as datagrams. */
  responses = 0;
  /** Bytes of datagrams received. */
  receivedBytes = 0;
  /** Bytes of datagrams sent. */
  sentBytes = 0;
  /** Datagrams dropped because of `max_packet_handlers`. */
  droppedPackets = 0;
  /** Times that a send queue has reached `buffer_high_watermark`. */
  fullQueues = 0;
  /** Times that data was not taken because of `socket_buffer_size`. */
  refusedSends = 0;

  /** Calls of other processes, and messages to them, that had no effect: by the code for it. */
  readonly remoteFailures: Map<number, number> = new Map();

  readonly received: number[] = new Array(16).fill(0);
  readonly sent: number[] = new Array(16).fill(0);
  readonly pings: Histogram = new Histogram(DURATIONS);
  /** Handshakes, by the label of the status of the response. */
  readonly handshakes: Map<string, number> = new Map();
  /** To how many WebSockets each message was published. */
  readonly fanout: Histogram = new Histogram(RECEIVERS);
  /** How long the handshakes took that opened a WebSocket. */
  readonly handshakeDuration: Histogram = new Histogram(DURATIONS);
  /** The requests, by scheme. */
  readonly http: Readonly<Record<"http" | "https", RequestCounts>> = { http: new RequestCounts(), https: new RequestCounts() };
  /** The handlers, by event. */
  readonly handlers: Map<string, HandlerCount> = new Map();
  /** The delay of the event loop. */
  readonly loopDelay: LoopDelay = new LoopDelay();

  #untilSample = 1; // calls of handlers

  /** Requests and messages passed to a handler. */
  get requestCount(): number {
    return this.received.reduce((sum, count) => sum + count, this.requests);
  }

  /** Responses and messages sent by the program. */
  get responseCount(): number {
    return this.sent.reduce((sum, count) => sum + count, this.responses);
  }

  /** Counts a handshake whose response is complete, or will never be. The duration is in seconds. */
  addHandshake(status: number, duration: number): void {
    const label = labelOf(status);
    this.handshakes.set(label, (this.handshakes.get(label) ?? 0) + 1);
    if (status === 101) this.handshakeDuration.add(duration);
  }

  /** Returns when the call of a handler begins that is to be measured; 0 for one that is not. */
  sample(): number {
    if (--this.#untilSample > 0) return 0;
    this.#untilSample = SAMPLED;
    return performance.now();
  }

  /**
   * Adds a measured call of a handler. One that throws at once is not measured.
   *
   * @param begun When the call began.
   * @param result The promise that the handler has returned, if any.
   */
  measure(event: string, begun: number, result: Promise<unknown> | undefined): void {
    const add = () => this.#handlersOf(event).duration.add((performance.now() - begun) / 1000);
    if (result === undefined) add();
    else result.then(add, add);
  }

  /** Counts an error thrown by the handler of an event. */
  addError(event: string): void {
    this.#handlersOf(event).errors++;
  }

  #handlersOf(event: string): HandlerCount {
    let count = this.handlers.get(event);
    if (count === undefined) this.handlers.set(event, count = { errors: 0, duration: new Histogram(SHORT_DURATIONS) });
    return count;
  }
}
