/**
 * Topics of one program: who has subscribed to which, and what is published.
 *
 * @module
 */

import { SWOOLE_WEBSOCKET_FLAG_FIN, WEBSOCKET_OPCODE_BINARY, WEBSOCKET_OPCODE_TEXT } from "../constants.ts";
import { SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_QUEUE_FULL } from "../errors.ts";
import type { Connection } from "../transport/connection.ts";
import { WebSocketSession } from "../websocket/connection/websocket_session.ts";
import type { Outgoing } from "../websocket/outgoing.ts";
import { prepareFrame, type Pushable, readPushed } from "../websocket/prepared_message.ts";
import { describe } from "../values.ts";
import { BrokerError, type TopicPosition } from "./broker.ts";
import { Delivery, HeldMessages } from "./delivery.ts";
import { Follower, type FollowerEvents } from "./following.ts";
import type { RingEntry } from "./history_ring.ts";
import type { GapReason, KeptStream } from "./kept_stream.ts";
import type { Beginning } from "./kept_topics.ts";
import { PublishRates } from "./publish_rates.ts";
import { type Excepted, type LocalTopics, TopicBroker } from "./topic_broker.ts";
import { isTopic, policyFor, type SlowReaderPolicy, type TopicSettings } from "./topic_settings.ts";

/** The options of `publish()` and `broadcast()`. */
export interface PublishOptions {
  /** The frame type. Default: binary for bytes, otherwise text. */
  readonly opcode?: number;
  /** A sum of `SWOOLE_WEBSOCKET_FLAG_*`. Default: FIN. With COMPRESS the message is compressed where that was negotiated. */
  readonly flags?: number;
  /** The connections that are left out: an fd, or a list or `Set` of fds. */
  readonly except?: number | Iterable<number>;
  /** The connection that the message comes from: it counts against `max_publish_rate`. */
  readonly from?: number;
}

/** What a subscription costs besides the name of its topic, in bytes. */
const SUBSCRIPTION_COST = 64;

/** A connection with subscriptions. */
class Subscriber {
  readonly fd: number;
  /** The WebSocket, once the handshake is complete. */
  session: WebSocketSession | undefined;
  /** The topics by name: `undefined` until the handshake is complete. */
  readonly topics: Map<string, Topic | undefined> = new Map();

  constructor(fd: number, session: WebSocketSession | undefined) {
    this.fd = fd;
    this.session = session;
  }

  /** Counts one subscription more or less as memory of the WebSocket, which is open. */
  hold({ length }: string, change: 1 | -1): void {
    const cost = SUBSCRIPTION_COST + length;
    this.session!.subscribedBytes += change * cost;
    this.session!.connection.grown += cost; // so that it is measured
  }
}

/** A topic with subscribers, all of which are open. */
class Topic {
  readonly name: string;
  readonly policy: SlowReaderPolicy;
  readonly members: Set<Subscriber> = new Set();
  /** The stream, if it is a kept topic. */
  readonly stream: KeptStream | undefined;
  /** Those of the members that have not had all messages of the stream yet. */
  readonly followers: Map<Subscriber, Follower> = new Map();

  constructor(name: string, policy: SlowReaderPolicy, stream: KeptStream | undefined) {
    this.name = name;
    this.policy = policy;
    this.stream = stream;
  }
}

/** What subscribers of a kept topic are told who have missed messages: the second argument of the event `topicGap`. */
export interface TopicGap extends TopicPosition {
  /** The topic. */
  readonly topic: string;
  /** The connections that are told. */
  readonly fds: readonly number[];
  /** Why. */
  readonly reason: GapReason;
}

/** What topics need of their server. */
export interface TopicsHost {
  /** Called when a reader has become slow, outside of all loops. */
  onSlowReader(session: WebSocketSession, topic: string, policy: SlowReaderPolicy, queuedBytes: number): void;
  /** Called when subscribers of a kept topic have missed messages. */
  onGap(gap: TopicGap): void;
  /** Called when messages were sent that this server has not just published. */
  onSent(opcode: number, count: number): void;
  /** Takes an error of the program. */
  report(error: unknown): void;
  /** Logs a warning, of each kind one a minute. */
  warn(kind: string, text: string): void;
}

