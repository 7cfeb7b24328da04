// Two servers with one Redis, and two workers of one server without, beside Socket.IO with its adapter over Redis streams: messages a
// second from a client of one server to a client of the other, how long one takes, what one costs in processor time, and what it costs
// when 1,000 clients come back. Needs Redis.
//
//   node bench/brokers.mjs [--rounds 3] [--seconds 3] [--only TEXT] [--socketio FOLDER]
//
// With --only, it measures messages with those servers only whose name has the text.
// FOLDER has socket.io, socket.io-client, @socket.io/redis-streams-adapter and redis installed; without it they are installed into a
// temporary one.

import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import "./install.mjs";
import { find, howToBring } from "../tools/prerequisites.mjs";
import { npm } from "../tools/check/install.mjs";
import { root } from "./rows.mjs";

const option = (name, byDefault) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? byDefault : process.argv[at + 1];
};
const rounds = Number(option("rounds", "3"));
const seconds = Number(option("seconds", "3"));
const tool = (name) => `${root}tools/node_modules/${name}`;

if (find("redis") === undefined) throw new Error(`There is no redis-server: ${howToBring("redis")}`);

const temporary = mkdtempSync(join(tmpdir(), "sluice-bench-brokers-"));
const children = [];
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(temporary, { recursive: true, force: true });
});

const only = option("only", "");
const isMeasured = ({ name }) => name.includes(only);
const SOCKET_IO = "Socket.IO, streams adapter, Node 24";

let packages = option("socketio");
if (packages === undefined && isMeasured({ name: SOCKET_IO })) {
  packages = temporary;
  writeFileSync(join(packages, "package.json"), "{}");
  const [program, ...before] = npm();
  const names = ["socket.io@4", "socket.io-client@4", "@socket.io/redis-streams-adapter@0.3", "redis@6"];
  const { status } = spawnSync(program, [...before, "install", "--no-audit", "--no-fund", "--prefix", packages, ...names], {
    stdio: "inherit",
  });
  if (status !== 0) throw new Error("Cannot install Socket.IO");
}
const { io } = packages === undefined ? {} : createRequire(join(packages, "package.json"))("socket.io-client");

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

const redisPort = await freePort();
children.push(
  spawn(find("redis"), ["--port", `${redisPort}`, "--save", "", "--dir", temporary, "--loglevel", "warning"], {
    stdio: "ignore",
  }),
);
const REDIS = `redis://127.0.0.1:${redisPort}`;
const [redis] = children;
await new Promise((resolve) => setTimeout(resolve, 500));

