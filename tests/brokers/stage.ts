/**
 * What the contract tests of brokers have in common: the brokers, servers that share one, and their members.
 *
 * @module
 */

import { createClient } from "redis";
import { Redis } from "ioredis";
import process from "node:process";
import {
  type Broker,
  type BrokerHost,
  type BrokerNode,
  memoryBroker,
  type ServerSettings,
  type SubscribeResult,
  type TopicGap,
  type TopicPosition,
  type WebSocketServer,
} from "../../mod.ts";
import { redisBroker, type RedisBrokerOptions } from "../../adapters/redis.ts";
import { RedisProxy, RedisServer } from "../support/redis_server.ts";
import { framesOf, join, type Member, quietServer } from "../topics/stage.ts";
import { MasterLinks } from "./master_links.ts";

/** The brokers that the contract is tested with. */
export type BrokerName = "memory" | "workers" | "redis" | "ioredis";

/** Whether the tests take the times that are the defaults; else they are short. */
export const isFull: boolean = process.env.SLUICE_BROKERS === "full";

/** The times of a broker for tests that wait for them, in seconds. On a busy machine, a broker with short times may seem to be frozen. */
export const TIMES: { readonly timeout: number; readonly probeInterval: number; readonly idleCheck: number } = isFull
  ? { timeout: 2, probeInterval: 5, idleCheck: 30 }
  : { timeout: 0.5, probeInterval: 0.5, idleCheck: 1 };

const decoder = new TextDecoder();

/** Waits until something is so; what is awaited is named when it is not so in time. */
export async function eventually(what: string, isTrue: () => unknown, seconds = 30): Promise<void> {
  for (const end = performance.now() + seconds * 1000; !await isTrue(); await pause(5)) {
    if (performance.now() > end) throw new Error(`Not within ${seconds} s: ${what}`);
  }
}

/** Waits for some milliseconds. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Makes the broker of a program on its own. */
export function makeBroker(name: BrokerName, url: string, options: RedisBrokerOptions): Broker {
  if (name === "redis") return redisBroker(createClient({ url, ...redisBroker.options }), options);
  if (name === "ioredis") return redisBroker(new Redis(url, redisBroker.options), options);
  const { kept, idleCheck, linger, lease, memory, timeout } = options; // those that it has, too
  return memoryBroker({ kept, idleCheck, linger, lease, memory, timeout });
}

/** A broker that counts what servers ask it for. */
export class CountingBroker implements Broker {
  readonly options: Broker["options"];
  subscribes = 0;
  unsubscribes = 0;
  reads = 0;
  readonly #broker: Broker;

  constructor(broker: Broker) {
    this.#broker = broker;
    this.options = broker.options;
  }

  attach(host: BrokerHost): BrokerNode {
    const node = this.#broker.attach(host);
    const { subscribe, unsubscribe, read } = node;
    node.subscribe = (topics) => (this.subscribes++, subscribe.call(node, topics));
    node.unsubscribe = (topics) => (this.unsubscribes++, unsubscribe.call(node, topics));
    node.read = (...args) => (this.reads++, read.apply(node, args));
    return node;
  }
}

/** What a member has been sent of a kept topic, or a gap that it was told of. */
export interface Heard {
  readonly topic: string;
  readonly text?: string;
  readonly gap?: string;
  readonly offset: number;
  readonly epoch: string;
}

/** A WebSocket that notes everything. */
export class Listener {
  readonly member: Member;
  readonly server: WebSocketServer;
  /** What it has heard of kept topics. */
  readonly kept: Heard[] = [];
  /** What it has heard of others. */
  readonly fleeting: string[] = [];

  constructor(server: WebSocketServer) {
    this.server = server;
    this.member = join(server);
  }

  get fd(): number {
    return this.member.fd;
  }

  /** Reads what has arrived. */
  async listen(): Promise<this> {
    for (const { opcode, payload } of await framesOf(this.member)) {
      const text = decoder.decode(payload);
      if (opcode === 1 && text.startsWith("{")) this.kept.push(JSON.parse(text));
      else if (opcode === 1) this.fleeting.push(text);
    }
    return this;
  }

  /** Subscribes from a position on, and returns where that begins. */
  async begin(topic: string, since?: TopicPosition): Promise<TopicPosition & { gap?: string }> {
    const result: SubscribeResult = await this.server.subscribe(this.fd, topic, { since });
    if (result.status !== "subscribed") throw result.error;
    return result;
  }

  /** The texts of kept topics. */
  get texts(): string[] {
    return this.kept.flatMap(({ text }) => text ?? []);
  }

  /** The gaps. */
  get gaps(): string[] {
    return this.kept.flatMap(({ gap }) => gap ?? []);
  }

  /** The last position that it knows. */
  get position(): TopicPosition {
    const { offset, epoch } = this.kept.at(-1)!;
    return { offset, epoch };
  }

  /** Throws if something of a kept topic is missing, twice or out of order, without a gap in between. */
  check(begun: TopicPosition): void {
    let { offset, epoch } = begun;
    for (const heard of this.kept) {
      if (heard.gap === undefined && (heard.epoch !== epoch || heard.offset !== offset + 1)) {
        throw new Error(`After ${epoch}:${offset} comes ${heard.epoch}:${heard.offset}, ${heard.text}`);
      }
      ({ offset, epoch } = heard);
    }
  }
}

