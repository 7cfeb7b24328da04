import { assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { WebSocketServer } from "../../mod.ts";
import { serving } from "../support/serving.ts";
import type { Case } from "./case.ts";
import { cases as cases1to5 } from "./cases_1_to_5.ts";
import { cases as cases6 } from "./cases_6.ts";
import { cases as cases7 } from "./cases_7.ts";
import { cases as cases9and10 } from "./cases_9_and_10.ts";
import { runCase, type Verdict } from "./run_case.ts";

const CASES: readonly Case[] = [...cases1to5, ...cases6, ...cases7, ...cases9and10];
const FAMILIES = ["1", "2", "3", "4", "5", "6", "7", "9", "10"];

/** What each case came to before, and has to come to now. */
const stored: Record<string, Verdict> = JSON.parse(
  readFileSync(new URL("./expected_server.json", import.meta.url), "utf8"),
);

/** 16 MiB is the longest message; the limit is above, so that it is not what is measured. */
const MAX_LENGTH = 32 * 1024 * 1024;

for (const family of FAMILIES) {
  test(`conformance ${family}.*: the server behaves as before`, { timeout: 300_000 }, async () => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set({ package_max_length: MAX_LENGTH });
    server.on("message", (server, frame) => server.push(frame.fd, frame));
    await serving(server, async (_server, port) => {
      const wrong: string[] = [];
      for (const one of CASES.filter(({ id }) => familyOf(id) === family)) {
        const { behavior, behaviorClose, story } = await runCase(one, port);
        const before = stored[one.id];
        if (before?.behavior !== behavior || before?.behaviorClose !== behaviorClose) {
          wrong.push(`${one.id}: ${behavior} / ${behaviorClose} (${story})`);
        }
      }
      assertEquals(wrong, []);
    });
  });
}

test("conformance: there is a stored result for each case, and a case for each stored result", () => {
  const ids = CASES.map(({ id }) => id);
  assertEquals([...new Set(ids)].sort(), ids.toSorted());
  assertEquals(Object.keys(stored).sort(), ids.toSorted());
  assertEquals(ids.filter((id) => !FAMILIES.includes(familyOf(id))), []);
});

function familyOf(id: string): string {
  return id.slice(0, id.indexOf("."));
}