/** Starts a server, and returns its port. */
function start(command, env) {
  const [program, ...args] = command;
  const child = spawn(program, args, {
    env: { ...process.env, PACKAGES: packages ?? "", REDIS, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  return new Promise((resolve) => child.stdout.once("data", (data) => resolve({ port: Number(data), child })));
}

const runtimes = {
  "Node 24": [tool("n24/bin/node"), "--import", `${root}tests/offline/register.mjs`],
  "Bun": [tool(".bin/bun"), "run"],
  "Deno": [tool(".bin/deno"), "run", "-A", "--no-check", `--import-map=${root}tests/offline/import_map.json`],
};
const sluice = (runtime, env) => start([...runtimes[runtime], `${root}bench/servers/broker_sluice.ts`], env);
const socketIo = () => start([tool("n24/bin/node"), `${root}bench/servers/broker_socketio.mjs`]);

/** A client of Sluice: says texts, and is told what is said. */
function webSocket(port, topic, query = "") {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/?topic=${topic}${query}`);
  const client = {
    say: (text) => socket.send(text),
    onText: () => {},
    close: () => socket.close(),
    begun: undefined,
    worker: "",
  };
  client.begun = new Promise((resolve) =>
    socket.onmessage = ({ data }) => {
      if (!data.startsWith("subscribed ")) return client.onText(data);
      client.worker = data.slice("subscribed ".length);
      resolve();
    }
  );
  return client;
}

/** A client of Socket.IO. */
function socketIoClient(port, topic) {
  const socket = io(`http://127.0.0.1:${port}`, { transports: ["websocket"], query: { topic }, forceNew: true });
  const client = {
    say: (text) => socket.emit("say", text),
    onText: () => {},
    close: () => socket.disconnect(),
    begun: undefined,
  };
  client.begun = new Promise((resolve) => socket.on("said", (text) => text === "subscribed" ? resolve() : client.onText(text)));
  return client;
}

/** Returns the processor time of processes and their workers, in seconds; NaN where the system does not say. */
function processorTime(processes) {
  try {
    return processes.reduce((sum, { pid }) => {
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
      const workers = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean);
      const own = (Number(fields[11]) + Number(fields[12])) / 100; // in hundredths of a second on Linux
      return sum + own + processorTime(workers.map((pid) => ({ pid })));
    }, 0);
  } catch {
    return NaN;
  }
}

const PAYLOAD = "x".repeat(64);

/** Keeps so many messages under way for a while. Returns how many have arrived in a second. */
async function rateOf(speaker, listener, window, duration) {
  let received = 0;
  let isOver = false;
  listener.onText = () => {
    received++;
    if (!isOver) speaker.say(PAYLOAD);
  };
  const begun = performance.now();
  for (let i = 0; i < window; i++) speaker.say(PAYLOAD);
  await new Promise((resolve) => setTimeout(resolve, duration * 1000));
  const rate = received / (performance.now() - begun) * 1000;
  isOver = true;
  await new Promise((resolve) => setTimeout(resolve, 300)); // what is under way
  return rate;
}

const kinds = [
  ...Object.keys(runtimes).flatMap((runtime) => [
    { name: `Sluice, ${runtime}, kept`, topic: "kept", start: () => sluice(runtime), client: webSocket },
    { name: `Sluice, ${runtime}, fleeting`, topic: "fleeting", start: () => sluice(runtime), client: webSocket },
  ]),
  ...Object.keys(runtimes).flatMap((runtime) =>
    ["kept", "fleeting"].map((topic) => ({
      name: `Sluice, ${runtime}, two workers, ${topic}`,
      topic,
      isOne: true,
      start: () => sluice(runtime, { REDIS: "", WORKERS: "2" }),
      client: webSocket,
    }))
  ),
  { name: SOCKET_IO, topic: "room", start: socketIo, client: socketIoClient },
];
const local = {
  name: "Sluice, Node 24, one server without a broker",
  topic: "room",
  isOne: true,
  start: () => sluice("Node 24", { REDIS: "" }),
  client: webSocket,
};

/** Connects two clients: to both servers, to one, or to two workers of one. */
async function connect(kind, servers, topic) {
  const speaker = kind.client(servers[0].port, topic);
  let listener = kind.client(servers.at(-1).port, topic);
  await Promise.all([speaker.begun, listener.begun]);
  while (kind.name.includes("workers") && listener.worker === speaker.worker) {
    listener.close();
    listener = kind.client(servers[0].port, topic);
    await listener.begun;
  }
  return [speaker, listener];
}

const results = new Map();
for (let round = 0; round < rounds; round++) {
  for (const kind of [local, ...kinds].filter(isMeasured)) {
    const servers = [await kind.start(), ...(kind.isOne ? [] : [await kind.start()])];
    const topic = `${kind.topic}${round}`;
    const [speaker, listener] = await connect(kind, servers, topic);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await rateOf(speaker, listener, 200, 1); // to warm up
    const processes = [redis, ...servers.map(({ child }) => child)];
    const before = processorTime(processes);
    const many = await rateOf(speaker, listener, 200, seconds);
    const cost = (processorTime(processes) - before) * 1e6 / (many * seconds);
    const one = await rateOf(speaker, listener, 1, seconds);
    const samples = results.get(kind.name) ?? [];
    samples.push({ many, one, cost });
    results.set(kind.name, samples);
    const each = `one takes ${(1000 / one).toFixed(2)} ms, and ${Math.round(cost)} µs of processor time`;
    console.error(`${kind.name}: ${Math.round(many)} a second; ${each}`);
    for (const client of [speaker, listener]) client.close();
    for (const { child } of servers) child.kill("SIGKILL");
  }
}

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
// Other work on the machine makes a round slower, never faster: the best one counts. Processor time is hardly concerned.
console.log(
  "| servers | messages a second, 200 under way | one message, ms | processor time of one, µs |\n| --- | --- | --- | --- |",
);
for (const [name, samples] of results) {
  const many = Math.round(Math.max(...samples.map(({ many }) => many)));
  const one = (1000 / Math.max(...samples.map(({ one }) => one))).toFixed(2);
  console.log(`| ${name} | ${many} | ${one} | ${Math.round(median(samples.map(({ cost }) => cost)))} |`);
}

// ---- 1,000 clients come back ------------------------------------------------------------------------------------------------

if (only !== "") process.exit();
const CLIENTS = 1000;
const MISSED = 100;
console.log(
  "\n| runtime | clients | missed by each | ms until all have everything | CPU of the server, ms | reads of the history |\n| --- | --- | --- | --- | --- | --- |",
);
for (const runtime of Object.keys(runtimes)) {
  const { port: before, child: one } = await sluice(runtime);
  const topic = `kept back ${runtime}`.replaceAll(" ", "");
  const speaker = webSocket(before, topic);
  await speaker.begun;
  const positions = [];
  speaker.onText = (text) => positions.push(text.split(" "));
  for (let i = 0; i <= MISSED; i++) speaker.say(PAYLOAD);
  while (positions.length <= MISSED) await new Promise((resolve) => setTimeout(resolve, 10));
  const [offset, epoch] = positions[0];
  const { port, child: two } = await sluice(runtime); // all come to another server
  const figures = async () => await (await fetch(`http://127.0.0.1:${port}/`)).json();
  const start = await figures();
  const begun = performance.now();
  await Promise.all(Array.from({ length: CLIENTS }, () => {
    const client = webSocket(port, topic, `&offset=${offset}&epoch=${epoch}`);
    let count = 0;
    return new Promise((resolve) => {
      client.onText = () => ++count === MISSED && (client.close(), resolve());
    });
  }));
  const took = performance.now() - begun;
  const end = await figures();
  const cpu = Math.round((end.cpu - start.cpu) * 1000);
  console.log(`| ${runtime} | ${CLIENTS} | ${MISSED} | ${Math.round(took)} | ${cpu} | ${end.history_reads} |`);
  speaker.close();
  for (const child of [one, two]) child.kill("SIGKILL");
}
process.exit();
