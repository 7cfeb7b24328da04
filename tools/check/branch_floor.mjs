// A reporter for `node --test --experimental-test-coverage`: fails if fewer branches of src/ are run than tools/check/branch_floor.txt
// says, in percent, and says when that floor can be raised. It is not lowered to make a change pass: a branch that no
// test runs needs a test, and a branch that guards against a peer stays.

import { readFileSync } from "node:fs";
import process from "node:process";

const FILE = "tools/check/branch_floor.txt";
/** Which of the branches are run varies with the timing of the tests: the floor stays this far below, in percent. */
const SLACK = 0.8;

/** The verdict on a percentage of branches: what to print, and whether it is a failure. */
export function judge(percent, floor) {
  const measured = `branch coverage of src/: ${percent.toFixed(2)} %, floor: ${floor} %`;
  if (!(percent >= floor)) { // NaN where nothing was measured
    return {
      failed: true,
      text: `${measured}: BELOW THE FLOOR. Add tests for the branches that the table above lists as not covered.`,
    };
  }
  const possible = Math.floor((percent - SLACK) * 10) / 10;
  return {
    failed: false,
    text: possible > floor ? `${measured}: ${FILE} can be raised to ${possible}.` : `${measured}.`,
  };
}

export default async function* branchFloor(events) {
  for await (const { type, data } of events) {
    if (type !== "test:coverage") continue;
    const { coveredBranchCount, totalBranchCount } = data.summary.totals;
    const floor = Number(
      readFileSync(new URL(`../../${FILE}`, import.meta.url), "utf8"),
    );
    const { failed, text } = judge(
      100 * coveredBranchCount / totalBranchCount,
      floor,
    );
    if (failed) process.exitCode = 1;
    yield `${text}\n`;
  }
}
