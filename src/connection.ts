/**
 * The one place where a byte pipe meets a protocol.
 *
 * @module
 */

import type { ByteSink } from "./byte_sink.ts";
import { copyBytes, sliceBytes } from "./bytes.ts";
import type { ConnectionOrigin, ConnectionOwner } from "./connection_owner.ts";
import { OutputQueue } from "./output_queue.ts";
import type { Address, BytePipe, Lane, LaneSink } from "./runtime.ts";
import type { Protocol } from "./protocol.ts";
import { StreamLane } from "./stream_lane.ts";

export { type ConnectionOrigin, type ConnectionOwner, Scratch } from "./connection_owner.ts";
export type { Protocol } from "./protocol.ts";

/** The lane gets at most this much at a time, so that it can be seen how a slow peer takes it. */
const WRITE_LIMIT = 256 * 1024;

/** Bytes of the program's up to this many are copied to what is gathered; more of them go to the lane at once. */
const GATHER_LIMIT = 32 * 1024;

const OPEN = 0;
/** Over for the program; output is flushed, then the transport ends. */
const CLOSING = 1;
/** Our FIN is out; what still arrives is dropped. */
const ENDED = 2;
/** The transport is gone. */
const RELEASED = 3;

/**
 * A connection: a lane below, a protocol above, and between them the gathering of output, its limits, and the way to the end.
 *
 * Everything that is sent during one turn leaves as one chunk. While the octets of this connection are being read that
 * happens in the owner's scratch memory, without an allocation; at other times parts are queued and flushed in a microtask.
 */
export class Connection implements LaneSink, ByteSink {
  /** The number that the program knows the connection by. */
  readonly fd: number;
  /** The pipe it came with. */
  readonly pipe: BytePipe;
  /** By which way it came in. */
  readonly origin: ConnectionOrigin;
  /** What the octets go to. */
  protocol: Protocol;
  // Times are those of the owner's clock.

  /** When `protocol.onDeadline()` is due; 0 for never. */
  deadline = 0;
  /** When it was accepted. */
  readonly connectTime: number;
  /** When bytes last arrived; when it was accepted, before that. */
  lastReceived: number;
  /** When bytes were last handed to the transport; 0 before. */
  lastSent = 0;
  /** When the peer last took something that had to wait: a sign of life of one that is slow. */
  lastProgress = 0;
  /** How many octets arrived. */
  receivedBytes = 0;
  /** How many octets were sent or queued. */
  sentBytes = 0;
  /** What broke it, if something did. */
  error: unknown = undefined;
  /** Called once, when the connection is over, behind `protocol.onClosed()`. */
  onOver: (() => void) | undefined = undefined;
  /** The memory for `reserve()`. */
  memory: Uint8Array;

  readonly #owner: ConnectionOwner;
  readonly #lane: Lane;
  #state = OPEN;
  #busy = false; // the lane has not taken the last chunk yet
  #inFlight = 0; // size of that chunk
  #queue: OutputQueue | undefined = undefined; // what waits for the lane, once something has
  #flushing = false; // a flush at the end of this turn is asked for
  #full = false;
  #pausedByProtocol = false;
  #peerEnded = false;
  #failed = false;
  #held: Uint8Array[] | undefined = undefined; // what arrived while the program does not want any
  #releasing = false;
  #whenTaken: ((taken: boolean) => void)[] | undefined = undefined;

  constructor(
    owner: ConnectionOwner,
    fd: number,
    pipe: BytePipe,
    protocol: (connection: Connection) => Protocol,
    origin: ConnectionOrigin = owner,
  ) {
    this.#owner = owner;
    this.origin = origin;
    this.fd = fd;
    this.pipe = pipe;
    this.connectTime = this.lastReceived = owner.now;
    this.memory = owner.scratch.memory;
    this.#lane = pipe.lane ?? new StreamLane(pipe);
    this.protocol = protocol(this);
  }

  /** Begins to read. */
  start(): void {
    this.#lane.start(this);
  }

  /** Whether the program may still use it. */
  get isOpen(): boolean {
    return this.#state === OPEN;
  }

  /** Whether the peer can tell an `abort()` from an orderly end. */
  get canReset(): boolean {
    return this.#lane.canReset;
  }

