/**
 * The broker for servers of one program: it has no connections, and keeps messages in memory. If the program has workers, the one of
 * the master is used by all of them, see `src/cluster/broker_hub.ts`.
 *
 * @module
 */

import type {
  Appended,
  Broker,
  BrokerHost,
  BrokerMessage,
  BrokerNode,
  BrokerOptions,
  BrokerState,
  KeptMessage,
  TopicHistory,
  TopicPosition,
} from "../broker.ts";
import { type BrokerClock, systemClock } from "../kept_topics.ts";
import { Window } from "../window.ts";
import { keptOptionsOf, readBrokerOptions } from "./broker_options.ts";

/** The options of `memoryBroker()`. */
export interface MemoryBrokerOptions extends BrokerOptions {
  /** How long the id of an appended message is remembered, in seconds. Default: 120. */
  readonly dedupeWindow?: number;
  /** The bytes of all messages that are kept, for which topics give up their oldest. Default: 256 MiB. */
  readonly keptMemory?: number;
  /** The time within which the master has to reply to a worker, in seconds; 0 for no limit. Default: 5. */
  readonly timeout?: number;
}

type OwnOptions = Required<Omit<MemoryBrokerOptions, keyof BrokerOptions>>;

/**
 * Makes a broker for the servers of one program: with it, topics can be kept. It may be given to several servers, which then share
 * their topics. With workers and `SWOOLE_PROCESS`, all of them share what the master keeps.
 *
 * @param options Which topics are kept.
 * @throws {TypeError} If an option is unknown, or has the wrong type.
 * @throws {RangeError} If an option is out of range.
 *
 * @example A room that sends the last 100 messages to clients that missed them
 * ```ts
 * import { memoryBroker, WebSocketServer } from "@sluice/server";
 *
 * const server = new WebSocketServer("127.0.0.1", 0);
 * server.set({
 *   broker: memoryBroker({ kept: { "room/*": { size: 100, ttl: 600 } } }),
 *   topic_envelope: (text, { offset, epoch }) => JSON.stringify({ text, offset, epoch }),
 * });
 * server.on("open", async (server, request) => {
 *   const { offset, epoch } = request.get; // that of the last message that the client has seen
 *   const since = typeof epoch === "string" ? { offset: Number(offset), epoch } : undefined;
 *   const begun = await server.subscribe(request.fd, "room/tea", { since });
 *   server.push(request.fd, JSON.stringify(begun));
 * });
 * server.on("message", (server, frame) => void server.publish("room/tea", frame));
 * await server.start();
 * server.shutdown();
 * ```
 */
export function memoryBroker(options: MemoryBrokerOptions = {}): Broker {
  return new MemoryBroker(
    readBrokerOptions<OwnOptions>(options, { dedupeWindow: 120, keptMemory: 256 * 1024 * 1024, timeout: 5 }, {
      dedupeWindow: "seconds",
      keptMemory: "bytes",
      timeout: "seconds",
    }),
  );
}

/** A kept topic. */
class KeptTopic {
  readonly epoch: string = crypto.randomUUID();
  offset = 0;
  /** When the last message was appended, in milliseconds. */
  appended = 0;
  readonly entries: Window<KeptMessage> = new Window();
  readonly size: number;
  readonly ttl: number; // milliseconds
  /** The topics with messages and the same time; the one that has got a message last comes last. */
  readonly peers: Set<KeptTopic>;
  bytes = 0;

  constructor({ size, ttl }: { size: number; ttl: number }, peers: Set<KeptTopic>) {
    this.size = size;
    this.ttl = ttl * 1000;
    this.peers = peers;
  }

  /** Reports whether its messages are too old. */
  isExpired(now: number): boolean {
    return now - this.appended > this.ttl;
  }

  /** Gives up the oldest message. Returns its bytes. */
  shift(): number {
    const bytes = costOf(this.entries.shift().message);
    this.bytes -= bytes;
    return bytes;
  }
}

