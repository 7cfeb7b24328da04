/**
 * WebSockets that have not had all messages of a kept topic yet: they are sent those that the server holds, as fast as they read,
 * until they have caught up. Each has a position and no queue of its own.
 *
 * @module
 */

import { nextTurn } from "../transport/current_runtime.ts";
import type { WebSocketSession } from "../websocket/connection/websocket_session.ts";
import { Delivery, type DeliveryContext } from "./delivery.ts";
import type { KeptStream } from "./kept_stream.ts";
import type { BrokerClock } from "./kept_topics.ts";
import type { SlowReaderPolicy } from "./topic_settings.ts";

/** The number of bytes that are queued for one of them at a time. */
const CHUNK = 64 * 1024;

/** The time after which to look again at one that waits for something else than its socket, in milliseconds. */
const LATER = 50;

/** The events of a follower. */
export interface FollowerEvents extends DeliveryContext {
  /** Called when it has had all messages. */
  onCaughtUp(follower: Follower): void;
  /** Called when messages that it has not had are no longer held. It has to be told, and goes on with the next one. */
  onOvertaken(follower: Follower): void;
  /** Called when messages were sent. */
  onSent(opcode: number, count: number): void;
}

/** A WebSocket on its way to the end of a stream. */
export class Follower {
  /** The WebSocket. */
  readonly session: WebSocketSession;
  /** The stream. */
  readonly stream: KeptStream;
  /** The offset of the last message that it has had; -1 while that is not known. */
  offset = -1;
  /** Whether it has ended. */
  isOver = false;

  readonly #policy: SlowReaderPolicy;
  readonly #events: FollowerEvents;
  readonly #clock: BrokerClock;
  #hasBegun = false;
  #isWaiting = false;
  #skipped: Set<number> | undefined;

  constructor(
    session: WebSocketSession,
    stream: KeptStream,
    policy: SlowReaderPolicy,
    events: FollowerEvents,
    clock: BrokerClock,
  ) {
    this.session = session;
    this.stream = stream;
    this.#policy = policy;
    this.#events = events;
    this.#clock = clock;
  }

  /** Begins in the next turn, so that the program can say before where that is. */
  beginAt(offset: number): void {
    this.offset = offset;
    nextTurn(() => {
      this.#hasBegun = true;
      this.goOn();
    });
  }

  /** Ends: it is sent nothing more this way. */
  leave(): void {
    this.isOver = true;
  }

  /** Leaves out a message: its publisher has excepted this WebSocket. */
  skip(offset: number): void {
    const skipped = this.#skipped ??= new Set();
    for (const old of skipped) { // lowest first
      if (old > this.stream.ring.base) break;
      skipped.delete(old);
    }
    skipped.add(offset);
  }

  /** Notes that the stream has begun anew, so that offsets mean other messages. */
  forgetSkipped(): void {
    this.#skipped = undefined;
  }

  /** Sends what there is room for. */
  goOn(): void {
    if (this.isOver || this.#isWaiting || !this.#hasBegun) return;
    const { connection } = this.session;
    if (!connection.isOpen) return;
    connection.gather(() => this.#send());
  }

  #send(): void {
    const { session, stream } = this;
    const limit = Math.min(CHUNK, this.#events.bufferLimit, session.sendLimit);
    while (!this.isOver && session.endpoint.canSend) {
      const isOvertaken = this.offset < stream.ring.base;
      const entry = isOvertaken ? undefined : stream.ring.after(this.offset);
      if (entry === undefined && !isOvertaken) return this.#events.onCaughtUp(this);
      const queued = session.waitingBytes + session.connection.queuedBytes;
      if (queued > 0 && queued + (entry?.frame.end ?? limit / 2) > limit) return this.#wait(limit / 2);
      if (entry === undefined) return this.#events.onOvertaken(this); // told only when there is room, or it would be told often
      if (this.#skipped?.delete(entry.offset)) {
        this.offset = entry.offset;
        continue;
      }
      const delivery = new Delivery(this.#events, stream.topic, this.#policy, entry.frame, false);
      delivery.to(session);
      this.offset = entry.offset;
      delivery.end();
      this.#events.onSent(entry.frame.opcode, delivery.count);
    }
  }

  /** Waits until the socket has taken enough or, if that is not what it waits for, a while. */
  #wait(atMost: number): void {
    this.#isWaiting = true;
    const { connection } = this.session;
    const next = () => {
      this.#isWaiting = false;
      this.goOn();
    };
    if (connection.queuedBytes > atMost) connection.whenTaken(atMost).then(next);
    else this.#clock.after(LATER, next);
  }
}
