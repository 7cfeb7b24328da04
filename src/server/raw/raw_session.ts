/**
 * Connections without a protocol, for a plain `Server`: bytes as they arrive, or packages of them.
 *
 * @module
 */

import { sliceBytes, viewBytes } from "../../transport/bytes.ts";
import type { Connection, Protocol } from "../../transport/connection.ts";
import { type ConnectionEnd, timedOut } from "../../transport/connection_end.ts";
import { deadlineIn } from "../../transport/deadlines.ts";
import { swooleStrerror } from "../../errors.ts";
import { utf8Encoder } from "../../values.ts";
import { EVENT_NAMES } from "../configuration.ts";
import { type PackageOptions, PackageSplitter } from "./packages.ts";
import type { PortCore, ProtocolFactory } from "../port_core.ts";
import type { ResolvedSettings } from "../settings/settings.ts";

/** Returns the protocol factory of a plain `Server`, or of a raw port. */
export function rawFactory(port: PortCore): ProtocolFactory {
  let context: RawContext | undefined;
  return {
    events: EVENT_NAMES.server,
    required: ["receive"],
    makeProtocol: (connection) => new RawSession(connection, context ??= { port, packages: packageOptions(port.settings) }),
    closeEvent: () => "close",
    close: (connection) => connection.end(true),
  };
}

/** What the raw connections of a port share. */
interface RawContext {
  readonly port: PortCore;
  /** How the stream is split into packages; `undefined` if it is not. */
  readonly packages: PackageOptions | undefined;
}

function packageOptions(settings: ResolvedSettings): PackageOptions | undefined {
  const maxLength = settings.package_max_length;
  const { package_eof, package_length_func } = settings;
  if (settings.open_eof_check || settings.open_eof_split) {
    const eof = typeof package_eof === "string" ? utf8Encoder.encode(package_eof) : package_eof;
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

/** The overhead counted for each pending chunk, in bytes, so that many small ones are not free. */
const CHUNK_COST = 64;

/**
 * The protocol of a raw connection. As with WebSockets, no handler is started while `max_handlers_per_connection` of them are
 * running, or while the send queue is full. The connection is read until `input_buffer_size` bytes are pending.
 */
export class RawSession implements Protocol {
  readonly #connection: Connection;
  readonly #port: PortCore;
  readonly #splitter: PackageSplitter | undefined;
  #waiting: Uint8Array[] = []; // chunks not yet processed
  #waitingBytes = 0;
  #holdsBack = false;
  #handlers = 0; // that are running
  #isDelivering = false;
  #peerEnded = false; // after the pending bytes
  #endsBy = 0; // when the connection ends behind that in any case; 0 for never

  constructor(connection: Connection, { port, packages }: RawContext) {
    this.#connection = connection;
    this.#port = port;
    this.#splitter = packages && new PackageSplitter(packages);
    connection.deadline = port.idleDeadline(connection);
  }

  /** The number of bytes of incomplete packages and pending chunks. */
  get heldBytes(): number {
    return (this.#splitter?.heldBytes ?? 0) + this.#waitingBytes - this.#waiting.length * CHUNK_COST;
  }

  get unfinishedBytes(): number {
    return this.heldBytes;
  }

  shed(): boolean {
    this.#connection.abort();
    return false;
  }

  receive(chunk: Uint8Array, _at: number, given = false): void {
    if (this.#waiting.length === 0 && this.#mayStart && !this.#splitter?.isStopped) return this.#deliverFrom(chunk, given);
    this.#waiting.push(sliceBytes(chunk, 0, chunk.length));
    this.#waitingBytes += chunk.length + CHUNK_COST;
    this.#watch();
    if (this.#holdsBack || this.#waitingBytes < this.#port.settings.input_buffer_size) return;
    this.#holdsBack = true;
    this.#connection.pause();
  }

  get #mayStart(): boolean {
    return !this.#isDelivering && !this.#connection.isFull && this.#handlers < this.#port.settings.max_handlers_per_connection;
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
    this.#port.context.run(this.#connection, "", work); // `package_length_func` belongs to the program
    this.#isDelivering = false;
    if (splitter.failure === 0) return this.#watch();
    const reason = swooleStrerror(splitter.failure);
    this.#port.context.failed(splitter.failure);
    const { fd, remoteAddress } = this.#connection;
    this.#port.context.endings.addViolation(fd, remoteAddress, undefined, splitter.failure, reason);
    this.#connection.end(true, { reason });
  }

  /** Calls the handler. Returns whether the next one may be called. */
  readonly #deliver = (bytes: Uint8Array): boolean => {
    this.#port.context.counters.requests++;
    const done = this.#port.emitAbout(this.#connection, "receive", 0, bytes);
    if (done !== undefined) {
      this.#handlers++;
      done.then(this.#onSettled);
    }
    const { isOpen, isFull } = this.#connection;
    return isOpen && !isFull && this.#handlers < this.#port.settings.max_handlers_per_connection;
  };

  readonly #onSettled = (): void => {
    this.#handlers--;
    if (this.#isBehind) this.#port.context.stuckHandlers.onSettled(this);
    this.#connection.gather(() => this.#goOn());
  };

  onDrain(): void {
    this.#goOn();
  }

  /** Passes on pending bytes. */
  #goOn(): void {
    const splitter = this.#splitter;
    if (splitter?.isStopped && this.#mayStart) this.#split(splitter, () => splitter.goOn(this.#deliver));
    while (this.#waiting.length > 0 && this.#mayStart && this.#connection.isOpen && !splitter?.isStopped) {
      const chunk = this.#waiting.shift()!;
      this.#waitingBytes -= chunk.length + CHUNK_COST;
      this.#deliverFrom(chunk, true);
    }
    if (!this.#connection.isOpen) return;
    if (this.#holdsBack && this.#waitingBytes < this.#port.settings.input_buffer_size / 2) {
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
    this.#endsBy = deadlineIn(this.#port.lingerTimeout, this.#port.now);
    this.#connection.deadline = this.#endsBy;
    this.#watch();
  }

  onDeadline(now: number): void {
    if (this.#peerEnded) {
      if (this.#endsBy !== 0 && now >= this.#endsBy) return this.#connection.end(false);
      this.#connection.deadline = this.#endsBy;
      return this.#watch();
    }
    const deadline = this.#port.idleDeadline(this.#connection);
    if (deadline !== 0 && deadline <= now && !this.#connection.isPaused) {
      this.#connection.end(false, timedOut(this.#port.idleSetting(this.#connection)));
      return;
    }
    this.#connection.deadline = Math.max(deadline, deadline === 0 ? 0 : now + 1);
    this.#watch();
  }

  /** Reports handlers that may be waiting for each other. */
  #watch(): void {
    if (!this.#isBehind || this.#handlers < this.#port.settings.max_handlers_per_connection) return;
    const { deadline } = this.#connection;
    const due = this.#port.context.stuckHandlers.look(this, this.#port.now);
    if (due !== 0 && (deadline === 0 || due < deadline)) this.#connection.deadline = due;
  }

  onIdleChange(): void {
    if (!this.#peerEnded) this.#connection.deadline = this.#port.idleDeadline(this.#connection);
  }

  onFault(error: unknown): void {
    this.#connection.end(true, { error });
  }

  onClosed(end: ConnectionEnd): void {
    if (this.heldBytes > 0 || this.#splitter?.failure) end.isOrderly = false; // a package was cut off, or never passed on
    this.#port.context.stuckHandlers.onSettled(this);
    this.#waiting = [];
    this.#waitingBytes = 0;
  }
}
