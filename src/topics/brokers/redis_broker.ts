/**
 * The broker for servers on many machines, over Redis. It talks to Redis through a client that the program has made.
 *
 * @module
 */

import type { Broker, BrokerHost, BrokerNode } from "../broker.ts";
import { type BrokerClock, systemClock } from "../kept_topics.ts";
import type { RedisOpener } from "./redis_link.ts";
import { RedisNode } from "./redis_node.ts";
import { readRedisOptions, type RedisBrokerOptions } from "./redis_options.ts";

/** A broker over Redis. */
export class RedisBroker implements Broker {
  readonly options: Required<RedisBrokerOptions>;

  readonly #open: RedisOpener;
  readonly #clock: BrokerClock;

  /**
   * @param open Makes connections.
   * @throws {TypeError} If an option is unknown, or has the wrong type.
   * @throws {RangeError} If an option is out of range.
   */
  constructor(open: RedisOpener, options: RedisBrokerOptions, clock: BrokerClock = systemClock) {
    this.options = readRedisOptions(options);
    this.#open = open;
    this.#clock = clock;
  }

  attach(host: BrokerHost): BrokerNode {
    return new RedisNode(this.options, this.#open, host, this.#clock);
  }
}