/** Servers that share a broker. */
export interface Cluster {
  readonly servers: readonly WebSocketServer[];
  readonly brokers: readonly CountingBroker[];
  /** All gaps that servers have told of. */
  readonly gaps: TopicGap[];
  /** The Redis server, for brokers that need one. */
  readonly redis: RedisServer;
  /** What stands between it and the servers other than the first, if that was asked for. */
  readonly proxy: RedisProxy | undefined;
  /** The links to the master, for the broker of workers. */
  readonly links: MasterLinks | undefined;
}

/** What a test needs of a cluster. */
export interface ClusterOptions {
  /** The number of servers. Default: 2. */
  readonly servers?: number;
  readonly broker?: RedisBrokerOptions;
  readonly settings?: ServerSettings;
  /** The options of the Redis server. */
  readonly redis?: readonly string[];
  /** What to do with it before servers connect. */
  readonly prepare?: (redis: RedisServer) => Promise<unknown>;
  /** Whether servers other than the first are behind a proxy. */
  readonly isProxied?: boolean;
}

/** Runs a test with servers in this process. */
export async function withCluster(
  name: BrokerName,
  { servers: count = 2, broker: options = {}, settings = {}, redis: redisOptions = [], prepare, isProxied = false }:
    ClusterOptions,
  test: (cluster: Cluster) => Promise<void>,
): Promise<void> {
  const isRedis = name === "redis" || name === "ioredis";
  const redis = isRedis ? await RedisServer.start(...redisOptions) : undefined as unknown as RedisServer;
  await prepare?.(redis);
  const proxy = isProxied && isRedis ? await RedisProxy.start(redis) : undefined;
  const given: RedisBrokerOptions = { kept: { "room*": {} }, idleCheck: TIMES.idleCheck, linger: 0.2, ...options };
  const shared = isRedis ? undefined : makeBroker(name, "", given);
  const links = name === "workers" ? new MasterLinks(shared!, settings) : undefined;
  const gaps: TopicGap[] = [];
  const brokers: CountingBroker[] = [];
  const servers = Array.from({ length: count }, (_, index) => {
    const url = index > 0 && proxy !== undefined ? proxy.url : redis?.url;
    const broker = new CountingBroker(shared ?? makeBroker(name, url, given));
    if (links === undefined) brokers.push(broker);
    const server = quietServer({
      broker: links === undefined ? broker : makeBroker(name, url, given),
      topic_envelope: (text, about) => JSON.stringify({ ...about, text }),
      ...settings,
    });
    server.on("topicGap", (server, gap) => {
      gaps.push(gap);
      const { topic, reason, offset, epoch, fds } = gap;
      for (const fd of fds) server.push(fd, JSON.stringify({ topic, gap: reason, offset, epoch }));
    });
    return server;
  });
  try {
    if (links !== undefined) {
      for (const server of servers) {
        const { context } = links.add(server);
        const counting = new CountingBroker(context.broker!);
        context.broker = counting;
        brokers.push(counting);
      }
      await links.join();
    }
    for (const server of servers) await server.start();
    await eventually("all are connected", () => servers.every((server) => server.stats().broker?.is_up));
    await test({ servers, brokers, gaps, redis, proxy, links });
  } finally {
    Load.stopAll();
    for (const server of servers) {
      for (const fd of server.connections) server.close(fd, true);
      server.shutdown(0);
    }
    await Promise.all(servers.map((server) => server.finished));
    await links?.close();
    await proxy?.stop();
    await redis?.stop();
  }
}

/** The numbers of messages that were appended, by what has become of them. */
export interface Outcomes {
  readonly stored: number[];
  readonly refused: number[];
  readonly unknown: number[];
  /** The longest time that one has taken, in milliseconds. */
  longest: number;
}

/** Publishes and appends numbers all the time, until it is told to stop. */
export class Load {
  readonly outcomes: Outcomes = { stored: [], refused: [], unknown: [], longest: 0 };
  /** How many there have been, of either kind. */
  count = 0;
  static readonly #running: Set<ReturnType<typeof setInterval>> = new Set();
  readonly #server: WebSocketServer;
  readonly #pending: Promise<unknown>[] = [];
  #timer: ReturnType<typeof setInterval>;

  /** @param each The time between two, in milliseconds. */
  constructor(server: WebSocketServer, each = 5) {
    this.#server = server;
    this.#timer = setInterval(() => this.#next(), each);
    Load.#running.add(this.#timer);
  }

  #next(): void {
    const number = ++this.count;
    this.#server.publish("hall", `${number}`);
    const begun = performance.now();
    this.#pending.push(
      this.#server.append("room", `${number}`).then(({ status }) => {
        this.outcomes[status].push(number);
        this.outcomes.longest = Math.max(this.outcomes.longest, performance.now() - begun);
      }),
    );
  }

  /** Stops all that still run. */
  static stopAll(): void {
    for (const timer of Load.#running) clearInterval(timer);
    Load.#running.clear();
  }

  /** Stops, and waits for everything that is under way. */
  async stop(): Promise<Outcomes> {
    clearInterval(this.#timer);
    await Promise.all(this.#pending);
    return this.outcomes;
  }
}
