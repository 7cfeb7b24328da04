/**
 * The names of keys and channels in Redis. They are a format that other versions of this library read: version 1.
 *
 * Everything of one topic has the same hash tag, so that it is on one node of a cluster. There are 128 tags, whose slots are even over
 * the 16,384 of a cluster.
 *
 * @module
 */

import { utf8Encoder } from "../../values.ts";

/** The version of the format. */
export const FORMAT = "1";

/** The number of tags. */
const PARTITIONS = 128;

/** Returns the slot of a key (Redis cluster specification, CRC16/XMODEM). */
export function slotOf(text: string): number {
  let crc = 0;
  for (const byte of utf8Encoder.encode(text)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : crc << 1;
  }
  return crc & 16383;
}

let tags: string[] | undefined;

/** Returns the tags: for each of 128 equal ranges of slots the lowest number that falls into it. */
export function partitionTags(): readonly string[] {
  if (tags !== undefined) return tags;
  tags = [];
  let missing = PARTITIONS;
  for (let number = 0; missing > 0; number++) {
    const partition = Math.floor(slotOf(`${number}`) / PARTITIONS);
    if (tags[partition] !== undefined) continue;
    tags[partition] = `${number}`;
    missing--;
  }
  return tags;
}

/** The names of one topic. */
export interface TopicKeys {
  /** A hash with the epoch `e`, the last offset `s` and the run of the server `r`. */
  readonly meta: string;
  /** The stream of messages: each has its offset as its id, and its envelope as `d`. */
  readonly stream: string;
  /** The channel on which messages are sent. */
  readonly channel: string;
  /** Returns the hash for an id that a message was appended with: the offset `s` and the epoch `e`. */
  id(id: string): string;
}

/** The names that one prefix stands for. */
export class RedisKeys {
  /** The version of the format, a string. It has no version in its own name. */
  readonly format: string;

  readonly #prefix: string;

  constructor(prefix: string) {
    this.format = `${prefix}:format`;
    this.#prefix = `${prefix}:${FORMAT}:`;
  }

  /** Returns the names of a topic. */
  of(topic: string): TopicKeys {
    const begin = `${this.#prefix}{${partitionTags()[Math.floor(slotOf(topic) / PARTITIONS)]}}:`;
    return {
      meta: `${begin}m:${topic}`,
      stream: `${begin}s:${topic}`,
      channel: `${begin}c:${topic}`,
      id: (id) => `${begin}i:${topic.length}:${topic}:${id}`,
    };
  }

  /** Returns the channel on which a server sends messages to itself. */
  probe(node: string): string {
    return `${this.#prefix}probe:${node}`;
  }

  /** Returns the topic of a channel; `undefined` for any other. */
  topicOf(channel: string): string | undefined {
    const end = channel.indexOf("}", this.#prefix.length);
    return channel.startsWith(`${this.#prefix}{`) && channel.startsWith("}:c:", end) ? channel.slice(end + 4) : undefined;
  }
}
