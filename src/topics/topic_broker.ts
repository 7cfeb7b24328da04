/**
 * The part of a server between its topics and its broker: it subscribes once to each topic, however many connections do, sends
 * published messages out, and takes those of other servers.
 *
 * @module
 */

import {
  SWOOLE_WEBSOCKET_FLAG_COMPRESS,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  WEBSOCKET_OPCODE_BINARY,
  WEBSOCKET_OPCODE_TEXT,
} from "../constants.ts";
import { utf8Decoder, utf8Encoder } from "../values.ts";
import type { Outgoing } from "../websocket/outgoing.ts";
import { prepareFrame, type Pushable, readPushed } from "../websocket/prepared_message.ts";
import {
  type Appended,
  type Broker,
  BrokerError,
  type BrokerErrorCode,
  type BrokerHost,
  BrokerMessage,
  type BrokerNode,
  type KeptMessage,
  type KeptOptions,
} from "./broker.ts";
import { keptOptionsOf } from "./brokers/broker_options.ts";
import type { RingEntry } from "./history_ring.ts";
import type { GapReason, KeptStream } from "./kept_stream.ts";
import { type BrokerClock, KeptTopics, systemClock } from "./kept_topics.ts";
import type { Presence, PresenceBus } from "./presence.ts";
import type { TopicEnvelope } from "./topic_settings.ts";

/** The connections to leave out, if any. */
export type Excepted = ReadonlySet<number> | undefined;

/** What the broker needs of the topics of a server. */
export interface LocalTopics {
  /** Sends a message of a fleeting topic to its subscribers here. */
  deliver(topic: string, frame: Outgoing, except: Excepted): void;
  /** Sends a message of a kept topic to those of its subscribers here that have had all before it. */
  deliverEntry(stream: KeptStream, entry: RingEntry, except: Excepted): void;
  /** Tells the subscribers of a kept topic of a gap. */
  gap(stream: KeptStream, reason: GapReason): void;
  /** Takes an error of the program. */
  report(error: unknown): void;
  /** See `BrokerHost`. */
  warn(kind: string, text: string): void;
}

/** Counters of a broker. */
export interface BrokerCounters {
  /** Messages for other servers or for the history that were not taken, by reason. */
  readonly failed: Record<BrokerErrorCode, number>;
}

/** The topic in which servers say what their connections show. */
const PRESENCE = "\0sluice presence";

/** How many messages with exceptions may be under way. */
const EXCEPTIONS = 4096;

/** A topic that this server has subscribed to at the broker. */
interface Wanted {
  /** When the last subscriber has left, in milliseconds; 0 while there are any. */
  idleSince: number;
}

/** A server as a node of its broker. */
export class TopicBroker implements BrokerHost {
  readonly id: string = crypto.randomUUID().replaceAll("-", "").slice(0, 16);
  /** The streams of kept topics. */
  readonly kept: KeptTopics;
  /** What the broker does for this server. */
  readonly node: BrokerNode;
  readonly counters: BrokerCounters = {
    failed: { BROKER_DOWN: 0, BROKER_BUSY: 0, BROKER_UNKNOWN: 0, BROKER_REFUSED: 0 },
  };
  readonly clock: BrokerClock;

  readonly #broker: Broker;
  readonly #local: LocalTopics;
  readonly #envelope: TopicEnvelope | null;
  readonly #wanted: Map<string, Wanted> = new Map();
  readonly #excepted: Map<number, ReadonlySet<number>> = new Map(); // by the sequence of the message
  #toSubscribe: string[] = [];
  #cancelSweep: (() => void) | undefined = undefined;
  #presence: Presence | undefined = undefined;
  #sequence = 0;
  #isClosed = false;

  constructor(broker: Broker, local: LocalTopics, envelope: TopicEnvelope | null, clock: BrokerClock = systemClock) {
    this.#broker = broker;
    this.#local = local;
    this.#envelope = envelope;
    this.clock = clock;
    this.node = broker.attach(this);
    this.kept = new KeptTopics(this.node, broker.options, clock, {
      frame: (stream, entry) => this.#frame(stream, entry),
      deliver: (stream, entry, kept) => local.deliverEntry(stream, entry, this.#exceptedOf(kept)),
      gap: (stream, reason) => local.gap(stream, reason),
    });
  }

  /** Returns how a topic is kept; `undefined` for a fleeting one. */
  keptOptions(topic: string): Required<KeptOptions> | undefined {
    return keptOptionsOf(this.#broker.options, topic);
  }

  // ---- subscriptions ------------------------------------------------------------------------------------------------

  /** Notes that a topic has got its first subscriber here. Returns its stream, if it is kept. */
  onFirst(topic: string): KeptStream | undefined {
    const wanted = this.#wanted.get(topic);
    if (wanted !== undefined) {
      wanted.idleSince = 0;
      return this.kept.get(topic);
    }
    this.#wanted.set(topic, { idleSince: 0 });
    this.#toSubscribe.push(topic);
    if (this.#toSubscribe.length === 1) queueMicrotask(() => this.#subscribe());
    const options = this.keptOptions(topic);
    return options === undefined ? undefined : this.kept.open(topic, options.size);
  }

  /** Subscribes to all that has come together in this turn. */
  #subscribe(): void {
    const topics = this.#toSubscribe.filter((topic) => this.#wanted.has(topic));
    this.#toSubscribe = [];
    if (topics.length > 0 && !this.#isClosed) this.node.subscribe(topics);
  }

  /** Notes that a topic has lost its last subscriber here. It is given up a while later, if that is still so. */
  onLast(topic: string): void {
    const wanted = this.#wanted.get(topic);
    if (wanted === undefined) return;
    wanted.idleSince = this.clock.now() || 1;
    this.#scheduleSweep();
  }

  #scheduleSweep(): void {
    if (this.#isClosed) return;
    this.#cancelSweep ??= this.clock.after(this.#linger, () => {
      this.#cancelSweep = undefined;
      this.#sweep();
    });
  }

  get #linger(): number {
    return this.#broker.options.linger * 1000;
  }

