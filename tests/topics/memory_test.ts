// Topics and messages that nobody needs any more are not kept in memory.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { commandWithGarbage } from "../support/garbage.ts";
import { running } from "../support/program.ts";

const MIB = 2 ** 20;

test("topics, subscriptions and held messages leave nothing behind", { timeout: 60_000 }, async () => {
  await running(commandWithGarbage(new URL("./memory_program.ts", import.meta.url)), async (program) => {
    const before = Number(await program.line());
    const holdsAtMost = async (bound: number, when: string) => {
      const held = Number(await program.line()) - before;
      assert(held < bound * MIB, `${held} bytes ${when}`);
    };
    await holdsAtMost(4, "after ten crowds");
    await holdsAtMost(8, "with topics that were parts of 200 MiB of messages");
    await holdsAtMost(16, "with 20 slow readers of 200 MiB");
    await holdsAtMost(4, "when all have gone");
    assertEquals(await program.line(), "0");
  });
});
