/**
 * A broker over Redis: it connects the topics of servers on many machines, and keeps messages. See `memoryBroker()` for what topics
 * do with a broker.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Broker } from "../src/topics/broker.ts";
import { RedisBroker } from "../src/topics/brokers/redis_broker.ts";
import type { RedisBrokerOptions } from "../src/topics/brokers/redis_options.ts";
import {
  type ClientBytes,
  clientOptions,
  openerOf,
  type RedisClient,
  type RedisClientOptions,
} from "../src/topics/brokers/redis_clients.ts";

export type { RedisBrokerOptions } from "../src/topics/brokers/redis_options.ts";
export type { IoRedisClient, NodeRedisClient, RedisClient, RedisClientOptions } from "../src/topics/brokers/redis_clients.ts";

/** The type of `redisBroker`. */
export interface RedisBrokerMaker {
  /**
   * Makes a broker over Redis, version 6.2 or later.
   *
   * @param client A client of the package `redis` (version 6 or later) or `ioredis`. It is only a pattern for the connections of the
   * broker, two for each server, and need not be connected; you may use it for something else.
   * @param options Which topics are kept, and what the broker waits for.
   * @throws {TypeError} If it is no such client, or an option is unknown or has the wrong type.
   * @throws {RangeError} If an option is out of range.
   */
  (client: RedisClient, options?: RedisBrokerOptions): Broker;
  /**
   * The options of clients that the tests of this library have proved, for both packages: `createClient({ url,
   * ...redisBroker.options })` or `new Redis(url, redisBroker.options)`. The connections of the broker have them in any case.
   */
  readonly options: RedisClientOptions;
}

/**
 * Makes a broker over Redis.
 *
 * @example With the package `redis`
 * ```ts ignore
 * import { createClient } from "redis";
 * import { WebSocketServer } from "@sluice/server";
 * import { redisBroker } from "@sluice/server/redis";
 *
 * const server = new WebSocketServer("0.0.0.0", 9501);
 * const client = createClient({ url: "redis://127.0.0.1:6379", ...redisBroker.options });
 * server.set({ broker: redisBroker(client, { kept: { "rooms/*": { size: 100, ttl: 600 } } }) });
 * ```
 */
export const redisBroker: RedisBrokerMaker = Object.defineProperty(
  (client: RedisClient, options: RedisBrokerOptions = {}): Broker =>
    new RedisBroker(openerOf(client, Buffer as unknown as ClientBytes), options),
  "options",
  { get: clientOptions, enumerable: true },
) as RedisBrokerMaker;
