// Workers under load, in each runtime, over real sockets: four workers and clients at all of them.
//
//   npm run test:workers [-- RUNTIME …]    400 clients, 20 reloads, and all tests that start workers, in deno, bun and node: a quarter
//                                          of an hour
//   npm run test:workers -- --short        120 clients, 2 reloads: as a step of the checks
//
// Pushes of every worker to every WebSocket, broadcasts and topics arrive once, and in order for each sender, also those of the
// others while a worker is killed. While workers are reloaded under new connections, without and with TLS, none is refused or reset,
// and WebSockets stay as long as the settings say. When the master is killed, all workers end.

import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { installation, isInstalled } from "./check/install.mjs";
import { testsOfWorkers } from "./check/steps.mjs";
import { inBun, inDeno, inNode } from "./check/test_commands.mjs";
import { Client, request } from "./workers/client.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const tool = (name) => `${root}tools/node_modules/${name}`;
const runtimes = {
  deno: [tool("deno/deno"), "run", "-A", "--no-check"],
  bun: [tool(".bin/bun"), "run"],
  node: [tool("n24/bin/node")],
};

const isShort = process.argv.includes("--short");
const plan = isShort
  ? { clients: 120, messages: 20, reloads: 2, rate: 200 }
  : { clients: 400, messages: 50, reloads: 20, rate: 200 };
const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const chosen = words.length > 0 ? words : Object.keys(runtimes);
for (const name of chosen) {
  if (runtimes[name] === undefined) {
    throw new TypeError(
      `Cannot run ${name}: there are ${Object.keys(runtimes).join(", ")}`,
    );
  }
}
if (process.platform !== "linux") {
  console.log("left out: workers are promised on Linux only");
  process.exit(0);
}
if (!isInstalled(root)) {
  const [command, ...args] = installation();
  spawnSync(command, args, { cwd: root, stdio: "inherit" });
}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const children = new Set();
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => process.exit(1));
}

const problems = [];

/** `max_wait_time` of the server, in milliseconds: how long WebSockets stay at least. */
const STAY = 3000;

const authority = readFileSync(`${root}tests/tls/ca.pem`, "utf8");

