/**
 * No protocol at all: octets as they come, or packages of them, for a plain `Server`.
 *
 * @module
 */

import { sliceBytes, viewBytes } from "../../bytes.ts";
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

/** What a chunk that waits costs beside its bytes, so that many small ones are not free. */
const CHUNK_COST = 64;

/**
 * The protocol of a raw connection. As with WebSockets, nothing new is handed to a handler while as many handlers are under way as
 * may be, nor while the peer takes too little of what is sent to it; the connection is read on until `input_buffer_size`.
 */
export class RawSession implements Protocol {
  readonly #connection: Connection;
  readonly #core: PortCore;
  readonly #splitter: PackageSplitter | undefined;
  #waiting: Uint8Array[] = []; // chunks that have not been looked at
  #waitingBytes = 0;
  #holdsBack = false;
  #handlers = 0; // that are under way
  #isDelivering = false;
  #peerEnded = false; // behind what waits

  constructor(connection: Connection, { core, packages }: RawHost) {
    this.#connection = connection;
    this.#core = core;
    this.#splitter = packages && new PackageSplitter(packages);
    connection.deadline = core.idleDeadline(connection);
  }

  /** Bytes of a package that is not complete, and of what waits for the program. */
  get heldBytes(): number {
    return (this.#splitter?.heldBytes ?? 0) + this.#waiting.reduce((sum, { length }) => sum + length, 0);
  }

  receive(chunk: Uint8Array, _at: number, given = false): void {
    if (this.#waiting.length === 0 && this.#mayStart && !this.#splitter?.isStopped) return this.#deliverFrom(chunk, given);
    this.#waiting.push(sliceBytes(chunk, 0, chunk.length));
    this.#waitingBytes += chunk.length + CHUNK_COST;
    if (this.#holdsBack || this.#waitingBytes < this.#core.settings.input_buffer_size) return;
    this.#holdsBack = true;
    this.#connection.pause();
  }

  get #mayStart(): boolean {
    return !this.#isDelivering && !this.#connection.isFull && this.#handlers < this.#core.settings.max_handlers_per_connection;
  }

  #deliverFrom(chunk: Uint8Array, given: boolean): void {
    const splitter = this.#splitter;
    if (splitter === undefined) {
      this.#deliver(given ? viewBytes(chunk, 0, chunk.length) : sliceBytes(chunk, 0, chunk.length));
      return;
    }
    this.#split(splitter, () => splitter.receive(chunk, given, this.#deliver));
  }

  #split(splitter: PackageSplitter, work: () => void): void {
    this.#isDelivering = true;
    this.#core.run(this.#connection, work); // `package_length_func` is the program's
    this.#isDelivering = false;
    if (splitter.failure === 0) return;
    this.#core.failed(splitter.failure);
    this.#connection.end(true);
  }

  /** Calls the handler. Returns whether the next one may be called. */
  readonly #deliver = (bytes: Uint8Array): boolean => {
    this.#core.requestCount++;
    const done = this.#core.emitAbout(this.#connection, "receive", 0, bytes);
    if (done !== undefined) {
      this.#handlers++;
      done.then(this.#onSettled);
    }
    const { isOpen, isFull } = this.#connection;
    return isOpen && !isFull && this.#handlers < this.#core.settings.max_handlers_per_connection;
  };

  readonly #onSettled = (): void => {
    this.#handlers--;
    this.#connection.gather(() => this.#goOn());
  };

  onDrain(): void {
    this.#goOn();
  }

  /** Hands on what has waited. */
  #goOn(): void {
    const splitter = this.#splitter;
    if (splitter?.isStopped && this.#mayStart) this.#split(splitter, () => splitter.goOn(this.#deliver));
    while (this.#waiting.length > 0 && this.#mayStart && this.#connection.isOpen && !splitter?.isStopped) {
      const chunk = this.#waiting.shift()!;
      this.#waitingBytes -= chunk.length + CHUNK_COST;
      this.#deliverFrom(chunk, true);
    }
    if (!this.#connection.isOpen) return;
    if (this.#holdsBack && this.#waitingBytes < this.#core.settings.input_buffer_size / 2) {
      this.#holdsBack = false;
      this.#connection.resume();
    }
    if (this.#peerEnded && !this.#isBehind) this.#connection.end(false);
  }

  get #isBehind(): boolean {
    return this.#waiting.length > 0 || this.#splitter?.isStopped === true;
  }

  receiveEnd(): void {
    if (!this.#isBehind) return this.#connection.end(false);
    this.#peerEnded = true;
    this.#connection.deadline = this.#core.now + this.#core.lingerTimeout;
  }

  onDeadline(now: number): void {
    if (this.#peerEnded) return this.#connection.end(false);
    const deadline = this.#core.idleDeadline(this.#connection);
    if (deadline !== 0 && deadline <= now && !this.#connection.isPaused) this.#connection.end(false);
    else this.#connection.deadline = Math.max(deadline, deadline === 0 ? 0 : now + 1);
  }

  onIdleChange(): void {
    if (!this.#peerEnded) this.#connection.deadline = this.#core.idleDeadline(this.#connection);
  }

  onFault(): void {
    this.#connection.end(true);
  }

  onClosed(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
  }
}
