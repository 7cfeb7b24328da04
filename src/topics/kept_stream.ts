/**
 * The stream of a kept topic as one server sees it: its position, and the messages that it has missed. The position is that of the
 * server, not of each of its connections: a gap costs one read of the history, however many have subscribed.
 *
 * This is computation: no timer, no promise. What the broker sends comes in by `onLive()`, what it replies by `onPosition()` and
 * `onHistory()`.
 *
 * @module
 */

import type { KeptMessage, TopicHistory, TopicPosition } from "./broker.ts";
import { HistoryRing, type RingEntry, type RingMemory } from "./history_ring.ts";

/**
 * Why subscribers of a kept topic have missed messages: they are not kept any more (`"too old"`), the stream has begun anew, because
 * the broker may have lost messages (`"epoch"`), the server had no memory for them (`"limit"`), or the WebSocket reads too slowly
 * (`"slow"`).
 */
export type GapReason = "too old" | "epoch" | "limit" | "slow";

/** What a stream needs. */
export interface StreamEvents {
  /** Frames a message; `undefined` if that failed, so that it is left out. */
  frame(stream: KeptStream, entry: KeptMessage): RingEntry | undefined;
  /** Delivers a message to those that have had all before it. */
  deliver(stream: KeptStream, entry: RingEntry, message: KeptMessage): void;
  /** Called when messages are missing for all subscribers: they go on at the position of the stream. */
  gap(stream: KeptStream, reason: GapReason): void;
  /** Asks the broker for the position of the topic. */
  askPosition(stream: KeptStream): void;
  /** Asks the broker for the messages after an offset. */
  askHistory(stream: KeptStream, since: number): void;
  /** Called when the position is known, or known again. */
  onSettled(stream: KeptStream): void;
}

/** The number of messages that wait at most while something is read, and their bytes. */
const WAITING_LIMIT = 1024;
const WAITING_BYTES = 1024 * 1024;

/** A message that arrived while something was read. */
interface WaitingMessage {
  readonly epoch: string;
  readonly entry: KeptMessage;
  readonly previous: number;
}

/** Where a subscriber can go on. */
export type Recovery =
  /** All that it has missed is in the ring. */
  | "here"
  /** It is in the history of the broker, perhaps. */
  | "history"
  /** This server has not seen as much as the subscriber. */
  | "ahead"
  | GapReason;

/** The stream of one kept topic. */
export class KeptStream {
  /** The topic. */
  readonly topic: string;
  /** The last messages. */
  readonly ring: HistoryRing;
  /** The epoch; empty until it is known. */
  epoch = "";
  /** The offset of the last message that was delivered. */
  offset = 0;
  /** How often the broker was asked for the position. */
  asked = 0;
  /** Whether a message has arrived since the last idle check. */
  isActive = false;

  readonly #events: StreamEvents;
  readonly #memory: RingMemory;
  #isSettled = false; // messages that arrive are delivered at once
  #isAsking = false; // the broker was asked
  #again = false; // the reply that is awaited is not enough
  #waiting: WaitingMessage[] = [];
  #waitingBytes = 0;

  /** @param size The number of messages that the broker keeps. */
  constructor(topic: string, size: number, memory: RingMemory, events: StreamEvents) {
    this.topic = topic;
    this.ring = new HistoryRing(memory, size);
    this.#memory = memory;
    this.#events = events;
  }

  /** Whether the position is known, and messages are delivered as they arrive. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** The position. */
  get position(): TopicPosition {
    return { offset: this.offset, epoch: this.epoch };
  }

  /** Finds out what was missed. Called when the subscription is effective, after a gap, and now and then: silence proves nothing. */
  resync(): void {
    this.#isSettled = false;
    if (this.#isAsking) this.#again = true;
    else this.#ask();
  }

  #ask(): void {
    this.asked++;
    this.#isAsking = true;
    this.#again = false;
    this.#events.askPosition(this);
  }

