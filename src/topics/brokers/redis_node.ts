/**
 * A server as a node of Redis: two connections, one for commands and one for subscriptions. Each is watched, and made again when it is
 * lost. The server then asks for all that it may have missed, because no client tells.
 *
 * @module
 */

import type { Appended, BrokerHost, BrokerMessage, BrokerNode, TopicHistory, TopicPosition } from "../broker.ts";
import { BrokerError } from "../broker.ts";
import type { BrokerClock } from "../kept_topics.ts";
import { keptOptionsOf } from "./broker_options.ts";
import { decodeEnvelope, decodeKept, encodeEnvelope } from "./envelope.ts";
import { RedisAppends } from "./redis_appends.ts";
import { RedisCalls, textOf } from "./redis_calls.ts";
import type { RedisBrokerOptions } from "./redis_options.ts";
import { FORMAT, RedisKeys } from "./redis_keys.ts";
import { type RedisCommand, RedisLink, type RedisOpener } from "./redis_link.ts";
import { POSITIONS, READ } from "./redis_scripts.ts";

/** The number of channels that are subscribed to at once. */
const BATCH = 256;

/** The time after which Redis is asked again for a channel that it has refused, in milliseconds. */
const REFUSED_PAUSE = 1000;

/** One server at Redis. */
export class RedisNode implements BrokerNode {
  readonly state: { lag: number; reconnects: number; malformed: number } = { lag: 0, reconnects: 0, malformed: 0 };

  readonly #options: Required<RedisBrokerOptions>;
  readonly #host: BrokerHost;
  readonly #clock: BrokerClock;
  readonly #keys: RedisKeys;
  readonly #commands: RedisLink;
  readonly #subscriber: RedisLink;
  readonly #calls: RedisCalls;
  readonly #appends: RedisAppends;

  readonly #wanted: Set<string> = new Set();
  readonly #effective: Set<string> = new Set();
  readonly #changed: Set<string> = new Set(); // topics for which the two may differ
  #isChanging = false;
  #cancelRefused: (() => void) | undefined;

  readonly #probeChannel: string;
  #probes = 0; // sent
  #heard = 0; // the last one that came back
  #silentSince = 0; // when the first one was sent that has not come back
  #cancelProbe: (() => void) | undefined;

