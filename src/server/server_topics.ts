/**
 * The topics of a server, for its public classes: with fds, and with codes for `getLastError()`.
 *
 * @module
 */

import {
  SWOOLE_ERROR_INVALID_PARAMS,
  SWOOLE_ERROR_QUEUE_FULL,
  SWOOLE_ERROR_SESSION_CLOSING,
  SWOOLE_ERROR_SESSION_NOT_EXIST,
  SWOOLE_ERROR_WEBSOCKET_PACK_FAILED,
  SWOOLE_ERROR_WEBSOCKET_UNCONNECTED,
} from "../errors.ts";
import { swooleStrerror } from "../errors.ts";
import { BrokerError, type TopicPosition } from "../topics/broker.ts";
import type { SlowReader } from "../topics/delivery.ts";
import type { GapReason } from "../topics/kept_stream.ts";
import { isTopic, type SlowReaderPolicy } from "../topics/topic_settings.ts";
import { checkTopic, type Publication, type PublishOptions, readPublication } from "../topics/publication.ts";
import { type TopicGap, type TopicPresence, Topics } from "../topics/topics.ts";
import type { TopicMember } from "../topics/presence_table.ts";
import { describe, isRecord } from "../values.ts";
import type { Excepted } from "../topics/topic_broker.ts";
import type { Connection } from "../transport/connection.ts";
import { WebSocketSession } from "../websocket/connection/websocket_session.ts";
import type { Pushable } from "../websocket/prepared_message.ts";
import { HttpSession } from "./http/http_session.ts";
import { cleaned, LogThrottle, quoted } from "./log.ts";
import { ipOf } from "./refusals.ts";
import type { ServerContext } from "./server_context.ts";

/** The options of `subscribe()`. */
export interface SubscribeOptions {
  /**
   * The position up to which the client has seen a kept topic: it is sent everything after it. Without one the subscription begins
   * now. A position that never was one counts as one of another epoch.
   */
  readonly since?: TopicPosition | null | undefined;
}

/** What `subscribe()` with options resolves to. */
export type SubscribeResult =
  | {
    readonly status: "subscribed";
    /** The position after which everything is sent; 0 for a topic that is not kept. */
    readonly offset: number;
    /** The epoch of the position; empty for a topic that is not kept. */
    readonly epoch: string;
    /** Why that is not `since`: the client has missed messages, and needs the current state from somewhere else. */
    readonly gap?: GapReason | undefined;
  }
  | {
    readonly status: "refused";
    /** Why: the broker does not say where the topic is, or it is no connection that could subscribe. */
    readonly error: Error;
  };

/** The options of `append()`. */
export interface AppendOptions extends PublishOptions {
  /**
   * Names the message, so that it is stored only once however often it is appended. The broker remembers it for a while. 1 to 128
   * UTF-16 units.
   */
  readonly id?: string;
}

/** What `append()` resolves to. */
export type AppendResult =
  | {
    readonly status: "stored";
    /** The position of the message. */
    readonly offset: number;
    readonly epoch: string;
  }
  | {
    /** `refused`: it was not stored. `unknown`: it may have been; append it again with the same `id` to be sure. */
    readonly status: "refused" | "unknown";
    readonly error: Error;
  };

/** The options of `members()`. */
export interface MembersOptions {
  /** The maximum number of members. Default: 100. */
  readonly limit?: number;
  /** The key after which to begin: `next` of the part before. */
  readonly after?: string;
}

/** What `members()` returns. */
export interface TopicMembersPage {
  /** Members, in the order of their keys. */
  readonly members: readonly TopicMember[];
  /** The number of all members. */
  readonly count: number;
  /** The key after which the next part begins, if there may be more. */
  readonly next?: string | undefined;
  /** Whether this may be old, because the broker is down. */
  readonly isStale: boolean;
}

/** What a server does with topics. */
export class ServerTopics {
  readonly #context: ServerContext;
  readonly #log: LogThrottle;

  constructor(context: ServerContext) {
    this.#context = context;
    this.#log = new LogThrottle(context.log);
    context.deliver = (topic, message, except) => this.#deliver(topic, message, except);
    context.openPresence = () => void this.#topics.presence;
    context.openTopics = () => {
      const isTold = context.config.handler("presence") !== undefined;
      if (isTold) void this.#topics.presence;
      else if (context.settings.broker !== null) void this.#topics;
    };
  }

