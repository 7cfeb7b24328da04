import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import { judge } from "../tools/check/branch_floor.mjs";

test("branch coverage below the floor is a failure; far enough above it, the floor can be raised", () => {
  const below = judge(95.39, 95.4);
  assert(below.failed);
  assertStringIncludes(below.text, "95.39 %, floor: 95.4 %: BELOW THE FLOOR");
  assert(judge(NaN, 95.4).failed, "nothing was measured");
  assertEquals(judge(95.4, 95.4), { failed: false, text: "branch coverage of src/: 95.40 %, floor: 95.4 %." });
  assertEquals(judge(96.25, 95.4).text.includes("raised"), false); // within what differs between two runs
  assertStringIncludes(judge(96.45, 95.4).text, "tools/check/branch_floor.txt can be raised to 95.6.");
});
