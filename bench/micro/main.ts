// Measures the operations whose names contain a word, or all, in the runtime that it runs in; prints a line of JSON for each.

import process from "node:process";
import { measure } from "./measure.ts";
import { operations } from "./operations.ts";

const words = process.argv.slice(2);
for (const operation of operations) {
  if (words.length === 0 || words.some((word) => operation.name.includes(word))) console.log(JSON.stringify(measure(operation)));
}
