/**
 * One published message on its way to its subscribers, and the messages that wait for those that cannot take them now.
 *
 * @module
 */

import type { HeldOutput } from "../websocket/connection/session_interfaces.ts";
import type { WebSocketSession } from "../websocket/connection/websocket_session.ts";
import type { Outgoing } from "../websocket/outgoing.ts";
import { prepareFrame } from "../websocket/prepared_message.ts";
import type { SlowReaderPolicy } from "./topic_settings.ts";

/** A WebSocket that reads more slowly than is published: the second argument of the event `slowReader`. */
export interface SlowReader {
  /** The number of the connection. */
  readonly fd: number;
  /** The topic whose message it was too slow for; empty for a broadcast. */
  readonly topic: string;
  /** What happens to it, see `topic_slow_readers`. */
  readonly policy: SlowReaderPolicy;
  /** The number of bytes queued for it. */
  readonly queuedBytes: number;
  /** The peer's IP address; empty on a unix socket. */
  readonly address: string;
}

/** The context that all deliveries of a server share. */
export interface DeliveryContext {
  /** The number of queued bytes above which a reader is slow, if the limit of its port is not lower. */
  readonly bufferLimit: number;
  /** Counters of slow readers: WebSockets closed, messages left out, messages replaced by newer ones, gaps told. */
  readonly slowReaders: Record<SlowReaderPolicy, number>;
  /** Called when a reader has become slow, outside of all loops. */
  onSlowReader(session: WebSocketSession, topic: string, policy: SlowReaderPolicy, queuedBytes: number): void;
}

/** With `latest`, a reader is slow from this many queued bytes on: more would only make what it reads older. */
const LATEST_LIMIT = 64 * 1024;

/** The bytes counted for each message that waits, in addition to its payload. */
const MESSAGE_COST = 64;

/** The reason in the Close frame for slow readers. */
const TOO_SLOW = "the client reads too slowly";

/** One message on its way to many WebSockets. */
export class Delivery {
  /** To how many it was sent, or is kept for. */
  count = 0;
  /** Those that are to be sent it later, from the history of the topic. */
  behind: WebSocketSession[] | undefined = undefined;

  readonly #context: DeliveryContext;
  readonly #topic: string;
  readonly #policy: SlowReaderPolicy;
  readonly #message: Outgoing;
  readonly #size: number;
  readonly #limit: number;
  #slow: [session: WebSocketSession, queuedBytes: number][] | undefined = undefined;

  /**
   * @param topic The topic; empty for a broadcast.
   * @param isForMany Whether it is worth to frame the message once for all.
   */
  constructor(context: DeliveryContext, topic: string, policy: SlowReaderPolicy, message: Outgoing, isForMany: boolean) {
    this.#context = context;
    this.#topic = topic;
    this.#policy = policy;
    this.#message = isForMany ? prepareFrame(message) : message;
    this.#size = message.end - message.start;
    this.#limit = limitOf(policy, context.bufferLimit);
  }

