// The table of the contract in README.md is the one of the code.

import { assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CONTRACT } from "./contract.ts";
import { contractTable, HOLES } from "./holes.ts";

/** The lines of a text without the blanks that only align them. */
function lines(text: string): string[] {
  return text.split("\n").map((line) => line.replaceAll(/ +/g, " ").replaceAll(/-{3,}/g, "---").trim()).filter((line) =>
    line !== ""
  );
}

test("tests/brokers/README.md has the table of the contract", () => {
  const text = readFileSync(new URL("README.md", import.meta.url), "utf8");
  assertEquals(lines(text.slice(text.indexOf("| test"))), lines(contractTable()));
});

test("each hole is one of a test that exists", () => {
  for (const holes of Object.values(HOLES)) {
    for (const beginning of Object.keys(holes)) {
      assertEquals(CONTRACT.some(({ name }) => name.startsWith(beginning)), true, beginning);
    }
  }
});