/** The topics of all ports of a server. */
export class Topics implements FollowerEvents, LocalTopics {
  /** The number of published messages, broadcasts included. */
  publishCount = 0;
  /** The number of subscriptions. */
  subscriptionCount = 0;

  readonly slowReaders: Record<SlowReaderPolicy, number> = { close: 0, drop: 0, latest: 0, gap: 0 };
  readonly bufferLimit: number;
  /** Called when the number of subscribers of a topic has changed, if somebody wants to know. */
  onSubscribers: ((topic: string) => void) | undefined = undefined;
  /** What connects them to those of other servers, if there is a broker. */
  readonly broker: TopicBroker | undefined;

  /** How much each connection may publish. */
  readonly rates: PublishRates;

  readonly #settings: Required<TopicSettings>;
  readonly #host: TopicsHost;
  readonly #topics: Map<string, Topic> = new Map();
  readonly #subscribers: Map<number, Subscriber> = new Map();

  constructor(settings: Required<TopicSettings>, host: TopicsHost) {
    this.#settings = settings;
    this.#host = host;
    this.rates = new PublishRates(settings.max_publish_rate);
    this.bufferLimit = settings.topic_buffer_size || Infinity;
    this.broker = settings.broker ? new TopicBroker(settings.broker, this, settings.topic_envelope) : undefined;
  }

  /** The number of topics that have subscribers. */
  get size(): number {
    return this.#topics.size;
  }

  /** The number of connections that are kept: those with subscriptions, and those whose end is being handled. */
  get subscriberSize(): number {
    return this.#subscribers.size;
  }

  /** Reports whether a topic has subscribers. */
  has(topic: string): boolean {
    return this.#topics.has(topic);
  }

  /** Returns the number of subscribers of a topic. */
  subscriberCount(topic: string): number {
    return this.#topics.get(topic)?.members.size ?? 0;
  }

  /** Returns the topics that have subscribers. */
  names(): Iterable<string> {
    return this.#topics.keys();
  }

  /** Returns the topics of a connection, also while its end is being handled. */
  topicsOf(fd: number): string[] {
    const subscriber = this.#subscribers.get(fd);
    return subscriber === undefined ? [] : [...subscriber.topics.keys()];
  }

  // ---- subscriptions ------------------------------------------------------------------------------------------------

