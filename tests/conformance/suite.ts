/**
 * All cases, as tests: what each comes to is stored, and has to stay as it is.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Case } from "./case.ts";
import { cases as cases1to5 } from "./cases_1_to_5.ts";
import { cases as cases6 } from "./cases_6.ts";
import { cases as cases7 } from "./cases_7.ts";
import { cases as cases9and10 } from "./cases_9_and_10.ts";
import type { Driver } from "./driver.ts";
import { runCase, type Verdict } from "./run_case.ts";

/** All cases. */
export const CASES: readonly Case[] = [...cases1to5, ...cases6, ...cases7, ...cases9and10];

const FAMILIES = ["1", "2", "3", "4", "5", "6", "7", "9", "10"];

/** 16 MiB is the longest message; a limit for peers that is above, so that it is not what is measured. */
export const MAX_LENGTH: number = 32 * 1024 * 1024;

/** Reads stored results from a file beside this one. */
export function readStored(file: string): Record<string, Verdict> {
  return JSON.parse(readFileSync(new URL(file, import.meta.url), "utf8"));
}

/**
 * Declares the tests of a peer, one for each family of cases.
 *
 * @param peer What it is called.
 * @param stored What each case has to come to.
 * @param driving Starts the peer, runs a test with a driver for it, and stops the peer.
 */
export function testConformance(
  peer: string,
  stored: Readonly<Record<string, Verdict>>,
  driving: (run: (driver: Driver) => Promise<void>) => Promise<void>,
): void {
  for (const family of FAMILIES) {
    test(`conformance ${family}.*: ${peer} behaves as before`, { timeout: 300_000 }, () =>
      driving(async (driver) => {
        const wrong: string[] = [];
        for (const one of CASES.filter(({ id }) => familyOf(id) === family)) {
          const { behavior, behaviorClose, story } = await runCase(one, driver);
          const before = stored[one.id];
          if (before?.behavior !== behavior || before?.behaviorClose !== behaviorClose) {
            wrong.push(`${one.id}: ${behavior} / ${behaviorClose} (${story})`);
          }
        }
        assertEquals(wrong, []);
      }));
  }

  test(`conformance: ${peer} has a stored result for each case, and there is a case for each of them`, () => {
    const ids = CASES.map(({ id }) => id);
    assertEquals([...new Set(ids)].sort(), ids.toSorted());
    assertEquals(Object.keys(stored).sort(), ids.toSorted());
    assertEquals(ids.filter((id) => !FAMILIES.includes(familyOf(id))), []);
  });
}

function familyOf(id: string): string {
  return id.slice(0, id.indexOf("."));
}
