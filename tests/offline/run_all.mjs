// Runs files of tests in one process: `node --import ./tests/offline/register.mjs tests/offline/run_all.mjs FILE …`. Later
// versions of Node have `--test-isolation=none` for it.
import { resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

for (const file of process.argv.slice(2)) await import(pathToFileURL(resolve(file)));
