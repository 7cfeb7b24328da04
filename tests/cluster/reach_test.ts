/** Workers that use each other's connections, as real processes over real sockets. */

import { assert, assertEquals } from "@std/assert";
import process from "node:process";
import { test } from "node:test";
import { until } from "../support/activity.ts";
import { inThisRuntime, Program } from "../support/program.ts";

const FILE = new URL("./reach_program.ts", import.meta.url);
const isHere = process.platform === "linux"; // elsewhere workers are not promised

// deno-lint-ignore no-explicit-any
type Heard = any;

/** A client with a WebSocket. */
class Client {
  readonly socket: WebSocket;
  readonly heard: Heard[] = [];
  fd = 0;
  worker = -1;
  pid = 0;
  isClosed = false;

  constructor(port: number) {
    this.socket = new WebSocket(`ws://127.0.0.1:${port}/`);
    this.socket.onclose = () => this.isClosed = true;
    this.socket.onmessage = ({ data }) => {
      const heard = JSON.parse(String(data));
      if (heard.hello === undefined) this.heard.push(heard);
      else [this.fd, this.worker, this.pid] = [heard.hello, heard.worker, heard.pid];
    };
  }

  ask(what: object): void {
    this.socket.send(JSON.stringify(what));
  }

  /** Asks for something, and returns what it hears that has a key. */
  async answer(what: object, key: string): Promise<Heard> {
    this.ask(what);
    const found = () => this.heard.findIndex((heard) => heard[key] !== undefined);
    await until(`${key} for ${JSON.stringify(what)}`, () => found() >= 0);
    return this.heard.splice(found(), 1)[0];
  }
}

/** Runs a test with the program and clients of which each worker has some. */
async function reaching(
  count: number,
  work: (clients: Client[], program: Program, port: number) => Promise<void>,
  settings: object = {},
): Promise<void> {
  const program = new Program(inThisRuntime(FILE, JSON.stringify(settings)));
  try {
    const port = Number((await program.line()).split(" ").at(-1));
    const clients: Client[] = [];
    do {
      for (let i = 0; i < count; i++) clients.push(new Client(port));
      await until("all are open", () => clients.every(({ fd }) => fd > 0));
    } while (new Set(clients.map(({ worker }) => worker)).size < 3);
    for (const client of clients) {
      while ((await client.answer({ op: "list" }, "list")).list.length < clients.length);
    }
    await work(clients, program, port);
    for (const { socket } of clients) socket.close();
  } finally {
    process.kill(program.process.pid!, "SIGTERM");
    await program.exited;
  }
}

test(
  "each process reaches each connection: every message once, in order of its sender",
  { skip: !isHere },
  () =>
    reaching(9, async (clients, program) => {
      const fds = clients.map(({ fd }) => fd);
      assertEquals(new Set(fds).size, fds.length);
      const rounds = 50;
      for (const op of ["push", "prepared", "publish", "broadcast"]) {
        for (const client of clients) client.ask({ op, fds, count: rounds });
        const all = rounds * clients.length;
        for (const { heard } of clients) await until(`all of ${op}`, () => heard.length >= all);
        for (const { heard } of clients) {
          assertEquals(heard.length, all);
          const next = new Map(fds.map((fd) => [fd, 0]));
          for (const { from, n } of heard.splice(0)) {
            assertEquals(n, next.get(from), op);
            next.set(from, n + 1);
          }
        }
      }
      process.kill(program.process.pid!, "SIGUSR2"); // the master reaches them, too
      assertEquals(await program.line(), `master: ${clients.length} ${clients.length}`);
      for (const { heard } of clients) await until("the master is heard", () => heard.length === 1);
    }),
);

test("messages and tasks between processes", { skip: !isHere }, () =>
  reaching(6, async ([client]) => {
    const { worker } = client;
    for (const id of [0, 1, 2]) {
      const sent = await client.answer({ op: "send", id, data: `to ${id}` }, "sent");
      if (id === worker) assertEquals([sent.sent, sent.code], [false, 505]);
      else assertEquals(await client.answer({}, "pipe"), { pipe: `to ${id}`, from: worker, worker: id });
    }
    await client.answer({ op: "send", id: -1, data: "seen" }, "sent");
    assertEquals(await client.answer({}, "pipe"), { pipe: "seen by the master", from: -1, worker });
    client.ask({ op: "task", data: "work" });
    const task = await client.answer({}, "task");
    assert([3, 4].includes(task.at) && task.isTask, JSON.stringify(task));
    assertEquals((await client.answer({}, "finished")).result, `work from ${worker}`);
    const { waited } = await client.answer({ op: "taskwait", data: "more" }, "waited");
    assertEquals([waited.fd, waited.result], [client.fd, `more from ${worker}`]);
    assertEquals(await client.answer({ op: "taskwait", data: "die" }, "waited"), { waited: false, code: 32 });
    assertEquals((await client.answer({ op: "taskwait", data: "again" }, "waited")).waited.result, `again from ${worker}`);
  }));

test(
  "a worker that is killed takes its own connections along, and no other",
  { skip: !isHere },
  () =>
    reaching(9, async (clients) => {
      const victim = clients[0];
      const lost = clients.filter(({ worker }) => worker === victim.worker);
      const left = clients.filter(({ worker }) => worker !== victim.worker);
      victim.ask({ op: "die" });
      for (const client of lost) await until("it is closed", () => client.isClosed);
      let list: number[] = [];
      while (
        (list = (await left[0].answer({ op: "list" }, "list")).list).some((fd: number) => lost.some((client) => client.fd === fd))
      );
      assertEquals(list.length, left.length);
      left[0].ask({ op: "push", fds: list, count: 10 });
      for (const { heard } of left) {
        await until("they go on", () => heard.filter(({ from }) => from === left[0].fd).length === 10);
      }
      assertEquals(left.filter(({ isClosed }) => isClosed), []);
    }),
);

test(
  "reload(true) replaces task workers, and no task is lost",
  { skip: !isHere },
  () =>
    reaching(3, async ([client], program) => {
      const pidOf = async (data: string) => (await client.answer({ op: "taskwait", data }, "waited")).waited.pid;
      const before = new Set([await pidOf("a"), await pidOf("b")]);
      assertEquals(before.size, 2);
      for (let i = 0; i < 4; i++) client.ask({ op: "taskwait", data: "slow" });
      assertEquals(await client.answer({ op: "reload" }, "reloads"), { reloads: true });
      while (await program.line() !== "reloaded");
      const slow = [];
      for (let i = 0; i < 4; i++) {
        const { waited, code } = await client.answer({}, "waited");
        slow.push(waited === false ? code : waited.result);
      }
      assertEquals([...new Set(slow)], [`slow from ${client.worker}`]);
      for (const pid of [await pidOf("c"), await pidOf("d")]) assert(!before.has(pid));
      assert(!client.isClosed);
    }, { max_wait_time: 30 }), // a loaded machine
);

test("task_max_request replaces a task worker that has done so many", { skip: !isHere }, () =>
  reaching(3, async ([client]) => {
    const pids = new Set<number>();
    for (let i = 0; i < 60 && pids.size < 3; i++) { // a new process takes a while to start
      pids.add((await client.answer({ op: "taskwait", data: "slow" }, "waited")).waited.pid);
    }
    assertEquals(pids.size, 3);
  }, { task_max_request: 3, task_worker_num: 1 }));
