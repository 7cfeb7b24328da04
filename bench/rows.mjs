// What is measured: the rows, the runtimes, and the servers in each.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const root = fileURLToPath(new URL("..", import.meta.url));

/** What a client offers that wants no message to refer to another. */
const APART = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/** And one that lets them, in both directions. */
const TAKEOVER = "permessage-deflate";

const json = { deflate: "shared", offer: APART };
const takeover = { deflate: "takeover", offer: TAKEOVER };

/** With it, a request of `wsload` is as long as the ones of browsers often are: 700 bytes. */
const LONG_PATH = `/?state=${"0123456789abcdef".repeat(27).slice(0, 424)}`;

const echo = (name, conns, payload, pipeline, more = {}) => ({
  name,
  title: `echo ${sizeOf(payload)}, ${conns.toLocaleString("en")} connections, ${pipeline} in flight`,
  mode: "echo",
  conns,
  payload,
  pipeline,
  ...more,
});
const broadcast = (name, conns, payload, pipeline, more = {}) => ({
  name,
  title: `broadcast ${sizeOf(payload)} to ${conns.toLocaleString("en")}, ${pipeline} in flight`,
  mode: "broadcast",
  conns,
  payload,
  pipeline,
  ...more,
});
const compressed = (name, title, mode, conns, payload, more) => ({ name, title, mode, conns, payload, pipeline: 1, ...more });
const http = (name, title, mode, conns, payload, more) => ({ name, title, mode, conns, payload, pipeline: 1, ...more });

function sizeOf(bytes) {
  return bytes < 2048 ? `${bytes.toLocaleString("en")} B` : `${bytes / 1024} KiB`;
}

/**
 * The rows. `mode`, the numbers, `path` and `offer` are arguments of `wsload`; `deflate` is how the servers compress; `warmup` is
 * the least warm-up in seconds, where the runtimes take longer than elsewhere to compile the code that runs; `quick` are the
 * servers that a quick run measures.
 */
export const rows = [
  echo("echo-64-1", 100, 64, 1, { quick: ["sluice", "streams", "own", "raw"] }),
  echo("echo-64-1-1k", 1000, 64, 1),
  echo("echo-64-1-10k", 10_000, 64, 1, { warmup: 2 }),
  echo("echo-512-1", 100, 512, 1),
  echo("echo-700-1", 100, 700, 1, { quick: ["sluice", "own"] }),
  echo("echo-1000-1", 100, 1000, 1),
  echo("echo-64-16", 100, 64, 16, { quick: ["sluice", "coroutine", "own"] }),
  echo("echo-16k-4", 20, 16384, 4, { quick: ["sluice", "own"] }),
  broadcast("broadcast-1", 1000, 64, 1),
  broadcast("broadcast-16", 1000, 64, 16, { quick: ["sluice", "prepared", "publish", "own"] }),
  broadcast("broadcast-4k-4", 100, 4096, 4),
  compressed("json-1k", "echo 1 KiB JSON, 100 connections, compressed", "echo", 100, 1024, { ...json, quick: ["sluice", "own"] }),
  compressed("json-1k-takeover", "echo 1 KiB JSON, 100 connections, with takeover", "echo", 100, 1024, takeover),
  compressed("json-16k", "echo 16 KiB JSON, 20 connections, compressed", "echo", 20, 16384, json),
  compressed("json-16k-takeover", "echo 16 KiB JSON, 20 connections, with takeover", "echo", 20, 16384, takeover),
  compressed("json-broadcast", "broadcast 1 KiB JSON to 1,000, compressed", "broadcast", 1000, 1024, json),
  {
    name: "handshakes",
    title: "handshakes",
    mode: "storm",
    conns: 64,
    payload: 1,
    pipeline: 1,
    warmup: 4,
    quick: ["sluice", "own"],
  },
  http("http-1", "GET, 13 B back, 100 connections, 1 in flight", "http", 100, 13, { quick: ["sluice", "fetch", "light", "own"] }),
  http("http-16", "GET, 13 B back, 100 connections, 16 pipelined", "http", 100, 13, { pipeline: 16 }),
  http("http-700", "GET of 700 B, 13 B back, 100 connections", "http", 100, 13, { path: LONG_PATH }),
  http("http-16k", "GET, 16 KiB back, 50 connections", "http", 50, 16384),
  http("http-post", "POST, 1 KiB there and back, 100 connections", "post", 100, 1024),
  { name: "memory", title: "idle connection", mode: "idle", conns: 5000, payload: 1, pipeline: 1 },
  compressed("memory-json", "idle connection, compressed", "idle", 5000, 1024, json),
  compressed("memory-json-takeover", "idle connection, with takeover", "idle", 1000, 1024, takeover),
];

