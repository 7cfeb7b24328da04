/**
 * No protocol at all: octets as they come, or packages of them, for a plain `Server`.
 *
 * @module
 */

import { viewBytes } from "../../bytes.ts";
import type { Connection, Protocol } from "../../connection.ts";
import { EVENT_NAMES } from "../events.ts";
import { type PackageOptions, PackageSplitter } from "./packages.ts";
import type { PortCore, Style } from "../port_core.ts";
import type { ResolvedSettings } from "../settings/settings.ts";

/** How a plain `Server`, or a raw port, treats its connections. */
export function rawStyle(core: PortCore): Style {
  let host: RawHost | undefined;
  return {
    events: EVENT_NAMES.server,
    required: ["receive"],
    makeProtocol: (connection) => new RawSession(connection, host ??= { core, packages: packageOptions(core.settings) }),
    closeEvent: () => "close",
    dismiss: (connection) => connection.end(true),
  };
}

/** What the raw connections of a port share. */
interface RawHost {
  readonly core: PortCore;
  /** How to take the stream apart; `undefined` for not at all. */
  readonly packages: PackageOptions | undefined;
}

function packageOptions(settings: ResolvedSettings): PackageOptions | undefined {
  const maxLength = settings.package_max_length;
  const { package_eof, package_length_func } = settings;
  if (settings.open_eof_check || settings.open_eof_split) {
    const eof = typeof package_eof === "string" ? new TextEncoder().encode(package_eof) : package_eof;
    return { maxLength, eof, split: settings.open_eof_split };
  }
  if (settings.open_mqtt_protocol) return { maxLength, protocol: "mqtt" };
  if (settings.open_redis_protocol) return { maxLength, protocol: "redis" };
  if (!settings.open_length_check) return undefined;
  return {
    maxLength,
    length: {
      type: settings.package_length_type,
      offset: settings.package_length_offset,
      bodyOffset: settings.package_body_offset,
      measure: package_length_func ?? undefined,
    },
  };
}

/** The protocol of a raw connection. */
export class RawSession implements Protocol {
  readonly #connection: Connection;
  readonly #core: PortCore;
  readonly #splitter: PackageSplitter | undefined;

  constructor(connection: Connection, { core, packages }: RawHost) {
    this.#connection = connection;
    this.#core = core;
    this.#splitter = packages && new PackageSplitter(packages);
    connection.deadline = core.idleDeadline(connection);
  }

  /** Octets of a package that is not complete. */
  get heldBytes(): number {
    return this.#splitter?.heldBytes ?? 0;
  }

  receive(chunk: Uint8Array): void {
    const splitter = this.#splitter;
    if (splitter === undefined) {
      this.#deliver(viewBytes(chunk, 0, chunk.length));
      return;
    }
    // `package_length_func` is the program's.
    this.#core.run(this.#connection, () => splitter.receive(chunk, (bytes) => this.#deliver(bytes)));
    if (splitter.failure === 0) return;
    this.#core.failed(splitter.failure);
    this.#connection.end(true);
  }

  #deliver(bytes: Uint8Array): boolean {
    this.#core.requestCount++;
    this.#core.emitAbout(this.#connection, "receive", 0, bytes);
    return this.#connection.isOpen;
  }

  receiveEnd(): void {
    this.#connection.end(false);
  }

  onDeadline(now: number): void {
    const deadline = this.#core.idleDeadline(this.#connection);
    if (deadline !== 0 && deadline <= now) this.#connection.end(false);
    else this.#connection.deadline = deadline;
  }

  onIdleChange(): void {
    this.#connection.deadline = this.#core.idleDeadline(this.#connection);
  }

  onFault(): void {
    this.#connection.end(true);
  }

  onClosed(): void {}
}