function costOf({ payload }: BrokerMessage): number {
  return payload.length + 256;
}

/** Returns the key of an id. Both texts may have any characters. */
function keyOf(topic: string, id: string): string {
  return `${topic.length}:${topic}${id}`;
}

/** How many ids are remembered at most, and how many topics are known. */
const IDS = 100_000;
const TOPICS = 100_000;

/** The time after which to look again for messages that are too old, in milliseconds. */
const SWEEP_INTERVAL = 1000;

/** The broker. */
export class MemoryBroker implements Broker {
  readonly isLocal = true;
  readonly options: Required<BrokerOptions> & OwnOptions;
  /** The servers. */
  readonly nodes: Set<MemoryNode> = new Set();

  readonly #clock: BrokerClock;
  readonly #topics: Map<string, KeptTopic> = new Map(); // the one that has got a message last comes last
  readonly #ids: Map<string, TopicPosition & { until: number }> = new Map();
  readonly #filled: Map<number, Set<KeptTopic>> = new Map(); // topics with messages, by their time
  #bytes = 0;
  #sweepAt = 0;
  #queue: (() => void)[] | undefined; // what is to be delivered, while something is

  constructor(options: Required<BrokerOptions> & OwnOptions, clock: BrokerClock = systemClock) {
    this.options = options;
    this.#clock = clock;
  }

  get timeout(): number {
    return this.options.timeout;
  }

  /** The bytes of all messages that are kept, as they are counted. */
  get keptBytes(): number {
    return this.#bytes;
  }

  attach(host: BrokerHost): BrokerNode {
    const node = new MemoryNode(this, host);
    this.nodes.add(node);
    return node;
  }

  /** Calls all servers, in the order in which messages came: a handler that publishes does not overtake itself. */
  deliver(work: () => void): void {
    if (this.#queue !== undefined) return void this.#queue.push(work);
    const queue = this.#queue = [work];
    try {
      for (const next of queue) next();
    } finally {
      this.#queue = undefined;
    }
  }

  append(topic: string, message: BrokerMessage, id: string): Appended {
    const now = this.#clock.now();
    const known = id === "" ? undefined : this.#idOf(topic, id, now);
    if (known !== undefined) return { offset: known.offset, epoch: known.epoch, isRepeated: true };
    const kept = this.topic(topic);
    const entry = { offset: ++kept.offset, message };
    kept.appended = now;
    kept.entries.push(entry);
    kept.bytes += costOf(message);
    this.#bytes += costOf(message);
    if (kept.entries.size > kept.size) this.#bytes -= kept.shift();
    this.#topics.delete(topic);
    this.#topics.set(topic, kept);
    kept.peers.delete(kept);
    kept.peers.add(kept);
    this.#sweep(now);
    this.#makeRoom();
    const position = { offset: kept.offset, epoch: kept.epoch };
    if (id !== "") this.#remember(keyOf(topic, id), { ...position, until: now + this.options.dedupeWindow * 1000 });
    this.deliver(() => {
      for (const node of this.nodes) node.deliverKept(topic, kept.epoch, entry);
    });
    return { ...position, isRepeated: false };
  }

  #idOf(topic: string, id: string, now: number): TopicPosition | undefined {
    for (const [key, { until }] of this.#ids) { // oldest first
      if (until > now) break;
      this.#ids.delete(key);
    }
    return this.#ids.get(keyOf(topic, id));
  }

