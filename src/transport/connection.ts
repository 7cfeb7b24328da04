/**
 * A connection between a byte pipe and a protocol.
 *
 * @module
 */

import { type ByteSink, copyBytes, partOf, type Sharing, sliceBytes } from "./bytes.ts";
import { Backpressure, HeldChunks, OutputQueue, OutputWaiters, SHARED_COPY_LIMIT } from "./connection_queues.ts";
import { GATHER_LIMIT, MEASURE_STEP, WRITE_LIMIT } from "./connection_interfaces.ts";
import type { ConnectionOrigin, ConnectionOwner, Protocol } from "./connection_interfaces.ts";
import { BROKEN, ConnectionEnd, type EndCause } from "./connection_end.ts";
import { deadlineIn } from "./deadlines.ts";
import type { Address, BytePipe, Lane, LaneSink } from "./runtime.ts";
import { StreamLane } from "./pipes.ts";

export type { ConnectionOrigin, Protocol } from "./connection_interfaces.ts";

const OPEN = 0;
const CLOSING = 1; // over for the program; output is flushed, then the transport ends
const ENDED = 2; // our FIN is sent; further input is dropped
const RELEASED = 3; // the transport is gone

const PEER_ENDED = 1;
const FAILED = 2; // an error of the program was reported
const CUT_OFF = 4; // it ends with an abort behind its output
const LOST = 8; // it ended with pending output

/**
 * A connection: a lane below, a protocol above. It gathers output, enforces its limits, and handles the closing. All output of
 * one turn leaves as one chunk.
 */
export class Connection implements LaneSink, ByteSink {
  /** The number by which the program knows the connection. */
  readonly fd: number;
  /** The pipe that it was created with. */
  readonly pipe: BytePipe;
  /** The listener that accepted it. */
  readonly origin: ConnectionOrigin;
  /** The receiver of its input. */
  protocol: Protocol; // times are those of the owner's clock
  /** The time at which `protocol.onDeadline()` is due; 0 means never. */
  deadline = 0;
  readonly connectTime: number; // when it was accepted
  lastReceived: number; // when bytes last arrived; at first, when it was accepted
  lastSent = 0; // when bytes were last passed to the transport; 0 at first
  lastProgress = 0; // when the peer last took bytes that had to wait: the sign of life of a slow peer
  receivedBytes = 0;
  sentBytes = 0; // sent or queued
  /** The error that broke the connection, if any: of the transport, or thrown by the program. */
  error: unknown = undefined;
  measured = 0; // bytes held at the last measurement by the owner
  grown = 0; // bytes received or queued since then
  waitingSince = 0; // start of the current period in which output has been pending
  /** Called once when the connection is over, after `protocol.onClosed()`. */
  onOver: (() => void) | undefined = undefined;
  /** The memory for `reserve()`. */
  memory: Uint8Array;

  readonly #owner: ConnectionOwner<Connection>;
  readonly #lane: Lane;
  #state = OPEN;
  #inFlight = 0; // size of the chunk that the lane has not taken yet; 0 if it is free
  #ownQueued = 0; // bytes queued since the queue was last empty, not counting shared ones
  #queue: OutputQueue | undefined = undefined; // output pending for the lane, created on demand
  #flushing = false; // a flush at the end of this turn is scheduled
  #backpressure: Backpressure<Connection> | undefined = undefined; // created on demand
  #pausedByProtocol = false;
  #marks = 0; // what has happened to it, as bits
  #held: HeldChunks | undefined = undefined; // input that arrives while the program has paused reading
  #waiters: OutputWaiters | undefined = undefined; // while somebody waits

