/**
 * Which tests of the contract are not run with which broker, and why.
 *
 * @module
 */

import { CONTRACT } from "./contract.ts";
import type { BrokerName } from "./stage.ts";

/** The brokers of the table, in its order. */
export const BROKERS: readonly BrokerName[] = ["memory", "workers", "redis", "ioredis"];

const NO_PROCESS = "it is no process of its own: it ends with the program, and so do all who have subscribed";
const IN_MASTER = "it is in the memory of the master, with which all workers end";
const NO_LOSS = "a link loses nothing but what is under way when it ends";
const NO_CONNECTION = "it has no connections";

/** The reasons, by the beginning of the name of a test. */
export const HOLES: Partial<Record<BrokerName, Record<string, string>>> = {
  memory: {
    "a server is killed": NO_PROCESS,
    "killed under load": NO_PROCESS,
    "frozen": NO_PROCESS,
    "the connection for subscriptions": NO_CONNECTION,
    "the last message is lost": NO_CONNECTION,
    "the broker is emptied": NO_PROCESS,
    "started again": NO_PROCESS,
    "ten thousand subscriptions": NO_CONNECTION,
  },
  workers: {
    "killed under load": IN_MASTER,
    "the last message is lost": NO_LOSS,
    "the broker is emptied": IN_MASTER,
    "started again": IN_MASTER,
  },
};

/** Returns why a test is not run with a broker; `undefined` if it is. */
export function holeOf(broker: BrokerName, name: string): string | undefined {
  const holes = Object.entries(HOLES[broker] ?? {});
  return holes.find(([beginning]) => name.startsWith(beginning))?.[1];
}

/** Returns the table: each test with each broker. */
export function contractTable(): string {
  const reasons: string[] = [];
  const rows = CONTRACT.map(({ name }) => {
    const cells = BROKERS.map((broker) => {
      const hole = holeOf(broker, name);
      if (hole === undefined) return "yes";
      if (!reasons.includes(hole)) reasons.push(hole);
      return `no (${reasons.indexOf(hole) + 1})`;
    });
    return `| ${[name, ...cells].join(" | ")} |`;
  });
  const head = `| test | ${BROKERS.join(" | ")} |\n| --- | ${BROKERS.map(() => "---").join(" | ")} |`;
  return `${head}\n${rows.join("\n")}\n\n${reasons.map((reason, index) => `${index + 1}. ${reason}`).join("\n")}\n`;
}
