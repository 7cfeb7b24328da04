/**
 * The streams of the kept topics that a server has subscribed to. They ask the broker together, and not more often than needed, and
 * find the positions where subscribers begin.
 *
 * @module
 */

import { nextTurn } from "../transport/current_runtime.ts";
import { BrokerError, type BrokerNode, type BrokerOptions, type KeptMessage, type TopicPosition } from "./broker.ts";
import { costOf, type RingEntry, RingMemory } from "./history_ring.ts";
import { type GapReason, KeptStream, type StreamEvents } from "./kept_stream.ts";
import { Window } from "./window.ts";

/** The clock of a broker: a test moves it. */
export interface BrokerClock {
  /** Returns the time, in milliseconds. */
  now(): number;
  /** Calls a function later. Returns a function that prevents it. */
  after(milliseconds: number, work: () => void): () => void;
}

/** The clock of the system. Its timers do not keep the process alive. */
export const systemClock: BrokerClock = {
  now: () => performance.now(),
  after(milliseconds, work) {
    const timer = setTimeout(work, milliseconds);
    (timer as unknown as { unref?(): void }).unref?.();
    return () => clearTimeout(timer);
  },
};

/** The number of topics whose position is asked for at once, and in one turn. */
const BATCH = 128;

/** The number of topics whose history is read at the same time. */
const READERS = 64;

/** The number of messages that are read at once. */
const PAGE = 1000;

/** The time after which something is asked again that the broker did not reply, in milliseconds. */
const RETRY = 500;

/** The time that a subscriber waits for the broker, in milliseconds. */
const PATIENCE = 5000;

/** The events of a stream, apart from its questions. */
export type StreamHost = Pick<StreamEvents, "frame" | "deliver" | "gap">;

/** Where a subscription begins. */
export interface Beginning extends TopicPosition {
  /** Why it does not begin where it was asked to. */
  readonly gap?: GapReason;
}

/** Counters of kept topics. */
export interface KeptCounters {
  /** How often the history of a topic was read. */
  historyReads: number;
  /** Subscriptions that went on where they were asked to. */
  recovered: number;
  /** Gaps of topics and, for `slow`, of WebSockets, by reason. */
  readonly gaps: Record<GapReason, number>;
}

/** The streams of one server. */
export class KeptTopics implements StreamEvents {
  readonly counters: KeptCounters = { historyReads: 0, recovered: 0, gaps: { "too old": 0, epoch: 0, limit: 0, slow: 0 } };

  readonly #node: BrokerNode;
  readonly #clock: BrokerClock;
  readonly #host: StreamHost;
  readonly #memory: RingMemory;
  readonly #streams: Map<string, KeptStream> = new Map();
  readonly #toAsk: Set<KeptStream> = new Set();
  #isAsking = false;
  readonly #toRead: Window<[stream: KeptStream, since: number]> = new Window();
  #reading = 0;
  readonly #failed: Set<KeptStream> = new Set();
  readonly #waiters: Map<KeptStream, Set<() => void>> = new Map();
  readonly #backfills: Map<KeptStream, Promise<void>> = new Map();
  readonly #idleCheck: number; // milliseconds
  #cancelIdleCheck: (() => void) | undefined;
  #cancelRetry: (() => void) | undefined;

  constructor(node: BrokerNode, { memory, idleCheck }: Required<BrokerOptions>, clock: BrokerClock, host: StreamHost) {
    this.#node = node;
    this.#clock = clock;
    this.#host = host;
    this.#memory = new RingMemory(memory);
    this.#idleCheck = idleCheck * 1000;
  }

  /** Returns the stream of a topic, if the server has subscribed to it. */
  get(topic: string): KeptStream | undefined {
    return this.#streams.get(topic);
  }