/** The rows that differ in nothing but the number of connections. */
export const GROWING = ["echo-64-1", "echo-64-1-1k", "echo-64-1-10k"];

/** Whether a row is about plain HTTP, which has servers of its own. */
export function isHttp(row) {
  return row.mode === "http" || row.mode === "post";
}

/** What the figures of a row are. Less is better for memory only. */
export function unitOf(row) {
  if (isHttp(row)) return "requests/s";
  if (row.mode === "idle") return "bytes";
  if (row.mode === "storm") return "handshakes/s";
  if (row.mode === "broadcast") return "deliveries/s";
  return row.payload >= 4096 ? "MiB/s" : "messages/s";
}

const tools = `${root}tools/node_modules/`;

/** The runtimes: how each starts a file, and how it is told to let a program collect garbage. */
export function runtimesFor(nodeVersion) {
  return {
    deno: {
      binary: `${tools}.bin/deno`,
      version: ["eval", "console.log(Deno.version.deno)"],
      run: ["run", "-A", "--quiet", "--no-lock"],
      gc: ["--v8-flags=--expose-gc"],
    },
    bun: { binary: `${tools}.bin/bun`, version: ["--version"], run: ["run"], gc: [] },
    node: { binary: `${tools}n${nodeVersion}/bin/node`, version: ["--version"], run: [], gc: ["--expose-gc"] },
  };
}

/** The servers, in the order of the table. A file for each runtime, or one for all. */
export const servers = {
  sluice: "sluice.ts",
  prepared: "sluice_prepared.ts",
  publish: "sluice_publish.ts",
  coroutine: "sluice_coroutine.ts",
  streams: "sluice_streams.ts",
  fetch: undefined,
  light: undefined,
  own: { deno: "deno_own.ts", bun: "bun_own.ts", node: "ws_node.mjs" },
  node: undefined,
  uws: { node: "uws_node.mjs" },
  swoole: "swoole.php",
  raw: { deno: "raw_deno.ts", bun: "raw_bun.ts", node: "raw_node.ts" },
};

/** Those of the rows about HTTP. In Node `own` is `node:http`. */
const httpServers = {
  sluice: "http_sluice.ts",
  coroutine: "http_coroutine.ts",
  fetch: "http_fetch.ts",
  light: "http_light.ts",
  own: { deno: "http_deno.ts", bun: "http_bun.ts", node: "http_node.mjs" },
  node: { deno: "http_node.mjs", bun: "http_node.mjs" },
  swoole: "swoole.php",
};

/** What a program would use in place of Sluice in the same runtime. */
export const PEERS = ["own", "node", "uws"];

/** The servers that not every machine has, and whether this one does. */
const GUESTS = {
  uws: () => existsSync(`${tools}uWebSockets.js/package.json`),
  swoole: () => /^swoole$/m.test(spawnSync("php", ["-m"], { encoding: "utf8" }).stdout ?? ""),
};

/** The servers that can be measured here. */
export function serversHere() {
  return Object.keys(servers).filter((name) => GUESTS[name]?.() ?? true);
}

/** What starts a server: its runtime, or PHP. */
export function runnerOf(server, runtime) {
  return server === "swoole" ? { binary: "php", run: [], gc: [] } : runtime;
}

/** The file of a server in a runtime. `before` is the first server of another checkout, to compare two versions of Sluice. */
export function fileOf(server, runtime, row, before) {
  const known = isHttp(row) ? httpServers : servers;
  if (server === "before") return `${before}/bench/servers/${known.sluice}`;
  // Deno's own server does not compress.
  const file = server === "own" && runtime === "deno" && row.deflate ? servers.own.node : known[server];
  return `${root}bench/servers/${typeof file === "string" ? file : file[runtime]}`;
}

/**
 * Raw TCP knows no handshakes, rooms and compression; and the lane does not matter to compression. Deno's own server ends the
 * connection with every response to a POST. Only who sends to many prepares a message. Swoole keeps no context, and its processes
 * cannot be told to collect garbage.
 */
export function takesPart(server, row, runtime) {
  if (server === "before") return true;
  if (server === "own" && runtime === "deno" && row.mode === "post") return false;
  const file = (isHttp(row) ? httpServers : servers)[server];
  if (file === undefined || (typeof file !== "string" && runtime !== undefined && file[runtime] === undefined)) return false;
  if (server === "prepared" || server === "publish") return row.mode === "broadcast";
  if (server === "swoole") return row.mode !== "idle" && row.deflate !== "takeover";
  if (row.deflate) return server !== "raw" && server !== "streams";
  return server !== "raw" || row.mode === "echo";
}