  /** Bytes that wait to be sent. */
  get queuedBytes(): number {
    const { scratch } = this.#owner;
    return this.#inFlight + (this.#queue?.bytes ?? 0) + (scratch.owner === this ? scratch.length : 0);
  }

  /** Whether so much waits to be sent that the program should send no more: from the high watermark on, down to the low one. */
  get isFull(): boolean {
    return this.#full;
  }

  /** This side's address, where there is one. */
  get localAddress(): Address | undefined {
    return this.pipe.localAddress;
  }

  /** The peer's address, where there is one. */
  get remoteAddress(): Address | undefined {
    return this.pipe.remoteAddress;
  }

  /** The certificate that the peer showed over TLS, PEM; see `BytePipe`. */
  get peerCertificate(): string | undefined {
    return this.pipe.peerCertificate;
  }

  // ---- ByteSink -----------------------------------------------------------------------------------------------------

  reserve(size: number): number {
    const { scratch } = this.#owner;
    if (scratch.owner === this) {
      if (scratch.length + size > scratch.memory.length) this.#spill();
      if (size <= scratch.memory.length) {
        this.memory = scratch.memory;
        return scratch.length;
      }
    }
    const queue = this.#queue ??= new OutputQueue();
    this.memory = queue.reserve(size, this.#busy);
    return queue.at;
  }

  commit(size: number): void {
    this.sentBytes += size;
    const { scratch } = this.#owner;
    if (this.memory === scratch.memory) {
      scratch.length += size;
      if (scratch.length >= this.origin.highWatermark) this.#spill(); // what the lane takes does not count
      return;
    }
    this.#queue!.commit(size);
    this.memory = scratch.memory; // a piece of the queue is not kept longer than it has to
    this.#onQueued();
  }

  append(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.sentBytes += bytes.length;
    if (this.#owner.scratch.owner === this) this.#spill();
    (this.#queue ??= new OutputQueue()).push(bytes);
    this.#onQueued();
  }

  appendCopy(bytes: Uint8Array, start = 0, end: number = bytes.length): void {
    const size = end - start;
    if (size <= GATHER_LIMIT) {
      if (size === 0) return;
      const at = this.reserve(size);
      this.memory.set(size === bytes.length ? bytes : bytes.subarray(start, end), at);
      return this.commit(size);
    }
    this.sentBytes += size;
    if (this.#owner.scratch.owner === this) this.#spill();
    if (!this.#busy && this.#isWaiting) this.flush();
    while (start < end && !this.#busy && this.#state < ENDED) {
      const stop = Math.min(start + WRITE_LIMIT, end);
      this.#write(bytes, start, stop, false);
      start = stop;
    }
    if (start === end) {
      if (!this.#full) this.#checkFull();
      return;
    }
    (this.#queue ??= new OutputQueue()).push(sliceBytes(bytes, start, end));
    this.#onQueued();
  }

  /** Whether something waits to be handed to the lane. */
  get #isWaiting(): boolean {
    return this.#queue !== undefined && this.#queue.bytes > 0;
  }

  #onQueued(): void {
    if (this.#state >= ENDED) return void (this.#queue = undefined);
    this.#owner.activity++;
    if (!this.#flushing && !this.#busy && this.#owner.scratch.owner !== this) {
      this.#flushing = true;
      this.#owner.flushLater(this);
    }
    if (!this.#full) this.#checkFull();
  }

  /** Moves what is in the scratch memory on, to the lane if it is free. */
  #spill(): void {
    const { scratch } = this.#owner;
    const length = scratch.length;
    if (length === 0) return;
    scratch.length = 0;
    if (this.#state >= ENDED) return;
    if (!this.#busy && !this.#isWaiting) {
      this.#write(scratch.memory, 0, length, false);
    } else {
      (this.#queue ??= new OutputQueue()).push(copyBytes(scratch.memory, 0, length));
    }
    if (!this.#full) this.#checkFull();
  }

  #write(bytes: Uint8Array, start: number, end: number, owned: boolean): void {
    this.lastSent = this.#owner.now;
    this.#inFlight = end - start;
    this.#busy = true; // a lane may drain before write() returns
    if (this.#lane.write(bytes, start, end, owned)) {
      this.#busy = false;
      this.#inFlight = 0;
    }
  }

  /** Hands what waits to the lane, as far as it takes it. */
  flush(): void {
    this.#flushing = false;
    try {
      while (!this.#busy && this.#isWaiting && this.#state < ENDED) {
        const queue = this.#queue!;
        const chunk = queue.take(WRITE_LIMIT);
        this.#write(chunk, queue.start, queue.end, true);
      }
    } catch (error) { // never into the event loop, nor in the way of other connections
      this.#queue = undefined;
      this.#fail(error);
      return this.abort();
    }
    this.#afterFlush();
  }

  #afterFlush(): void {
    if (this.#whenTaken !== undefined && this.queuedBytes === 0) this.#tell(true);
    if (this.#full && this.queuedBytes <= this.origin.lowWatermark) {
      this.#full = false;
      if (this.#state === OPEN) this.#owner.onBufferEmpty(this);
      if (this.#state === OPEN && this.protocol.onDrain !== undefined) this.gather(() => this.protocol.onDrain!());
    }
    if (this.#state === CLOSING && !this.#busy && !this.#isWaiting) this.#end();
  }

  /** Reading goes on: if both ends stopped reading while they cannot write, neither would ever get rid of anything. */
  #checkFull(): void {
    if (this.queuedBytes < this.origin.highWatermark) return;
    this.#full = true;
    if (this.#state === OPEN) this.#owner.onBufferFull(this);
  }

  // ---- LaneSink -----------------------------------------------------------------------------------------------------

  // Whatever is thrown in here is a fault of ours or of the program's: a lane is never to take it for one of the transport.

  onData(chunk: Uint8Array, given: boolean): void {
    const owner = this.#owner;
    this.lastReceived = owner.now;
    this.receivedBytes += chunk.length;
    if (this.#state !== OPEN) return; // RFC 6455 section 7.1.1 and RFC 9112 section 9.6: read on, but drop it
    if (this.#held !== undefined) return void this.#held.push(sliceBytes(chunk, 0, chunk.length));
    const isOuter = this.#beginTurn();
    try {
      this.protocol.receive(chunk, 0, given);
    } catch (error) {
      this.#fail(error);
    }
    if (isOuter) this.#endTurn();
  }

  /** Runs a piece of work whose output leaves as one chunk. */
  gather(work: () => void): void {
    const isOuter = this.#beginTurn();
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
    if (isOuter) this.#endTurn();
  }

  /** Something above has thrown: that is reported, and the protocol ends the connection, if it can. */
  #fail(error: unknown): void {
    if (this.#failed) return this.abort();
    this.#failed = true;
    this.#owner.onFault(this, error);
  }

  /** Takes the scratch memory, unless it is in use. */
  #beginTurn(): boolean {
    const { scratch } = this.#owner;
    if (scratch.owner !== undefined) return false;
    scratch.owner = this;
    return true;
  }

  #endTurn(): void {
    this.#spill();
    this.#owner.scratch.owner = undefined;
    if (this.#isWaiting && !this.#busy) this.flush();
    else if (this.#state === CLOSING || this.#whenTaken !== undefined) this.#afterFlush();
  }

  onEnd(): void {
    this.#peerEnded = true;
    if (this.#state === OPEN && this.#held === undefined) this.gather(() => this.protocol.receiveEnd());
  }

  onDrain(): void {
    this.#busy = false;
    this.#inFlight = 0;
    // What the system takes at once says nothing of the peer: some lanes drain behind each write.
    const hadToWait = this.#owner.now > this.lastSent;
    this.lastSent = this.#owner.now;
    if (this.#state >= ENDED) return;
    if (this.#state === CLOSING) this.#waitForPeer();
    if (this.#isWaiting) {
      if (hadToWait) this.lastProgress = this.#owner.now;
      this.flush();
    } else {
      this.#afterFlush();
    }
  }

  onClose(error?: unknown): void {
    if (this.#state === RELEASED) return;
    this.error = error;
    this.#leave(false);
    this.#state = RELEASED;
    this.#queue = undefined;
    this.#inFlight = 0;
    this.#tell(false);
    this.#owner.onReleased(this);
  }

  // ---- for protocols and servers ------------------------------------------------------------------------------------

  /** Stops reading until `resume()`, because the protocol cannot take more now. */
  pause(): void {
    this.#pausedByProtocol = true;
    this.#lane.pause();
  }

  /** Reads again. */
  resume(): void {
    this.#pausedByProtocol = false;
    this.#readOn();
  }

  #readOn(): void {
    if (this.#pausedByProtocol || this.#held !== undefined) return;
    this.lastReceived = this.#owner.now; // until now the peer could not show that it lives
    this.#lane.resume();
  }

  /** Whether it is we who do not read. Deadlines for what the peer is to send stand still then. */
  get isPaused(): boolean {
    return this.#pausedByProtocol || this.#held !== undefined;
  }

  /** Keeps what arrives from the protocol, and stops reading, until `release()`: the program's own pause. */
  hold(): void {
    this.#releasing = false;
    if (this.#state !== OPEN) return;
    this.#held ??= [];
    this.#lane.pause();
  }

  /** Undoes `hold()`, at the end of this turn. */
  release(): void {
    if (this.#held === undefined || this.#releasing) return;
    this.#releasing = true;
    queueMicrotask(() => {
      if (this.#releasing && this.#state === OPEN) this.gather(() => this.#release());
    });
  }

  /** Whether what arrives is held. */
  get isHeld(): boolean {
    return this.#held !== undefined && !this.#releasing;
  }

  #release(): void {
    const held = this.#held!;
    // The program may hold the connection again, or end it, on any of these.
    while (held.length > 0 && this.#releasing && this.isOpen) this.protocol.receive(held.shift()!, 0);
    if (!this.#releasing || !this.isOpen) return;
    this.#releasing = false;
    this.#held = undefined;
    if (this.#peerEnded) this.protocol.receiveEnd();
    else this.#readOn();
  }

  /** Resolves when nothing waits to be sent any more: `true` when it was taken, `false` when the connection is gone. */
  whenTaken(): Promise<boolean> {
    if (this.queuedBytes === 0 || this.#state >= ENDED) return Promise.resolve(this.#state !== RELEASED);
    return new Promise((resolve) => (this.#whenTaken ??= []).push(resolve));
  }

  #tell(taken: boolean): void {
    const waiting = this.#whenTaken;
    this.#whenTaken = undefined;
    if (waiting !== undefined) { for (const resolve of waiting) resolve(taken); }
  }

  /**
   * Ends the connection: what is queued is sent, then comes our FIN, and what the peer still sends is dropped until it ends
   * too or the linger timeout has passed. So the peer gets our last octets and no reset (RFC 9112 section 9.6).
   */
  end(byServer = true): void {
    if (this.#state !== OPEN) return;
    this.#leave(byServer);
    if (this.#isReleased()) return; // the program has dropped it meanwhile
    this.#waitForPeer();
    this.#lane.resume();
    if (this.#owner.scratch.owner !== this) {
      if (this.#isWaiting && !this.#busy) this.flush();
      else this.#afterFlush();
    }
  }

  /** Drops the connection at once, with what is queued. */
  abort(byServer = true): void {
    if (this.#state === RELEASED) return;
    this.#leave(byServer);
    this.#lane.abort();
  }

  /** Called by the owner's clock when `deadline` has passed. */
  expire(now: number): void {
    this.deadline = 0;
    if (this.#state === OPEN) this.gather(() => this.protocol.onDeadline(now));
    else this.abort();
  }

  /** The program's part of closing: once. */
  #leave(byServer: boolean): void {
    if (this.#state !== OPEN) return;
    this.#state = CLOSING;
    this.deadline = 0;
    this.#held = undefined;
    try {
      this.protocol.onClosed();
      this.onOver?.();
    } catch (error) {
      this.#fail(error);
    }
    this.#owner.onClosed(this, byServer);
  }

  #isReleased(): boolean {
    return this.#state === RELEASED;
  }

  /** The peer has to take some of what is still to be sent. */
  #waitForPeer(): void {
    const timeout = this.protocol.sendTimeout ?? this.origin.lingerTimeout;
    this.deadline = timeout === 0 ? 0 : this.#owner.now + timeout;
  }

  #end(): void {
    const { lingerTimeout } = this.origin;
    this.#state = ENDED;
    this.#lane.end();
    this.deadline = this.#owner.now + (this.#peerEnded ? Math.min(lingerTimeout, 1000) : lingerTimeout);
  }
}