  /** Sends the message to one of them. Calls nothing of the program. */
  to(session: WebSocketSession): void {
    const { connection, endpoint, waitingBytes } = session;
    if (!endpoint.canSend) return;
    const queued = waitingBytes + connection.queuedBytes;
    const isFree = queued === 0 || (waitingBytes === 0 && this.#fits(queued, session));
    if (isFree && session.send(this.#message)) this.count++;
    else this.#toBusy(session, queued);
  }

  #fits(queued: number, session: WebSocketSession): boolean {
    return queued === 0 || queued + this.#size <= Math.min(this.#limit, session.sendLimit);
  }

  /** Sends to one for which other messages wait, or that is in the middle of a message in fragments. */
  #toBusy(session: WebSocketSession, queued: number): void {
    if (!this.#fits(queued, session)) return this.#toSlow(session, queued);
    this.count++;
    const held = heldBy(session);
    const isOld = this.#policy === "latest" && held?.has(this.#topic);
    if (isOld || session.endpoint.isFragmenting) return void this.#hold(session);
    const frame = prepareFrame(this.#message); // a copy, if it is not one already
    const waits = session.consumer.sendBehind?.(frame, (sent) => {
      if (!sent && session.endpoint.canSend) this.#hold(session); // it came between fragments
    });
    if (!waits) session.send(frame);
  }

  /** Keeps the message until it can be sent. Returns whether another one is missed for it. */
  #hold(session: WebSocketSession): boolean {
    const held = HeldMessages.of(session, this.#context.bufferLimit);
    const frame = prepareFrame(this.#message);
    if (this.#policy !== "latest") return held.append(frame);
    if (!held.replace(this.#topic, frame)) return false;
    this.#context.slowReaders.latest++;
    return true;
  }

  #toSlow(session: WebSocketSession, queued: number): void {
    const held = HeldMessages.of(session, this.#context.bufferLimit);
    if (this.#policy === "drop") this.#context.slowReaders.drop++;
    if (this.#policy === "gap") (this.behind ??= []).push(session);
    if (this.#policy === "latest") {
      this.count++;
      if (!this.#hold(session)) return; // it may be fast: this turn has sent more than the limit, and nothing is missed
    }
    if (held.isToBeClosed || (held.isReported && this.#policy !== "close")) return;
    held.isReported = true;
    held.isToBeClosed = this.#policy === "close";
    (this.#slow ??= []).push([session, queued]);
  }

  /** Reports those that are too slow, and closes them if that is the policy. Called at the end, because it calls the program. */
  end(): void {
    for (const [session, queued] of this.#slow ?? []) {
      this.#context.onSlowReader(session, this.#topic, this.#policy, queued);
      if (this.#policy !== "close" || !session.endpoint.canSend) continue;
      this.#context.slowReaders.close++;
      session.connection.gather(() => session.endpoint.fail(1013, TOO_SLOW));
    }
  }
}

/** Returns the number of queued bytes above which a reader is slow. */
function limitOf(policy: SlowReaderPolicy, bufferLimit: number): number {
  return policy === "latest" ? Math.min(bufferLimit, LATEST_LIMIT) : bufferLimit;
}

function heldBy({ held }: WebSocketSession): HeldMessages | undefined {
  return held instanceof HeldMessages ? held : undefined;
}

/**
 * The published messages that wait for one WebSocket: each is a complete frame. It has this object while there are any, and while
 * it is a slow reader. What waits counts as queued, so that no later message that is published finds room before it.
 */
export class HeldMessages implements HeldOutput {
  bytes = 0;
  /** Whether the program knows that this reader is slow. */
  isReported = false;
  /** Whether it is going to be closed for that, when the program has been told. */
  isToBeClosed = false;

  readonly #session: WebSocketSession;
  readonly #bufferLimit: number;
  readonly #messages: Map<string | number, Outgoing> = new Map(); // by topic, if only the newest is kept; else numbered
  #next = 0; // number
  #isWaiting = false;

  private constructor(session: WebSocketSession, bufferLimit: number) {
    this.#session = session;
    this.#bufferLimit = bufferLimit;
  }

  /** Returns the messages that wait for a WebSocket. */
  static of(session: WebSocketSession, bufferLimit: number): HeldMessages {
    const held = heldBy(session);
    if (held !== undefined) return held;
    const made = new HeldMessages(session, Math.min(bufferLimit, session.sendLimit));
    session.held = made;
    made.#wait(made.#bufferLimit / 2);
    return made;
  }

  /** Reports whether a message of a topic waits. */
  has(topic: string): boolean {
    return this.#messages.has(topic);
  }

  /** Adds a message. Returns `false`: it replaces none. */
  append(frame: Outgoing): false {
    this.#add(this.#next++, frame);
    return false;
  }

  /** Adds the newest message of a topic. Returns whether it replaces another. */
  replace(topic: string, frame: Outgoing): boolean {
    const isThere = this.drop(topic);
    this.#add(topic, frame);
    return isThere;
  }

  #add(key: string | number, frame: Outgoing): void {
    this.#messages.set(key, frame);
    this.bytes += frame.end + MESSAGE_COST;
    this.#session.connection.grown += frame.end + MESSAGE_COST; // it is measured at the next tick of the clock
    if (typeof key === "string") this.#wait(this.#roomFor(frame));
  }

  /** Drops the message of a topic. Returns whether there was one. */
  drop(topic: string): boolean {
    const frame = this.#messages.get(topic);
    if (frame === undefined) return false;
    this.#remove(topic, frame);
    return true;
  }

  #remove(key: string | number, frame: Outgoing): void {
    this.#messages.delete(key);
    this.bytes -= frame.end + MESSAGE_COST;
  }

  /** Returns how many bytes may be queued when the newest message of a topic is sent. */
  #roomFor(frame: Outgoing): number {
    return Math.max(0, limitOf("latest", this.#bufferLimit) - frame.end);
  }

  /** Waits until so many bytes are queued in the connection. If that is so, something else is in the way: see `onRoom()`. */
  #wait(atMost: number): void {
    const { connection } = this.#session;
    if (this.#isWaiting || connection.queuedBytes <= atMost) return;
    this.#isWaiting = true;
    connection.whenTaken(atMost).then(() => {
      this.#isWaiting = false;
      if (connection.isOpen) connection.gather(() => this.onRoom());
    });
  }

  onRoom(): void {
    const session = this.#session;
    if (session.endpoint.isFragmenting) return;
    let room: number | undefined; // that the next of the newest messages needs
    for (const [key, frame] of this.#messages) {
      if (typeof key === "string") {
        if (room === undefined && session.queuedBytes > this.#roomFor(frame)) room = this.#roomFor(frame);
        if (room !== undefined) continue;
      }
      // There was room for the others, which waited for the end of a message in fragments. The next push must not overtake them.
      this.#remove(key, frame);
      session.send(frame);
    }
    if (room !== undefined) return this.#wait(room);
    const enough = this.#bufferLimit / 2;
    if (session.queuedBytes > enough) return this.#wait(enough); // it is still a slow reader
    session.held = undefined;
  }
}
