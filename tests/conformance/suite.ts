/**
 * All cases, as tests: what each comes to is stored, and has to stay as it is.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Case } from "./case.ts";
import { cases as cases12and13, EXTENT, PATIENCE } from "./cases_12_and_13.ts";
import { cases as cases1to5 } from "./cases_1_to_5.ts";
import { cases as cases6 } from "./cases_6.ts";
import { cases as cases7 } from "./cases_7.ts";
import { cases as cases9and10 } from "./cases_9_and_10.ts";
import type { Driver } from "./driver.ts";
import { runCase, type Verdict } from "./run_case.ts";

/** The cases without compression. */
const PLAIN_CASES: readonly Case[] = [...cases1to5, ...cases6, ...cases7, ...cases9and10];
/** The cases with compression. */
export const COMPRESSED_CASES: readonly Case[] = cases12and13;

/** All cases. */
export const CASES: readonly Case[] = [...PLAIN_CASES, ...COMPRESSED_CASES];

/** 16 MiB is the longest message; a limit for peers that is above, so that it is not what is measured. */
export const MAX_LENGTH: number = 32 * 1024 * 1024;

/** The settings of a peer that compresses, and keeps contexts wherever it is allowed to. */
export const COMPRESSION = {
  websocket_compression: true,
  websocket_compression_send_takeover: true,
  websocket_compression_receive_takeover: true,
} as const;

/** Starts a peer, runs a test with a driver for it, and stops the peer. */
export type Driving = (run: (driver: Driver) => Promise<void>) => Promise<void>;

/** Stored results. */
export type Stored = Readonly<Record<string, Verdict>>;

/** Reads stored results from a file beside this one. */
export function readStored(file: string): Stored {
  return JSON.parse(readFileSync(new URL(file, import.meta.url), "utf8"));
}

/** Declares the tests of a peer that does not compress, one for each family of cases. */
export function testConformance(peer: string, stored: Stored, driving: Driving): void {
  testFamilies(peer, stored, driving, PLAIN_CASES, (id) => id.slice(0, id.indexOf(".")), "");
}

/** Declares the tests of a peer that compresses, one for each sub-family of cases. */
export function testCompression(peer: string, stored: Stored, driving: Driving): void {
  testFamilies(peer, stored, driving, COMPRESSED_CASES, (id) => id.slice(0, id.lastIndexOf(".")), ` (${EXTENT})`);
}

function testFamilies(
  peer: string,
  stored: Stored,
  driving: Driving,
  cases: readonly Case[],
  familyOf: (id: string) => string,
  extent: string,
): void {
  for (const family of new Set(cases.map(({ id }) => familyOf(id)))) {
    test(`conformance ${family}.*: ${peer} behaves as before${extent}`, { timeout: 3_600_000 }, () =>
      driving(async (driver) => {
        const wrong: string[] = [];
        for (const one of cases.filter(({ id }) => familyOf(id) === family)) {
          const { behavior, behaviorClose, story } = await runCase(one, driver, PATIENCE);
          const before = stored[one.id];
          if (before?.behavior !== behavior || before?.behaviorClose !== behaviorClose) {
            wrong.push(`${one.id}: ${behavior} / ${behaviorClose} (${story})`);
          }
        }
        assertEquals(wrong, []);
      }));
  }

  test(`conformance: ${peer} has a stored result for each of ${cases.length} cases`, () => {
    const ids = cases.map(({ id }) => id);
    assertEquals([...new Set(ids)].sort(), ids.toSorted());
    assertEquals(ids.filter((id) => stored[id] === undefined), []);
    assertEquals(Object.keys(stored).filter((id) => !CASES.some((one) => one.id === id)), []);
  });
}
