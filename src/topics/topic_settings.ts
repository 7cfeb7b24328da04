/**
 * The names of topics and their settings: how many a connection may have, and what happens to readers that are too slow.
 *
 * @module
 */

import type { Pushable } from "../websocket/prepared_message.ts";
import { describe, isRecord, type Kind, shown, utf8Length } from "../values.ts";
import type { Broker, TopicPosition } from "./broker.ts";

/**
 * What happens to a WebSocket that reads more slowly than is published: it is closed with 1013 (`"close"`), misses messages
 * (`"drop"`), is sent the newest message of a topic once there is room (`"latest"`), or, for kept topics, is sent the messages as
 * fast as it reads, and told of a gap if they are no longer there (`"gap"`; for other topics the same as `"close"`).
 */
export type SlowReaderPolicy = "close" | "drop" | "latest" | "gap";

/**
 * Makes what subscribers of a kept topic are sent for a message, for example with its position, so that they can say later from
 * where to go on. Called once for each message.
 *
 * @param message The message: text, or bytes.
 * @param about Its topic and position.
 * @returns What to send: a whole text or binary message.
 */
export type TopicEnvelope = (message: string | Uint8Array, about: TopicPosition & { readonly topic: string }) => Pushable;

/**
 * The settings of topics.
 *
 * @example Prices, of which only the newest matters, and chats, of which no message may be missing
 * ```ts
 * import { WebSocketServer } from "@sluice/server";
 *
 * const server = new WebSocketServer("127.0.0.1", 0);
 * server.set({ topic_buffer_size: 1024 * 1024, topic_slow_readers: { "prices/*": "latest", "*": "close" } });
 * ```
 */
export interface TopicSettings {
  /** The maximum number of topics that one connection may subscribe to. Default: 1024. */
  max_topics_per_connection?: number;
  /**
   * The number of messages that one connection may publish in a second. It counts what is published with the option `from`.
   * Default: 0, no limit.
   */
  max_publish_rate?: number;
  /**
   * The number of queued bytes above which a connection is a slow reader of what is published. Default: 0, which stands for
   * `socket_buffer_size`; it is never more than that. For `"latest"` it is at most 64 KiB.
   */
  topic_buffer_size?: number;
  /**
   * What happens to slow readers: `"close"` (default) closes them with 1013, `"drop"` leaves messages out, `"latest"` keeps the
   * newest message of a topic until there is room, `"gap"` sends the messages of kept topics as fast as they are read. Either for
   * all topics, or an object: its keys are topics, or beginnings of topics followed by `*`, of which the longest that matches
   * decides. Broadcasts match only `*`.
   */
  topic_slow_readers?: SlowReaderPolicy | Readonly<Record<string, SlowReaderPolicy>>;
  /**
   * How long a member without connections is still shown in a topic, in seconds: one that comes back within this time has never
   * left. Default: 2.
   */
  presence_grace?: number;
  /** The number of members of a topic above which `presence` tells only how many there are. Default: 1000. */
  presence_max?: number;
  /** What connects the topics of several servers, and keeps messages: see `memoryBroker()`. Default: `null`, nothing. */
  broker?: Broker | null;
  /** Makes what subscribers of kept topics are sent. Default: `null`, they are sent the messages as they are. */
  topic_envelope?: TopicEnvelope | null;
}

/** The defaults of the settings. */
export const TOPIC_DEFAULTS: Readonly<Required<TopicSettings>> = {
  max_topics_per_connection: 1024,
  max_publish_rate: 0,
  topic_buffer_size: 0,
  topic_slow_readers: "close",
  presence_grace: 2,
  presence_max: 1000,
  broker: null,
  topic_envelope: null,
};

/** The valid values of the settings. */
export const TOPIC_KINDS: Record<keyof TopicSettings, Kind> = {
  max_topics_per_connection: { from: 1, to: Number.MAX_SAFE_INTEGER },
  max_publish_rate: { from: 0, to: 1_000_000 },
  topic_buffer_size: "bytes",
  topic_slow_readers: checkPolicies,
  presence_grace: "seconds",
  presence_max: "count",
  broker: checkBroker,
  topic_envelope: "function",
};

/** The settings that apply to all ports together, because these share their topics: all of them. */
export const SERVER_WIDE_TOPICS: readonly (keyof TopicSettings)[] = [
  "max_topics_per_connection",
  "max_publish_rate",
  "topic_buffer_size",
  "topic_slow_readers",
  "presence_grace",
  "presence_max",
  "broker",
  "topic_envelope",
];

const POLICIES: readonly unknown[] = ["close", "drop", "latest", "gap"];

function checkBroker(key: string, value: unknown): void {
  if (value === null || (isRecord(value) && typeof value.attach === "function")) return;
  throw new TypeError(`Cannot set ${key}: a broker is needed, such as memoryBroker(), not ${describe(value)}`);
}

/** Checks a key of an object whose keys are topics, or beginnings of topics followed by `*`. */
export function checkPattern(key: string, pattern: string): void {
  const star = pattern.indexOf("*");
  if (star >= 0 && star < pattern.length - 1) {
    throw new RangeError(`Cannot set ${key}: in ${JSON.stringify(pattern)} the * is not at the end`);
  }
  if (pattern !== "*" && !isTopic(pattern)) {
    throw new RangeError(`Cannot set ${key}: ${JSON.stringify(pattern)} matches no topic, which has 1 to 255 bytes of UTF-8`);
  }
}

/** Returns the longest key that matches a topic, if any. */
export function matching(patterns: Readonly<Record<string, unknown>>, topic: string): string | undefined {
  if (Object.hasOwn(patterns, topic)) return topic;
  let best: string | undefined;
  for (const pattern of Object.keys(patterns)) {
    if (pattern.length <= (best?.length ?? 0) || !pattern.endsWith("*")) continue;
    if (topic.startsWith(pattern.slice(0, -1))) best = pattern;
  }
  return best;
}

function checkPolicies(key: string, value: unknown): void {
  if (!isRecord(value)) return checkPolicy(key, value);
  for (const [pattern, policy] of Object.entries(value)) {
    checkPattern(key, pattern);
    checkPolicy(`${JSON.stringify(pattern)} in ${key}`, policy);
  }
}

function checkPolicy(key: string, value: unknown): void {
  if (POLICIES.includes(value)) return;
  if (typeof value === "string") throw new RangeError(`Cannot set ${key}: ${shown(value)} is none of ${POLICIES.join(", ")}`);
  throw new TypeError(`Cannot set ${key}: a string or an object is needed, not ${describe(value)}`);
}

/**
 * Returns the policy for a topic.
 *
 * @param policies The setting `topic_slow_readers`.
 * @param topic The topic; empty for broadcasts.
 */
export function policyFor(policies: Required<TopicSettings>["topic_slow_readers"], topic: string): SlowReaderPolicy {
  if (typeof policies === "string") return policies;
  const pattern = matching(policies, topic);
  return pattern === undefined ? "close" : policies[pattern];
}

/** The maximum length of a topic, in bytes. */
const LONGEST = 255;

const HALF_A_PAIR = /\p{Surrogate}/u;

/** Reports whether a topic is one that servers use among themselves. */
export function isReserved(topic: string): boolean {
  return topic.startsWith("\0sluice ");
}

/** Reports whether a text can be a topic: it has 1 to 255 bytes of UTF-8. */
export function isTopic(text: string): boolean {
  return !isReserved(text) && text !== "" && text.length <= LONGEST && utf8Length(text) <= LONGEST && !HALF_A_PAIR.test(text);
}
