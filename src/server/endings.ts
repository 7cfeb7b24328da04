/**
 * Ended connections, violations and errors of a server: counted, and logged where that is useful.
 *
 * @module
 */

import { type CloseInfo, TimeoutError, type TimeoutSetting } from "../transport/connection_end.ts";
import type { Address } from "../transport/runtime.ts";
import { ipOf } from "./refusals.ts";
import type { LateRequest } from "./running_handlers.ts";
import { cleaned, type Log, LogThrottle, quotedRequest, requestFields } from "./log.ts";

/** The counters of ended connections of a server, on all its ports. */
export class Endings {
  /** The number of ended WebSockets by close code. Codes for applications are counted in two groups, 3000-3999 and 4000-4999. */
  readonly closes: Map<string, number> = new Map();
  /** The number of violations: by close code for WebSockets, by Swoole's error code for packages. */
  readonly violations: Map<string, number> = new Map();
  /** The number of connections ended by a timeout, by setting. */
  readonly timeouts: Map<string, number> = new Map();
  /** The number of errors reported to `error` or the log. */
  errorCount = 0;

  readonly #log: Log;
  readonly #throttle: LogThrottle;

  constructor(log: Log) {
    this.#log = log;
    this.#throttle = new LogThrottle(log);
  }

  /** Counts an ended connection. */
  add({ code, error }: CloseInfo): void {
    if (code !== 0) count(this.closes, code < 3000 ? String(code) : code < 4000 ? "3000-3999" : "4000-4999");
    if (error instanceof TimeoutError) this.addTimeout(error.setting);
  }

  /** Counts a timeout. */
  addTimeout(setting: TimeoutSetting): void {
    count(this.timeouts, setting);
  }

  /** Counts and logs a violation of the WebSocket protocol or of a package format. */
  addViolation(fd: number, from: Address | undefined, path: string | undefined, code: number, reason: string): void {
    count(this.violations, String(code));
    this.#throttle.warn("violation", "violation", () => {
      const address = ipOf(from);
      const where = `fd ${fd}${address === "" ? "" : ` of ${address}`}`;
      const message = `Closed ${where} with ${code}: ${reason}${path === undefined ? "" : `; path ${path}`}`;
      return [message, { fd, address, code, reason, ...(path === undefined ? {} : { path: cleaned(JSON.parse(path)) }) }];
    });
  }

  /** Logs that a request handler has not settled although nobody can receive its response any more. */
  warnOfHandler({ fd, head }: LateRequest, when: string): void {
    this.#throttle.warn("handler", "handler", () => [
      `fd ${fd}: ${quotedRequest(head)}: the handler had not settled ${when}`,
      { fd, ...requestFields(head) },
    ]);
  }

  /**
   * Logs that a connection is stuck: `max_handlers_per_connection` handlers are running, and none settles while messages wait.
   */
  warnOfStuckHandlers(): void {
    const message = "No handler has settled for 10 s on a connection with max_handlers_per_connection of them under way: its " +
      "further messages wait. Handlers that wait for a later message of their own connection wait for ever; take the message in " +
      "another handler, or raise max_handlers_per_connection. This is said once";
    this.#log.warn(message, {}, "handler");
  }

  /** Logs that the server stopped without waiting any longer for its handlers. */
  warnOfRunningHandlers(count: number): void {
    this.#log.warn(
      `${count} ${count === 1 ? "handler has" : "handlers have"} not settled while the server stopped`,
      {},
      "handler",
    );
  }

  /** Resets the counters when the server starts again. */
  reset(): void {
    for (const counts of [this.closes, this.violations, this.timeouts]) counts.clear();
    this.errorCount = 0;
  }
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