  /**
   * Subscribes a connection to a topic, if it has not subscribed yet.
   *
   * @param session The WebSocket; `undefined` during its handshake.
   * @returns 0, or the code for `getLastError()`.
   */
  subscribe(fd: number, session: WebSocketSession | undefined, name: string): number {
    let subscriber = this.#subscribers.get(fd);
    if (subscriber?.topics.has(name)) return 0;
    const topic = this.#topics.get(name);
    if (topic === undefined && !isTopic(name)) return SWOOLE_ERROR_INVALID_PARAMS;
    const count = subscriber?.topics.size ?? 0;
    if (count >= this.#settings.max_topics_per_connection) return SWOOLE_ERROR_QUEUE_FULL;
    if (subscriber === undefined) this.#subscribers.set(fd, subscriber = new Subscriber(fd, session));
    const own = topic?.name ?? copyOf(name);
    subscriber.topics.set(own, session === undefined ? undefined : this.#join(own, subscriber));
    return 0;
  }

  #join(name: string, subscriber: Subscriber): Topic {
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      const stream = this.broker?.onFirst(name);
      topic = new Topic(name, this.#policyOf(name, stream !== undefined), stream);
      this.#topics.set(name, topic);
    }
    topic.members.add(subscriber);
    this.subscriptionCount++;
    subscriber.hold(name, 1);
    this.onSubscribers?.(name);
    return topic;
  }

  /** Returns the policy for slow readers. Only kept topics have a history that can be read later. */
  #policyOf(name: string, isKept: boolean): SlowReaderPolicy {
    const policy = policyFor(this.#settings.topic_slow_readers, name);
    return policy === "gap" && !isKept ? "close" : policy;
  }

  /**
   * Finds out where the subscription of an open WebSocket begins, and begins it there. Nothing of the topic is sent before the
   * turn after that in which this resolves.
   *
   * @returns Nothing if it is not a kept topic; a `BrokerError` if the broker does not say, or the subscription has ended.
   */
  async beginAt(
    session: WebSocketSession,
    name: string,
    since: TopicPosition | undefined,
  ): Promise<Beginning | BrokerError | void> {
    const subscriber = this.#subscribers.get(session.connection.fd);
    const topic = this.#topics.get(name);
    if (subscriber === undefined || topic?.stream === undefined) return;
    topic.followers.get(subscriber)?.leave();
    const { stream, policy, followers } = topic;
    const { kept, clock } = this.broker!;
    const follower = new Follower(session, stream, policy, this, clock);
    followers.set(subscriber, follower);
    let beginning: Beginning;
    try {
      // Should the stream begin anew in between, this does, too.
      do beginning = since = await kept.begin(stream, since); while (beginning.epoch !== stream.epoch && !follower.isOver);
    } catch (error) {
      if (topic.followers.get(subscriber) === follower) this.unsubscribe(subscriber.fd, name);
      return error as BrokerError;
    }
    if (!topic.members.has(subscriber)) return new BrokerError("BROKER_DOWN", "The subscription has ended meanwhile");
    if (!follower.isOver) follower.beginAt(beginning.offset); // else another call has begun anew
    return beginning;
  }

  /** Ends a subscription. Returns whether there was one. */
  unsubscribe(fd: number, name: string): boolean {
    const subscriber = this.#subscribers.get(fd);
    if (subscriber === undefined || !subscriber.topics.has(name)) return false;
    const topic = subscriber.topics.get(name);
    subscriber.topics.delete(name);
    if (topic !== undefined) this.#part(topic, subscriber);
    if (subscriber.topics.size === 0) this.#subscribers.delete(fd);
    return true;
  }

  #part(topic: Topic, subscriber: Subscriber): void {
    topic.members.delete(subscriber);
    topic.followers.get(subscriber)?.leave();
    topic.followers.delete(subscriber);
    this.subscriptionCount--;
    subscriber.hold(topic.name, -1);
    if (topic.members.size === 0) {
      this.#topics.delete(topic.name);
      this.broker?.onLast(topic.name);
    }
    this.onSubscribers?.(topic.name);
    const held = subscriber.session?.held;
    if (held instanceof HeldMessages) held.drop(topic.name);
  }

