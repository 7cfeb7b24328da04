// What is measured: the rows, the runtimes, and the servers in each.

import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const root = fileURLToPath(new URL("..", import.meta.url));

/** What a client offers that wants no message to refer to another. */
const APART = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/** And one that lets them, in both directions. */
const TAKEOVER = "permessage-deflate";

const json = { deflate: "shared", offer: APART };
const takeover = { deflate: "takeover", offer: TAKEOVER };

/**
 * The rows. `mode`, the numbers and `offer` are arguments of `wsload`; `deflate` is how the servers compress; `warmup` is the least
 * warm-up in seconds, where the runtimes take longer than elsewhere to compile the code that runs.
 */
export const rows = [
  { name: "echo-64-1", title: "echo 64 B, 100 connections, 1 in flight", mode: "echo", conns: 100, payload: 64, pipeline: 1 },
  ...[512, 700, 1000].map((payload) => ({
    name: `echo-${payload}-1`,
    title: `echo ${payload.toLocaleString("en")} B, 100 connections, 1 in flight`,
    mode: "echo",
    conns: 100,
    payload,
    pipeline: 1,
  })),
  { name: "echo-64-16", title: "echo 64 B, 100 connections, 16 in flight", mode: "echo", conns: 100, payload: 64, pipeline: 16 },
  { name: "echo-16k-4", title: "echo 16 KiB, 20 connections, 4 in flight", mode: "echo", conns: 20, payload: 16384, pipeline: 4 },
  {
    name: "broadcast-1",
    title: "broadcast 64 B to 1,000, 1 in flight",
    mode: "broadcast",
    conns: 1000,
    payload: 64,
    pipeline: 1,
  },
  {
    name: "broadcast-16",
    title: "broadcast 64 B to 1,000, 16 in flight",
    mode: "broadcast",
    conns: 1000,
    payload: 64,
    pipeline: 16,
  },
  {
    name: "json-1k",
    title: "echo 1 KiB JSON, 100 connections, compressed",
    mode: "echo",
    conns: 100,
    payload: 1024,
    pipeline: 1,
    ...json,
  },
  {
    name: "json-1k-takeover",
    title: "the same, with takeover",
    mode: "echo",
    conns: 100,
    payload: 1024,
    pipeline: 1,
    ...takeover,
  },
  {
    name: "json-16k",
    title: "echo 16 KiB JSON, 20 connections, compressed",
    mode: "echo",
    conns: 20,
    payload: 16384,
    pipeline: 1,
    ...json,
  },
  {
    name: "json-16k-takeover",
    title: "the same, with takeover",
    mode: "echo",
    conns: 20,
    payload: 16384,
    pipeline: 1,
    ...takeover,
  },
  {
    name: "json-broadcast",
    title: "broadcast 1 KiB JSON to 1,000, compressed",
    mode: "broadcast",
    conns: 1000,
    payload: 1024,
    pipeline: 1,
    ...json,
  },
  { name: "handshakes", title: "handshakes", mode: "storm", conns: 64, payload: 1, pipeline: 1, warmup: 4 },
  {
    name: "http-1",
    title: "GET, 13 B back, 100 connections, 1 in flight",
    mode: "http",
    conns: 100,
    payload: 13,
    pipeline: 1,
  },
  { name: "http-16", title: "the same, 16 pipelined", mode: "http", conns: 100, payload: 13, pipeline: 16 },
  { name: "http-16k", title: "GET, 16 KiB back, 50 connections", mode: "http", conns: 50, payload: 16384, pipeline: 1 },
  {
    name: "http-post",
    title: "POST, 1 KiB there and back, 100 connections",
    mode: "post",
    conns: 100,
    payload: 1024,
    pipeline: 1,
  },
  { name: "memory", title: "idle connection", mode: "idle", conns: 5000, payload: 1, pipeline: 1 },
  { name: "memory-json", title: "idle connection, compressed", mode: "idle", conns: 5000, payload: 1024, pipeline: 1, ...json },
  {
    name: "memory-json-takeover",
    title: "idle connection, with takeover",
    mode: "idle",
    conns: 1000,
    payload: 1024,
    pipeline: 1,
    ...takeover,
  },
];

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
  coroutine: "sluice_coroutine.ts",
  streams: "sluice_streams.ts",
  fetch: undefined,
  own: { deno: "deno_own.ts", bun: "bun_own.ts", node: "ws_node.mjs" },
  node: undefined,
  raw: { deno: "raw_deno.ts", bun: "raw_bun.ts", node: "raw_node.ts" },
};

/** Those of the rows about HTTP. In Node `own` is `node:http`. */
const httpServers = {
  sluice: "http_sluice.ts",
  coroutine: "http_coroutine.ts",
  fetch: "http_fetch.ts",
  own: { deno: "http_deno.ts", bun: "http_bun.ts", node: "http_node.mjs" },
  node: { deno: "http_node.mjs", bun: "http_node.mjs" },
};

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
 * connection with every response to a POST.
 */
export function takesPart(server, row, runtime) {
  if (server === "before") return true;
  if (server === "own" && runtime === "deno" && row.mode === "post") return false;
  const file = (isHttp(row) ? httpServers : servers)[server];
  if (file === undefined || (typeof file !== "string" && runtime !== undefined && file[runtime] === undefined)) return false;
  if (row.deflate) return server !== "raw" && server !== "streams";
  return server !== "raw" || row.mode === "echo";
}
