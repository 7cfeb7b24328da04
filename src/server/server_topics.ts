/**
 * The topics of a server, for its public classes: with fds, and with codes for `getLastError()`.
 *
 * @module
 */

import {
  SWOOLE_ERROR_INVALID_PARAMS,
  SWOOLE_ERROR_SESSION_CLOSING,
  SWOOLE_ERROR_SESSION_NOT_EXIST,
  SWOOLE_ERROR_WEBSOCKET_PACK_FAILED,
  SWOOLE_ERROR_WEBSOCKET_UNCONNECTED,
} from "../errors.ts";
import type { SlowReader } from "../topics/delivery.ts";
import { isTopic, type SlowReaderPolicy } from "../topics/topic_settings.ts";
import { checkTopic, type Publication, type PublishOptions, readPublication, Topics } from "../topics/topics.ts";
import type { Connection } from "../transport/connection.ts";
import { WebSocketSession } from "../websocket/connection/websocket_session.ts";
import type { Pushable } from "../websocket/prepared_message.ts";
import { HttpSession } from "./http/http_session.ts";
import { cleaned, LogThrottle, quoted } from "./log.ts";
import { ipOf } from "./refusals.ts";
import type { ServerContext } from "./server_context.ts";

/** What a server does with topics. */
export class ServerTopics {
  readonly #context: ServerContext;
  readonly #log: LogThrottle;

  constructor(context: ServerContext) {
    this.#context = context;
    this.#log = new LogThrottle(context.log);
  }

  get #topics(): Topics {
    const context = this.#context;
    return context.topics ??= new Topics(context.settings, (...reader) => this.#onSlowReader(...reader));
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
    const code = connection === undefined ? SWOOLE_ERROR_SESSION_NOT_EXIST : this.join(connection, topic);
    return code === 0 || this.#context.failed(code);
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
    if (connection === undefined) return this.#context.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
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
    if (this.#context.table === undefined) return 0;
    const { message: frame, except } = publication;
    return this.#counted(frame, this.#topics.publish(topic, frame, except));
  }

  /** See `WebSocketServer.broadcast()`. */
  broadcast(message: Pushable, options: PublishOptions): number | false {
    const publication = readPublication(message, options, "broadcast");
    if (publication === undefined) return this.#context.failed(SWOOLE_ERROR_WEBSOCKET_PACK_FAILED);
    const { table } = this.#context;
    if (table === undefined) return 0;
    const { message: frame, except } = publication;
    return this.#counted(frame, this.#topics.broadcast(table.connections(), frame, except));
  }

  #counted({ opcode }: Publication["message"], count: number): number {
    const { counters } = this.#context;
    counters.sent[opcode] += count;
    counters.fanout.add(count);
    return count;
  }

  /** See `WebSocketServer.subscriberCount()`. */
  subscriberCount(topic: string): number {
    checkTopic(topic, "count subscribers");
    return this.#context.topics?.subscriberCount(topic) ?? 0;
  }

  /** See `WebSocketServer.topics()`. */
  topics(fd: number): string[] {
    const connection = this.#context.connectionOrLeaving(fd);
    return this.#context.topics?.topicsOf(connection?.fd ?? fd) ?? [];
  }
}
