/**
 * The last messages of a kept topic that a server has seen, from which its subscribers recover without the broker.
 *
 * @module
 */

import type { Outgoing } from "../websocket/outgoing.ts";
import { Window } from "./window.ts";

/** A message as it is sent. */
export interface RingEntry {
  /** Its offset. */
  readonly offset: number;
  /** The message, framed. */
  readonly frame: Outgoing;
}

/** The bytes counted for each message, in addition to its payload. */
const ENTRY_COST = 256;

/** The memory that the rings of a server share. When it is full, the topic without messages for the longest time gives some up. */
export class RingMemory {
  /** The number of bytes that may be held. */
  readonly limit: number;
  /** The number of bytes held. */
  bytes = 0;
  /** The number of bytes that wait in streams while the broker is asked: as many may be held besides. */
  waiting = 0;
  /** The number of bytes that are read to be held: as many, too. */
  reading = 0;

  readonly #rings: Set<HistoryRing> = new Set(); // the one that has got a message last comes last

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Notes that a ring has got messages. */
  onGrown(ring: HistoryRing): void {
    this.#rings.delete(ring);
    this.#rings.add(ring);
    for (const oldest of this.#rings) {
      if (this.bytes <= this.limit) return;
      while (this.bytes > this.limit && oldest.size > 0) oldest.shed();
      if (oldest.size === 0) this.#rings.delete(oldest);
    }
  }

  /** Notes that a ring is empty. */
  onEmpty(ring: HistoryRing): void {
    this.#rings.delete(ring);
  }
}

/** The last messages of one topic, in order: all after `base`. */
export class HistoryRing {
  /** The offset of the last message before those that are held. */
  base = 0;
  /** Whether the broker has nothing more: it was asked for what it has before `base`. */
  isComplete = false;
  /** Whether messages were given up for want of memory. */
  isCut = false;

  readonly #memory: RingMemory;
  readonly #limit: number;
  #entries: Window<RingEntry> = new Window();

  /** @param limit The maximum number of messages. */
  constructor(memory: RingMemory, limit: number) {
    this.#memory = memory;
    this.#limit = limit;
  }

  /** The number of messages. */
  get size(): number {
    return this.#entries.size;
  }

  /** Adds the newest message. */
  push(entry: RingEntry): void {
    this.#entries.push(entry);
    this.#memory.bytes += costOf(entry);
    if (this.size > this.#limit) this.#dropOldest();
    this.#memory.onGrown(this);
  }

  /**
   * Adds older messages.
   *
   * @param base The offset of the last message before them.
   * @param entries The messages; those that are here already are ignored.
   * @param isCut Whether there were others before them, for which there was no memory.
   */
  prepend(base: number, entries: readonly RingEntry[], isCut: boolean = false): void {
    this.isComplete = true;
    this.isCut ||= isCut;
    const older = entries.filter(({ offset }) => offset <= this.base);
    if (base >= this.base) return;
    const excess = Math.max(0, older.length + this.size - this.#limit);
    this.base = excess === 0 ? base : older[Math.min(excess, older.length) - 1].offset;
    const added = older.slice(excess);
    for (const entry of added) this.#memory.bytes += costOf(entry);
    this.#entries.prepend(added);
    this.#memory.onGrown(this);
  }

  /** Returns the first message after an offset, if there is one. */
  after(offset: number): RingEntry | undefined {
    const entries = this.#entries;
    const first = entries.at(0);
    if (first === undefined) return undefined;
    const expected = offset + 1 >= first.offset ? entries.at(offset + 1 - first.offset) : first;
    if (expected?.offset === offset + 1) return expected; // most offsets are consecutive
    let low = 0;
    let high = entries.size;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (entries.at(middle)!.offset > offset) high = middle;
      else low = middle + 1;
    }
    return entries.at(low);
  }

  /** Gives up the oldest message for want of memory. */
  shed(): void {
    this.isCut = true;
    this.#dropOldest();
  }

  #dropOldest(): void {
    const entry = this.#entries.shift();
    this.base = entry.offset;
    this.#memory.bytes -= costOf(entry);
  }

  /** Gives up all messages. */
  clear(base: number): void {
    while (this.size > 0) this.#dropOldest();
    this.base = base;
    this.isComplete = false;
    this.isCut = false;
    this.#memory.onEmpty(this);
  }
}

/** Returns the number of bytes counted for a message. */
export function costOf({ frame }: RingEntry): number {
  return frame.end + ENTRY_COST;
}
