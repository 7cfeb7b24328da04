/**
 * Brokers connect the topics of several servers, in one program or on many machines, and keep the messages of some of them.
 *
 * **The contract**, the same for every broker. Each topic is of one of two levels, which its name decides (`kept` of the options):
 *
 * - **Fleeting**: a message reaches each subscriber at most once, and never twice. The messages of one server to one topic arrive
 *   in the order in which it published them. Subscribers of the same server get them even while the broker is down; what is lost
 *   for the others, between the loss of a connection and the next `subscribed()`, is lost without a sign.
 * - **Kept**: the broker gives each message the next `offset` of its topic and stores it, then says so. All subscribers see the
 *   stream in the order of the offsets, those of the server that has appended included: without gap, duplicate or reordering from
 *   the position on at which they began, or they are told of a gap and its reason. Appending the same `id` again within the time that the broker
 *   remembers it stores nothing, and gives the first position. An `epoch` names one life of a stream: offsets of two epochs have
 *   nothing to do with each other. The broker starts a new one whenever it cannot rule out that messages were lost.
 *
 * Not promised: that messages outlive what the broker itself loses, and that a program handles each message exactly once.
 *
 * A server is a node of its broker. It does the rest itself, see `kept_stream.ts`: it finds out what it has missed, lets clients
 * recover, and subscribes once to each topic however many connections have subscribed.
 *
 * @module
 */

import { SWOOLE_WEBSOCKET_FLAG_COMPRESS, SWOOLE_WEBSOCKET_FLAG_FIN } from "../constants.ts";
import type { Outgoing } from "../websocket/outgoing.ts";
import { prepareFrame } from "../websocket/prepared_message.ts";

/** A position in the stream of a kept topic: that of its last message that was seen. */
export interface TopicPosition {
  /** The number of the message; 0 before the first one. */
  readonly offset: number;
  /** The life of the stream that the offset belongs to. */
  readonly epoch: string;
}

/** How messages of a topic are kept. */
export interface KeptOptions {
  /** The number of messages that are kept. Default: 1000. */
  readonly size?: number;
  /** For how long they are kept after the last one was appended, in seconds. Default: 300. */
  readonly ttl?: number;
}

/** The options of all brokers. */
export interface BrokerOptions {
  /**
   * Which topics are kept, and how: the keys are topics, or beginnings of topics followed by `*`, of which the longest that matches
   * decides. All other topics are fleeting.
   */
  readonly kept?: Readonly<Record<string, KeptOptions>>;
  /**
   * The time without messages after which a server asks the broker for the position of a kept topic, in seconds: the last message
   * may have been lost. Default: 30; 0 for never.
   */
  readonly idleCheck?: number;
  /** The time for which a server stays subscribed to a topic without subscribers, in seconds. Default: 1. */
  readonly linger?: number;
  /** How long a server may be silent before what it shows in topics is gone, in seconds. Default: 15. */
  readonly lease?: number;
  /** The memory in which a server holds messages of kept topics, in bytes. Default: 64 MiB. */
  readonly memory?: number;
}

/** A whole message on its way between servers. */
export class BrokerMessage {
  /** The frame type: `WEBSOCKET_OPCODE_TEXT` or `WEBSOCKET_OPCODE_BINARY`. */
  readonly opcode: number;
  /** The payload; of a text in UTF-8. These bytes never change. */
  readonly payload: Uint8Array;
  /** Whether it is compressed where that was negotiated. */
  readonly isCompressed: boolean;
  /** The id of the node that sent it. */
  readonly origin: string;
  /** Its number at that node, which numbers its messages from 1 on, those of all topics together. */
  readonly sequence: number;

  #frame: Outgoing | undefined = undefined;

  /**
   * Makes a message that has arrived.
   *
   * @param opcode The frame type.
   * @param payload The payload, of which no copy is made.
   * @param isCompressed Whether it is compressed where that was negotiated.
   * @param origin The id of the node that sent it: 16 hexadecimal digits.
   * @param sequence Its number at that node.
   */
  constructor(opcode: number, payload: Uint8Array, isCompressed: boolean, origin: string, sequence: number) {
    this.opcode = opcode;
    this.payload = payload;
    this.isCompressed = isCompressed;
    this.origin = origin;
    this.sequence = sequence;
  }

  /** Makes a message of a frame; for this library, as `BrokerMessage["of"](frame, …)`. */
  private static of(frame: Outgoing, origin: string, sequence: number): BrokerMessage {
    const framed = prepareFrame(frame);
    const isCompressed = (frame.flags & SWOOLE_WEBSOCKET_FLAG_COMPRESS) !== 0;
    const message = new BrokerMessage(frame.opcode, framed.payload as Uint8Array, isCompressed, origin, sequence);
    message.#frame = framed;
    return message;
  }

  /** The message in the form that is sent, framed once; for this library, as `message["frame"]`. */
  private get frame(): Outgoing {
    const { opcode, payload } = this;
    const flags = SWOOLE_WEBSOCKET_FLAG_FIN | (this.isCompressed ? SWOOLE_WEBSOCKET_FLAG_COMPRESS : 0);
    return this.#frame ??= prepareFrame({ opcode, flags, payload, start: 0, end: payload.length });
  }
}