  constructor(
    owner: ConnectionOwner<Connection>,
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

  /** Starts to read. */
  start(): void {
    this.#lane.start(this);
  }

  /** Whether the program may still use the connection. */
  get isOpen(): boolean {
    return this.#state === OPEN;
  }

  /** Whether it ended with pending output. */
  get hasLost(): boolean {
    return (this.#marks & LOST) !== 0;
  }

  /** Whether the peer can distinguish an `abort()` from an orderly end. */
  get canReset(): boolean {
    return this.#lane.canReset;
  }

  /** The number of bytes pending to be sent. */
  get queuedBytes(): number {
    const { scratch } = this.#owner;
    return this.#inFlight + (this.#queue?.bytes ?? 0) + (scratch.owner === this ? scratch.length : 0);
  }

  /** Whether the program should stop sending: from the high watermark of pending output down to the low one. */
  get isFull(): boolean {
    return this.#backpressure !== undefined && this.#backpressure.isFull;
  }

  /** The peer's address, if known. */
  get remoteAddress(): Address | undefined {
    return this.pipe.remoteAddress;
  }

  // ---- ByteSink -----------------------------------------------------------------------------------------------------

  reserve(size: number): number {
    const { scratch } = this.#owner;
    if (scratch.owner === undefined && this.#inFlight === 0 && !this.#isWaiting && this.#state < ENDED) {
      this.#onQueued(0); // it is flushed at the end of this turn
      scratch.owner = scratch.borrower = this;
    }
    if (scratch.owner === this) {
      if (scratch.length + size > scratch.memory.length) this.#spill();
      if (size <= scratch.memory.length) {
        this.memory = scratch.memory;
        return scratch.length;
      }
    }
    const queue = this.#queue ??= new OutputQueue();
    this.memory = queue.reserve(size, this.#inFlight > 0);
    return queue.at;
  }

  commit(size: number): void {
    this.sentBytes += size;
    const { scratch } = this.#owner;
    if (this.memory === scratch.memory) {
      scratch.length += size;
      if (scratch.length >= this.origin.highWatermark) this.#spill(); // bytes that the lane takes do not count
      return;
    }
    this.#queue!.commit(size);
    this.memory = scratch.memory; // do not keep a piece of the queue longer than necessary
    this.#onQueued(size);
  }

  append(bytes: Uint8Array, sharing?: Sharing): void {
    if (bytes.length === 0) return;
    const { scratch } = this.#owner;
    const isShared = sharing !== undefined;
    if (isShared && scratch.owner !== this && this.#inFlight === 0 && (this.#queue ??= new OutputQueue()).share(bytes)) {
      this.sentBytes += bytes.length;
      return this.#onQueued(0);
    }
    if (isShared && bytes.length <= SHARED_COPY_LIMIT) return this.appendCopy(bytes);
    this.sentBytes += bytes.length;
    if (scratch.owner === this) this.#spill(scratch.borrower === this); // then both leave together
    (this.#queue ??= new OutputQueue()).push(bytes, this.#inFlight > 0 ? undefined : sharing);
    this.#onQueued(isShared ? this.#inFlight > 0 ? partOf(bytes.length, sharing) : 0 : bytes.length);
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
    if (this.#inFlight === 0 && this.#isWaiting) this.flush();
    while (start < end && this.#inFlight === 0 && this.#state < ENDED) {
      const stop = Math.min(start + WRITE_LIMIT, end);
      this.#writeNow(bytes, start, stop);
      start = stop;
    }
    if (start === end) return this.#checkFull();
    (this.#queue ??= new OutputQueue()).push(sliceBytes(bytes, start, end));
    this.#onQueued(end - start);
  }

  /** Whether output is pending for the lane. */
  get #isWaiting(): boolean {
    return this.#queue !== undefined && this.#queue.bytes > 0;
  }

  /** @param own The number of bytes held for this connection alone. */
  #onQueued(own: number): void {
    if (this.#state >= ENDED) return void (this.#queue = undefined);
    this.#holdOutput(own);
    if (this.grown >= MEASURE_STEP) this.#owner.onGrown(this);
    if (!this.#flushing && this.#inFlight === 0 && this.#owner.scratch.owner !== this) {
      this.#flushing = true;
      this.#owner.flushLater(this);
    }
    this.#checkFull();
  }

  /** Moves the contents of the scratch memory on: to the lane if it is free, otherwise to the queue, or always to that. */
  #spill(waits = false): void {
    const { scratch } = this.#owner;
    const length = scratch.length;
    if (length === 0) return;
    scratch.length = 0;
    if (this.#state >= ENDED) return;
    if (this.#inFlight === 0 && !this.#isWaiting && !waits) {
      this.#writeNow(scratch.memory, 0, length);
    } else {
      (this.#queue ??= new OutputQueue()).push(copyBytes(scratch.memory, 0, length));
      this.#holdOutput(length);
    }
    this.#checkFull();
  }

  /** Counts bytes that are held for this connection alone until the peer has taken them. */
  #holdOutput(size: number): void {
    if (this.#ownQueued === 0) this.waitingSince = this.#owner.now;
    this.#ownQueued += size;
    this.grown += size;
  }

  /** Passes unqueued bytes to the lane, which copies any that it cannot send at once. */
  #writeNow(bytes: Uint8Array, start: number, end: number): void {
    this.#write(bytes, start, end, false);
    if (this.#inFlight > 0) this.#holdOutput(end - start);
  }

  #write(bytes: Uint8Array, start: number, end: number, owned: boolean): void {
    this.lastSent = this.#owner.now;
    this.#inFlight = end - start; // a lane may drain before write() returns
    if (this.#lane.write(bytes, start, end, owned)) this.#inFlight = 0;
  }

  /** Passes pending output to the lane until it is busy. */
  flush(): void {
    this.#flushing = false;
    const { scratch } = this.#owner;
    const isBorrower = scratch.borrower === this;
    if (isBorrower) scratch.borrower = undefined; // until it is empty, it cannot be taken away, as in a turn
    try {
      if (isBorrower) this.#spill();
      while (this.#inFlight === 0 && this.#isWaiting && this.#state < ENDED) {
        const queue = this.#queue!;
        const chunk = queue.take(WRITE_LIMIT);
        this.#write(chunk, queue.start, queue.end, true);
      }
      const due = this.#queue === undefined ? 0 : this.#queue.settle(this.#inFlight);
      if (due > 0) this.#holdOutput(due);
    } catch (error) { // must not reach the event loop, nor affect other connections
      this.#queue = undefined;
      this.onFault(error);
      return this.abort(true, { error });
    } finally {
      if (isBorrower) scratch.end();
    }
    this.#afterFlush();
  }

  #afterFlush(): void {
    if (this.#inFlight === 0 && !this.#isWaiting) this.#ownQueued = 0;
    if (this.#waiters?.tell(this.queuedBytes)) this.#waiters = undefined;
    if (this.isFull && this.queuedBytes <= this.origin.lowWatermark) this.#backpressure!.drain();
    if (this.#state === CLOSING && this.#inFlight === 0 && !this.#isWaiting) this.#end();
  }

  /** Reading continues: if both ends stopped reading while they cannot write, neither could make progress. */
  #checkFull(): void {
    if (this.isFull || this.queuedBytes < this.origin.highWatermark) return;
    (this.#backpressure ??= new Backpressure<Connection>(this, this.#owner)).fill();
  }

  // ---- LaneSink -----------------------------------------------------------------------------------------------------

  // An exception here is an error of ours or of the program: a lane must never mistake it for an error of the transport.

  onData(chunk: Uint8Array, given: boolean): void {
    this.lastReceived = this.#owner.now;
    this.receivedBytes += chunk.length;
    this.grown += chunk.length;
    if (this.#state !== OPEN) return; // RFC 6455 section 7.1.1 and RFC 9112 section 9.6: continue to read, but drop the input
    if (this.#held !== undefined) return this.#held.push(chunk);
    const isOuter = this.#owner.scratch.begin(this);
    try {
      this.protocol.receive(chunk, 0, given);
    } catch (error) {
      this.onFault(error);
    }
    if (isOuter) this.#endTurn();
    if (this.grown >= MEASURE_STEP) this.#owner.onGrown(this);
  }

  /** The number of received bytes that are held. */
  get heldInput(): number {
    return this.isOpen ? (this.#held?.bytes ?? 0) + (this.protocol.heldBytes ?? 0) + (this.#lane.heldBytes ?? 0) : 0;
  }

  /** The number of bytes held for sending, not counting those shared with other connections. */
  get heldOutput(): number {
    if (this.#state === RELEASED) return 0; // what this turn has still to write is dropped
    return Math.min(this.#ownQueued, this.queuedBytes) + (this.#state === OPEN ? this.protocol.waitingBytes ?? 0 : 0);
  }

  /** Runs a function and sends its output as one chunk. */
  gather(work: () => void): void {
    const isOuter = this.#owner.scratch.begin(this);
    try {
      work();
    } catch (error) {
      this.onFault(error);
    }
    if (isOuter) this.#endTurn();
  }

  /** Reports an error of the program, or of ours; the protocol then ends the connection, if it can. */
  onFault(error: unknown): void {
    if ((this.#marks & FAILED) !== 0) return this.abort(true, { error });
    this.#marks |= FAILED;
    this.#owner.onFault(this, error);
  }

  #endTurn(): void {
    this.#spill();
    this.#owner.scratch.end();
    if (this.#isWaiting && this.#inFlight === 0) this.flush();
    else if (this.#state === CLOSING || this.#waiters !== undefined) this.#afterFlush();
  }

  onEnd(): void {
    this.#marks |= PEER_ENDED;
    if (this.#state === OPEN && this.#held === undefined) this.gather(() => this.protocol.receiveEnd());
  }

  onDrain(): void {
    this.#inFlight = 0;
    // Bytes that the system takes at once say nothing about the peer: some lanes drain after each write.
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
    if (this.queuedBytes > 0) this.#marks |= LOST;
    this.#leave(new ConnectionEnd(false, false, this.error ??= error, BROKEN));
    this.#state = RELEASED;
    this.#queue = undefined;
    this.#inFlight = 0;
    this.#waiters?.giveUp();
    this.#owner.onReleased(this);
  }

  // ---- for protocols and servers ------------------------------------------------------------------------------------

  /** Stops reading until `resume()`, because the protocol cannot take more at the moment. */
  pause(): void {
    this.#pausedByProtocol = true;
    this.#lane.pause();
  }

  /** Resumes reading. */
  resume(): void {
    this.#pausedByProtocol = false;
    this.#readOn();
  }

  #readOn(): void {
    if (this.isPaused) return;
    this.lastReceived = this.#owner.now; // the peer could not show signs of life until now
    this.#lane.resume();
  }

  /** Whether this side has stopped reading. Deadlines for bytes from the peer stand still meanwhile. */
  get isPaused(): boolean {
    return this.#pausedByProtocol || this.#held !== undefined;
  }

  /** Stops reading and holds input back from the protocol until `release()`: the program's own pause. */
  hold(): void {
    if (this.#state !== OPEN) return;
    (this.#held ??= new HeldChunks()).isReleasing = false;
    this.#lane.pause();
  }

  /** Undoes `hold()`, at the end of this turn. */
  release(): void {
    const held = this.#held;
    if (held === undefined || held.isReleasing) return;
    held.isReleasing = true;
    queueMicrotask(() => {
      if (held.isReleasing && this.#state === OPEN) this.gather(() => this.#release(held));
    });
  }

  /** Whether input is being held. */
  get isHeld(): boolean {
    return this.#held?.isReleasing === false;
  }

  #release(held: HeldChunks): void {
    const receive = (chunk: Uint8Array) => (this.protocol.receive(chunk, 0), this.isOpen); // the program may end it
    if (!held.release(receive)) return;
    this.#held = undefined;
    if ((this.#marks & PEER_ENDED) !== 0) this.protocol.receiveEnd();
    else this.#readOn();
  }

  /** Resolves when at most so many bytes of output are pending: to `true`; to `false` if the connection is gone. */
  whenTaken(atMost = 0): Promise<boolean> {
    if (this.queuedBytes <= atMost || this.#state >= ENDED) return Promise.resolve(this.#state !== RELEASED);
    return (this.#waiters ??= new OutputWaiters()).wait(atMost);
  }

  /**
   * Ends the connection: sends the queued output and our FIN, then drops further input until the peer ends too or the linger
   * timeout has passed. This way the peer receives our last bytes and not a reset (RFC 9112 section 9.6).
   *
   * @param byServer Whether Swoole would report the server as the closing side.
   * @param cause Why this side ends it; left out if the peer has ended it.
   */
  end(byServer = true, cause?: EndCause): void {
    if (this.#state !== OPEN) return;
    this.#leave(new ConnectionEnd(byServer, (this.#marks & CUT_OFF) === 0, this.error, cause));
    if ((this.#state as number) === RELEASED) return; // the program has aborted it meanwhile
    this.#waitForPeer();
    this.#lane.resume();
    const { owner, borrower } = this.#owner.scratch;
    if (owner !== this || borrower === this) this.flush();
  }

  /** Sends the queued output, then aborts the connection: the peer cannot take that for an orderly end; see `end()`. */
  cutOff(byServer = true, cause?: EndCause): void {
    if (this.#state === OPEN) this.#marks |= CUT_OFF;
    this.end(byServer, cause);
  }

  /** Aborts the connection at once, dropping queued output. The parameters are those of `end()`. */
  abort(byServer = true, cause?: EndCause): void {
    if (this.#state === RELEASED) return;
    this.#leave(new ConnectionEnd(byServer, false, this.error, cause));
    this.#lane.abort();
  }

  /** Called by the owner's clock when `deadline` has passed. */
  expire(now: number): void {
    this.deadline = 0;
    if (this.#state === OPEN) return this.gather(() => this.protocol.onDeadline(now));
    const takesNothing = this.#state === CLOSING && this.protocol.sendTimeout !== undefined;
    this.#owner.onOverdue?.(takesNothing ? "http_send_timeout" : "websocket_close_timeout");
    this.abort();
  }

  /** Closes the connection for the program. Effective once. */
  #leave(end: ConnectionEnd): void {
    if (this.#state !== OPEN) return;
    this.#state = CLOSING;
    this.deadline = 0;
    this.#held = undefined;
    try {
      this.protocol.onClosed(end);
      this.onOver?.();
    } catch (error) {
      this.onFault(error);
    }
    this.#owner.onClosed(this, end);
  }

  /** Sets the deadline by which the peer has to take some of the pending output. */
  #waitForPeer(): void {
    this.deadline = deadlineIn(this.protocol.sendTimeout ?? this.origin.lingerTimeout, this.#owner.now);
  }

  #end(): void {
    if ((this.#marks & CUT_OFF) !== 0) return this.#lane.abort();
    const { lingerTimeout } = this.origin;
    const hasEnded = (this.#marks & PEER_ENDED) !== 0;
    this.#state = ENDED;
    this.#owner.onLingering(this);
    this.#lane.end();
    this.deadline = deadlineIn(hasEnded ? Math.min(lingerTimeout || 1000, 1000) : lingerTimeout, this.#owner.now);
  }
}
