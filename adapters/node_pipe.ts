/**
 * Connections of `node:net` and `node:tls` as pipes with lanes.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type net from "node:net";
import tls from "node:tls";
import { copyBytes } from "../src/transport/bytes.ts";
import { LanePipe } from "../src/transport/pipes.ts";
import type { Address, Lane, LaneSink } from "../src/transport/runtime.ts";
import { readShared } from "./node_reading.ts";
import { certificateOf } from "./node_tls.ts";
import { SharingLane } from "./process.ts";
import { hidesClient, localAddressOf, remoteAddressOf } from "./sockets.ts";

/** The key of the lane in a socket. Keeping it there lets all sockets share their listeners. */
const LANE: unique symbol = Symbol("lane");

type LaneSocket = net.Socket & { [LANE]?: NodeLane };

/** Whether each chunk has its own memory, as in Node. In Deno, a substitute for a socket may take it from a pool. */
const GIVES_CHUNKS = !("Deno" in globalThis);

/** Whether a socket says at once what the system has taken. Those of Deno and Bun are substitutes. */
const WRITES_AT_ONCE = !("Deno" in globalThis || "Bun" in globalThis);

/**
 * Memory for lent bytes on their way to the system, one piece of each size. It is used again if the system takes all of them at
 * once, as it nearly always does; otherwise it is the socket's, which holds at most a few times what is pending.
 */
const SPARE_SIZES = [512, 4 * 1024, 20 * 1024, 128 * 1024];
const spares: (Buffer | undefined)[] = [];

/** Writes lent bytes to a socket that has nothing pending. */
function writeFromSpare(socket: net.Socket, bytes: Uint8Array, start: number, end: number): boolean {
  const size = end - start;
  const level = SPARE_SIZES.findIndex((most) => size <= most);
  if (level < 0) return socket.write(copyBytes(bytes, start, end));
  const spare = spares[level] ??= Buffer.allocUnsafeSlow(SPARE_SIZES[level]);
  spare.set(bytes.subarray(start, end));
  const isReady = socket.write(spare.subarray(0, size));
  if (socket.writableLength > 0) spares[level] = undefined;
  return isReady;
}

/**
 * After this many consecutive reads that fill the memory, 2 MiB, others get their turn: Node reads up to 32 times from a socket before
 * it turns to the next one.
 */
const FULL_READS = 16;

class NodeLane extends SharingLane implements Lane {
  readonly canReset: boolean;
  readonly #socket: net.Socket;
  readonly #source: net.Socket;
  readonly #isPlain: boolean; // a socket of Node, without TLS
  #fullReads = 0;
  #isPaused = false;
  #isResting = false; // until others had their turn
  sink!: LaneSink;
  error: unknown = undefined;

  /** @param source The socket to pause, which may be different. */
  constructor(socket: net.Socket, source: net.Socket) {
    super();
    this.#socket = socket;
    this.#source = source;
    // On a unix socket, which has no address, resetAndDestroy() throws; a socket that was reset has no address either.
    const isTls = socket instanceof tls.TLSSocket;
    this.canReset = !isTls && socket.remoteAddress !== undefined;
    this.#isPlain = !isTls && WRITES_AT_ONCE;
    (socket as LaneSocket)[LANE] = this;
    socket.on("error", onError);
  }

  start(sink: LaneSink): void {
    this.sink = sink;
    const socket = this.#socket;
    if (socket.destroyed) return this.#startLate();
    socket.on("close", onClose);
    if (socket.readableEnded) setImmediate(() => socket.destroyed || sink.onEnd()); // an end without data has passed already
    else socket.on("end", onEnd);
    socket.on("drain", onDrain);
    if (!this.#isPlain || !readShared(socket, onRead)) socket.on("data", onData);
    this.#source.resume();
  }

  /** Starts with a socket that was destroyed before: passes on the received bytes, then the end. */
  #startLate(): void {
    const socket = this.#socket;
    setImmediate(() => {
      const rest: Uint8Array | null = socket.read();
      if (rest !== null) this.sink.onData(rest, false);
      if (socket.closed) onClose.call(socket);
      else socket.on("close", onClose);
    });
  }

