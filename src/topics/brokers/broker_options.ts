/**
 * The options that all brokers have, and which topics are kept.
 *
 * @module
 */

import { checkValue, describe, isRecord, type Kind, suggestion } from "../../values.ts";
import type { BrokerOptions, KeptOptions } from "../broker.ts";
import { checkPattern, isReserved, matching } from "../topic_settings.ts";

const DEFAULT_SIZE = 1000;
const DEFAULT_TTL = 300;

const KEPT_KINDS: Record<keyof KeptOptions, Kind> = {
  size: { from: 1, to: 1_000_000 },
  ttl: { from: 1, to: 0x7fffffff },
};

const DEFAULTS: Required<BrokerOptions> = { kept: {}, idleCheck: 30, linger: 1, lease: 15, memory: 64 * 1024 * 1024 };

const KINDS: Record<keyof BrokerOptions, Kind> = {
  kept: checkKept,
  idleCheck: "seconds",
  linger: "seconds",
  lease: checkLease,
  memory: "bytes",
};

function checkLease(key: string, value: unknown): void {
  checkValue(key, "seconds", value);
  if (value as number < 0.1) throw new RangeError(`Cannot set ${key}: ${value} is less than 0.1`);
}

function checkKept(_key: string, value: unknown): void {
  if (!isRecord(value)) throw new TypeError(`Cannot set kept: an object is needed, not ${describe(value)}`);
  for (const [pattern, options] of Object.entries(value)) {
    checkPattern("kept", pattern);
    checkOptions(options, KEPT_KINDS, `${JSON.stringify(pattern)} in kept`);
  }
}

function checkOptions(options: unknown, kinds: Record<string, Kind>, what: string): void {
  if (!isRecord(options)) throw new TypeError(`Cannot set ${what}: an object is needed, not ${describe(options)}`);
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(kinds, key)) {
      throw new TypeError(`Cannot set ${key}: there is no such option${suggestion(key, Object.keys(kinds))}`);
    }
    checkValue(key, kinds[key], value);
  }
}

/**
 * Checks the options of a broker, and adds the defaults.
 *
 * @param defaults The defaults of options that only this broker has.
 * @param kinds What these may be.
 * @throws {TypeError} If an option is unknown, or has the wrong type.
 * @throws {RangeError} If it is out of range.
 */
export function readBrokerOptions<Own extends object>(
  options: BrokerOptions & Partial<Own>,
  defaults: Own,
  kinds: Record<keyof Own & string, Kind>,
): Required<BrokerOptions> & Own {
  checkOptions(options, { ...KINDS, ...kinds }, "the options of a broker");
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return { ...DEFAULTS, ...defaults, ...given };
}

/** Returns how a topic is kept; `undefined` for a fleeting one. */
export function keptOptionsOf({ kept }: Pick<Required<BrokerOptions>, "kept">, topic: string): Required<KeptOptions> | undefined {
  const pattern = isReserved(topic) ? undefined : matching(kept, topic);
  if (pattern === undefined) return undefined;
  const { size = DEFAULT_SIZE, ttl = DEFAULT_TTL } = kept[pattern];
  return { size, ttl };
}
