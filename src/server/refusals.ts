/**
 * Connections, handshakes and requests refused by the server: counted, reported to the program, and logged.
 *
 * @module
 */

import type { Address } from "../transport/runtime.ts";
import { cleaned, type Log, type LogText, LogThrottle, pathOf, quoted } from "./log.ts";

/** A refusal: the second argument of the event `refuse`. */
export interface Refusal {
  /** The kind of the refusal: a connection, a handshake or a request. */
  readonly kind: "connection" | "handshake" | "request";
  /** The status of the response; 0 if there was no response. */
  readonly status: number;
  /** The reason, for people. One of a fixed set of sentences: it contains nothing from the peer. */
  readonly reason: string;
  /** The peer's IP address; empty on a unix socket. */
  readonly address: string;
  /** `Origin` of a handshake, as the peer sent it. */
  readonly origin?: string;
  /** The path with the query, as the peer sent it. */
  readonly path?: string;
  /** The setting to change in order to allow it. */
  readonly setting?: string;
}

/** Returns the IP address of a peer; empty on a unix socket, or if it is unknown. */
export function ipOf(address: Address | undefined): string {
  return address === undefined || address.transport === "unix" ? "" : address.hostname;
}

/** Why a connection or a handshake is not admitted. */
export interface Denial {
  /** The reason, for people. */
  readonly reason: string;
  /** The setting that imposes the limit. */
  readonly setting: string;
  /** When to try again, in seconds. */
  readonly retryAfter: number;
}

/** The settings that cause a refusal, by reason. */
const SETTINGS: ReadonlyMap<string, string> = new Map([
  ["a file is too large", "upload_max_filesize"],
  ["a part has too many header fields", "http_max_headers"],
  ["it takes too long", "http_handler_timeout"],
  ["pages of this origin may not connect", "websocket_origins"],
  ["the body is too large", "package_max_length"],
  ["the body took too long", "http_body_timeout"],
  ["the first line is too long", "http_max_header_size"],
  ["the form is too large", "package_max_length"],
  ["the head of a part is too large", "http_max_header_size"],
  ["the head is too large", "http_max_header_size"],
  ["the server is short of memory", "max_buffer_memory"],
  ["the request took too long", "http_header_timeout"],
  ["there are too many header fields", "http_max_headers"],
  ["too many requests at a time", "max_concurrency"],
]);

/** Returns the setting to change in order to allow something refused for a reason. */
export function settingOf(kind: Refusal["kind"], reason: string): string | undefined {
  const setting = SETTINGS.get(reason);
  return kind === "handshake" && setting === "http_handler_timeout" ? "websocket_handshake_timeout" : setting;
}

/** The refusals of a server, on all its ports. */
export class Refusals {
  /** The number of refusals, by kind and reason. */
  readonly counts: Map<Refusal["kind"], Map<string, number>> = new Map();

  readonly #log: LogThrottle;
  readonly #tell: (refusal: Refusal) => void;

  /** @param tell Passes each refusal to the program. */
  constructor(log: Log, tell: (refusal: Refusal) => void) {
    this.#log = new LogThrottle(log);
    this.#tell = tell;
  }

  /**
   * Counts a refusal, calls the `refuse` handler, and logs it, unless one of its kind was logged within the last minute.
   *
   * @param hint What to do about it, for the log.
   */
  add(refusal: Refusal, hint = ""): void {
    const { kind, reason } = refusal;
    let reasons = this.counts.get(kind);
    if (reasons === undefined) this.counts.set(kind, reasons = new Map());
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    this.#log.warn("refusal", kind, () => describe(refusal, hint));
    this.#tell(refusal);
  }

  /** Returns the number of refusals of a kind. */
  count(kind: Refusal["kind"]): number {
    let sum = 0;
    for (const count of this.counts.get(kind)?.values() ?? []) sum += count;
    return sum;
  }

  /** Resets the counters when the server starts again. */
  reset(): void {
    this.counts.clear();
  }
}

function describe({ kind, status, reason, address, origin, path: target, setting }: Refusal, hint: string): LogText {
  const path = target === undefined ? undefined : pathOf(target); // the query may contain secrets
  const parts = [
    `Refused a ${kind}${address === "" ? "" : ` of ${address}`}${status === 0 ? "" : ` with ${status}`}: ${reason}`,
  ];
  if (path !== undefined) parts.push(`path ${quoted(path)}`);
  if (origin !== undefined) parts.push(`origin ${quoted(origin)}`);
  if (hint !== "") parts.push(hint);
  else if (setting !== undefined) parts.push(`see the setting ${setting}`);
  const fromPeer = {
    ...(path === undefined ? {} : { path: cleaned(path) }),
    ...(origin === undefined ? {} : { origin: cleaned(origin) }),
  };
  return [parts.join("; "), {
    refused: kind,
    status,
    reason,
    address,
    ...fromPeer,
    ...(setting === undefined ? {} : { setting }),
  }];
}
