/** Servers with workers, as programs with real processes. */

import { assert, assertEquals } from "@std/assert";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import process from "node:process";
import { test } from "node:test";
import { HeldLink } from "../support/held_link.ts";
import { inThisRuntime, Program } from "../support/program.ts";
import { closeFrame, frame, handshake, RawClient } from "../support/raw_client.ts";
import { certificate, connectTls, tlsSettings } from "../support/tls_client.ts";

const FILE = new URL("./workers_program.ts", import.meta.url);
const isHere = process.platform === "linux"; // elsewhere workers are not promised

/** A running program with workers. */
class Workers {
  readonly program: Program;
  /** The folder for temporary files. */
  readonly folder: string;
  /** All lines that it has printed. */
  readonly lines: string[] = [];
  port = 0;

  constructor(style: string, settings: Record<string, unknown> = {}, ...does: string[]) {
    this.folder = mkdtempSync("/tmp/w-");
    this.program = new Program(inThisRuntime(FILE, style, JSON.stringify(settings), ...does), { TMPDIR: this.folder });
  }

  static async start(style: string, settings: Record<string, unknown> = {}, ...does: string[]): Promise<Workers> {
    const it = new Workers(style, settings, ...does);
    it.port = Number((await it.until("master: listens on")).split(" ")[3]);
    return it;
  }

  get pid(): number {
    return this.program.process.pid!;
  }

  /** Waits for a line that begins like this, and returns it. Lines that have been waited for are not found again. */
  async until(beginning: string): Promise<string> {
    for (;;) {
      const line = await this.program.line();
      this.lines.push(line);
      if (line.startsWith(beginning)) return line;
    }
  }

  /** Reads all lines that there are. */
  catchUp(): void {
    this.lines.push(...this.program.printed());
  }

  /** The process IDs of all workers that were started. */
  get workers(): number[] {
    return this.lines.flatMap((line) => {
      const [, pid] = /^worker \d+: runs as (\d+)$/.exec(line) ?? [];
      return pid === undefined ? [] : [Number(pid)];
    });
  }

  /** The process ID that a worker has now. */
  pidOf(id: number): number {
    const line = this.lines.findLast((line) => line.startsWith(`worker ${id}: runs as`))!;
    return Number(line.split(" ").at(-1));
  }

  get(path = "/"): Promise<string> {
    return get({ port: this.port, host: "127.0.0.1" }, path);
  }

