/**
 * The test with many clients of several servers, which are processes of all runtimes where the broker connects processes.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { inThisRuntime, Program, runners } from "../support/program.ts";
import { RedisServer } from "../support/redis_server.ts";
import { WebSocketServer } from "../../mod.ts";
import { type BrokerName, eventually, makeBroker } from "./stage.ts";

const CLIENTS = 300;
const TOPICS = 30;
const MESSAGES = 4; // of each client to each of its two topics

/** A client, with what it has heard. */
class Client {
  readonly index: number;
  readonly socket: WebSocket;
  readonly opened: Promise<unknown>;
  begun = 0;
  appended = 0;
  readonly heard: string[] = [];
  /** How many probes of the last round it has heard. */
  probes = 0;
  round = 0;
  /** The process ID of its server, once it has asked for it. */
  pid = 0;

  constructor(index: number, port: number) {
    this.index = index;
    const socket = this.socket = new WebSocket(`ws://127.0.0.1:${port}/`);
    this.opened = new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    socket.onmessage = ({ data }) => {
      if (data.startsWith("pid|")) this.pid = Number(data.slice(4));
      else if (data.startsWith("begun|")) this.begun++;
      else if (data === "appended|stored") this.appended++;
      else if (!data.includes("|probe")) this.heard.push(data);
      else if (data.endsWith(`|probe ${this.round}`)) this.probes++;
    };
  }

  /** One kept and one fleeting topic. */
  get topics(): string[] {
    const number = this.index % (TOPICS / 2);
    return [`room ${number}`, `hall ${number}`];
  }
}

const [FILE, MAP, REGISTER] = ["program.ts", "../offline/import_map.json", "../offline/register.mjs"].map((path) =>
  fileURLToPath(new URL(path, import.meta.url))
);

/** The options with which each runtime runs the program. */
const FLAGS: Readonly<Record<string, string[]>> = {
  Deno: ["--no-check", `--import-map=${MAP}`],
  Bun: [],
  "Node 24": ["--import", REGISTER],
};

async function inProcesses(
  broker: BrokerName,
  redis: RedisServer,
  test: (ports: number[], programs: Program[]) => Promise<void>,
): Promise<void> {
  const programs = runners.filter(([name]) => name in FLAGS).map(([name, ...command]) =>
    new Program([...command, ...FLAGS[name], FILE], { BROKER: broker, BROKER_URL: redis.url })
  );
  try {
    await test(await Promise.all(programs.map(async (program) => Number(await program.line()))), programs);
  } finally {
    await Promise.all(programs.map((program) => program.kill()));
  }
}

/** Starts one program, with three workers. */
async function inWorkers(test: (port: number, program: Program) => Promise<void>): Promise<void> {
  const [command, ...args] = inThisRuntime(new URL("program.ts", import.meta.url));
  const runtime = "Deno" in globalThis ? "Deno" : "Bun" in globalThis ? "Bun" : "Node 24";
  const program = new Program([command, ...args.slice(0, -1), ...FLAGS[runtime], FILE], { BROKER: "workers" });
  try {
    await test(Number(await program.line()), program);
  } finally {
    program.process.kill("SIGTERM"); // its workers end with it
    await program.exited;
  }
}

/** Connects to three different workers. */
async function clientsOfEach(port: number): Promise<Client[]> {
  const clients = new Map<number, Client>();
  for (let index = 0; clients.size < 3;) {
    const client = new Client(index, port);
    await client.opened;
    client.socket.send("who");
    await eventually("it knows its worker", () => client.pid > 0);
    if (clients.has(client.pid)) client.socket.close();
    else {
      clients.set(client.pid, client);
      index++;
    }
  }
  return [...clients.values()];
}

async function inThisProcess(broker: BrokerName, test: (ports: number[]) => Promise<void>): Promise<void> {
  const shared = makeBroker(broker, "", { kept: { "room*": { size: 10_000 } } });
  const servers = Array.from({ length: 3 }, () => new WebSocketServer("127.0.0.1", 0));
  for (const server of servers) {
    server.set({ broker: shared, log_level: 6, topic_envelope: (text, { topic, offset }) => `${topic}|${offset}|${text}` });
    server.on("message", async (server, { fd, data }) => {
      const [work, topic, text] = (data as string).split("|");
      if (work === "subscribe") server.push(fd, `begun|${JSON.stringify(await server.subscribe(fd, topic, {}))}`);
      else if (topic.startsWith("room")) server.push(fd, `appended|${(await server.append(topic, text)).status}`);
      else server.publish(topic, `${topic}|0|${text}`);
    });
    await server.start();
  }
  try {
    await test(servers.map(({ port }) => port));
  } finally {
    for (const server of servers) server.shutdown(0.2);
    await Promise.all(servers.map((server) => server.finished));
  }
}