  constructor(options: Required<RedisBrokerOptions>, open: RedisOpener, host: BrokerHost, clock: BrokerClock) {
    this.#options = options;
    this.#host = host;
    this.#clock = clock;
    this.#keys = new RedisKeys(options.prefix);
    this.#probeChannel = this.#keys.probe(host.id);
    const shared = { timeout: options.timeout * 1000, maxPending: options.maxPending, maxPendingBytes: options.maxPendingBytes };
    this.#commands = new RedisLink(open, clock, {
      ...shared,
      setUp: () => this.#setUpCommands(),
      onReady: () => this.#onReady(),
      onLost: (reason, wasReady) => this.#onLost("commands", reason, wasReady),
      onMessage: () => {},
    });
    this.#subscriber = new RedisLink(open, clock, {
      ...shared,
      setUp: (link) => link.run((connection) => connection.subscribe([this.#probeChannel])).then(() => {}),
      onReady: () => this.#onSubscriberReady(),
      onLost: (reason, wasReady) => this.#onLost("subscriptions", reason, wasReady),
      onMessage: (channel, message) => this.#onMessage(channel, message),
    });
    this.#calls = new RedisCalls(this.#commands, host.id);
    this.#appends = new RedisAppends({
      link: this.#commands,
      calls: this.#calls,
      dedupeWindow: options.dedupeWindow,
      namesOf: (topic) => ({ names: this.#keys.of(topic), kept: keptOptionsOf(options, topic)! }),
    });
    this.#commands.connect();
    this.#subscriber.connect();
    this.#scheduleProbe();
  }

  get isUp(): boolean {
    return this.#commands.isReady && this.#subscriber.isReady;
  }

  async close(): Promise<void> {
    this.#cancelProbe?.();
    this.#cancelRefused?.();
    this.#subscriber.close();
    await this.#appends.settled(); // no longer than Redis may take to reply
    this.#commands.close();
  }

  // ---- connections --------------------------------------------------------------------------------------------------

  async #setUpCommands(): Promise<void> {
    const run = (command: RedisCommand) => this.#commands.run((connection) => connection.command(command));
    let format = textOf(await run(["GET", this.#keys.format]));
    if (format === "") { // else nothing is written: Redis may have no memory left, and still send messages
      await run(["SET", this.#keys.format, FORMAT, "NX"]);
      format = textOf(await run(["GET", this.#keys.format]));
    }
    if (format !== FORMAT) {
      const text = `Redis has topics in the format ${format}, of another version of Sluice; this one knows ${FORMAT}`;
      this.#host.warn("broker format", text);
      throw new Error(text);
    }
    this.#calls.run = this.#options.durable ? "" : await this.#askRun(run);
    await this.#calls.load(run);
    await this.#checkEviction(run);
  }

  /** Returns the id of the run of the server: it may have lost what it has stored before. */
  async #askRun(run: (command: RedisCommand) => Promise<unknown>): Promise<string> {
    const info = await orRefused(run(["INFO", "server"]));
    return /\brun_id:(\w+)/.exec(textOf(info))?.[1] ?? "";
  }

  async #checkEviction(run: (command: RedisCommand) => Promise<unknown>): Promise<void> {
    const reply = await orRefused(run(["CONFIG", "GET", "maxmemory-policy"]));
    // A list in RESP2; in RESP3 a map, which clients make an object of.
    const values = Array.isArray(reply)
      ? reply.slice(1)
      : reply instanceof Map
      ? [...reply.values()]
      : Object.values(reply ?? {});
    const policy = textOf(values[0]);
    if (!policy.startsWith("allkeys-")) return;
    this.#host.warn("broker eviction", `Redis may drop kept topics: its maxmemory-policy is ${policy}, not noeviction`);
  }

  #onLost(what: string, reason: string, wasReady: boolean): void {
    if (wasReady) this.state.reconnects++;
    this.#host.warn(`broker ${what}`, `The connection to Redis for ${what} ${wasReady ? "is lost" : "was not made"}: ${reason}`);
  }

  /** Asks for the positions that could not be asked for while there was no connection. */
  #onReady(): void {
    if (this.#effective.size > 0) this.#host.subscribed([...this.#effective]);
  }

  #onSubscriberReady(): void {
    this.#silentSince = 0;
    this.#effective.clear();
    for (const topic of this.#wanted) this.#changed.add(topic);
    this.#change();
  }

  // ---- the probe ----------------------------------------------------------------------------------------------------

  #scheduleProbe(): void {
    this.#cancelProbe = this.#clock.after(this.#options.probeInterval * 1000, () => {
      this.#probe();
      this.#scheduleProbe();
    });
  }

  /** Sends a message to itself. A connection for subscriptions may be silent for ever, and seem to be well. */
  #probe(): void {
    if (!this.isUp) return;
    const now = this.#clock.now();
    if (this.#silentSince !== 0 && now - this.#silentSince >= this.#options.probeInterval * 1000) {
      return this.#subscriber.lose("what this server sends to itself does not arrive");
    }
    const probe = ++this.#probes;
    this.#commands.ask(["PUBLISH", this.#probeChannel, `${probe}:${now}`]).then(() => {
      if (this.#heard < probe && this.#silentSince === 0) this.#silentSince = now;
    }, () => {}); // the other connection is lost
  }

  #onProbe(text: string): void {
    const [probe, sent] = text.split(":").map(Number);
    if (!(probe > this.#heard && probe <= this.#probes && sent >= 0)) return void this.state.malformed++;
    this.#heard = probe;
    this.#silentSince = 0;
    this.state.lag = Math.max(0, this.#clock.now() - sent) / 1000;
  }

  // ---- subscriptions ------------------------------------------------------------------------------------------------

  subscribe(topics: readonly string[]): void {
    for (const topic of topics) {
      this.#wanted.add(topic);
      this.#changed.add(topic);
    }
    this.#change();
  }

  unsubscribe(topics: readonly string[]): void {
    for (const topic of topics) {
      this.#wanted.delete(topic);
      this.#changed.add(topic);
    }
    this.#change();
  }

  /** Subscribes and gives up, in batches, until what is effective is what is wanted. */
  async #change(): Promise<void> {
    if (this.#isChanging) return;
    this.#isChanging = true;
    try {
      while (this.#changed.size > 0 && this.#subscriber.isReady) await this.#changeSome();
    } catch {
      // the connection is lost, and everything is wanted again with the next one
    } finally {
      this.#isChanging = false;
    }
    // A new connection may have become ready before this one was given up.
    if (this.#changed.size > 0 && this.#subscriber.isReady) this.#change();
  }

  async #changeSome(): Promise<void> {
    const more: string[] = [];
    const fewer: string[] = [];
    const there: string[] = [];
    for (const topic of this.#changed) {
      this.#changed.delete(topic);
      const isEffective = this.#effective.has(topic);
      if (this.#wanted.has(topic)) (isEffective ? there : more).push(topic);
      else if (isEffective) fewer.push(topic);
      if (more.length === BATCH || fewer.length === BATCH) break;
    }
    const channelsOf = (topics: string[]) => topics.map((topic) => this.#keys.of(topic).channel);
    if (there.length > 0) this.#host.subscribed(there);
    if (fewer.length > 0) {
      for (const topic of fewer) this.#effective.delete(topic);
      await this.#subscriber.run((connection) => connection.unsubscribe(channelsOf(fewer)));
    }
    if (more.length === 0) return;
    const taken = await this.#subscribeTo(more);
    for (const topic of taken) this.#effective.add(topic);
    if (taken.length > 0) this.#host.subscribed(taken);
  }

  /** Subscribes. If Redis refuses, it may do so for some of the topics only. Returns those that it has taken. */
  async #subscribeTo(topics: string[]): Promise<string[]> {
    const channels = topics.map((topic) => this.#keys.of(topic).channel);
    try {
      await this.#subscriber.run((connection) => connection.subscribe(channels));
      return topics;
    } catch (error) {
      if (!(error instanceof BrokerError) || error.code !== "BROKER_REFUSED") throw error;
      if (topics.length > 1) return (await Promise.all(topics.map((topic) => this.#subscribeTo([topic])))).flat();
      this.#host.warn("broker channels", `Redis does not let this server subscribe to ${channels[0]}: ${error.message}`);
      this.#cancelRefused ??= this.#clock.after(REFUSED_PAUSE, () => {
        this.#cancelRefused = undefined;
        for (const topic of this.#wanted) if (!this.#effective.has(topic)) this.#changed.add(topic);
        this.#change();
      });
      return [];
    }
  }

  #onMessage(channel: string, bytes: Uint8Array): void {
    if (channel === this.#probeChannel) return this.#onProbe(textOf(bytes));
    const topic = this.#keys.topicOf(channel);
    if (topic === undefined) return;
    if (keptOptionsOf(this.#options, topic) !== undefined) {
      const kept = decodeKept(bytes);
      if (kept === undefined) return this.#onMalformed(channel);
      for (const entry of kept.entries) this.#host.deliverKept(topic, kept.epoch, entry);
      return;
    }
    const message = decodeEnvelope(bytes);
    if (message === undefined) this.#onMalformed(channel);
    else this.#host.deliver(topic, message);
  }

  #onMalformed(name: string): void {
    this.state.malformed++;
    this.#host.warn(
      "broker messages",
      `Not understood: a message in ${name}. Do all servers have the same options of the broker?`,
    );
  }

  // ---- commands -----------------------------------------------------------------------------------------------------

  publish(topic: string, message: BrokerMessage): boolean {
    if (this.#commands.refusal !== undefined) return false;
    this.#commands.command(["PUBLISH", this.#keys.of(topic).channel, encodeEnvelope(message)]).catch(() => {});
    return true;
  }

  append(topic: string, message: BrokerMessage, id: string): Promise<Appended> {
    return this.#appends.add(topic, message, id);
  }

  async positions(topics: readonly string[]): Promise<(TopicPosition | undefined)[]> {
    const replies = await this.#calls.callTogether(topics.map((topic) => this.#keys.of(topic)), (some) => {
      return this.#calls.call(POSITIONS, some.flatMap(({ meta, stream }) => [meta, stream]), []);
    });
    return replies.map((reply) => {
      if (reply instanceof BrokerError && reply.code !== "BROKER_REFUSED") throw reply;
      if (Array.isArray(reply)) return positionOf(reply);
      if (!(reply instanceof BrokerError)) this.#commands.onRefused(textOf(reply));
      return undefined;
    });
  }

  async read(topic: string, since: number, limit: number): Promise<TopicHistory> {
    const { meta, stream } = this.#keys.of(topic);
    const { size } = keptOptionsOf(this.#options, topic)!;
    const reply = await this.#calls.call(READ, [meta, stream], [`${since}`, `${limit}`, `${size}`]);
    const { offset, epoch } = positionOf(reply);
    const entries: { offset: number; message: BrokerMessage }[] = [];
    for (const [id, fields] of (reply as unknown[])[2] as [unknown, unknown[]][]) {
      const message = decodeEnvelope(fields[1] as Uint8Array);
      const number = parseInt(textOf(id));
      if (message !== undefined && number <= offset) {
        entries.push({ offset: number, message });
        continue;
      }
      this.#onMalformed(stream);
      if (entries.length > 0) break; // the next part begins behind it, so that it is a gap
    }
    return { offset, epoch, entries, base: entries.length > 0 ? entries[0].offset - 1 : Math.max(since, offset) };
  }
}

/** Returns a reply; `undefined` if it is an error. */
async function orRefused(reply: Promise<unknown>): Promise<unknown> {
  try {
    return await reply;
  } catch (error) {
    if (error instanceof BrokerError && error.code === "BROKER_REFUSED") return undefined;
    throw error;
  }
}

function positionOf(reply: unknown): TopicPosition {
  const [offset, epoch] = reply as unknown[];
  return { offset: Number(offset), epoch: textOf(epoch) };
}