  #sweep(): void {
    const due = this.clock.now() - this.#linger;
    const topics: string[] = [];
    let isIdle = false;
    for (const [topic, { idleSince }] of this.#wanted) {
      if (idleSince === 0) continue;
      if (idleSince <= due) topics.push(topic);
      else isIdle = true;
    }
    for (const topic of topics) {
      this.#wanted.delete(topic);
      this.kept.release(topic);
    }
    if (topics.length > 0) this.node.unsubscribe(topics);
    if (isIdle) this.#scheduleSweep();
  }

  // ---- out ----------------------------------------------------------------------------------------------------------

  /** Sends a message of a fleeting topic to the other servers. */
  publish(topic: string, frame: Outgoing): void {
    const isTaken = this.node.publish(topic, BrokerMessage["of"](frame, this.id, ++this.#sequence));
    if (!isTaken) this.counters.failed[this.node.isUp ? "BROKER_BUSY" : "BROKER_DOWN"]++;
  }

  /**
   * Appends a message to a kept topic.
   *
   * @param except The connections that are not sent it.
   */
  async append(topic: string, frame: Outgoing, except: Excepted, id: string): Promise<Appended> {
    const sequence = ++this.#sequence;
    const left = except === undefined ? undefined : new Set(except); // the program may use its own for something else meanwhile
    if (left !== undefined) {
      this.#excepted.set(sequence, left);
      const [oldest] = this.#excepted.keys();
      if (this.#excepted.size > EXCEPTIONS) this.#excepted.delete(oldest);
    }
    try {
      return await this.node.append(topic, BrokerMessage["of"](frame, this.id, sequence), id, left);
    } catch (error) {
      const failure = error instanceof BrokerError ? error : new BrokerError("BROKER_UNKNOWN", "The broker has failed", error);
      this.counters.failed[failure.code]++;
      if (failure.code !== "BROKER_UNKNOWN") this.#excepted.delete(sequence);
      throw failure;
    }
  }

  // ---- in -----------------------------------------------------------------------------------------------------------

  /**
   * Connects the presence of this server to that of the others.
   *
   * @param make Makes it, with the time for which others may be silent, in milliseconds.
   */
  startPresence(make: (bus: PresenceBus, lease: number) => Presence): Presence {
    const { node } = this;
    const say = (text: string) => {
      node.publish(
        PRESENCE,
        new BrokerMessage(WEBSOCKET_OPCODE_TEXT, utf8Encoder.encode(text), false, this.id, ++this.#sequence),
      );
    };
    const presence = this.#presence = make({
      get isUp() {
        return node.isUp;
      },
      say,
    }, this.#broker.options.lease * 1000);
    node.subscribe([PRESENCE]);
    return presence;
  }

  deliver(topic: string, message: BrokerMessage): void {
    if (topic === PRESENCE) return this.#presence?.onMessage(message.origin, utf8Decoder.decode(message.payload));
    if (message.origin !== this.id) this.#local.deliver(topic, message["frame"], undefined);
  }

  deliverKept(topic: string, epoch: string, entry: KeptMessage, previous?: number): void {
    this.kept.get(topic)?.onLive(epoch, entry, previous);
  }

  subscribed(topics: readonly string[]): void {
    this.kept.resync(topics);
    if (this.#presence !== undefined && topics.includes(PRESENCE)) this.#presence.onReady();
  }

  warn(kind: string, text: string): void {
    this.#local.warn(kind, text);
  }

  #exceptedOf({ message: { origin, sequence }, except }: KeptMessage): Excepted {
    if (origin !== this.id) return except;
    if (this.#excepted.size === 0) return undefined;
    const excepted = this.#excepted.get(sequence);
    this.#excepted.delete(sequence);
    return excepted;
  }

  /** Frames a message as subscribers are sent it. */
  #frame({ topic, epoch }: KeptStream, { offset, message }: KeptMessage): RingEntry | undefined {
    if (this.#envelope === null) return { offset, frame: message["frame"] };
    try {
      const { payload } = message;
      const content = message.opcode === WEBSOCKET_OPCODE_TEXT ? utf8Decoder.decode(payload) : payload.slice();
      return { offset, frame: this.#enveloped(this.#envelope(content, { topic, offset, epoch }), message.isCompressed) };
    } catch (error) {
      this.#local.report(error);
      return undefined;
    }
  }

  #enveloped(made: Pushable, isCompressed: boolean): Outgoing {
    const flags = SWOOLE_WEBSOCKET_FLAG_FIN | (isCompressed ? SWOOLE_WEBSOCKET_FLAG_COMPRESS : 0);
    const frame = readPushed(made, undefined, flags);
    const isData = frame?.opcode === WEBSOCKET_OPCODE_TEXT || frame?.opcode === WEBSOCKET_OPCODE_BINARY;
    if (frame === undefined || !isData || (frame.flags & SWOOLE_WEBSOCKET_FLAG_FIN) === 0) {
      throw new TypeError("Cannot send what topic_envelope returns: a whole text or binary message is needed");
    }
    return prepareFrame(frame);
  }

  /** Gives up everything. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelSweep?.();
    this.#presence?.close();
    this.kept.close();
    this.#wanted.clear();
    await this.node.close();
  }
}
