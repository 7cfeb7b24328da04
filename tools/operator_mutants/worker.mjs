// Runs tests again and again in one process, each time with another mutant of one file: every run imports all modules of the
// project anew, so that nothing of an earlier mutant is left in them.
//
//   fork("worker.mjs", [FILE, TEST, …])     what is broken, and the files of tests
//
// Messages: "cover" is replied to with the tests, how long each took, and which ranges of the file it ran; a mutant with the tests that
// should notice it is replied to with whether one did.

import fc from "fast-check";
import { readFileSync } from "node:fs";
import { Session } from "node:inspector";
import { registerHooks, stripTypeScriptTypes } from "node:module";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { collected } from "./collected_tests.mjs";
import { used } from "./watchdog.mjs";

const root = new URL("../../", import.meta.url).href;
const importMap = new URL("tests/offline/import_map.json", root);
const { imports } = JSON.parse(readFileSync(importMap, "utf8"));
const [file, ...testFiles] = process.argv.slice(2);
const limit = new Float64Array(new SharedArrayBuffer(8));
limit[0] = Infinity;
new Worker(new URL("watchdog.mjs", import.meta.url), { workerData: limit }).unref();
const source = readFileSync(new URL(file, root), "utf8");

fc.configureGlobal({ seed: 1 }); // each run has the same survivors

/** Counts the runs. It is the query of each module's URL: a module with another URL is another module. */
let run = 0;
/** The text of the broken file in this run. */
let text = source;
/** The sources of all other files without their types. */
const sources = new Map();

function sourceOf(url) {
  if (url === root + file) return stripTypeScriptTypes(text);
  let known = sources.get(url);
  if (known === undefined) {
    const read = readFileSync(fileURLToPath(url), "utf8");
    sources.set(url, known = url.endsWith(".ts") ? stripTypeScriptTypes(read) : read);
  }
  return known;
}

registerHooks({
  resolve(specifier, context, next) {
    if (specifier === "node:test") return { url: new URL("collected_tests.mjs", import.meta.url).href, shortCircuit: true };
    const target = imports[specifier];
    if (target?.startsWith("npm:")) return next(specifier, { ...context, parentURL: import.meta.url });
    const resolved = next(target === undefined ? specifier : new URL(target, importMap).href, context);
    const isOurs = resolved.url.startsWith(root) && !resolved.url.startsWith(`${root}tools/`);
    return isOurs ? { ...resolved, url: `${resolved.url.split("?")[0]}?${run}` } : resolved;
  },
  load(url, context, next) {
    const [path, query] = url.split("?");
    if (query === undefined || !/\.[mt]s$/.test(path)) return next(url, context);
    return { format: "module", source: sourceOf(path), shortCircuit: true };
  },
});

/** What went wrong outside of a test: a mutant whose promise rejects with nobody waiting has been noticed. */
let stray;
for (const event of ["uncaughtException", "unhandledRejection"]) process.on(event, (error) => stray = error ?? "nothing");

/** Imports files of tests anew. Returns their tests. */
async function load(files) {
  run++;
  stray = undefined;
  const tests = [];
  for (const name of files) {
    collected.length = 0;
    await import(`${root}${name}?${run}`);
    for (const { name: title, work } of collected) tests.push({ key: `${name}: ${title}`, work });
  }
  return tests;
}

/** Runs a test; one that waits waits for at most so many milliseconds. */
async function passes(test, patience) {
  let timer;
  try {
    const result = test.work();
    if (result instanceof Promise) {
      timer = new AbortController();
      const late = setTimeout(patience, "late", { signal: timer.signal, ref: true });
      if (await Promise.race([result, late]) === "late") return false;
      timer.abort();
      late.catch(() => {});
    }
  } catch {
    timer?.abort();
    return false;
  }
  return stray === undefined;
}

/** Runs all tests of the file as it is, and finds which of its parts each of them runs. */
async function cover() {
  const session = new Session();
  session.connect();
  const post = (method, params) => {
    let reply;
    session.post(method, params, (error, result) => {
      if (error) throw new Error(error.message);
      reply = result;
    });
    return reply;
  };
  const take = () => {
    const script = post("Profiler.takePreciseCoverage").result.find(({ url }) => url === `${root}${file}?${run}`);
    return (script?.functions ?? []).flatMap(({ ranges }) => ranges);
  };
  post("Profiler.enable");
  post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  const loaded = await load(testFiles);
  const atImport = take();
  const tests = [];
  for (const test of loaded) {
    const [begin, before] = [performance.now(), used()];
    if (!await passes(test, 60_000)) throw new Error(`fails without any mutant: ${test.key}`, { cause: stray });
    tests.push({ key: test.key, time: performance.now() - begin, cpu: used() - before, ranges: take() });
  }
  post("Profiler.stopPreciseCoverage");
  session.disconnect();
  return { atImport, tests };
}

/** Reports whether a test notices a mutant. */
async function isNoticed({ start, end, text: replacement, tests }) {
  text = source.slice(0, start) + replacement + source.slice(end);
  limit[0] = used() + 3000; // to import everything
  let loaded;
  try {
    loaded = new Map((await load(testFiles)).map((test) => [test.key, test]));
  } catch {
    return true;
  }
  for (const { key, time, cpu } of tests) {
    const test = loaded.get(key);
    limit[0] = used() + 1000 + 10 * cpu;
    if (test === undefined || !await passes(test, 2000 + 20 * time)) return true;
  }
  return false;
}

process.on("message", async (message) => {
  try {
    const reply = message === "cover" ? await cover() : await isNoticed(message);
    limit[0] = Infinity;
    process.send(reply);
  } catch (error) { // the tests do not pass without a mutant, or a file of them is missing
    console.error(error);
    process.exit(1);
  }
});