  #remember(key: string, position: TopicPosition & { until: number }): void {
    if (this.#ids.size >= IDS) {
      const [oldest] = this.#ids.keys();
      this.#ids.delete(oldest);
    }
    this.#ids.set(key, position);
  }

  /** Gives up the messages that are too old, now and then: of many topics, nobody asks again. */
  #sweep(now: number): void {
    if (now < this.#sweepAt) return;
    this.#sweepAt = now + SWEEP_INTERVAL;
    for (const topics of this.#filled.values()) {
      for (const kept of topics) {
        if (!kept.isExpired(now)) break;
        topics.delete(kept);
        this.#empty(kept);
      }
    }
  }

  #empty(kept: KeptTopic): void {
    while (kept.entries.size > 0) this.#bytes -= kept.shift();
  }

  /** Gives up the oldest messages of the topics that have been silent for the longest time. */
  #makeRoom(): void {
    for (const kept of this.#topics.values()) {
      while (this.#bytes > this.options.keptMemory && kept.entries.size > 0) this.#bytes -= kept.shift();
      if (this.#bytes <= this.options.keptMemory) return;
    }
  }

  /** Returns a kept topic, without messages that are too old. */
  topic(name: string): KeptTopic {
    let kept = this.#topics.get(name);
    if (kept === undefined) {
      const options = keptOptionsOf(this.options, name) ?? { size: 1, ttl: 1 };
      let peers = this.#filled.get(options.ttl);
      if (peers === undefined) this.#filled.set(options.ttl, peers = new Set());
      kept = new KeptTopic(options, peers);
      this.#topics.set(name, kept);
      if (this.#topics.size > TOPICS) this.#forgetOldest();
    } else if (kept.isExpired(this.#clock.now())) this.#empty(kept);
    return kept;
  }

  /** Forgets the topic that has been silent for the longest time. Its next message begins a new epoch. */
  #forgetOldest(): void {
    const [[topic, kept]] = this.#topics;
    this.#bytes -= kept.bytes;
    this.#topics.delete(topic);
    kept.peers.delete(kept);
  }

  read(topic: string, since: number, limit: number): TopicHistory {
    const { offset, epoch, entries } = this.topic(topic);
    const first = offset - entries.size; // the offset before the oldest
    const base = Math.min(Math.max(since, first), offset);
    return { offset, epoch, base, entries: entries.slice(base - first, base - first + limit) };
  }
}

class MemoryNode implements BrokerNode {
  readonly isUp = true;
  readonly state: BrokerState = { lag: 0, reconnects: 0, malformed: 0 };

  readonly #broker: MemoryBroker;
  readonly #host: BrokerHost;
  readonly #topics: Set<string> = new Set();

  constructor(broker: MemoryBroker, host: BrokerHost) {
    this.#broker = broker;
    this.#host = host;
  }

  subscribe(topics: readonly string[]): void {
    for (const topic of topics) this.#topics.add(topic);
    this.#host.subscribed(topics);
  }

  unsubscribe(topics: readonly string[]): void {
    for (const topic of topics) this.#topics.delete(topic);
  }

  publish(topic: string, message: BrokerMessage): boolean {
    if (this.#broker.nodes.size === 1) return true;
    this.#broker.deliver(() => {
      for (const node of this.#broker.nodes) if (node !== this) node.deliver(topic, message);
    });
    return true;
  }

  /** Takes a message of another server. */
  deliver(topic: string, message: BrokerMessage): void {
    if (this.#topics.has(topic)) this.#host.deliver(topic, message);
  }

  /** Takes a message of a kept topic. */
  deliverKept(topic: string, epoch: string, entry: KeptMessage): void {
    if (this.#topics.has(topic)) this.#host.deliverKept(topic, epoch, entry);
  }

  append(topic: string, message: BrokerMessage, id: string): Promise<Appended> {
    return Promise.resolve(this.#broker.append(topic, message, id));
  }

  positions(topics: readonly string[]): Promise<TopicPosition[]> {
    return Promise.resolve(topics.map((topic) => {
      const { offset, epoch } = this.#broker.topic(topic);
      return { offset, epoch };
    }));
  }

  read(topic: string, since: number, limit: number): Promise<TopicHistory> {
    return Promise.resolve(this.#broker.read(topic, since, limit));
  }

  close(): Promise<void> {
    this.#broker.nodes.delete(this);
    this.#topics.clear();
    return Promise.resolve();
  }
}
