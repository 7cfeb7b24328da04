/**
 * Messages of a server on their way to kept topics in Redis. One call of a script is under way at a time, and the next one takes all
 * messages that have come meanwhile: while there are few, none waits for others, and many share what a call costs. Nothing overtakes
 * a call that is repeated because Redis has forgotten the script.
 *
 * @module
 */

import { type Appended, BrokerError, type BrokerMessage, type KeptOptions } from "../broker.ts";
import { Window } from "../window.ts";
import { encodedLength, encodeEnvelopes } from "./envelope.ts";
import { type RedisCalls, textOf } from "./redis_calls.ts";
import type { TopicKeys } from "./redis_keys.ts";
import type { RedisLink } from "./redis_link.ts";
import { APPEND } from "./redis_scripts.ts";

/** The number of messages in one call, and their bytes unless one has more: Redis does nothing else in the meantime. */
const MOST = 256;
const MOST_BYTES = 256 * 1024;

const LOST = "The connection to Redis was lost before the message was sent";

/** A message that is to be appended. */
interface WaitingAppend {
  readonly topic: string;
  readonly message: BrokerMessage;
  /** Its id; empty for none. */
  readonly id: string;
  resolve(appended: Appended): void;
  reject(error: BrokerError): void;
}

/** The messages for one topic in a call. */
interface TopicAppends {
  readonly names: TopicKeys;
  readonly kept: Required<KeptOptions>;
  readonly appends: WaitingAppend[];
}

/** The parts of a server that its messages need on their way. */
export interface AppendContext {
  readonly link: RedisLink;
  readonly calls: RedisCalls;
  /** For how long ids are remembered, in seconds. */
  readonly dedupeWindow: number;
  /** Returns the names of a topic, and how it is kept. */
  namesOf(topic: string): { names: TopicKeys; kept: Required<KeptOptions> };
}

/** The messages that one server appends. */
export class RedisAppends {
  readonly #context: AppendContext;
  readonly #queue: Window<WaitingAppend> = new Window();
  #running: Promise<void> | undefined = undefined;

  constructor(context: AppendContext) {
    this.#context = context;
  }

  /** Appends a message. Rejects with a `BrokerError`. */
  add(topic: string, message: BrokerMessage, id: string): Promise<Appended> {
    const { link } = this.#context;
    const { refusal } = link;
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const append = { topic, message, id, resolve, reject };
      this.#queue.push(append);
      link.hold(1, bytesOf(append));
      this.#running ??= Promise.resolve().then(() => this.#run()); // with all that are published in this turn
    });
  }

  /** Resolves when no message waits. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const { link } = this.#context;
    while (this.#queue.size > 0 && link.isReady) await this.#append(this.#take());
    while (this.#queue.size > 0) this.#next().reject(new BrokerError("BROKER_DOWN", LOST));
    this.#running = undefined;
  }

  #next(): WaitingAppend {
    const append = this.#queue.shift();
    this.#context.link.hold(-1, -bytesOf(append));
    return append;
  }

  /** Takes the messages for one call from the queue, by topic. */
  #take(): TopicAppends[] {
    const topics: Map<string, TopicAppends> = new Map();
    let bytes = 0;
    for (let count = 0; count < MOST && this.#queue.size > 0; count++) {
      bytes += bytesOf(this.#queue.at(0)!);
      if (count > 0 && bytes > MOST_BYTES) break;
      const append = this.#next();
      const known = topics.get(append.topic);
      if (known !== undefined) known.appends.push(append);
      else topics.set(append.topic, { ...this.#context.namesOf(append.topic), appends: [append] });
    }
    return [...topics.values()];
  }

  async #append(topics: readonly TopicAppends[]): Promise<void> {
    const replies = await this.#context.calls.callTogether(topics, (some) => this.#call(some));
    for (const [index, { appends }] of topics.entries()) this.#settle(appends, replies[index]);
  }

  #call(topics: readonly TopicAppends[]): Promise<unknown> {
    const { calls, dedupeWindow } = this.#context;
    const keys = topics.flatMap(({ names }) => [names.meta, names.stream]);
    const values: (string | Uint8Array)[] = [`${Math.max(1, Math.ceil(dedupeWindow))}`, `${topics.length}`];
    let count = 0;
    for (const { names, kept: { size, ttl }, appends } of topics) {
      let lengths = "";
      for (const { message, id } of appends) {
        if (id !== "") keys.push(names.id(id));
        lengths += `${encodedLength(message)}${id === "" ? "" : `@${keys.length}`} `;
      }
      values.push(`${size}`, `${ttl}`, names.channel, lengths, encodeEnvelopes(appends.map(({ message }) => message)));
      count += appends.length;
    }
    return calls.call(APPEND, keys, values, count);
  }

  /** Settles the messages for one topic by the reply of the script. */
  #settle(appends: readonly WaitingAppend[], reply: unknown): void {
    if (!Array.isArray(reply)) {
      const error = reply instanceof BrokerError ? reply : this.#refusal(reply);
      for (const { reject } of appends) reject(error);
      return;
    }
    const epoch = textOf(reply[0]);
    for (const [index, { resolve, reject }] of appends.entries()) {
      const result = textOf(reply[index + 1]);
      const offset = Number(result);
      if (Number.isSafeInteger(offset) && offset !== 0) resolve({ offset: Math.abs(offset), epoch, isRepeated: offset < 0 });
      else reject(this.#refusal(result));
    }
  }

  #refusal(reply: unknown): BrokerError {
    const text = textOf(reply);
    this.#context.link.onRefused(text);
    return new BrokerError("BROKER_REFUSED", `Redis refuses: ${text}`);
  }
}

/** Returns the number of bytes counted for a message that waits. */
function bytesOf({ message, id, topic }: WaitingAppend): number {
  return encodedLength(message) + id.length + topic.length;
}
