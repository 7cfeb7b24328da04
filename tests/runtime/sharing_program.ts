// A master and its workers that serve one port, for sharing_test.ts: `sharing_program.ts <adapter> <way> <layers>`. The master
// takes lines, `reload` and `renew`, and prints what it has done. Workers send back `<pid> <address of the client> <what was sent>`.

import { readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import "../../adapters/auto.ts";
import { runtime as onNodeNet } from "../../adapters/node.ts";
import { StreamLane } from "../../src/transport/pipes.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import {
  type ChildProcess,
  type ProcessMessage,
  type SharedListening,
  type SocketHandle,
  workerIdentity,
} from "../../src/transport/processes.ts";
import type {
  BytePipe,
  HandshakeGate,
  KeyPair,
  Listener,
  ListenOptions,
  PreambleGate,
  TlsOptions,
} from "../../src/transport/runtime.ts";

const [adapter, way, layers] = process.argv.slice(2);
const runtime = adapter === "own" ? await loadRuntime() : onNodeNet;
const { processes } = runtime;
const identity = workerIdentity();
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const read = (name: string) => readFileSync(new URL(`../tls/${name}.pem`, import.meta.url), "utf8");
const pair = (cert: string, key: string): KeyPair => ({ cert: read(cert), key: read(key) });

/** The options of TLS; `names` has another certificate for one name, and more than Bun's own listeners can do. */
function tlsOptions(main: KeyPair): TlsOptions | undefined {
  if (!layers.includes("tls")) return undefined;
  return { ...main, ...(layers.includes("names") && { names: new Map([["one.test", pair("one", "one_key")]]) }) };
}

/** The connections of a worker: those that are served, and those whose preamble or handshake is not complete. */
let open = 0;
let isLeaving = false;

function leaveIfDone(): void {
  if (isLeaving && open === 0) process.exit(0);
}

const gate: HandshakeGate = {
  enter() {
    open++;
    return true;
  },
  leave() {
    setImmediate(() => { // it may be passed on first
      open--;
      leaveIfDone();
    });
  },
};

/** A gate for a preamble of one byte. */
const preambles: PreambleGate = {
  ...gate,
  begin: () => ({
    remoteAddress: { transport: "tcp", hostname: "203.0.113.7", port: 7 },
    localAddress: { transport: "tcp", hostname: "198.51.100.2", port: 2 },
    receive: () => 1,
    onMissing: () => {},
  }),
};

const options = (port: number, shared: SharedListening): ListenOptions => ({
  transport: layers.includes("unix") ? "unix" : "tcp",
  hostname: layers.includes("unix") ? process.env.SOCKET! : "127.0.0.1",
  port,
  backlog: 511,
  noDelay: true,
  handshakeTimeout: 20_000,
  shared,
  gate,
  tls: tlsOptions(pair("cert", "key")),
  ...(layers.includes("preamble") && { preambles }),
});

// ---- a worker ---------------------------------------------------------------------------------------------------------------

function serve(pipe: BytePipe): void {
  open++;
  const lane = pipe.lane ?? new StreamLane(pipe);
  const begin = new TextEncoder().encode(`${process.pid} ${pipe.remoteAddress?.hostname || "unix"} `);
  lane.start({
    onData(chunk) {
      const answer = new Uint8Array(begin.length + chunk.length);
      answer.set(begin);
      answer.set(chunk, begin.length);
      lane.write(answer, 0, answer.length, true);
    },
    onEnd: () => lane.end(),
    onDrain() {},
    onClose() {
      open--;
      leaveIfDone();
    },
  });
}

