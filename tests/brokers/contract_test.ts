// The contract of brokers: each broker in one runtime, and one broker in each runtime. `npm run test:brokers` runs all of it.

import { test } from "node:test";
import process from "node:process";
import { testWith } from "../support/prerequisites.ts";
import { CONTRACT } from "./contract.ts";
import { holeOf } from "./holes.ts";
import type { BrokerName } from "./stage.ts";

const isOther = "Deno" in globalThis || "Bun" in globalThis;
const isNode24 = !isOther && process.versions.node.startsWith("24.");
const given = process.env.SLUICE_BROKERS !== undefined;
const brokers: BrokerName[] = given || isNode24
  ? ["memory", "workers", "redis", "ioredis"]
  : isOther
  ? ["redis", "workers"]
  : ["memory"];

for (const broker of brokers) {
  for (const { name, run } of CONTRACT) {
    if (holeOf(broker, name) !== undefined) continue;
    if (broker === "memory" || broker === "workers") test(`${broker}: ${name}`, () => run(broker));
    else testWith("redis", `${broker}: ${name}`, () => run(broker));
  }
}