  get #topics(): Topics {
    const context = this.#context;
    return context.topics ??= this.#makeTopics();
  }

  #makeTopics(): Topics {
    const context = this.#context;
    const { settings, broker = settings.broker, presenceNet } = context;
    const topics = new Topics({ ...settings, broker }, {
      presenceNet,
      onSlowReader: (...reader) => this.#onSlowReader(...reader),
      onGap: (gap) => context.emit("topicgap", gap satisfies TopicGap),
      onPresence: (presence) => context.emit("presence", presence satisfies TopicPresence),
      onSent: (opcode, count) => this.#counted(opcode, count),
      report: (error) => context.fault(error),
      warn: (kind, text) => this.#log.warn("warning", kind, () => [text, {}]),
    });
    topics.onSubscribers = context.peers?.onSubscribers;
    return topics;
  }

  #onSlowReader({ connection }: WebSocketSession, topic: string, policy: SlowReaderPolicy, queuedBytes: number): void {
    const { fd } = connection;
    const address = ipOf(this.#context.addressOf(connection));
    this.#log.warn("slowReader", "slowReader", () => {
      const who = `fd ${fd}${address === "" ? "" : ` of ${address}`}`;
      const what = topic === "" ? "a broadcast" : `the topic ${quoted(topic)}`;
      return [
        `${who} is too slow for ${what}, with ${queuedBytes} bytes queued: topic_slow_readers says ${policy}`,
        { fd, address, topic: cleaned(topic), policy, queued: queuedBytes },
      ];
    });
    this.#context.emit("slowreader", { fd, topic, policy, queuedBytes, address } satisfies SlowReader);
  }

  /** See `WebSocketServer.subscribe()`. */
  subscribe(fd: number, topic: string): boolean {
    checkTopic(topic, "subscribe");
    const connection = this.#context.connection(fd);
    if (connection === undefined) return this.#context.notHere(fd);
    const code = this.join(connection, topic);
    return code === 0 || this.#context.failed(code);
  }

  /** See `WebSocketServer.subscribe()`. */
  async begin(fd: number, topic: string, options: SubscribeOptions): Promise<SubscribeResult> {
    checkTopic(topic, "subscribe");
    const connection = this.#context.connection(fd);
    if (connection === undefined) checkSince(options);
    const result = connection === undefined ? this.#context.codeOfMissing(fd) : await this.joinAt(connection, topic, options);
    if (typeof result !== "number") return result;
    this.#context.failed(result);
    return { status: "refused", error: new Error(`Cannot subscribe: ${swooleStrerror(result)}`) };
  }

  /** Subscribes an open WebSocket from a position on. Resolves to what came of it, or a code for `getLastError()`. */
  async joinAt(connection: Connection, topic: string, options: SubscribeOptions): Promise<SubscribeResult | number> {
    const since = checkSince(options);
    const { protocol } = connection;
    if (!(protocol instanceof WebSocketSession)) return SWOOLE_ERROR_WEBSOCKET_UNCONNECTED;
    const code = this.join(connection, topic);
    if (code !== 0) return code;
    const beginning = await this.#topics.beginAt(protocol, topic, since);
    if (beginning instanceof BrokerError) return { status: "refused", error: beginning };
    return { status: "subscribed", offset: 0, epoch: "", ...beginning };
  }

  /** Subscribes a connection. Returns 0, or the code for `getLastError()`. */
  join({ fd, protocol }: Connection, topic: string): number {
    if (protocol instanceof WebSocketSession) {
      return protocol.endpoint.canSend ? this.#topics.subscribe(fd, protocol, topic) : SWOOLE_ERROR_SESSION_CLOSING;
    }
    const isHandshake = protocol instanceof HttpSession && !protocol.isPlainHttp;
    return isHandshake ? this.#topics.subscribe(fd, undefined, topic) : SWOOLE_ERROR_WEBSOCKET_UNCONNECTED;
  }

  /** See `WebSocketServer.unsubscribe()`. */
  unsubscribe(fd: number, topic: string): boolean {
    checkTopic(topic, "unsubscribe");
    const connection = this.#context.connection(fd);
    if (connection === undefined) return this.#context.notHere(fd);
    return this.part(connection, topic);
  }

  /** Ends a subscription. Returns whether there was one. */
  part({ fd }: Connection, topic: string): boolean {
    return this.#context.topics?.unsubscribe(fd, topic) ?? false;
  }

  /** See `WebSocketServer.publish()`. */
  publish(topic: string, message: Pushable, options: PublishOptions): number | false {
    checkTopic(topic, "publish");
    const publication = readPublication(message, options, "publish");
    if (publication === undefined) return this.#context.failed(SWOOLE_ERROR_WEBSOCKET_PACK_FAILED);
    if (!this.#context.topics?.has(topic) && !isTopic(topic)) return this.#context.failed(SWOOLE_ERROR_INVALID_PARAMS);
    const { peers, table } = this.#context;
    if (table === undefined && peers === undefined) return 0;
    const code = this.#take(options.from, "publish");
    if (code !== 0) return this.#context.failed(code);
    const { message: frame, except } = publication;
    const count = this.#topics.publish(topic, frame, except);
    if (peers === undefined) return count;
    // Unless it is a local one, a broker connects the processes of this server like any other servers.
    const { broker } = this.#topics;
    const isSent = broker !== undefined && (this.#context.broker === undefined || broker.keptOptions(topic) !== undefined);
    return count + (isSent ? peers.subscriberCount(topic) : peers.publish(topic, frame, except));
  }

  /** Sends a message of another process to the subscribers of a topic here, or to all WebSockets if that is empty. */
  #deliver(topic: string, message: Publication["message"], except: Excepted): void {
    const { table } = this.#context;
    if (table === undefined) return;
    if (topic !== "") return void this.#topics.deliver(topic, message, except);
    this.#counted(message.opcode, this.#topics.deliverToAll(table.connections(), message, except));
  }

  /** Counts a message of a connection. Returns 0, or the code for `getLastError()`. */
  #take(from: unknown, work: string): number {
    if (from === undefined) return 0;
    if (typeof from !== "number") throw new TypeError(`Cannot ${work}: from is an fd, which is a number, not ${describe(from)}`);
    if (this.#context.connection(from) === undefined) return SWOOLE_ERROR_SESSION_NOT_EXIST;
    return this.#topics.rates.take(from, performance.now()) ? 0 : SWOOLE_ERROR_QUEUE_FULL;
  }

  /** See `WebSocketServer.append()`. */
  async append(topic: string, message: Pushable, options: AppendOptions): Promise<AppendResult> {
    checkTopic(topic, "append");
    const publication = readPublication(message, options, "append");
    const { id = "" } = options;
    if (typeof id !== "string") throw new TypeError(`Cannot append: the id is a string, not ${describe(id)}`);
    if (id.length > 128) throw new RangeError(`Cannot append: the id has ${id.length} UTF-16 units, and at most 128 are allowed`);
    let code = publication === undefined ? SWOOLE_ERROR_WEBSOCKET_PACK_FAILED : isTopic(topic) ? 0 : SWOOLE_ERROR_INVALID_PARAMS;
    if (code === 0 && this.#context.hasStarted) code = this.#take(options.from, "append");
    if (code !== 0) {
      this.#context.failed(code);
      return { status: "refused", error: new Error(`Cannot append: ${swooleStrerror(code)}`) };
    }
    const { hasStarted, settings: { broker: given } } = this.#context;
    const broker = hasStarted && given !== null ? this.#topics.broker : undefined;
    if (!broker?.keptOptions(topic)) {
      const why = given === null
        ? "there is no broker"
        : !hasStarted
        ? "the server has not started"
        : `no key of the broker's option kept matches the topic ${quoted(topic)}`;
      return { status: "refused", error: new BrokerError("BROKER_REFUSED", `Cannot append: ${why}`) };
    }
    const { message: frame, except } = publication!;
    this.#topics.publishCount++;
    try {
      const { offset, epoch } = await broker.append(topic, frame, except, id);
      return { status: "stored", offset, epoch };
    } catch (error) {
      return { status: (error as BrokerError).code === "BROKER_UNKNOWN" ? "unknown" : "refused", error: error as BrokerError };
    }
  }

  /** See `WebSocketServer.broadcast()`. */
  broadcast(message: Pushable, options: PublishOptions): number | false {
    const publication = readPublication(message, options, "broadcast");
    if (publication === undefined) return this.#context.failed(SWOOLE_ERROR_WEBSOCKET_PACK_FAILED);
    const { peers, table } = this.#context;
    if (table === undefined && peers === undefined) return 0;
    const { message: frame, except } = publication;
    const count = this.#counted(frame.opcode, this.#topics.broadcast(table?.connections() ?? [], frame, except));
    return count + (peers?.publish("", frame, except) ?? 0);
  }

  #counted(opcode: Publication["message"]["opcode"], count: number): number {
    const { counters } = this.#context;
    counters.sent[opcode] += count;
    counters.fanout.add(count);
    return count;
  }

  /** See `WebSocketServer.show()`. */
  show(fd: number, topic: string, key: string | number, info: unknown): boolean {
    checkTopic(topic, "show a member");
    const connection = this.#context.connection(fd);
    const name = checkKey(key);
    const shown = checkInfo(info);
    if (connection === undefined) return this.#context.notHere(fd);
    return (this.#context.topics?.show(connection.fd, topic, name, shown) ?? false) ||
      this.#context.failed(SWOOLE_ERROR_INVALID_PARAMS);
  }

  /** See `WebSocketServer.hide()`. */
  hide(fd: number, topic: string): boolean {
    checkTopic(topic, "hide a member");
    const connection = this.#context.connection(fd);
    if (connection === undefined) return this.#context.notHere(fd);
    return this.#context.topics?.presence.hide(connection.fd, topic) ?? false;
  }

  /** See `WebSocketServer.members()`. */
  members(topic: string, options: MembersOptions): TopicMembersPage {
    checkTopic(topic, "list members");
    if (!isRecord(options)) throw new TypeError(`Cannot list members: the options are an object, not ${describe(options)}`);
    const { limit = 100, after = "" } = options;
    if (!Number.isSafeInteger(limit) || (limit as number) < 1) {
      throw new RangeError("Cannot list members: the limit is a whole number from 1 on");
    }
    if (typeof after !== "string") throw new TypeError(`Cannot list members: after is a key, not ${describe(after)}`);
    if (!this.#context.hasStarted) return { members: [], count: 0, isStale: false };
    const { presence: { table }, isPresenceStale } = this.#topics;
    const members = table.members(topic, limit as number, after);
    const next = members.length === limit ? { next: members[members.length - 1].key } : {};
    return { members, count: table.count(topic), ...next, isStale: isPresenceStale };
  }

  /** See `WebSocketServer.subscriberCount()`. */
  subscriberCount(topic: string): number {
    checkTopic(topic, "count subscribers");
    const { peers, topics } = this.#context;
    return (topics?.subscriberCount(topic) ?? 0) + (peers?.subscriberCount(topic) ?? 0);
  }

  /** See `WebSocketServer.topics()`. */
  topics(fd: number): string[] {
    const connection = this.#context.connectionOrLeaving(fd);
    return this.#context.topics?.topicsOf(connection?.fd ?? fd) ?? [];
  }
}

/** The maximum length of a key, and of the JSON of what a member shows, in UTF-16 units. */
const LONGEST_KEY = 128;
const LONGEST_INFO = 4096;

/** Returns the key of a member. */
function checkKey(key: unknown): string {
  const text = typeof key === "number" ? String(key) : key;
  if (typeof text !== "string") {
    throw new TypeError(`Cannot show a member: its key is a string or a number, not ${describe(key)}`);
  }
  if (text === "" || text.length > LONGEST_KEY) {
    throw new RangeError(`Cannot show a member: its key has ${text.length} UTF-16 units, and 1 to ${LONGEST_KEY} are allowed`);
  }
  return text;
}

/** Returns a copy of what a member shows, as others will have it. */
function checkInfo(info: unknown): unknown {
  const text = JSON.stringify(info ?? null);
  if (text === undefined) throw new TypeError(`Cannot show a member: what it shows is a JSON value, not a ${typeof info}`);
  if (text.length > LONGEST_INFO) {
    throw new RangeError(
      `Cannot show a member: what it shows has ${text.length} UTF-16 units as JSON, and ${LONGEST_INFO} are allowed`,
    );
  }
  return JSON.parse(text);
}

/** Returns the position that a client has seen, as far as it is one. */
function checkSince(options: SubscribeOptions): TopicPosition | undefined {
  if (!isRecord(options)) throw new TypeError(`Cannot subscribe: the options are an object, not ${describe(options)}`);
  const { since } = options;
  if (since === undefined || since === null) return undefined;
  if (!isRecord(since)) {
    throw new TypeError(`Cannot subscribe: since is a position such as { offset, epoch }, not ${describe(since)}`);
  }
  const { offset, epoch } = since;
  const isPosition = Number.isSafeInteger(offset) && (offset as number) >= 0 && typeof epoch === "string";
  return isPosition ? { offset: offset as number, epoch: epoch as string } : { offset: 0, epoch: "" }; // no stream has that epoch
}
