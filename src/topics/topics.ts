/**
 * Topics of one program: their subscribers, and the messages that are published.
 *
 * @module
 */

import { SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_QUEUE_FULL } from "../errors.ts";
import type { Connection } from "../transport/connection.ts";
import { WebSocketSession } from "../websocket/connection/websocket_session.ts";
import type { Outgoing } from "../websocket/outgoing.ts";
import { prepareFrame } from "../websocket/prepared_message.ts";
import { BrokerError, type TopicPosition } from "./broker.ts";
import { Delivery, HeldMessages } from "./delivery.ts";
import { Follower, type FollowerEvents } from "./following.ts";
import type { RingEntry } from "./history_ring.ts";
import type { GapReason, KeptStream } from "./kept_stream.ts";
import { type Beginning, systemClock } from "./kept_topics.ts";
import { Presence, type PresenceBus } from "./presence.ts";
import type { PresenceChange } from "./presence_table.ts";
import { PublishRates } from "./publish_rates.ts";
import { type Excepted, type LocalTopics, TopicBroker } from "./topic_broker.ts";
import { isTopic, policyFor, type SlowReaderPolicy, type TopicSettings } from "./topic_settings.ts";

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

/** Messages of a kept topic that subscribers have missed: the second argument of the event `topicGap`. */
export interface TopicGap extends TopicPosition {
  /** The topic. */
  readonly topic: string;
  /** The connections of these subscribers. */
  readonly fds: readonly number[];
  /** Why. */
  readonly reason: GapReason;
}

/** Changes of the members of a topic: the second argument of the event `presence`. */
export interface TopicPresence extends PresenceChange {
  /** The connections of this server that have subscribed to the topic. */
  readonly fds: readonly number[];
}

/** What topics need of their server. */
export interface TopicsHost {
  /** Called when a reader has become slow, outside of all loops. */
  onSlowReader(session: WebSocketSession, topic: string, policy: SlowReaderPolicy, queuedBytes: number): void;
  /** Called when subscribers of a kept topic have missed messages. */
  onGap(gap: TopicGap): void;
  /** Called when members of a topic with subscribers here have come, left, or show something else. */
  onPresence(presence: TopicPresence): void;
  /** Called when a message of a topic was sent to so many WebSockets. */
  onSent(opcode: number, count: number): void;
  /** Takes an error of the program. */
  report(error: unknown): void;
  /** Logs a warning, of each kind one a minute. */
  warn(kind: string, text: string): void;
  /** Connects presence to the other processes of the server, if there are any that no broker connects. */
  readonly presenceNet?: PresenceNet | undefined;
}

/** What connects presence to other processes of the server. */
export interface PresenceNet {
  /** The id of this process: no other has it. */
  readonly id: string;
  /** Makes the presence of this process, see `TopicBroker.startPresence()`. */
  startPresence(make: (bus: PresenceBus, lease: number) => Presence): Presence;
}

/** The topics of all ports of a server. */
export class Topics implements FollowerEvents, LocalTopics {
  /** The number of published messages, broadcasts included. */
  publishCount = 0;
  /** The number of subscriptions. */
  subscriptionCount = 0;

  readonly slowReaders: Record<SlowReaderPolicy, number> = { close: 0, drop: 0, latest: 0, gap: 0 };
  readonly bufferLimit: number;
  /** Called when the number of subscribers of a topic has changed, if it is set. */
  onSubscribers: ((topic: string) => void) | undefined = undefined;
  /** What connects them to those of other servers, if there is a broker. */
  readonly broker: TopicBroker | undefined;

  /** How much each connection may publish. */
  readonly rates: PublishRates;

  #presence: Presence | undefined = undefined;
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
    this.#presence?.hide(subscriber.fd, topic.name);
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

  // ---- presence -----------------------------------------------------------------------------------------------------

  /** The members of topics. Made when first used. */
  get presence(): Presence {
    return this.#presence ??= this.#makePresence();
  }

  #makePresence(): Presence {
    const net = this.#host.presenceNet ?? this.broker;
    const { presence_grace, presence_max } = this.#settings;
    const make = (bus: PresenceBus | undefined, lease: number) =>
      new Presence(
        {
          id: net?.id ?? "",
          grace: presence_grace * 1000,
          most: presence_max,
          lease,
          onChange: (change) => this.#onPresence(change),
        },
        bus,
        this.broker?.clock ?? systemClock,
      );
    return net === undefined ? make(undefined, 0) : net.startPresence(make);
  }

  /** Whether what is known of members may be old, because the broker over which they are told is down. */
  get isPresenceStale(): boolean {
    return this.#host.presenceNet === undefined && this.broker !== undefined && !this.broker.node.isUp;
  }

  #onPresence(change: PresenceChange): void {
    const members = this.#topics.get(change.topic)?.members;
    if (members !== undefined) this.#host.onPresence({ ...change, fds: Array.from(members, ({ fd }) => fd) });
  }

  /** Shows a subscriber in its topic. Returns whether it is one. */
  show(fd: number, name: string, key: string, info: unknown): boolean {
    const isSubscriber = this.#subscribers.get(fd)?.topics.get(name) !== undefined;
    if (isSubscriber) this.presence.show(fd, copyOf(name), copyOf(key), info);
    return isSubscriber;
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
    if (broker === undefined) return this.deliver(name, message, except);
    const frame = prepareFrame(message);
    if (broker.keptOptions(name) !== undefined) {
      broker.append(name, frame, except, "").catch(() => {}); // it is counted
      return this.#countOf(name, except);
    }
    const count = this.deliver(name, frame, except);
    broker.publish(name, frame);
    return count;
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

  /** Sends a message to the subscribers of a topic here. Returns the number of WebSockets to which it was sent. */
  deliver(name: string, message: Outgoing, except: Excepted): number {
    const count = this.#deliver(name, message, except);
    this.#host.onSent(message.opcode, count);
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
      if (follower !== undefined && follower.offset < 0) { // it is not told yet where it begins
        follower.forgetSkipped();
        continue;
      }
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
    this.#presence?.close();
    await this.broker?.close();
  }
}

/** Returns a copy of a text. A part of a long text, such as a message of a peer, would keep all of it in memory. */
function copyOf(text: string): string {
  return JSON.parse(JSON.stringify(text));
}