  /** Makes requests until one has been served by a worker. */
  async getFrom(id: number, path: string): Promise<void> {
    for (;;) {
      const client = await RawClient.connect(this.port);
      client.send("GET /who HTTP/1.1\r\nHost: x\r\n\r\n");
      const { body } = await client.readAnswer();
      if (body.startsWith(`${id} `)) {
        client.send(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
        client.readAnswer().catch(() => {}).finally(() => client.destroy());
        return;
      }
      client.destroy();
    }
  }

  /** Opens a WebSocket, and returns it with the number of its worker. */
  async open(): Promise<{ socket: WebSocket; fd: number; id: number; closed: Promise<number> }> {
    const socket = new WebSocket(`ws://127.0.0.1:${this.port}/ws`);
    const closed = new Promise<number>((resolve) => socket.onclose = ({ code }) => resolve(code));
    const [, fd, id] = String(await new Promise((resolve) => socket.onmessage = ({ data }) => resolve(data))).split(" ");
    return { socket, fd: Number(fd), id: Number(id), closed };
  }

  /** Opens WebSockets until one is at a worker. */
  async openAt(id: number): Promise<Awaited<ReturnType<Workers["open"]>>> {
    for (;;) {
      const opened = await this.open();
      if (opened.id === id) return opened;
      opened.socket.close();
      await opened.closed;
    }
  }

  /** Waits for the end, and returns the exit code. */
  async ended(): Promise<number | null> {
    const code = await this.program.exited;
    this.catchUp();
    return code;
  }

  /** The lines of the master. */
  get ofMaster(): string[] {
    return this.lines.flatMap((line) => line.startsWith("master: ") ? [line.slice(8)] : []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program.kill();
    await untilGone(this.workers);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function get(place: net.NetConnectOpts, path = "/"): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(place, () => socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`));
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk) => text += chunk).on("error", reject);
    socket.on("close", () => text === "" ? reject(new Error("no response")) : resolve(text.split("\r\n\r\n")[1]));
  });
}

/** Whether a process runs. A zombie, which nobody has waited for yet, does not. */
function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

async function untilGone(pids: readonly number[]): Promise<number> {
  const begun = performance.now();
  while (pids.some(isAlive)) {
    assert(performance.now() - begun < 20_000, "a worker outlives its master");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return performance.now() - begun;
}

for (const style of ["events", "coroutines"]) {
  test(`${style}: a program with two workers, from its start to its end`, { skip: !isHere }, async () => {
    await using it = await Workers.start(style);
    assertEquals(it.workers.length, 2);
    assertEquals(it.lines.filter((line) => line.includes("workerStart")), [
      `worker 0: workerStart 0 ${it.workers[0]}`,
      `worker 1: workerStart 1 ${it.workers[1]}`,
    ]);
    const seen = new Set<string>();
    while (seen.size < 2) seen.add(await it.get());
    assertEquals([...seen].sort(), it.workers.map((pid, id) => `${id} ${pid} ${it.pid}`));
    assertEquals(it.lines.at(-1), `master: listens on ${it.port} with ${it.pid}`);
    assertEquals(readdirSync(it.folder).length, 1);
    process.kill(it.pid, "SIGTERM");
    assertEquals(await it.ended(), 0);
    assert(it.lines.includes("worker 0: workerStop 0") && it.lines.includes("worker 1: workerStop 1"));
    assertEquals(it.ofMaster.at(-1), "finished");
    assertEquals(it.lines.filter((line) => line.includes("workerError")), []);
    assertEquals(it.program.errors, "");
    await untilGone(it.workers);
    assertEquals(readdirSync(it.folder), []);
  });

  test(`${style}: a worker that is killed takes its connections along, and nobody else's`, { skip: !isHere }, async () => {
    await using it = await Workers.start(style);
    const [first, second] = [await it.openAt(0), await it.openAt(1)];
    assert(first.fd % 256 !== second.fd % 256 && first.fd > 256);
    process.kill(it.pidOf(1), "SIGKILL");
    assert([1006, 0].includes(await second.closed)); // Deno's client says 0
    await it.until(`master: workerError [1,${it.pidOf(1)},0,9]`);
    await it.until("worker 1: workerStart");
    const answer = new Promise((resolve) => first.socket.onmessage = ({ data }) => resolve(data));
    first.socket.send("still here");
    assertEquals(await answer, "still here");
    const third = await it.openAt(1);
    assert(third.fd !== second.fd);
    process.kill(it.pid, "SIGTERM");
    assertEquals(await first.closed, 1001);
    assertEquals(await third.closed, 1001);
    assertEquals(await it.ended(), 0);
  });

  test(
    `${style}: SIGUSR1 replaces all workers; WebSockets are closed with 1012, nobody is refused`,
    { skip: !isHere },
    async () => {
      await using it = await Workers.start(style);
      const opened = [await it.openAt(0), await it.openAt(1)];
      const old = it.workers;
      let isOver = false;
      let count = 0;
      const load = Promise.all(Array.from({ length: 4 }, async () => {
        while (!isOver) {
          await it.get();
          count++;
        }
      }));
      process.kill(it.pid, "SIGUSR1");
      await it.until("master: afterReload");
      assertEquals(await Promise.all(opened.map(({ closed }) => closed)), [1012, 1012]);
      await untilGone(old);
      isOver = true;
      await load; // rejects if a connection was refused or reset
      assert(count > 0);
      assertEquals(it.workers.length, 4);
      assertEquals(it.ofMaster.filter((line) => line.includes("Reload")), ["beforeReload", "afterReload"]);
      const now = it.workers.slice(2);
      assert(now.includes(Number((await it.get()).split(" ")[1])));
      process.kill(it.pid, "SIGINT");
      assertEquals(await it.ended(), 0);
    },
  );
}

test("events of the master and of workers come in order", { skip: !isHere }, async () => {
  await using it = await Workers.start("events");
  const opened = await it.openAt(0);
  process.kill(it.pid, "SIGTERM");
  assertEquals(await it.ended(), 0);
  assertEquals(it.ofMaster.slice(1), [
    "start",
    "managerStart",
    `listens on ${it.port} with ${it.pid}`,
    "beforeShutdown",
    "managerStop",
    "shutdown",
    "finished",
  ]);
  assertEquals(it.lines.filter((line) => line.startsWith("worker 0:")).map((line) => line.slice(10).split(" ")[0]), [
    "runs",
    "workerStart",
    "workerExit",
    "workerStop",
  ]);
  assertEquals(await opened.closed, 1001);
});

test("reload() and stop() in a worker; a second reload meanwhile is dropped", { skip: !isHere }, async () => {
  await using it = await Workers.start("events");
  assertEquals(await it.get("/reload"), "true");
  assertEquals(await it.get("/reload"), "true"); // asked for; the master does not begin another one
  await it.until("master: afterReload");
  while (it.lines.filter((line) => line.includes("workerStop")).length < 2) await it.until("worker");
  assertEquals(it.workers.length, 4);
  assertEquals(await it.get("/stop/7"), "false");
  assertEquals(await it.get("/stop/1"), "true");
  await it.until("worker 1: workerStop");
  assertEquals(it.workers.length, 5);
  await it.getFrom(0, "/stop");
  await it.until("worker 0: workerStop");
  assertEquals(it.workers.length, 6);
  assertEquals(await it.get("/shutdown"), "true");
  assertEquals(await it.ended(), 0);
  assertEquals(it.lines.filter((line) => line.includes("workerError")), []);
});

test("SWOOLE_BASE: a worker that is blocked holds up the next one for a second", { skip: !isHere }, async () => {
  await using it = await Workers.start("events", {}, "base");
  const old = it.pidOf(0);
  await it.getFrom(1, "/hang");
  await it.until("worker 1: hangs");
  process.kill(old, "SIGTERM"); // it is replaced
  await it.until("worker 0: workerStop 0");
  assert(it.pidOf(0) !== old);
  const silent = /#(\d+)\.0 the process in slot \d+ has not answered for 1 s; it is joined when it does/.exec(it.program.errors);
  assertEquals(silent?.[1], String(it.pidOf(0)));
  writeFileSync(`${it.folder}/go-on`, "");
  process.kill(it.pid, "SIGTERM");
  assertEquals(await it.ended(), 0);
});

test("a beforeReload handler that never settles does not keep a reload from going on", { skip: !isHere }, async () => {
  await using it = await Workers.start("events", {}, "never-reloads");
  for (let reload = 0; reload < 2; reload++) {
    assertEquals(await it.get("/reload"), "true");
    await it.until("master: afterReload");
  }
  assertEquals(it.program.errors.match(/beforeReload handler has not settled for 0\.5 s/g)?.length, 2);
});

test("SIGTERM replaces a worker in order", { skip: !isHere }, async () => {
  await using it = await Workers.start("events");
  const opened = await it.openAt(1);
  process.kill(it.pidOf(1), "SIGTERM");
  await it.until("worker 1: workerStart");
  assertEquals(await opened.closed, 1012);
  await it.until("worker 1: workerStop");
  process.kill(it.pid, "SIGTERM");
  assertEquals(await it.ended(), 0);
  assertEquals(it.lines.filter((line) => line.includes("workerError")), []);
});

test("SIGTERM twice ends a worker at once, and no other one", { skip: !isHere }, async () => {
  await using it = await Workers.start("events", { websocket_close_timeout: 60 });
  const other = await it.openAt(0);
  let silent: RawClient; // a WebSocket that does not answer to a close frame
  for (;;) {
    silent = await RawClient.connect(it.port);
    silent.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    if ((await silent.readAnswer()).body.startsWith("1 ")) break;
    silent.destroy();
  }
  silent.send(
    "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  await silent.readHead();
  const old = it.pidOf(1);
  process.kill(old, "SIGTERM");
  await it.until("worker 1: workerStart");
  await it.until("worker 1: workerExit"); // it is told to stop
  assert(isAlive(old));
  process.kill(old, "SIGTERM");
  await it.until(`master: workerError [1,${old},143,0]`);
  const answer = new Promise((resolve) => other.socket.onmessage = ({ data }) => resolve(data));
  other.socket.send("still here");
  assertEquals(await answer, "still here");
  silent.destroy();
});

test("a signal stops a server whose workers hang in their start", { skip: !isHere }, async () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    await using it = new Workers("events", {}, "hang");
    await it.until("worker 0: runs as");
    await new Promise((resolve) => setTimeout(resolve, 100)); // it loads
    process.kill(it.pid, signal);
    assertEquals(await it.ended(), 3);
    assert(it.ofMaster.includes("cannot start: Cannot start the server: it was shut down meanwhile"));
    await untilGone(it.workers);
    assertEquals(readdirSync(it.folder), []);
  }
});

test("SIGINT of a terminal, which reaches all processes, stops the server in order", { skip: !isHere }, async () => {
  await using it = await Workers.start("events");
  for (const pid of [...it.workers, it.pid]) process.kill(pid, "SIGINT");
  assertEquals(await it.ended(), 0);
  assertEquals(it.lines.filter((line) => line.includes("workerError")), []);
  assert(it.lines.includes("worker 0: workerStop 0") && it.lines.includes("worker 1: workerStop 1"));
});

test("a program that calls process.exit() in a worker, and one that crashes", { skip: !isHere }, async () => {
  await using it = await Workers.start("events");
  const crashed = it.pidOf(0);
  await it.getFrom(0, "/crash");
  await it.until(`master: workerError [0,${crashed},5,0]`);
  await it.until("worker 0: workerStart");
  assertEquals((await it.get()).split(" ")[2], String(it.pid));
});

test("an error that nothing catches ends its worker with status 1, and it is replaced", { skip: !isHere }, async () => {
  await using it = await Workers.start("events");
  for (const path of ["/throw", "/reject"]) {
    const crashed = it.pidOf(0);
    await it.getFrom(0, path);
    await it.until(`master: workerError [0,${crashed},1,0]`);
    await it.until("worker 0: workerStart");
  }
  assertEquals(it.program.errors.match(/outside of handlers/g)!.length >= 2, true);
  assertEquals((await it.get()).split(" ")[2], String(it.pid));
});

test("no worker outlives a master that is killed, also not one whose loop is blocked", { skip: !isHere }, async () => {
  await using it = await Workers.start("events");
  const blocked = it.pidOf(1);
  await it.getFrom(1, "/block"); // for 3 s
  await new Promise((resolve) => setTimeout(resolve, 300));
  process.kill(it.pid, "SIGKILL");
  const soon = await untilGone(it.workers.filter((pid) => pid !== blocked));
  assert(soon < 2000, `${soon} ms`);
  assertEquals(readdirSync(it.folder), []); // the folder of the master
  await untilGone([blocked]);
});

test("start() fails if a worker cannot start, and leaves nothing behind", { skip: !isHere }, async () => {
  const taken = net.createServer((socket) => void socket.on("error", () => {})).listen(0, "127.0.0.1");
  await new Promise((resolve) => taken.once("listening", resolve));
  const { port } = taken.address() as net.AddressInfo;
  await using it = new Workers("events", {}, `port=${port}`);
  assertEquals(await it.ended(), 3);
  assertEquals(it.ofMaster.at(-1), `cannot start: Cannot listen on 127.0.0.1:${port}: the address is in use already`);
  assertEquals(it.workers, []);
  assertEquals(readdirSync(it.folder), []);
  await new Promise((resolve) => taken.close(resolve));

  await using late = new Workers("events", { worker_start_timeout: 1 }, "hang");
  assertEquals(await late.ended(), 3);
  assertEquals(late.ofMaster.at(-1), "cannot start: Cannot start worker 0: it was not ready after 1 s, see worker_start_timeout");
  await untilGone(late.workers);
});

test(
  "a worker whose workerStart handler fails does not start, and does not replace one that serves",
  { skip: !isHere },
  async () => {
    await using it = await Workers.start("events");
    const old = [it.pidOf(0), it.pidOf(1)];
    writeFileSync(`${it.folder}/broken-1`, "");
    assertEquals(await it.get("/reload"), "true");
    await it.until("master: afterReload");
    assertEquals(it.lines.filter((line) => line.includes("workerStart 1")), [`worker 1: workerStart 1 ${old[1]}`]);
    let answer: string[];
    do answer = (await it.get()).split(" "); while (answer[0] !== "1");
    assertEquals(Number(answer[1]), old[1]);
    for (
      const expected of [
        /Worker 1 \(process \d+\) cannot start: .* of worker 1 has failed: there is no database/,
        /The reload has ended: no process could take the place of worker 1/,
      ]
    ) while (!expected.test(it.program.errors)) await new Promise((resolve) => setTimeout(resolve, 10));
    rmSync(`${it.folder}/broken-1`);
    assertEquals(await it.get("/reload"), "true");
    await it.until("worker 1: workerStart 1");
    await it.until("master: afterReload");

    await using never = new Workers("events", { max_wait_time: 20 });
    writeFileSync(`${never.folder}/broken-1`, "");
    assertEquals(await never.ended(), 3);
    assertEquals(
      never.ofMaster.at(-1),
      "cannot start: Cannot start the server: the workerStart handler of worker 1 has failed: there is no database",
    );
    assert(never.lines.includes("worker 0: workerStop 0")); // which takes a while
    assert(!never.program.errors.includes("has not settled"), never.program.errors);
    await untilGone(never.workers);
  },
);

test("one server of a program has workers, others do not; it can be started again", { skip: !isHere }, async () => {
  await using it = await Workers.start("events", {}, "second", "again");
  await it.until("master: third: stopped");
  assert(
    it.ofMaster.some((line) => line.startsWith("second: Cannot start the server: another server of this program has workers")),
  );
  const { fd } = await it.openAt(0);
  await it.get("/shutdown");
  await it.until("master: finished");
  it.port = Number((await it.until("master: listens on")).split(" ")[3]);
  const again = await it.openAt(0);
  assert(again.fd > fd);
  await it.get("/shutdown");
  assertEquals(await it.ended(), 0);
});

test("max_request replaces a worker, and closes no WebSocket", { skip: !isHere }, async () => {
  await using it = await Workers.start("events", { max_request: 20, max_request_grace: 0 });
  const opened = await it.openAt(0);
  for (let count = 0; count < 30; count++) {
    const answer = new Promise((resolve) => opened.socket.onmessage = ({ data }) => resolve(data));
    opened.socket.send(String(count));
    assertEquals(await answer, String(count));
  }
  await it.until("worker 0: workerStart");
  await it.until("worker 0: workerExit");
  const answer = new Promise((resolve) => opened.socket.onmessage = ({ data }) => resolve(data));
  opened.socket.send("still here");
  assertEquals(await answer, "still here");
  opened.socket.close();
  await it.until("worker 0: workerStop");
});

/** Connects so many clients at once, with a request each. Returns them with the numbers of their workers. */
function connectMany(it: Workers, count: number, localAddress?: string): Promise<{ client: RawClient; id: number }[]> {
  return Promise.all(Array.from({ length: count }, async () => {
    const client = await RawClient.connect({ port: it.port, host: "127.0.0.1", ...(localAddress && { localAddress }) });
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    return { client, id: Number((await client.readAnswer()).body.split(" ")[0]) };
  }));
}

for (const dispatch_mode of [1, 3, 7]) {
  const isLeast = dispatch_mode !== 1;
  test(`dispatch_mode ${dispatch_mode}: 400 connections, ${isLeast ? "to the worker with the fewest" : "in turn"}`, {
    skip: !isHere,
  }, async () => {
    await using it = await Workers.start("events", { dispatch_mode, max_wait_time: 1 });
    const all = await connectMany(it, 400);
    const at = (id: number) => all.filter((each) => each.id === id);
    assertEquals([at(0).length, at(1).length], [200, 200]);
    for (const { client } of at(0)) client.destroy();
    if (isLeast) {
      // A worker tells ten times a second how many it has. From then on, all go to the one that has fewer.
      for (let inRow = 0; inRow < 50;) {
        const [{ client, id }] = await connectMany(it, 1);
        inRow = id === 0 ? inRow + 1 : 0;
        if (id === 0) all.push({ client, id });
        else client.destroy();
      }
    } else {
      const more = await connectMany(it, 100);
      assertEquals(more.filter(({ id }) => id === 0).length, 50);
      all.push(...more);
    }
    for (const { client } of all) client.destroy();
  });
}

test("dispatch_mode 4: 400 connections of 20 addresses, those of one address to one worker", { skip: !isHere }, async () => {
  await using it = await Workers.start("events", { dispatch_mode: 4, max_wait_time: 1 });
  const counts = [0, 0];
  for (let address = 1; address <= 20; address++) {
    const clients = await connectMany(it, 20, `127.0.1.${address}`);
    assertEquals(new Set(clients.map(({ id }) => id)).size, 1);
    counts[clients[0].id]++;
    for (const { client } of clients) client.destroy();
  }
  assertEquals(counts[0] + counts[1], 20);
  assert(counts[0] >= 5 && counts[1] >= 5, String(counts));
});

test("dispatch_mode 1 gives each worker as many connections", { skip: !isHere }, async () => {
  await using it = await Workers.start("events", { worker_num: 3, dispatch_mode: 1 });
  const counts = [0, 0, 0];
  const sockets: WebSocket[] = [];
  for (let count = 0; count < 30; count++) {
    const { id, socket } = await it.open();
    counts[id]++;
    sockets.push(socket);
  }
  assertEquals(counts, [10, 10, 10]);
  const closed = sockets.map((socket) => new Promise((resolve) => socket.onclose = resolve));
  assertEquals(await it.get("/reload"), "true");
  await it.until("master: afterReload");
  await Promise.all(closed);
  const { id } = await it.open();
  assert(id >= 0);
});

test("a unix socket, whose connections the master accepts", { skip: !isHere }, async () => {
  const folder = mkdtempSync("/tmp/u-");
  const path = `${folder}/s`;
  try {
    await using it = await Workers.start("events", {}, `unix:${path}`);
    const seen = new Set<string>();
    while (seen.size < 2) seen.add(await get({ path }));
    assertEquals([...seen].sort(), it.workers.map((pid, id) => `${id} ${pid} ${it.pid}`));
    process.kill(it.pid, "SIGTERM");
    assertEquals(await it.ended(), 0);
    assertEquals(existsSync(path), false);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

for (const dispatch_mode of [2, 1]) {
  test(`TLS with dispatch_mode ${dispatch_mode}: reloads, and certificates that are renewed in all workers`, {
    skip: !isHere,
  }, async () => {
    const folder = mkdtempSync("/tmp/t-");
    const [ssl_cert_file, ssl_key_file] = [`${folder}/cert`, `${folder}/key`];
    const use = (name: "cert" | "self") => {
      writeFileSync(ssl_cert_file, certificate(name).cert);
      writeFileSync(ssl_key_file, certificate(name).key);
    };
    /** Makes a request, to a worker whose certificate has to be this one. */
    const ask = async (it: Workers, name: "cert" | "self", path = "/") => {
      const client = await connectTls(it.port, name === "self" ? { ca: certificate("self").cert } : {});
      client.send(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      const { body } = await client.readAnswer();
      client.destroy();
      return body;
    };
    const askAll = async (it: Workers, name: "cert" | "self") => {
      const seen = new Set<string>();
      for (let count = 0; seen.size < 2 || count < 10; count++) seen.add((await ask(it, name)).split(" ")[0]);
    };
    try {
      use("cert");
      await using it = await Workers.start("events", { ...tlsSettings, ssl_cert_file, ssl_key_file, dispatch_mode }, "tls");
      await askAll(it, "cert");
      process.kill(it.pid, "SIGUSR1");
      await it.until("master: afterReload");
      await askAll(it, "cert");
      use("self");
      assertEquals(await ask(it, "cert", "/certificates"), "true 0");
      await askAll(it, "self");
      rmSync(ssl_key_file);
      assertEquals(await ask(it, "self", "/certificates"), "false 2");
      await askAll(it, "self");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

test("certificates are renewed while a worker does not listen yet", { skip: !isHere }, async () => {
  await using it = await Workers.start("events", tlsSettings, "tls");
  const ask = async (path: string) => {
    const client = await connectTls(it.port);
    client.send(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    const { body } = await client.readAnswer();
    client.destroy();
    return body;
  };
  writeFileSync(`${it.folder}/held-1`, "");
  process.kill(it.pid, "SIGUSR1");
  await it.until("worker 1: is held 1");
  for (let count = 0; count < 5; count++) assertEquals(await ask("/certificates"), "true 0");
  rmSync(`${it.folder}/held-1`);
  await it.until("master: afterReload");
  assertEquals(await ask("/certificates"), "true 0");
});

for (const dispatch_mode of [2, 1]) {
  test(`TLS with dispatch_mode ${dispatch_mode}: what is under way at a reload is served`, { skip: !isHere }, async () => {
    const settings = { ...tlsSettings, dispatch_mode, max_wait_time: 0 };
    await using it = await Workers.start("events", settings, "tls");
    const old = it.workers;
    const request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    const shaking = await Promise.all(Array.from({ length: 6 }, async () => {
      const link = await HeldLink.to(it.port);
      const client = await connectTls(link.port);
      client.send(request);
      await link.heard; // a worker has begun the handshake
      return { link, client };
    }));
    const quiet = await Promise.all(Array.from({ length: 6 }, () => connectTls(it.port)));
    const chat = await connectTls(it.port);
    chat.send(handshake("/ws"));
    assert((await chat.readHead()).startsWith("HTTP/1.1 101 "));
    assertEquals((await chat.readFrame())?.opcode, 1);
    let isOver = false;
    const load = Promise.all(Array.from({ length: 8 }, async () => {
      while (!isOver) {
        const client = await connectTls(it.port);
        client.send(request);
        assertEquals((await client.readAnswer()).status, 200);
        client.destroy();
      }
    }));
    process.kill(it.pid, "SIGUSR1");
    await it.until("master: afterReload");
    isOver = true;
    await load; // rejects if a connection was refused or reset
    for (const { link } of shaking) link.pass();
    for (const client of quiet) client.send(request);
    for (const client of [...shaking.map(({ client }) => client), ...quiet]) {
      const { status, head, body } = await client.readAnswer();
      assertEquals([status, /^connection: close$/im.test(head), body.split(" ")[2]], [200, true, String(it.pid)]);
      client.destroy();
    }
    for (const { link } of shaking) link.close();
    chat.send(frame({ opcode: 1, payload: "still here" }));
    assertEquals((await chat.readFrame())?.payload.length, 10);
    assert(old.some(isAlive));
    chat.send(closeFrame(1000));
    assertEquals((await chat.readFrame())?.opcode, 8);
    chat.destroy();
    await untilGone(old);
  });
}
