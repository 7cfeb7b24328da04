/**
 * Calls of the scripts that run in Redis.
 *
 * @module
 */

import { utf8Decoder } from "../../values.ts";
import { BrokerError } from "../broker.ts";
import type { RedisCommand, RedisLink } from "./redis_link.ts";
import { APPEND, POSITIONS, READ, type RedisScript } from "./redis_scripts.ts";

/** Sends a command. */
type Send = (command: RedisCommand) => Promise<unknown>;

/** The scripts as one server calls them. */
export class RedisCalls {
  /** The id of the run of the Redis server; empty if it cannot lose what it has stored, or does not say. */
  run = "";

  readonly #link: RedisLink;
  readonly #node: string;
  readonly #hashes: Map<RedisScript, string> = new Map();
  #calls = 0; // for epochs that are unique
  #isSplit = false; // each topic has a call of its own

  /** @param node The id of the server. */
  constructor(link: RedisLink, node: string) {
    this.#link = link;
    this.#node = node;
  }

  /** Loads the scripts over a new connection. */
  async load(send: Send): Promise<void> {
    this.#isSplit = false;
    for (const script of [APPEND, POSITIONS, READ]) this.#hashes.set(script, textOf(await send(["SCRIPT", "LOAD", script])));
  }

  /**
   * Calls a script. If Redis has forgotten it, it is sent again.
   *
   * @param count The number of messages that it appends.
   */
  async call(script: RedisScript, keys: readonly string[], values: RedisCommand, count = 1): Promise<unknown> {
    const fresh = `${this.#node}${(++this.#calls).toString(36)}`;
    const args: RedisCommand = [`${keys.length}`, ...keys, fresh, this.run, ...values];
    try {
      return await this.#link.ask(["EVALSHA", this.#hashes.get(script) ?? "", ...args], count);
    } catch (error) {
      if (!isRefusal(error, "NOSCRIPT")) throw error;
      return await this.#link.ask(["EVAL", script, ...args], count);
    }
  }

  /**
   * Calls a script that takes several topics. They have one call, or each has its own where Redis refuses all of them because of
   * some: their keys are on several nodes of a cluster that looks like one server, or keys of some are forbidden.
   *
   * @param call Calls it for some of them. Resolves to a list with a reply for each.
   * @returns For each the reply, or the error. Does not reject.
   */
  async callTogether<Part>(
    parts: readonly Part[],
    call: (parts: readonly Part[]) => Promise<unknown>,
  ): Promise<unknown[]> {
    const attempt = async (some: readonly Part[]): Promise<unknown[]> => {
      try {
        const replies = await call(some);
        if (Array.isArray(replies) && replies.length === some.length) return replies;
        throw new BrokerError("BROKER_UNKNOWN", "Redis has replied something else");
      } catch (error) {
        return some.map(() => error);
      }
    };
    if (!this.#isSplit || parts.length === 1) {
      const replies = await attempt(parts);
      const isSplit = parts.length > 1 && (isRefusal(replies[0], "CROSSSLOT") || isRefusal(replies[0], "NOPERM"));
      if (!isSplit) return replies;
      this.#isSplit = true; // nothing was done
    }
    return (await Promise.all(parts.map((part) => attempt([part])))).flat();
  }
}

/** Reports whether Redis has refused something, with a certain code. */
function isRefusal(error: unknown, code: string): boolean {
  return error instanceof BrokerError && error.code === "BROKER_REFUSED" && error.message.includes(code);
}

/** Returns the text of a reply. */
export function textOf(reply: unknown): string {
  return reply instanceof Uint8Array ? utf8Decoder.decode(reply) : String(reply ?? "");
}
