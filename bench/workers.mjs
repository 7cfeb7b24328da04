// Workers: what one core's worth of processor time carries with one and with two of them, how connections spread over them, what a
// push to a connection of another worker costs beside one to an own connection, and the memory of each process. Linux only.
//
//   node bench/workers.mjs [--rounds 3] [--seconds 2] [--runtimes deno,bun,node]

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import net from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import "./install.mjs";
import { buildLoad } from "./measure.mjs";
import { root, runtimesFor } from "./rows.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "2" },
    runtimes: { type: "string", default: "deno,bun,node" },
  },
});
const rounds = Number(options.rounds);
const runtimes = runtimesFor("24");
const children = new Set();
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));
buildLoad();

/** A server with so many workers. With one, that is the process itself. */
class Server {
  static async start(runtime, workers) {
    const { binary, run } = runtimes[runtime];
    const child = spawn(binary, [...run, `${root}bench/servers/workers.ts`], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", WORKERS: `${workers}` },
    });
    children.add(child);
    const server = new Server();
    server.child = child;
    for await (const line of createInterface({ input: child.stdout })) {
      if (!line.startsWith("PORT ")) continue;
      server.port = line.slice(5);
      break;
    }
    const { pid } = child;
    const below = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean);
    server.workers = below.length > 0 ? below : [`${pid}`];
    server.pids = [...new Set([`${pid}`, ...below])];
    return server;
  }

  /** Processor seconds of all processes so far. */
  get cpu() {
    return this.pids.map((pid) => {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return (Number(fields[11]) + Number(fields[12])) / 100; // utime, stime in ticks of 10 ms
    }).reduce((sum, seconds) => sum + seconds);
  }

  /** The resident memory of the processes in MiB: the first one, and the workers. */
  get memory() {
    return this.pids.map((pid) =>
      Math.round(Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024)
    );
  }

  async stop() {
    const gone = once(this.child, "exit");
    this.child.kill("SIGTERM");
    await gone;
    children.delete(this.child);
  }
}

/** Messages for each processor second of the server: an echo of 64 bytes to 100 connections. */
async function echo(server, inFlight) {
  const args = ["echo", server.port, "100", "64", `${inFlight}`, options.seconds, "1", "/"];
  const load = spawn(`${root}bench/wsload`, args, { stdio: ["ignore", "pipe", "pipe"] });
  let cpu;
  load.stderr.setEncoding("utf8").on("data", (text) => {
    if (text.includes("counting\n")) cpu = server.cpu;
  });
  let used;
  let printed = "";
  load.stdout.setEncoding("utf8").on("data", (text) => {
    used ??= server.cpu - cpu;
    printed += text;
  });
  await once(load, "close");
  return JSON.parse(printed).rate * Number(options.seconds) / used;
}

/** A WebSocket that counts the bytes that it gets. */
async function connect(port, path) {
  const socket = net.connect(port, "127.0.0.1");
  socket.setNoDelay(true);
  socket.on("error", () => {}); // when the server ends
  const client = { socket, who: undefined, onBytes: () => {} };
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n` +
      `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\n\r\n`,
  );
  let begun = "";
  await new Promise((resolve) =>
    socket.on("data", (bytes) => {
      if (client.who !== undefined) return client.onBytes(bytes.length);
      begun += bytes.toString("latin1");
      const text = /\{.*\}/.exec(begun);
      if (text === null) return;
      client.who = JSON.parse(text[0]);
      resolve();
    })
  );
  return client;
}

/** Sends a short text. */
function say({ socket }, text) {
  const bytes = Buffer.from(text);
  const head = bytes.length < 126 ? [0x81, 0x80 | bytes.length] : [0x81, 0xfe, bytes.length >> 8, bytes.length & 255];
  socket.write(Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), bytes])); // the mask 0 changes nothing
}

/** So many bytes may be under way to a client: less than what a server queues for it, and than what its workers queue. */
const UNDER_WAY = 512 * 1024;

/** Processor microseconds for each message that the worker of a client pushes to another client. */
async function push(server, from, to, { length, isBinary, burst, seconds }) {
  const size = length + (length < 126 ? 2 : 4);
  const count = Math.floor(UNDER_WAY / size);
  const order = JSON.stringify({ fd: to.who.fd, length, isBinary, burst, count });
  let done = 0;
  const before = server.cpu;
  const until = performance.now() + seconds * 1000;
  do {
    let due = count * size;
    const all = new Promise((resolve) => to.onBytes = (bytes) => (due -= bytes) <= 0 && resolve());
    say(from, order);
    await all;
    done += count;
  } while (performance.now() < until);
  return (server.cpu - before) * 1e6 / done;
}

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
const PUSHES = [
  { length: 64, isBinary: false, burst: 1 },
  { length: 64, isBinary: true, burst: 50 },
  { length: 512, isBinary: true, burst: 5 },
  { length: 512, isBinary: true, burst: 50 },
].map((order) => ({ ...order, seconds: Number(options.seconds) }));

console.log(
  "| runtime | echo of 64 B, in flight | messages for each processor second, 1 worker | 2 workers | ratio |\n| --- | --- | --- | --- | --- |",
);
for (const runtime of options.runtimes.split(",")) {
  for (const inFlight of [1, 16]) {
    const rates = [[], []];
    for (let round = 0; round < rounds; round++) {
      for (const [index, list] of rates.entries()) {
        const server = await Server.start(runtime, index + 1);
        list.push(await echo(server, inFlight));
        await server.stop();
      }
    }
    const ratios = rates[0].map((one, round) => rates[1][round] / one);
    const [one, two] = rates.map((list) => Math.round(median(list)));
    console.log(`| ${runtime} | ${inFlight} | ${one} | ${two} | ${median(ratios).toFixed(2)} |`);
  }
}

console.log(
  "\n| runtime | push of | own connection, µs | another worker's, µs | ratio |\n| --- | --- | --- | --- | --- |",
);
const others = [];
for (const runtime of options.runtimes.split(",")) {
  const server = await Server.start(runtime, 2);
  await sleep(1000);
  const idle = server.memory;
  const clients = await Promise.all(Array.from({ length: 400 }, () => connect(server.port, "/who")));
  const split = server.workers.map((pid) => clients.filter(({ who }) => `${who.pid}` === pid).length);
  const [from, own] = clients.filter(({ who }) => who.worker === 0);
  const far = clients.find(({ who }) => who.worker === 1);
  for (const order of PUSHES) {
    const costs = [[], []];
    for (let round = 0; round <= rounds; round++) {
      for (const [index, to] of [own, far].entries()) {
        const cost = await push(server, from, to, order);
        if (round > 0) costs[index].push(cost); // the first one warms up
      }
    }
    const [near, away] = costs.map(median);
    const what = `${order.length} B ${order.isBinary ? "binary" : "text"}, ${order.burst} in a turn`;
    console.log(`| ${runtime} | ${what} | ${near.toFixed(2)} | ${away.toFixed(2)} | ${(away / near).toFixed(2)} |`);
  }
  others.push(`| ${runtime} | ${split.join(" and ")} | ${idle[0]} | ${idle.slice(1).join(" and ")} |`);
  clients.forEach(({ socket }) => socket.destroy());
  await server.stop();
}
console.log(
  "\n| runtime | 400 connections spread as | memory of the idle master, MiB | of the workers |\n| --- | --- | --- | --- |",
);
for (const line of others) console.log(line);