  /** Makes the subscriptions from the time of the handshake effective. Called when the WebSocket is open. */
  open(session: WebSocketSession): void {
    const subscriber = this.#subscribers.get(session.connection.fd);
    if (subscriber === undefined) return;
    subscriber.session = session;
    for (const name of subscriber.topics.keys()) subscriber.topics.set(name, this.#join(name, subscriber));
  }

  /** Ends all subscriptions of a connection that has ended. `topicsOf()` still returns them, until `forget()`. */
  leave(fd: number): void {
    this.rates.forget(fd);
    const subscriber = this.#subscribers.get(fd);
    if (subscriber === undefined) return;
    if (subscriber.session === undefined) this.forget(fd); // it never got as far as that
    for (const topic of subscriber.topics.values()) if (topic !== undefined) this.#part(topic, subscriber);
  }

  /** Releases what is kept of a connection that has ended. */
  forget(fd: number): void {
    this.#subscribers.delete(fd);
  }

  // ---- publishing ---------------------------------------------------------------------------------------------------

  /**
   * Sends a message to the subscribers of a topic. Nothing of the program is called before it is on its way to all of them.
   *
   * @returns The number of WebSockets to which it was sent, or for which it waits. For a kept topic, those that will be sent it.
   */
  publish(name: string, message: Outgoing, except: Excepted): number {
    this.publishCount++;
    const { broker } = this;
    if (broker === undefined) return this.#deliver(name, message, except);
    const frame = message.prepared === undefined ? prepareFrame(message) : message;
    if (broker.keptOptions(name) !== undefined) {
      broker.append(name, frame, except, "").catch(() => {}); // it is counted
      return this.#countOf(name, except);
    }
    const count = this.#deliver(name, frame, except);
    broker.publish(name, frame);
    return count;
  }

  /** Reports whether a topic is kept. */
  keeps(name: string): boolean {
    return this.broker?.keptOptions(name) !== undefined;
  }

  /** Returns the number of subscribers without those that are left out. */
  #countOf(name: string, except: Excepted): number {
    const members = this.#topics.get(name)?.members;
    let count = members?.size ?? 0;
    for (const fd of except ?? []) {
      const subscriber = this.#subscribers.get(fd);
      if (subscriber !== undefined && members?.has(subscriber)) count--;
    }
    return count;
  }

  #deliver(name: string, message: Outgoing, except: Excepted): number {
    const topic = this.#topics.get(name);
    if (topic === undefined) return 0;
    const { members, policy } = topic;
    const delivery = new Delivery(this, topic.name, policy, message, members.size > 1);
    for (const { fd, session } of members) {
      if (except === undefined || !except.has(fd)) delivery.to(session!);
    }
    delivery.end();
    return delivery.count;
  }

  /** Sends a message to all WebSockets among some connections; see `publish()`. */
  broadcast(connections: Iterable<Connection>, message: Outgoing, except: Excepted): number {
    this.publishCount++;
    return this.deliverToAll(connections, message, except);
  }

  /** Sends a message that another process of this server has broadcast; see `broadcast()`. */
  deliverToAll(connections: Iterable<Connection>, message: Outgoing, except: Excepted): number {
    const policy = this.#policyOf("", false);
    const delivery = new Delivery(this, "", policy, message, true);
    for (const { fd, protocol } of connections) {
      if (protocol instanceof WebSocketSession && (except === undefined || !except.has(fd))) delivery.to(protocol);
    }
    delivery.end();
    return delivery.count;
  }

  // ---- what comes from the broker -----------------------------------------------------------------------------------

  deliver(name: string, frame: Outgoing, except: Excepted): void {
    this.#host.onSent(frame.opcode, this.#deliver(name, frame, except));
  }

  deliverEntry({ topic: name }: KeptStream, { offset, frame }: RingEntry, except: Excepted): void {
    const topic = this.#topics.get(name);
    if (topic === undefined) return;
    const { members, followers, policy } = topic;
    const delivery = new Delivery(this, name, policy, frame, false);
    for (const subscriber of members) {
      const isLeftOut = except !== undefined && except.has(subscriber.fd);
      const follower = followers.get(subscriber);
      if (follower === undefined) isLeftOut || delivery.to(subscriber.session!);
      else if (isLeftOut) follower.skip(offset);
    }
    for (const session of delivery.behind ?? []) this.#fallBehind(topic, session, offset);
    delivery.end();
    this.#host.onSent(frame.opcode, delivery.count);
    for (const follower of followers.values()) follower.goOn();
  }

  /** Lets a slow reader follow the stream as fast as it reads. */
  #fallBehind(topic: Topic, session: WebSocketSession, offset: number): void {
    const subscriber = this.#subscribers.get(session.connection.fd)!;
    const follower = new Follower(session, topic.stream!, topic.policy, this, this.broker!.clock);
    topic.followers.set(subscriber, follower);
    follower.beginAt(offset - 1);
  }

  gap({ topic: name, position }: KeptStream, reason: GapReason): void {
    const topic = this.#topics.get(name);
    if (topic === undefined) return;
    const fds: number[] = [];
    for (const subscriber of topic.members) {
      const follower = topic.followers.get(subscriber);
      if (follower !== undefined && follower.offset < 0) continue; // it is not told yet where it begins
      follower?.leave();
      topic.followers.delete(subscriber);
      fds.push(subscriber.fd);
    }
    if (fds.length > 0) this.#host.onGap({ topic: name, fds, reason, ...position });
  }

  onCaughtUp({ stream, session }: Follower): void {
    const subscriber = this.#subscribers.get(session.connection.fd);
    if (subscriber !== undefined) this.#topics.get(stream.topic)?.followers.delete(subscriber);
  }

  onOvertaken(follower: Follower): void {
    const { stream, session } = follower;
    const { fd } = session.connection;
    this.onCaughtUp(follower);
    follower.leave();
    this.slowReaders.gap++;
    this.broker!.kept.counters.gaps.slow++;
    this.#host.onGap({ topic: stream.topic, fds: [fd], reason: "slow", ...stream.position });
  }

  onSent(opcode: number, count: number): void {
    this.#host.onSent(opcode, count);
  }

  onSlowReader(session: WebSocketSession, topic: string, policy: SlowReaderPolicy, queuedBytes: number): void {
    this.#host.onSlowReader(session, topic, policy, queuedBytes);
  }

  report(error: unknown): void {
    this.#host.report(error);
  }

  warn(kind: string, text: string): void {
    this.#host.warn(kind, text);
  }

  /** Gives up the connection to other servers. */
  async close(): Promise<void> {
    await this.broker?.close();
  }
}