  write(bytes: Uint8Array, start: number, end: number, owned: boolean): boolean {
    this.useOutput(end - start);
    if (!this.#pass(bytes, start, end, owned)) return false;
    if (!this.isOutputUsedUp) return true;
    this.onTaken();
    return false;
  }

  /** Reports that everything was taken, in a later turn if it has been much. */
  onTaken(): void {
    if (this.isOutputUsedUp) setImmediate(() => this.sink.onDrain());
    else this.sink.onDrain();
  }

  /** Passes bytes to the socket. Returns whether it takes more at once. */
  #pass(bytes: Uint8Array, start: number, end: number, owned: boolean): boolean {
    const socket = this.#socket;
    if (!owned && this.#isPlain && socket.writableLength === 0) return writeFromSpare(socket, bytes, start, end);
    const chunk = owned ? bytes.subarray(start, end) : copyBytes(bytes, start, end);
    if (this.#source === socket) return socket.write(chunk);
    socket.write(chunk, (error) => void (error ?? onDrain.call(socket))); // it never reaches its high water mark
    return false;
  }

  /** Receives a chunk in memory that is shared. */
  onRead(size: number, memory: Uint8Array): void {
    this.sink.onData(memory.subarray(0, size), false);
    if (size < memory.length) this.#fullReads = 0;
    else if (++this.#fullReads === FULL_READS) this.#rest();
  }

  #rest(): void {
    this.#fullReads = 0;
    this.#isResting = true;
    this.#source.pause();
    setImmediate(() => {
      this.#isResting = false;
      if (!this.#isPaused) this.#source.resume();
    });
  }

  pause(): void {
    this.#isPaused = true;
    this.#source.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (!this.#isResting) this.#source.resume();
  }

  end(): void {
    this.#socket.end();
  }

  abort(): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    // After our FIN, the kernel still sends its pending output. While the FIN is under way, a reset would fail, and never close.
    if (!this.canReset || (socket.writableEnded && socket.writableLength === 0)) socket.destroy();
    else socket.resetAndDestroy();
  }
}

function onData(this: LaneSocket, chunk: Uint8Array): void {
  this[LANE]!.sink.onData(chunk, GIVES_CHUNKS);
}

function onRead(this: LaneSocket, size: number, memory: Uint8Array): void {
  this[LANE]!.onRead(size, memory);
}

function onEnd(this: LaneSocket): void {
  if (!this.destroyed) this[LANE]!.sink.onEnd();
}

function onDrain(this: LaneSocket): void {
  this[LANE]!.onTaken();
}

function onError(this: LaneSocket, error: unknown): void {
  this[LANE]!.error = error;
  this.destroy(); // a broken TLS socket does not destroy itself
}

function onClose(this: LaneSocket): void {
  this[LANE]!.sink.onClose(this[LANE]!.error);
}

/** A connection. */
export class NodePipe extends LanePipe {
  readonly #socket: net.Socket;
  readonly #source: net.Socket;
  /** Kept because a socket that was reset no longer knows it, and `close` handlers may need it. */
  readonly remoteAddress: Address;
  #certificate: string | undefined = undefined;

  readonly #listenAddress: Address | undefined;

  /** @param listenAddress Its local address, if that is known. */
  constructor(socket: net.Socket, source: net.Socket = socket, listenAddress?: Address) {
    super(new NodeLane(socket, source));
    this.#socket = socket;
    this.#source = source;
    this.#listenAddress = listenAddress;
    this.remoteAddress = remoteAddressOf(source);
  }

  get peerCertificate(): string | undefined {
    return this.#certificate ??= this.#socket instanceof tls.TLSSocket ? certificateOf(this.#socket) : undefined;
  }

  get localAddress(): Address | undefined {
    return localAddressOf(this.#source, this.#listenAddress);
  }

  get hidesClient(): boolean {
    return hidesClient(this.#source);
  }
}