/** A message of a kept topic. */
export interface KeptMessage {
  /** Its offset. */
  readonly offset: number;
  /** The message. */
  readonly message: BrokerMessage;
  /** The connections that are not sent it, where another process of the same server has appended it. */
  readonly except?: ReadonlySet<number> | undefined;
}

/** A part of the history of a kept topic. */
export interface TopicHistory extends TopicPosition {
  /** The offset of the last message that was appended; with `epoch` the position of the topic. */
  readonly offset: number;
  /** The messages after `base`, oldest first: all of them or, up to the limit, the oldest. */
  readonly entries: readonly KeptMessage[];
  /** The offset asked for, or a later one if messages after it are not kept any more. */
  readonly base: number;
}

/** The result of appending a message to a kept topic. */
export type Appended = TopicPosition & {
  /** Whether the broker had that id already, so that nothing was stored. */
  readonly isRepeated: boolean;
};

/** Why a broker has not done something. */
export type BrokerErrorCode =
  /** There is no connection to it: nothing was stored. */
  | "BROKER_DOWN"
  /** Too much waits for it: nothing was stored. */
  | "BROKER_BUSY"
  /** It did not respond in time, or the connection was lost meanwhile: the message may have been stored. */
  | "BROKER_UNKNOWN"
  /** It refused: nothing was stored. */
  | "BROKER_REFUSED";

/** An error of a broker. */
export class BrokerError extends Error {
  /** Why. */
  readonly code: BrokerErrorCode;

  /**
   * Makes an error.
   *
   * @param code Why.
   * @param message The description.
   * @param cause The error of the client, if there is one.
   */
  constructor(code: BrokerErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "BrokerError";
    this.code = code;
  }
}

/** What a broker does for one server. Nothing of it throws; promises reject with a `BrokerError`. */
export interface BrokerNode {
  /**
   * Asks for the messages of topics that have got their first subscriber here. Called with many at once, and at most once for each
   * until `unsubscribe()`. The broker calls `subscribed()` when all that is published from then on will arrive.
   */
  subscribe(topics: readonly string[]): void;
  /** Gives up topics that have had no subscriber for a while. */
  unsubscribe(topics: readonly string[]): void;
  /**
   * Sends a message of a fleeting topic to the other servers, which have subscribed to it or not.
   *
   * @returns Whether it is on its way.
   */
  publish(topic: string, message: BrokerMessage): boolean;
  /**
   * Appends a message to a kept topic. It comes back by `deliverKept()`, also to the server that has appended it.
   *
   * @param id Names the message among those of its topic; empty for none.
   * @param except The connections that are not sent it. This server leaves out its own itself.
   */
  append(topic: string, message: BrokerMessage, id: string, except?: ReadonlySet<number>): Promise<Appended>;
  /**
   * Returns the positions of kept topics, in their order; `undefined` for those that the broker refuses. A topic that has none gets
   * one.
   */
  positions(topics: readonly string[]): Promise<readonly (TopicPosition | undefined)[]>;
  /**
   * Reads the history of a kept topic.
   *
   * @param since The offset after which to begin.
   * @param limit The maximum number of messages.
   */
  read(topic: string, since: number, limit: number): Promise<TopicHistory>;
  /** Whether messages reach the other servers now, and theirs this one. */
  readonly isUp: boolean;
  /** What is counted and measured. */
  readonly state: BrokerState;
  /** Gives up everything. What is under way may still arrive. */
  close(): Promise<void>;
}

/** What a broker counts and measures for one server. */
export interface BrokerState {
  /** The time that a message took last from this server to the broker and back, in seconds; 0 if it was never measured. */
  readonly lag: number;
  /** How often a connection was lost. */
  readonly reconnects: number;
  /** Messages that arrived, and were not understood. */
  readonly malformed: number;
}

/** What a broker needs of a server. */
export interface BrokerHost {
  /** The id of the node: no other has it. */
  readonly id: string;
  /** Takes a message of a fleeting topic. Those that this server has published itself are ignored. */
  deliver(topic: string, message: BrokerMessage): void;
  /**
   * Takes a message of a kept topic.
   *
   * @param previous The offset of the message before it, where offsets are not consecutive.
   */
  deliverKept(topic: string, epoch: string, entry: KeptMessage, previous?: number): void;
  /**
   * Called when subscriptions are effective, again after each loss of the connection: from now on everything arrives. What was
   * missed of kept topics before is read then.
   */
  subscribed(topics: readonly string[]): void;
  /**
   * Takes something that the program has to know, for the log.
   *
   * @param kind One of a fixed number of kinds, of which one is logged each minute.
   */
  warn(kind: string, text: string): void;
}

/**
 * Connects the topics of servers: `memoryBroker()`, or `redisBroker()` of `@sluice/server/redis`. The setting `broker` takes one.
 * The functions are for the server, not for programs.
 */
export interface Broker {
  /** The options. */
  readonly options: Required<BrokerOptions>;
  /**
   * Whether it connects the servers of one process only. A server with several processes then uses the one of its first process in
   * all of them, and sends messages of fleeting topics from process to process itself.
   */
  readonly isLocal?: boolean;
  /** The time within which that process has to reply to the others, in seconds; 0 for no limit. */
  readonly timeout?: number;
  /** Connects a server. Called when it starts, or has its first topic. */
  attach(host: BrokerHost): BrokerNode;
}