function work(): void {
  const { parent } = identity!;
  let listener: Listener;
  const failed = (error: unknown) => console.log("failed", error);
  const ready = () => parent.send({ type: "ready", port: listener.address.port, host: listener.address.hostname });
  const tasks: Record<string, (message: ProcessMessage, handle?: SocketHandle) => void | Promise<void>> = {
    async listen({ port, kind }) {
      listener = await runtime.listen(options(port as number, { kind: kind as "passed" }), serve, failed);
      ready();
    },
    async take(_message, handle) {
      await pause(20); // it may take a while until a program listens; nobody is lost meanwhile
      listener = await runtime.listen(options(1, { kind: "transferable", handle }), serve, failed);
      ready();
    },
    give: () => void parent.send({ type: "given" }, listener.handle),
    connection: (_message, handle) => listener.take!(handle!),
    renew: () => {
      listener.prepareTls!(tlsOptions(pair("self", "self_key"))!)();
      parent.send({ type: "renewed" });
    },
    async leave() {
      await listener.release!();
      isLeaving = true;
      leaveIfDone();
    },
  };
  parent.onDisconnect(() => process.exit(1));
  parent.onMessage((message, handle) => tasks[message.type](message, handle));
  parent.send({ type: "hello" });
}

// ---- the master -------------------------------------------------------------------------------------------------------------

/** A worker, with what it says. */
class Worker {
  readonly child: ChildProcess;
  #said: [ProcessMessage, SocketHandle | undefined][] = [];
  #wake: (() => void) | undefined;

  constructor(child: ChildProcess) {
    this.child = child;
    child.onMessage((message, handle) => {
      this.#said.push([message, handle]);
      this.#wake?.();
    });
  }

  /** Starts a worker. */
  static async start(): Promise<Worker> {
    const worker = new Worker(await processes!.start({ role: "worker" }));
    await worker.next();
    return worker;
  }

  async next(): Promise<[ProcessMessage, SocketHandle | undefined]> {
    while (this.#said.length === 0) await new Promise<void>((resolve) => this.#wake = resolve);
    return this.#said.shift()!;
  }

  async ask(message: ProcessMessage, handle?: SocketHandle): Promise<[ProcessMessage, SocketHandle | undefined]> {
    if (!await this.child.send(message, handle)) throw new Error(`${message.type} was not sent`);
    return await this.next();
  }
}

async function passConnections(): Promise<void> {
  const workers = [await Worker.start(), await Worker.start()];
  let next = 0;
  const place = layers.includes("unix")
    ? { transport: "unix" as const, hostname: process.env.SOCKET!, port: 0 }
    : { transport: "tcp" as const, hostname: "127.0.0.1", port: 0 };
  const { address } = await processes!.acceptSockets({ ...place, backlog: 511 }, async (socket, remote) => {
    if (remote?.transport !== place.transport) console.log("the address is missing");
    await workers[next++ % workers.length].child.send({ type: "connection" }, socket);
    socket.close();
  }, console.log);
  for (const worker of workers) await worker.ask({ type: "listen", port: address.port, kind: "passed" });
  console.log(address.port, ...workers.map(({ child }) => child.pid));
  for await (const line of createInterface({ input: process.stdin })) {
    for (const worker of workers) await worker.ask({ type: line });
    console.log(line);
  }
}

async function handOver(): Promise<void> {
  let worker = await Worker.start();
  const [{ port }] = await worker.ask({ type: "listen", port: 0, kind: "transferable" });
  console.log(port, worker.child.pid);
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === "renew") {
      await worker.ask({ type: "renew" });
    } else {
      const successor = await Worker.start();
      const [, handle] = await worker.ask({ type: "give" });
      await pause(30); // a copy that is here does not accept
      const [answer] = await successor.ask({ type: "take" }, handle);
      handle!.close();
      if (answer.port !== port || answer.host !== "127.0.0.1") console.log("another address", JSON.stringify(answer));
      await worker.child.send({ type: "leave" });
      const { code, signal } = await worker.child.exited;
      if (code !== 0 || signal !== 0) console.log("the old worker ended with", code, signal);
      worker = successor;
    }
    console.log(line, worker.child.pid);
  }
}

if (identity !== undefined) work();
else await (way === "passed" ? passConnections() : handOver());