/** Whether a process runs. A zombie, which nobody has waited for yet, does not. */
function isAlive(pid) {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** The server. */
class Server {
  lines = [];
  #wake = [];

  constructor(command) {
    this.child = spawn(command[0], [
      ...command.slice(1),
      `${root}tools/workers/server.ts`,
    ], { stdio: ["ignore", "pipe", "inherit"] });
    children.add(this.child);
    this.ended = new Promise((resolve) => this.child.on("exit", resolve));
    createInterface(this.child.stdout).on("line", (line) => {
      this.lines.push(line);
      for (const wake of this.#wake.splice(0)) wake();
    });
  }

  /** Waits until so many lines begin like this, and returns the last one. */
  async until(beginning, count = 1) {
    const limit = performance.now() + 180_000;
    for (;;) {
      const found = this.lines.filter((line) => line.startsWith(beginning));
      if (found.length >= count) return found[count - 1];
      if (performance.now() > limit) {
        throw new Error(
          `"${beginning}" is not there: ${this.lines.slice(-5).join(", ")}`,
        );
      }
      await Promise.race([
        new Promise((resolve) => this.#wake.push(resolve)),
        sleep(1000),
      ]);
    }
  }
}

/** One client at each worker. */
function oneOfEach(clients) {
  return [
    ...new Map(
      clients.filter(({ isOpen }) => isOpen).map((
        client,
      ) => [client.pid, client]),
    ).values(),
  ];
}

/** Waits until all clients have heard so many messages of a kind from each sender. */
async function untilHeard(clients, kinds, senders, count) {
  const isComplete = (client) =>
    kinds(client).every((kind) => senders.every((pid) => client.heard.get(`${kind} ${pid}`) === count));
  const limit = performance.now() + 30_000;
  while (!clients.every(isComplete)) {
    if (performance.now() > limit) {
      const client = clients.find((each) => !isComplete(each));
      return `fd ${client.fd} has heard ${JSON.stringify([...client.heard])} instead of ${count} of ${
        kinds(client)
      } from ${senders}`;
    }
    await sleep(20);
  }
  return undefined;
}

/** Reloads the workers again and again, while others connect. `clients` are WebSockets that are there before. */
async function reloadUnderLoad({ server, master, clients, check, say, connect, what }) {
  let isOver = false;
  const results = [];
  const pending = new Set();
  const load = (async () => {
    for (let due = performance.now(); !isOver;) {
      // On a busy machine, several are due at a time; so many may be pending.
      for (; due <= performance.now() && pending.size < plan.rate; due += 1000 / plan.rate) {
        const one = connect().then((result) => {
          results.push(result);
          pending.delete(one);
        });
        pending.add(one);
      }
      await sleep(Math.max(1, due - performance.now()));
    }
    await Promise.all(pending);
  })();
  const before = server.lines.filter((line) => line === "reloaded").length;
  const begun = performance.now();
  for (let count = 1; count <= plan.reloads; count++) {
    process.kill(master, "SIGUSR1");
    await server.until("reloaded", before + count);
  }
  const reloadTime = (performance.now() - begun) / 1000;
  isOver = true;
  await load;
  const errors = results.filter((result) => result instanceof Error);
  const kinds = [...new Set(errors.map(({ message }) => message))].join(", ");
  check(errors.length === 0, `${errors.length} of ${results.length} connections (${what}) during reloads: ${kinds}`);
  const codes = await Promise.all(clients.map(({ closed }) => closed));
  check(codes.every((code) => code === 1012), `WebSockets (${what}) are closed with ${[...new Set(codes)]} by a reload`);
  const soonest = Math.min(...clients.map(({ closedAt }) => closedAt)) - begun;
  check(soonest >= STAY, `a WebSocket (${what}) is closed ${Math.round(soonest)} ms after the reload began`);
  const workers = new Set(results.map((result) => String(result).split(" ")[1]));
  say(
    `${plan.reloads} reloads in ${reloadTime.toFixed(1)} s under ${results.length} connections (${what}, ${
      Math.round(results.length / reloadTime)
    }/s) to ${workers.size} processes: ${errors.length} refused, reset or without a response; ${clients.length} WebSockets are ` +
      `closed with 1012, the first one after ${Math.round(soonest)} ms`,
  );
}

async function run(name) {
  const say = (text) => console.log(`${name}: ${text}`);
  const check = (isRight, text) => {
    if (isRight) return;
    problems.push(`${name}: ${text}`);
    console.error(`${name}: WRONG: ${text}`);
  };
  const server = new Server(runtimes[name]);
  const [, port, securePort, master] = (await server.until("port")).split(" ").map(Number);

  // ---- every message once, in order
  const clients = [];
  while (clients.length < plan.clients) {
    clients.push(
      ...await Promise.all(Array.from({ length: 20 }, () => Client.open(port))),
    );
  }
  const speakers = oneOfEach(clients);
  check(speakers.length === 4, `${speakers.length} workers have clients`);
  check(
    new Set(clients.map(({ fd }) => fd)).size === clients.length,
    "an fd was given twice",
  );
  for (const speaker of speakers) while (await speaker.ask("count") !== String(clients.length)) await sleep(5);
  const senders = speakers.map(({ pid }) => pid);
  const shares = senders.map((pid) => clients.filter((client) => client.pid === pid).length);
  let begun = performance.now();
  const failed = await Promise.all(
    speakers.map((client) => client.ask(`push ${plan.messages}`)),
  );
  check(failed.every((count) => count === "0"), `push() has failed: ${failed}`);
  let missing = await untilHeard(
    clients,
    () => ["push"],
    senders,
    plan.messages,
  );
  check(missing === undefined, missing);
  const pushed = plan.messages * 4 * clients.length;
  const pushTime = performance.now() - begun;
  begun = performance.now();
  await Promise.all(
    speakers.map((client) => client.ask(`broadcast ${plan.messages}`)),
  );
  await Promise.all(
    speakers.map((client) => client.ask(`publish ${plan.messages}`)),
  );
  missing = await untilHeard(
    clients,
    ({ fd }) => ["broadcast", `publish-${fd % 10}`],
    senders,
    plan.messages,
  );
  check(missing === undefined, missing);
  const spoken = plan.messages * 8 * clients.length;
  say(
    `${clients.length} clients at four workers (${shares}): ${pushed} pushes in ${
      Math.round(pushTime)
    } ms, ${spoken} messages of ` +
      `broadcasts and topics in ${Math.round(performance.now() - begun)} ms, each once and in order`,
  );

  // ---- a worker is killed under load
  const [killed, ...others] = speakers;
  const asked = others.map((client) => client.ask(`broadcast ${plan.messages} ${plan.messages}`));
  const victims = clients.filter(({ pid }) => pid === killed.pid);
  const survivors = clients.filter(({ pid }) => pid !== killed.pid);
  process.kill(killed.pid, "SIGKILL");
  begun = performance.now();
  await Promise.all(victims.map(({ closed }) => closed));
  while (await others[0].ask(`exist ${killed.fd}`) === "true") await sleep(1);
  const vanished = performance.now() - begun;
  await server.until("worker", 5);
  const replaced = performance.now() - begun;
  await Promise.all(asked).catch((error) => check(false, `a worker that was not killed: ${error.message}`));
  missing = await untilHeard(
    survivors,
    () => ["broadcast"],
    others.map(({ pid }) => pid),
    plan.messages * 2,
  );
  check(missing === undefined, missing);
  check(
    survivors.every(({ isOpen }) => isOpen),
    "somebody else has been dropped",
  );
  say(
    `a worker killed under load: its ${victims.length} clients are dropped, the other ${survivors.length} miss nothing; its fds are ` +
      `gone after ${vanished.toFixed(1)} ms, another worker is there after ${Math.round(replaced)} ms`,
  );
  for (const client of clients) {
    for (const fault of client.faults) {
      check(false, `fd ${client.fd}: ${fault}`);
    }
  }

  // ---- reloads under new connections
  await reloadUnderLoad({ server, master, clients: survivors, check, say, connect: () => request(port), what: "plain" });
  const secured = [];
  while (secured.length < plan.clients / 4) {
    secured.push(...await Promise.all(Array.from({ length: 10 }, () => Client.open(securePort, authority))));
  }
  const connect = () => request(securePort, authority);
  await reloadUnderLoad({ server, master, clients: secured, check, say, connect, what: "TLS" });

  // ---- the master is killed
  const pids = new Set();
  while (pids.size < 4) {
    pids.add(Number(String(await request(port)).split(" ")[1]));
  }
  process.kill(master, "SIGKILL");
  begun = performance.now();
  while ([...pids].some(isAlive) && performance.now() - begun < 10_000) {
    await sleep(5);
  }
  const outlived = performance.now() - begun;
  check(
    outlived < 1000,
    `workers have outlived their master by ${Math.round(outlived)} ms`,
  );
  say(
    `the master is killed: all workers have ended after ${Math.round(outlived)} ms`,
  );
  children.delete(server.child);
}

for (const name of chosen) await run(name);
if (!isShort) {
  const commands = {
    deno: inDeno(testsOfWorkers, "--no-check"),
    bun: inBun(testsOfWorkers, 300),
    node: inNode("24", testsOfWorkers),
  };
  for (const name of chosen) {
    const [command, ...args] = commands[name];
    const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit", env: { ...process.env, NO_COLOR: "1" } });
    if (status !== 0) problems.push(`${name}: tests have failed`);
  }
}
if (problems.length > 0) {
  console.error(
    `${problems.length} problems:\n${[...new Set(problems)].slice(0, 20).join("\n")}`,
  );
  process.exit(1);
}
process.exit(0);
