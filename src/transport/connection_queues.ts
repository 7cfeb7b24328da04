/**
 * The queues of a connection: output pending for its lane, with the notifications when it is full and drained, and input that
 * arrives while the program has paused the connection.
 *
 * @module
 */

import { allocateBytes, joinBytes, partOf, type Sharing, sliceBytes } from "./bytes.ts";
import type { ConnectionOwner, Protocol } from "./connection_interfaces.ts";

/** Parts are joined to chunks of up to this many bytes. */
const JOIN_LIMIT = 64 * 1024;

/**
 * The size of the memory that gathers small parts after the first one, doubled whenever it is full, up to `MOST_SHARED`. Parts that
 * leave at the end of this turn get more, because that memory is not kept.
 */
const FIRST_SHARED = 1024;
const FIRST_SHARED_BRIEFLY = 2048;
const MOST_SHARED = 4096;

/** Up to this many bytes are copied one by one: a view of them would cost more. */
const COPIED_ONE_BY_ONE = 128;

/** Up to this size, a chunk that other connections send too is copied if it cannot be in a run. */
export const SHARED_COPY_LIMIT = 1024;

/** The largest size of a run. */
const MOST_IN_RUN = JOIN_LIMIT;

/**
 * Chunks that several connections send one after the other, in this order. Connections that are sent the same chunks have the same
 * run, so that those are joined once for all of them.
 */
class Run implements Sharing {
  /** The number of bytes. */
  readonly size: number;
  waits = 0;
  /** The run that continued this one last. */
  next: Run | undefined = undefined;

  readonly #before: Run | undefined;
  readonly #last: Uint8Array;
  #joined: Uint8Array | undefined = undefined;

  constructor(before: Run | undefined, last: Uint8Array) {
    this.#before = before;
    this.#last = last;
    this.size = last.length + (before === undefined ? 0 : before.size);
  }

  /** Reports whether this is the last chunk. */
  endsWith(chunk: Uint8Array): boolean {
    return this.#last === chunk;
  }

