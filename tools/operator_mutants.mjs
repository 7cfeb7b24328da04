// Breaks one operator, condition, number or statement at a time in the code where a mistake costs most, and reports each of these
// mutants that no test notices.
//
//   node tools/operator_mutants.mjs [FILE …] [--list] [--from N] [--to N]
//
// Compares them with tools/operator_survivors.txt, which says why each of these is right. Many mutants run in one process, and the
// tests that run the broken place come first.

import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { mutantsOf } from "./operator_mutants/mutants.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

const HTTP = [
  ...[
    "session",
    "exchange",
    "handling",
    "session_states",
    "deadlines",
    "handshake",
    "handshake_body",
    "request",
    "response",
    "upload",
    "unread_form",
  ],
  ...["compression", "files", "from_fetch", "gone", "turns"],
].map((name) => `http/${name}`).concat(
  "server/access_log",
  "server/held_bytes",
  "server/close_info",
  "server/log_lines",
  "websocket/own_handshake_compression",
);
/** What is broken, and the tests that should notice. */
const TARGETS = {
  "src/websocket/decoder.ts": [
    "websocket/decoder",
    "websocket/decoder_limits",
    "websocket/decoder_memory",
    "websocket/decoder_turns",
    "websocket/endpoint",
  ],
  "src/http/request_head.ts": [
    "http/request_parser",
    "http/field_names",
    "http/strictness",
    "http/strictness_chunked",
    "http/response_parser",
  ],
  "src/http/forwarded.ts": ["http/forwarded"],
  "src/transport/ip_addresses.ts": ["transport/ip_addresses", "http/forwarded"],
  "src/transport/proxy_protocol.ts": ["transport/proxy_protocol"],
  "src/http/chunked.ts": ["http/strictness_chunked", "http/request_parser", "http/response_parser"],
  "src/http/message_parser.ts": ["http/request_parser", "http/response_parser", "http/strictness", "http/strictness_chunked"],
  "src/websocket/deflate/inflated_size.ts": ["websocket/deflate/crafted_blocks", "websocket/deflate/inflated_size"],
  "src/topics/topics.ts": ["topics/subscriptions", "topics/publish", "topics/slow_readers", "topics/coroutine"],
  "src/topics/delivery.ts": ["topics/slow_readers", "topics/publish", "topics/coroutine"],
  "src/topics/topic_settings.ts": ["topics/slow_readers", "topics/subscriptions"],
  "src/server/http/http_session.ts": HTTP,
  "src/server/http/exchange.ts": HTTP,
  "src/server/http/handling.ts": HTTP,
};

/** A process runs this many mutants. Then another one continues, because modules are never freed. */
const PER_PROCESS = 100;

/** A process that runs mutants of one file. */
class Worker {
  #child;
  #file;
  #ran = 0;

  constructor(file) {
    this.#file = file;
  }

  /** Sends a message. Returns the reply, or `undefined` if the process ends. */
  ask(message) {
    if (this.#ran++ % PER_PROCESS === 0) this.end();
    this.#child ??= fork(
      `${root}tools/operator_mutants/worker.mjs`,
      [this.#file, ...TARGETS[this.#file].map((name) => `tests/${name}_test.ts`)],
      {
        cwd: root,
        execPath: `${root}tools/node_modules/n24/bin/node`,
        execArgv: ["--max-old-space-size=1000", "--no-warnings"],
        stdio: ["ignore", "ignore", message === "cover" ? "inherit" : "ignore", "ipc"],
      },
    );
    const child = this.#child;
    return new Promise((resolve) => {
      const settle = (reply) => {
        child.removeAllListeners();
        if (reply === undefined) this.end();
        resolve(reply);
      };
      child.once("message", settle);
      child.once("exit", () => settle(undefined));
      child.send(message);
    });
  }

  end() {
    this.#child?.kill("SIGKILL");
    this.#child = undefined;
    this.#ran = 1;
  }
}

/** Whether ranges of coverage, nested ones behind those that they are in, say that a position was run. */
function isCovered(ranges, position) {
  let covered = false;
  let size = Infinity;
  for (const { startOffset, endOffset, count } of ranges) {
    if (startOffset > position || endOffset <= position || endOffset - startOffset > size) continue;
    size = endOffset - startOffset;
    covered = count > 0;
  }
  return covered;
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { list: { type: "boolean" }, from: { type: "string", default: "1" }, to: { type: "string", default: "Infinity" } },
});
for (const file of positionals) if (TARGETS[file] === undefined) throw new Error(`${file} is none of ${Object.keys(TARGETS)}`);

const known = new Set(readFileSync(`${root}tools/operator_survivors.txt`, "utf8").split("\n"));
let added = 0;
for (const file of positionals.length > 0 ? positionals : Object.keys(TARGETS)) {
  const mutants = mutantsOf(file, readFileSync(root + file, "utf8")).slice(Number(options.from) - 1, Number(options.to));
  if (options.list) {
    for (const { line, name } of mutants) console.log(`${line}: ${name}`);
    continue;
  }
  const begin = performance.now();
  const worker = new Worker(file);
  const coverage = await worker.ask("cover");
  if (coverage === undefined) throw new Error(`the tests of ${file} fail without any mutant`);
  let survived = 0;
  for (const [index, { start, end, text, line, name }] of mutants.entries()) {
    if (index % PER_PROCESS === 0 && index > 0) console.log(`# ${file}: ${index} of ${mutants.length}`);
    // First the tests that are known to run the place, the quickest of them first. Coverage does not count all calls: the others follow.
    const isKnown = ({ ranges }) => isCovered(ranges, start) || isCovered(coverage.atImport, start);
    const tests = [...coverage.tests].sort((a, b) => Number(isKnown(b)) - Number(isKnown(a)) || a.cpu - b.cpu)
      .map(({ ranges: _, ...test }) => test);
    if (await worker.ask({ start, end, text, tests }) ?? true) continue;
    survived++;
    if (known.has(name)) continue;
    added++;
    console.log(`${name}   (line ${line})`);
  }
  worker.end();
  const minutes = ((performance.now() - begin) / 60_000).toFixed(1);
  console.log(`# ${file}: ${mutants.length} mutants, ${survived} survived, ${minutes} minutes`);
}
if (added > 0) console.log(`${added} mutants that survived are not in tools/operator_survivors.txt`);
process.exitCode = added === 0 ? 0 : 1;