  /** Makes the stream of a topic. Its position is asked for when the subscription is effective: `resync()`. */
  open(topic: string, size: number): KeptStream {
    const stream = new KeptStream(topic, size, this.#memory, this);
    this.#streams.set(topic, stream);
    if (this.#streams.size === 1) this.#scheduleIdleCheck();
    return stream;
  }

  /** Gives up the stream of a topic. */
  release(topic: string): void {
    const stream = this.#streams.get(topic);
    if (stream === undefined) return;
    stream.close();
    this.#streams.delete(topic);
    this.#toAsk.delete(stream);
    this.#failed.delete(stream);
    this.#wake(stream);
    if (this.#streams.size === 0) this.#cancelIdleCheck?.();
  }

  /** Gives up everything. */
  close(): void {
    for (const topic of [...this.#streams.keys()]) this.release(topic);
    this.#cancelRetry?.();
  }

  #isOpen(stream: KeptStream): boolean {
    return this.#streams.get(stream.topic) === stream;
  }

  // ---- questions of streams -----------------------------------------------------------------------------------------

  frame(stream: KeptStream, entry: KeptMessage): RingEntry | undefined {
    return this.#host.frame(stream, entry);
  }

  deliver(stream: KeptStream, entry: RingEntry, message: KeptMessage): void {
    this.#host.deliver(stream, entry, message);
  }

  gap(stream: KeptStream, reason: GapReason): void {
    this.counters.gaps[reason]++;
    this.#host.gap(stream, reason);
  }

  onSettled(stream: KeptStream): void {
    this.#wake(stream);
  }

  #wake(stream: KeptStream): void {
    const waiters = this.#waiters.get(stream);
    this.#waiters.delete(stream);
    for (const wake of waiters ?? []) wake();
  }

  askPosition(stream: KeptStream): void {
    this.#toAsk.add(stream);
    if (this.#isAsking) return;
    this.#isAsking = true;
    queueMicrotask(() => this.#askPositions());
  }

  /** Asks for the positions of all, one batch after the other, so that many do not hold up the program. */
  async #askPositions(): Promise<void> {
    while (this.#toAsk.size > 0) {
      const batch: KeptStream[] = [];
      for (const stream of this.#toAsk) {
        if (batch.push(stream) === BATCH) break;
      }
      for (const stream of batch) this.#toAsk.delete(stream);
      try {
        const positions = await this.#node.positions(batch.map(({ topic }) => topic));
        for (const [index, stream] of batch.entries()) {
          const position = positions[index];
          if (position === undefined) this.#onFailed(stream);
          else if (this.#isOpen(stream)) stream.onPosition(position);
        }
      } catch {
        for (const stream of batch) this.#onFailed(stream);
      }
      if (this.#toAsk.size > 0) await new Promise<void>(nextTurn);
    }
    this.#isAsking = false;
  }

  askHistory(stream: KeptStream, since: number): void {
    this.#toRead.push([stream, since]);
    this.#readNext();
  }

  #readNext(): void {
    while (this.#reading < READERS && this.#toRead.size > 0) {
      const [stream, since] = this.#toRead.shift();
      if (!this.#isOpen(stream)) continue;
      this.#reading++;
      this.counters.historyReads++;
      this.#node.read(stream.topic, since, PAGE).then((history) => {
        this.#reading--;
        if (this.#isOpen(stream)) stream.onHistory(history);
      }, () => {
        this.#reading--;
        this.#onFailed(stream);
      }).then(() => this.#readNext());
    }
  }

  /** Asks again in a while. When the broker is back, it also says `subscribed()`. */
  #onFailed(stream: KeptStream): void {
    if (!this.#isOpen(stream)) return;
    stream.onFailed();
    this.#failed.add(stream);
    this.#cancelRetry ??= this.#clock.after(RETRY, () => {
      this.#cancelRetry = undefined;
      const failed = [...this.#failed];
      this.#failed.clear();
      for (const stream of failed) {
        if (this.#node.isUp) stream.resync();
        else this.#onFailed(stream);
      }
    });
  }

  /** Checks topics again of which subscriptions are effective. */
  resync(topics: readonly string[]): void {
    for (const topic of topics) {
      const stream = this.#streams.get(topic);
      if (stream === undefined) continue;
      this.#failed.delete(stream);
      stream.resync();
    }
  }

  /** Asks now and then for the positions of topics without messages: the last one may have been lost. */
  #scheduleIdleCheck(): void {
    if (this.#idleCheck === 0) return;
    this.#cancelIdleCheck = this.#clock.after(this.#idleCheck * (0.8 + 0.4 * Math.random()), () => {
      for (const stream of this.#streams.values()) {
        if (stream.isSettled && !stream.isActive && this.#node.isUp) stream.resync();
        stream.isActive = false;
      }
      this.#scheduleIdleCheck();
    });
  }

  // ---- where subscribers begin --------------------------------------------------------------------------------------

  /**
   * Finds the position where a subscription begins.
   *
   * @param since The position that the subscriber has seen; without one it begins now.
   * @throws {BrokerError} If the broker does not reply in time.
   */
  async begin(stream: KeptStream, since: TopicPosition | undefined): Promise<Beginning> {
    const deadline = this.#clock.now() + PATIENCE;
    const { asked } = stream;
    await this.#whenSettled(stream, deadline);
    if (since === undefined) return stream.position;
    while (true) {
      const recovery = stream.recovery(since);
      if (recovery === "here") {
        this.counters.recovered++;
        return since;
      }
      if (recovery === "history") await this.#backfill(stream);
      else if (recovery === "ahead" && stream.asked === asked) {
        stream.resync(); // what this server has not seen yet exists, or the broker has lost it
      } else {
        const gap = recovery === "ahead" ? "epoch" : recovery;
        this.counters.gaps[gap]++;
        return { ...stream.position, gap };
      }
      await this.#whenSettled(stream, deadline);
    }
  }

  /** Resolves when the position of a stream is known; rejects when the stream was given up. */
  async #whenSettled(stream: KeptStream, deadline: number): Promise<void> {
    while (!stream.isSettled || !this.#isOpen(stream)) {
      const remaining = deadline - this.#clock.now();
      if (remaining <= 0 || !this.#isOpen(stream)) {
        throw new BrokerError("BROKER_DOWN", "The broker does not say where the topic is");
      }
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(remaining, resolve);
        let waiters = this.#waiters.get(stream);
        if (waiters === undefined) this.#waiters.set(stream, waiters = new Set());
        waiters.add(() => {
          cancel();
          resolve();
        });
      });
    }
  }

  /** Reads what the broker has kept from the time before this server had the stream: once, however many ask for it. */
  #backfill(stream: KeptStream): Promise<void> {
    let backfill = this.#backfills.get(stream);
    if (backfill === undefined) {
      backfill = this.#readBack(stream).finally(() => this.#backfills.delete(stream));
      this.#backfills.set(stream, backfill);
    }
    return backfill;
  }

  async #readBack(stream: KeptStream): Promise<void> {
    const memory = this.#memory;
    const entries = new Window<RingEntry>();
    let bytes = 0;
    const shift = () => {
      const entry = entries.shift();
      bytes -= costOf(entry);
      memory.reading -= costOf(entry);
      return entry.offset;
    };
    try {
      let base: number | undefined;
      let isCut = false;
      let since = 0;
      while (since < stream.ring.base) {
        this.counters.historyReads++;
        const history = await this.#node.read(stream.topic, since, PAGE);
        if (!this.#isOpen(stream)) return;
        if (history.epoch !== stream.epoch || history.offset < stream.ring.base) return stream.resync(); // it has begun anew
        base ??= history.base;
        if (history.base > since && entries.size > 0) { // meanwhile, the oldest have gone
          while (entries.size > 0) shift();
          base = history.base;
        }
        for (const entry of history.entries) {
          const framed = this.#host.frame(stream, entry);
          if (framed === undefined) continue;
          entries.push(framed);
          bytes += costOf(framed);
          memory.reading += costOf(framed);
        }
        for (; memory.reading > memory.limit && entries.size > 0; isCut = true) base = shift();
        since = history.entries.at(-1)?.offset ?? history.offset;
      }
      stream.ring.prepend(base ?? stream.ring.base, entries.slice(0, entries.size), isCut);
    } finally {
      memory.reading -= bytes;
    }
  }
}
