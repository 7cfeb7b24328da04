/**
 * The options of the broker over Redis.
 *
 * @module
 */

import type { Kind } from "../../values.ts";
import type { BrokerOptions } from "../broker.ts";
import { readBrokerOptions } from "./broker_options.ts";

/** The options of `redisBroker()`. */
export interface RedisBrokerOptions extends BrokerOptions {
  /** What the names of all keys and channels begin with. Default: `"sluice"`. */
  readonly prefix?: string;
  /** The time within which Redis has to reply, in seconds. Default: 2. */
  readonly timeout?: number;
  /** How often the server sends itself a message to see whether it arrives, in seconds. Default: 5. */
  readonly probeInterval?: number;
  /** How long the id of an appended message is remembered, in seconds. Default: 120. */
  readonly dedupeWindow?: number;
  /** The number of commands that may wait for a reply; above it messages are refused. Default: 10000. */
  readonly maxPending?: number;
  /** The bytes of commands that may wait for a reply; above it messages are refused. Default: 32 MiB. */
  readonly maxPendingBytes?: number;
  /**
   * Whether Redis never loses what it has stored, because it has `appendfsync always`. If not, the streams of all topics begin anew
   * when it has been started again. Default: `false`.
   */
  readonly durable?: boolean;
}

/** The options that only this broker has. */
type OwnRedisOptions = Required<Omit<RedisBrokerOptions, keyof BrokerOptions>>;

const DEFAULTS: OwnRedisOptions = {
  prefix: "sluice",
  timeout: 2,
  probeInterval: 5,
  dedupeWindow: 120,
  maxPending: 10_000,
  maxPendingBytes: 32 * 1024 * 1024,
  durable: false,
};

const KINDS: Record<keyof OwnRedisOptions, Kind> = {
  prefix: checkPrefix,
  timeout: checkPositive,
  probeInterval: checkPositive,
  dedupeWindow: "seconds",
  maxPending: { from: 1, to: 1_000_000 },
  maxPendingBytes: { from: 1, to: Number.MAX_SAFE_INTEGER },
  durable: "boolean",
};

function checkPrefix(key: string, value: unknown): void {
  if (typeof value === "string" && /^[^{}]{1,64}$/.test(value)) return;
  throw new RangeError(`Cannot set ${key}: 1 to 64 characters without braces are needed`);
}

function checkPositive(key: string, value: unknown): void {
  if (typeof value !== "number") throw new TypeError(`Cannot set ${key}: a number is needed, not ${typeof value}`);
  if (!(value > 0 && value <= 3600)) throw new RangeError(`Cannot set ${key}: ${value} is not above 0, and at most 3600`);
}

/** Checks the options, and adds the defaults. */
export function readRedisOptions(options: RedisBrokerOptions): Required<RedisBrokerOptions> {
  return readBrokerOptions<OwnRedisOptions>(options, DEFAULTS, KINDS);
}