  /** All chunks as one. */
  get joined(): Uint8Array {
    if (this.#joined !== undefined) return this.#joined;
    if (this.#before === undefined) return this.#last;
    const whole = new Uint8Array(this.size);
    let end = this.size - this.#last.length;
    whole.set(this.#last, end);
    for (let run: Run | undefined = this.#before; run !== undefined; run = run.#before) {
      end -= run.#last.length;
      whole.set(run.#last, end);
    }
    return this.#joined = whole;
  }
}

/** The run of one chunk that was made last. */
let first: Run | undefined;

/** Lets go of the runs. Called at the end of a turn, when they have been taken. */
export function forgetRuns(): void {
  first = undefined;
}

/** Chunks that other connections send too, of which it is not known yet whether the lane takes them at once. */
class UnpaidChunks {
  /** The number of bytes that were taken since the first one was added. */
  taken = 0;
  readonly #chunks: { readonly sharing: Sharing; readonly size: number; readonly end: number }[] = [];

  /** @param end Where the chunk ends, counted from the first byte that is pending. */
  add(sharing: Sharing, size: number, end: number): void {
    this.#chunks.push({ sharing, size, end });
  }

  /** Returns what a connection pays whose lane has taken so many of these bytes. */
  dueFor(sent: number): number {
    let due = 0;
    for (const { sharing, size, end } of this.#chunks) if (end > sent) due += partOf(Math.min(size, end - sent), sharing);
    return due;
  }
}

/** Parts in order, oldest first, followed by memory that gathers small ones. */
export class OutputQueue {
  /** The number of pending bytes. */
  bytes = 0;
  /** The range of the bytes of `take()` within the returned chunk. */
  start = 0;
  end = 0;

  #parts: Uint8Array[] = [];
  #taken = 0; // of the first part
  #tail: Uint8Array | undefined = undefined;
  #tailUsed = 0;
  #run: Run | undefined = undefined; // then there is nothing else
  #takenRun: Run | undefined = undefined; // since the last `settle()`
  #unpaid: UnpaidChunks | undefined = undefined;

  /** The index at which to write the next small part in the memory that `reserve()` returned. */
  get at(): number {
    return this.#tailUsed;
  }

  /**
   * Makes room for a small part.
   *
   * @param size The maximum number of bytes needed.
   * @param waits Whether the part may wait for a slow peer, so it must not pin a slab. Otherwise it leaves at the end of this
   * turn and may lie in one.
   */
  reserve(size: number, waits: boolean): Uint8Array {
    const tail = this.#tail;
    if (tail !== undefined && tail.length - this.#tailUsed >= size) return tail;
    this.#sealRun();
    const used = this.#tailUsed;
    // The first part gets exactly what it needs; later ones share memory. This way a queue of small parts uses little more than
    // their size.
    let room = this.bytes === 0 ? size : Math.max(size, waits ? FIRST_SHARED : FIRST_SHARED_BRIEFLY);
    const grows = used > 0 && used + size <= MOST_SHARED;
    if (grows) room = Math.max(room, used + size, Math.min(2 * used, MOST_SHARED));
    const memory = waits ? new Uint8Array(room) : allocateBytes(room);
    if (!grows) this.#sealTail();
    else if (used <= COPIED_ONE_BY_ONE) { for (let i = 0; i < used; i++) memory[i] = tail![i]; }
    else memory.set(used === tail!.length ? tail! : tail!.subarray(0, used));
    return this.#tail = memory;
  }

  /** Completes a `reserve()`. */
  commit(size: number): void {
    this.#tailUsed += size;
    this.bytes += size;
  }

  /**
   * Adds a part, which must not change any more.
   *
   * @param unpaid What other connections are given too, if `settle()` is to count it.
   */
  push(bytes: Uint8Array, unpaid?: Sharing): void {
    this.#sealTail();
    this.#sealRun();
    this.#parts.push(bytes);
    this.bytes += bytes.length;
    if (unpaid !== undefined) (this.#unpaid ??= new UnpaidChunks()).add(unpaid, bytes.length, this.bytes);
  }

  /**
   * Returns what the connection pays for chunks that other connections send too, added before the bytes that were taken since the
   * last call. It pays for none that the lane has taken.
   *
   * @param inFlight The number of bytes taken last that the lane still has.
   */
  settle(inFlight: number): number {
    const run = this.#takenRun;
    const unpaid = this.#unpaid;
    this.#takenRun = this.#unpaid = undefined;
    const due = run === undefined || inFlight === 0 ? 0 : partOf(run.size, run);
    return unpaid === undefined ? due : due + unpaid.dueFor(unpaid.taken - inFlight);
  }

  /**
   * Adds a chunk that other connections send too, if there is nothing but such chunks.
   *
   * @returns Whether it was added.
   */
  share(chunk: Uint8Array): boolean {
    const run = this.#run;
    const size = this.bytes + chunk.length;
    if (size > MOST_IN_RUN || (run === undefined && this.bytes > 0)) return false;
    const next = run === undefined ? first : run.next;
    if (next !== undefined && next.endsWith(chunk)) this.#run = next;
    else if (run === undefined) this.#run = first = new Run(undefined, chunk);
    else this.#run = run.next = new Run(run, chunk);
    this.bytes = size;
    return true;
  }

  /** Makes the run a part, because something else follows it. */
  #sealRun(): void {
    const run = this.#run;
    if (run === undefined) return;
    this.#run = undefined;
    this.#parts.push(run.joined);
    if (run.size > SHARED_COPY_LIMIT) (this.#unpaid ??= new UnpaidChunks()).add(run, run.size, run.size);
  }

  /** Ends the gathering in the current tail. */
  #sealTail(): void {
    const tail = this.#tail;
    if (tail === undefined) return;
    const used = this.#tailUsed;
    this.#tail = undefined;
    this.#tailUsed = 0;
    if (used > 0) this.#parts.push(used * 2 > tail.length ? tail.subarray(0, used) : tail.slice(0, used));
  }

  /**
   * Takes the oldest bytes, of which there must be some: those from `start` to `end` of the returned chunk.
   *
   * @param most The maximum number of bytes to take from one part.
   */
  take(most: number): Uint8Array {
    const parts = this.#parts;
    if (this.#run !== undefined && this.bytes <= most) return this.#takeRun(this.#run);
    this.#sealRun();
    if (parts.length === 0 && this.#tailUsed <= most) return this.#takeTail();
    this.#sealTail();
    const first = parts[0];
    this.start = this.#taken;
    if (first.length - this.#taken > most) {
      this.end = this.#taken += most;
      this.bytes -= most;
      this.#onTaken(most);
      return first;
    }
    this.#taken = 0;
    let size = first.length - this.start;
    let count = 1;
    while (count < parts.length && size + parts[count].length <= JOIN_LIMIT) size += parts[count++].length;
    this.bytes -= size;
    this.#onTaken(size);
    this.end = first.length;
    if (count === 1) return parts.shift()!;
    const joined = parts.splice(0, count);
    if (this.start > 0) joined[0] = first.subarray(this.start);
    this.start = 0;
    this.end = size;
    return joinBytes(joined);
  }

  #onTaken(size: number): void {
    if (this.#unpaid !== undefined) this.#unpaid.taken += size;
  }

  /** Takes the whole tail, in the usual case that all pending bytes were gathered in this turn. */
  #takeTail(): Uint8Array {
    const tail = this.#tail!;
    this.#onTaken(this.#tailUsed);
    this.start = 0;
    this.end = this.#tailUsed;
    this.#tail = undefined;
    this.#tailUsed = this.bytes = 0;
    return tail;
  }

  /** Takes the whole run. */
  #takeRun(run: Run): Uint8Array {
    const { joined } = run;
    this.#run = undefined;
    this.#takenRun = run;
    this.start = this.bytes = 0;
    this.end = joined.length;
    return joined;
  }

  /** Drops everything. */
  clear(): void {
    this.#parts = [];
    this.#tail = this.#run = this.#takenRun = undefined;
    this.#unpaid = undefined;
    this.#tailUsed = this.#taken = this.bytes = 0;
  }
}

/** The connection that a send queue belongs to. */
interface Sender {
  readonly isOpen: boolean;
  readonly protocol: Protocol;
  gather(work: () => void): void;
}

/**
 * The state of a send queue relative to its watermarks. The owner and the protocol are notified in a microtask, never inside a
 * call that sends: bytes that they send could otherwise end up in the middle of a frame or a chunk.
 */
export class Backpressure<C extends Sender> {
  /** Whether the high watermark was reached, and the low one not since then. */
  isFull = false;

  readonly #connection: C;
  readonly #owner: ConnectionOwner<C>;
  #toldFull = false; // the last state reported to the owner
  #hasDrained = false; // not yet reported to the protocol
  #isTelling = false;

  constructor(connection: C, owner: ConnectionOwner<C>) {
    this.#connection = connection;
    this.#owner = owner;
  }

  /** Called when the high watermark was reached. */
  fill(): void {
    this.isFull = true;
    this.#tellSoon();
  }

  /** Called when the low watermark was reached. */
  drain(): void {
    this.isFull = false;
    this.#hasDrained = true;
    this.#tellSoon();
  }

  #tellSoon(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    queueMicrotask(() => {
      this.#isTelling = false;
      if (this.#connection.isOpen) this.#tell();
    });
  }

  #tell(): void {
    const connection = this.#connection;
    if (this.isFull !== this.#toldFull) {
      this.#toldFull = this.isFull;
      if (this.isFull) this.#owner.onBufferFull(connection);
      else this.#owner.onBufferEmpty(connection);
    }
    if (!this.#hasDrained || this.isFull || !connection.isOpen) return;
    this.#hasDrained = false;
    connection.gather(() => connection.protocol.onDrain?.());
  }
}

/** Those who wait until little output is pending. */
export class OutputWaiters {
  #waiters: { readonly atMost: number; readonly resolve: (taken: boolean) => void }[] = [];

  /** See `Connection.whenTaken()`. */
  wait(atMost: number): Promise<boolean> {
    return new Promise((resolve) => this.#waiters.push({ atMost, resolve }));
  }

  /** Tells those who have waited for this. Returns whether nobody waits any longer. */
  tell(pending: number): boolean {
    const waiters = this.#waiters;
    this.#waiters = waiters.filter(({ atMost }) => atMost < pending);
    if (this.#waiters.length < waiters.length) {
      for (const { atMost, resolve } of waiters) {
        if (atMost >= pending) resolve(true);
      }
    }
    return this.#waiters.length === 0;
  }

  /** Tells everybody that the connection is gone. */
  giveUp(): void {
    for (const { resolve } of this.#waiters.splice(0)) resolve(false);
  }
}

/** The overhead of a chunk in bytes. */
const CHUNK_COST = 64;

/** Held chunks, in order of arrival. */
export class HeldChunks {
  /** The memory that they use, in bytes. */
  bytes = 0;
  /** Whether they are to be passed on in this turn. */
  isReleasing = false;

  #chunks: Uint8Array[] = [];

  /** Adds a copy of a chunk. */
  push(chunk: Uint8Array): void {
    this.#chunks.push(sliceBytes(chunk, 0, chunk.length));
    this.bytes += chunk.length + CHUNK_COST;
  }

  /**
   * Passes the chunks on, until the program holds the connection again.
   *
   * @param receive Receives a chunk. Returns whether it accepts more.
   * @returns Whether none is left, and more is accepted.
   */
  release(receive: (chunk: Uint8Array) => boolean): boolean {
    while (this.#chunks.length > 0 && this.isReleasing) {
      const chunk = this.#chunks.shift()!;
      this.bytes -= chunk.length + CHUNK_COST;
      if (!receive(chunk)) return false;
    }
    return this.isReleasing;
  }
}