/** Checks that each message reaches each subscriber once, in the order of its sender. */
export async function checkExactlyOnce(broker: BrokerName): Promise<void> {
  const check = async (ports: number[]) => {
    const clients = Array.from({ length: CLIENTS }, (_, index) => new Client(index, ports[index % ports.length]));
    try {
      await Promise.all(clients.map(({ opened }) => opened));
      for (const { socket, topics } of clients) for (const topic of topics) socket.send(`subscribe|${topic}`);
      await eventually("all have subscribed", () => clients.every(({ begun }) => begun === 2), 60);
      // Fleeting topics say nothing when they begin: all servers have them once everybody hears this.
      await eventually("all hear fleeting topics", async () => {
        for (const client of clients) [client.round, client.probes] = [client.round + 1, 0];
        for (const { socket, topics: [, hall], round } of clients) socket.send(`publish|${hall}|probe ${round}`);
        const isAll = () => clients.every(({ probes }) => probes === CLIENTS / (TOPICS / 2));
        for (let i = 0; i < 100 && !isAll(); i++) await new Promise((resolve) => setTimeout(resolve, 30));
        return isAll();
      }, 60);
      for (let i = 0; i < MESSAGES; i++) {
        for (const { index, socket, topics } of clients) {
          for (const topic of topics) socket.send(`publish|${topic}|${index}.${i}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      const each = 2 * MESSAGES * CLIENTS / (TOPICS / 2);
      await eventually("everything has arrived", () => clients.every(({ heard }) => heard.length >= each), 60);
      await eventually("all is stored", () => clients.every(({ appended }) => appended >= MESSAGES), 60);
      await new Promise((resolve) => setTimeout(resolve, 200)); // for what should not come
      assertEquals(clients.map(({ appended }) => appended), clients.map(() => MESSAGES));
      const expected = new Map<string, number>();
      for (const { index, topics } of clients) {
        for (const topic of topics) for (let i = 0; i < MESSAGES; i++) expected.set(`${topic}|${index}.${i}`, 0);
      }
      for (const { topics, heard } of clients) {
        assertEquals(heard.length, each);
        const seen = new Set<string>();
        const last = new Map<string, number>();
        for (const line of heard) {
          const [topic, offset, text] = line.split("|");
          const key = `${topic}|${text}`;
          assert(topics.includes(topic) && expected.has(key) && !seen.has(key), line);
          seen.add(key);
          const [sender, number] = text.split(".").map(Number);
          const place = `${topic}|${sender}`;
          assertEquals(number, (last.get(place) ?? -1) + 1, `${line}: in the order of the sender`);
          last.set(place, number);
          if (topic.startsWith("room")) {
            assertEquals(Number(offset), (last.get(topic) ?? 0) + 1, `${line}: in the order of the offsets`);
            last.set(topic, Number(offset));
          }
        }
      }
    } finally {
      for (const { socket } of clients) socket.close();
    }
  };
  if (broker === "memory") await inThisProcess(broker, check);
  else if (broker === "workers") await inWorkers((port) => check([port]));
  else await RedisServer.with((redis) => inProcesses(broker, redis, check));
}

/** Checks that whoever was shown by a server that is killed leaves once, everywhere. */
export function memberKilled(broker: BrokerName): Promise<void> {
  if (broker === "workers") {
    return inWorkers(async (port) => {
      const clients = await clientsOfEach(port);
      await checkLeaving(clients, () => process.kill(clients[1].pid, "SIGKILL"));
    });
  }
  return RedisServer.with((redis) =>
    inProcesses(broker, redis, async (ports, programs) => {
      const clients = ports.map((port, index) => new Client(index, port));
      await Promise.all(clients.map(({ opened }) => opened));
      await checkLeaving(clients, () => programs[1].kill());
    })
  );
}

/** Checks that whoever was shown by the server of the second of three clients leaves once when that is killed. */
async function checkLeaving(clients: readonly Client[], kill: () => unknown): Promise<void> {
  try {
    for (const { socket, index } of clients) socket.send(`show|hall|user ${index}`);
    const views = async (alive: readonly Client[]) => {
      for (const { heard, socket } of alive) {
        heard.splice(0, heard.length, ...heard.filter((line) => !line.startsWith("members|")));
        socket.send("members|hall");
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
      return alive.map(({ heard }) => heard.find((line) => line.startsWith("members|")));
    };
    const agree = (alive: readonly Client[], view: string) =>
      eventually(`all see ${view}`, async () => (await views(alive)).every((seen) => seen === `members|${view}`), 60);
    await agree(clients, "user 0,user 1,user 2");
    await kill();
    const alive = [clients[0], clients[2]];
    await agree(alive, "user 0,user 2");
    await new Promise((resolve) => setTimeout(resolve, 300));
    for (const { heard } of alive) assertEquals(heard.filter((line) => line.startsWith("left|")), ["left|user 1"]);
  } finally {
    for (const { socket } of clients) socket.close();
  }
}