  /** Takes a message that the broker has sent. */
  onLive(epoch: string, entry: KeptMessage, previous: number = entry.offset - 1): void {
    this.isActive = true;
    if (!this.#isSettled) return this.#wait({ epoch, entry, previous });
    if (epoch !== this.epoch) {
      this.#moveTo({ epoch, offset: previous });
      this.#events.gap(this, "epoch");
      return this.onLive(epoch, entry, previous);
    }
    if (entry.offset <= this.offset) return; // twice
    if (previous === this.offset) return this.#deliver(entry);
    this.#wait({ epoch, entry, previous });
    this.#isSettled = false;
    this.#isAsking = true;
    this.#events.askHistory(this, this.offset);
  }

  #wait(message: WaitingMessage): void {
    this.#waiting.push(message);
    const { length } = message.entry.message.payload;
    this.#waitingBytes += length;
    this.#memory.waiting += length;
    const isFull = this.#waiting.length > WAITING_LIMIT || this.#waitingBytes > WAITING_BYTES;
    if (!isFull && this.#memory.waiting <= this.#memory.limit) return;
    this.#dropWaiting(); // they are read again
    this.#again = true;
  }

  #dropWaiting(): WaitingMessage[] {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#memory.waiting -= this.#waitingBytes;
    this.#waitingBytes = 0;
    return waiting;
  }

  /** Gives up what is held. The stream is used no more. */
  close(): void {
    this.ring.clear(this.offset);
    this.#dropWaiting();
  }

  #deliver(message: KeptMessage): void {
    this.offset = message.offset; // first: what is called below may ask for it
    const entry = this.#events.frame(this, message);
    if (entry === undefined) return;
    this.ring.push(entry);
    this.#events.deliver(this, entry, message);
  }

  /** Takes the position that the broker replied. */
  onPosition(position: TopicPosition): void {
    this.#isAsking = false;
    if (this.epoch === "") this.#moveTo(position);
    else if (this.#hasBegunAnew(position)) return this.#reset(position, "epoch");
    else if (position.offset > this.offset) {
      this.#isAsking = true;
      return this.#events.askHistory(this, this.offset);
    }
    this.#settle();
  }

  /** Takes the messages that the broker replied. */
  onHistory(history: TopicHistory): void {
    const { entries, base } = history;
    if (this.#hasBegunAnew(history)) return this.#reset(history, "epoch");
    if (base > this.offset) return this.#reset(history, "too old");
    for (const entry of entries) if (entry.offset > this.offset) this.#deliver(entry);
    if (this.offset < history.offset && entries.length > 0) return this.#events.askHistory(this, this.offset);
    this.#isAsking = false;
    this.#settle();
  }

  /** Notes that the broker did not reply. What arrives waits for the next `resync()`. */
  onFailed(): void {
    this.#isAsking = false;
  }

  #hasBegunAnew({ epoch, offset }: TopicPosition): boolean {
    return epoch !== this.epoch || offset < this.offset;
  }

  #reset(position: TopicPosition, reason: GapReason): void {
    this.#moveTo(position);
    this.#events.gap(this, reason);
    this.#isAsking = false;
    this.#settle();
  }

  #moveTo({ epoch, offset }: TopicPosition): void {
    this.epoch = epoch;
    this.offset = offset;
    this.ring.clear(offset);
  }

  /** Delivers what arrived meanwhile, if nothing is missing. */
  #settle(): void {
    while (this.#waiting.length > 0) { // delivering may make more arrive
      for (const { epoch, entry, previous } of this.#dropWaiting()) {
        if (epoch !== this.epoch) this.#again = true; // one of the two is old: the broker says which
        else if (entry.offset > this.offset) {
          if (previous === this.offset) this.#deliver(entry);
          else this.#again = true;
        }
      }
    }
    if (this.#again) return this.#ask();
    this.#isSettled = true;
    this.#events.onSettled(this);
  }

  /** Says where a subscriber can go on that has had all messages up to a position. Only while the stream is settled. */
  recovery({ epoch, offset }: TopicPosition): Recovery {
    if (epoch !== this.epoch) return "epoch";
    if (offset > this.offset) return "ahead";
    if (offset >= this.ring.base) return "here";
    if (!this.ring.isComplete) return "history";
    return this.ring.isCut ? "limit" : "too old";
  }
}