/** Returns a copy of a text. A part of a long text, such as a message of a peer, would keep all of it in memory. */
function copyOf(text: string): string {
  return JSON.parse(JSON.stringify(text));
}

/** Checks that a topic is a string. */
export function checkTopic(topic: unknown, work: string): void {
  if (typeof topic !== "string") throw new TypeError(`Cannot ${work}: a topic is a string, not ${describe(topic)}`);
}

/** What `publish()` and `broadcast()` are given, checked. */
export interface Publication {
  /** The message. */
  readonly message: Outgoing;
  /** The connections to leave out. */
  readonly except: Excepted;
}

/**
 * Reads the arguments of `publish()` and `broadcast()`.
 *
 * @returns `undefined` if the message cannot be sent: it is no complete text or binary message, or a text that is not UTF-8.
 * @throws {TypeError} If an argument has another type.
 */
export function readPublication(data: Pushable, options: PublishOptions, work: string): Publication | undefined {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`Cannot ${work}: the options are an object such as { except: fd }, not ${describe(options)}`);
  }
  const { opcode, flags, except } = options;
  const message = readPushed(data, opcode, flags);
  const excepted = except === undefined ? undefined : exceptedOf(except, work);
  if (message === undefined || (message.flags & SWOOLE_WEBSOCKET_FLAG_FIN) === 0) return undefined;
  const isData = message.opcode === WEBSOCKET_OPCODE_TEXT || message.opcode === WEBSOCKET_OPCODE_BINARY;
  return isData ? { message, except: excepted } : undefined;
}

function exceptedOf(except: unknown, work: string): Excepted {
  if (typeof except === "number") return new Set([except]);
  if (typeof except !== "object" || except === null || !(Symbol.iterator in except)) {
    throw new TypeError(`Cannot ${work}: except is an fd or a list of fds, not ${describe(except)}`);
  }
  const fds = except instanceof Set ? except : new Set(except as Iterable<unknown>);
  for (const fd of fds) {
    if (typeof fd === "number" || fd === undefined) continue; // undefined: there is no such connection
    throw new TypeError(`Cannot ${work}: except is a list of fds, which are numbers, and has ${describe(fd)}`);
  }
  return fds;
}
