// Methods of Server for one connection: protect, pause, resume, confirm, bind, heartbeat, sendwait, sendfile; and its process.

import { assert, assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { Server, setRuntime, WebSocketServer } from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import { inFolder } from "../support/folder.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";
import { EventLog } from "./event_log.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** A server that notes what happens. */
function noting(log: EventLog): Server {
  const server = new Server("127.0.0.1", 0);
  server.on("connect", (_server, fd) => log.add(`connect ${fd}`));
  server.on("receive", (_server, fd, _reactorId, data) => log.add(`receive ${fd} ${text(data)}`));
  server.on("close", (_server, fd, reactorId) => log.add(`close ${fd} ${reactorId}`));
  return server;
}

test("every method for a connection returns false with 1005 for an unknown fd", async () => {
  await serving(noting(new EventLog()), async (server) => {
    const calls: [string, () => unknown][] = [
      ["protect", () => server.protect(9)],
      ["pause", () => server.pause(9)],
      ["resume", () => server.resume(9)],
      ["confirm", () => server.confirm(9)],
      ["bind", () => server.bind(9, 1)],
      ["sendwait", () => server.sendwait(9, "x")],
      ["sendfile", () => server.sendfile(9, "x")],
    ];
    for (const [name, call] of calls) {
      await server.sendwait(9, ""); // another code
      assertEquals([await call(), server.getLastError()], [false, 1005], name);
    }
  });
});

test("pause() keeps what arrives from the handler until resume()", async () => {
  const log = new EventLog();
  const server = noting(log);
  server.on("receive", (server, fd, _reactorId, data) => {
    log.add(`receive ${text(data)}`);
    if (text(data) === "stop") server.pause(fd);
  });
  await serving(server, async (server, port) => {
    const client = await RawClient.connect(port);
    client.send("stop");
    await log.until("receive stop");
    client.send("more");
    const other = await RawClient.connect(port); // its bytes are later on the wire, and are handled first
    other.send("other");
    await log.until("receive other");
    assertEquals(log.lines.filter((line) => line.startsWith("receive")), ["receive stop", "receive other"]);
    assertEquals(server.resume(1), true);
    await log.until("receive more");
    client.destroy();
    other.destroy();
  });
});

test("a paused WebSocket gets its messages after resume(), in order", async () => {
  const log = new EventLog();
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("open", (server, { fd }) => void server.pause(fd));
  server.on("message", (_server, { data }) => log.add(`${data}`));
  await serving(server, async (server, port) => {
    const client = await RawClient.open(port);
    client.send(frame({ opcode: 1, payload: "first" }));
    client.send(frame({ opcode: 1, payload: "second" }));
    const other = await RawClient.open(port);
    server.resume(2);
    server.resume(1);
    await log.until("second");
    assertEquals(log.lines, ["first", "second"]);
    client.destroy();
    other.destroy();
  });
});

test("with enable_delay_receive a connection is read after confirm(), and not before", async () => {
  const log = new EventLog();
  const server = noting(log);
  server.set({ enable_delay_receive: true });
  await serving(server, async (server, port) => {
    const client = await RawClient.connect(port);
    client.send("early");
    await log.until("connect 1");
    const other = await RawClient.connect(port);
    other.send("later");
    await log.until("connect 2");
    assertEquals(server.confirm(2), true);
    await log.until("receive 2 later");
    assert(!log.lines.includes("receive 1 early"));
    assertEquals([server.confirm(1), server.confirm(1)], [true, false]);
    await log.until("receive 1 early");
    assertEquals(server.confirm(1), false);
    client.destroy();
    other.destroy();
  });
});

test("enable_delay_receive does not hold what nobody could confirm: a server of the coroutine style answers", async () => {
  const server = new CoroutineServer("127.0.0.1");
  server.set({ enable_delay_receive: true });
  server.handle("/", (_request, response) => response.end("here"));
  await serving(server, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assertEquals((await client.readAnswer()).body, "here");
    client.destroy();
  });
});

test("bind() notes a number once, which getClientInfo() tells until the close handler is done", async () => {
  const log = new EventLog();
  const server = noting(log);
  const uidOf = (fd: number) => {
    const info = server.getClientInfo(fd);
    return info && info.uid;
  };
  server.on("close", (_server, fd) => log.add(`close ${fd} ${uidOf(fd)}`));
  await serving(server, async (server, port) => {
    const client = await RawClient.connect(port);
    await log.until("connect 1");
    assertEquals(uidOf(1), undefined);
    assertEquals([server.bind(1, 1.5), server.getLastError()], [false, 505]);
    assertEquals([server.bind(1, 77), server.bind(1, 78), uidOf(1)], [true, false, 77]);
    server.protect(1);
    client.destroy();
    await log.until("close 1 77");
    assertEquals(uidOf(1), false);
    const { uids, protectedFds } = coreOf(server).context; // nothing is kept of a connection that is gone
    assertEquals([uids.size, protectedFds.size], [0, 0]);
  });
});

test("heartbeat() lists idle connections that are not protected, and ends them on demand", async () => {
  const log = new EventLog();
  const server = noting(log);
  // Idle almost at once, but not ended by the clock, which has not ticked yet when this is over.
  server.set({ heartbeat_idle_time: 1e-6, heartbeat_check_interval: 1 });
  server.on("connect", (server, fd) => {
    server.protect(fd); // from the clock
    log.add(`connect ${fd}`);
  });
  await serving(server, async (server, port) => {
    assertEquals(server.heartbeat(false), []);
    const clients = [await RawClient.connect(port), await RawClient.connect(port)];
    await log.until("connect 2");
    while (Date.now() / 1000 - (server.getClientInfo(2) as { last_recv_time: number }).last_recv_time < 0.002) {
      await new Promise<void>((resolve) => setTimeout(resolve, 1));
    }
    assertEquals(server.heartbeat(false), []);
    server.protect(2, false);
    assertEquals(server.heartbeat(false), [2]);
    assertEquals([server.exist(1), server.exist(2)], [true, true]);
    assertEquals(server.heartbeat(), [2]);
    assertEquals([server.exist(1), server.exist(2)], [true, false]);
    assertEquals(log.lines.at(-1), "close 2 -1");
    for (const client of clients) client.destroy();
  });
});

test("heartbeat() returns false where no heartbeat is set", async () => {
  await serving(noting(new EventLog()), (server) => {
    assertEquals(server.heartbeat(), false);
    return Promise.resolve();
  });
});

for (const kind of [Server, WebSocketServer]) {
  test(`a protected connection of a ${kind.name} outlives heartbeat_idle_time, until it is not protected any more`, async () => {
    const log = new EventLog();
    const server = new kind("127.0.0.1", 0);
    server.on("receive", () => {});
    if (server instanceof WebSocketServer) server.on("message", () => {});
    server.on("close", (_server, fd) => log.add(`close ${fd}`));
    server.set({ heartbeat_idle_time: 1, websocket_ping_interval: 0 });
    await serving(server, async (server, port) => {
      const connect = () => server instanceof WebSocketServer ? RawClient.open(port) : RawClient.connect(port);
      const clients = [await connect(), await connect()];
      while (!server.exist(2)) await new Promise<void>((resolve) => setTimeout(resolve, 1));
      server.protect(1);
      await log.until("close 2");
      const third = await connect();
      await log.until("close 3"); // by then the first has been idle for twice as long
      assertEquals(log.lines, ["close 2", "close 3"]);
      server.protect(1, false);
      await log.until("close 1");
      for (const client of [...clients, third]) client.destroy();
    });
  });
}

test("sendwait() settles when the peer has taken it, and with false when the connection goes", async () => {
  const log = new EventLog();
  await serving(noting(log), async (server, port) => {
    const client = await RawClient.connect(port);
    await log.until("connect 1");
    assertEquals([await server.sendwait(1, ""), server.getLastError()], [false, 550]);
    assertEquals(await server.sendwait(1, "hello"), true);
    assertEquals(text(await client.read(5)), "hello");
    client.socket.pause();
    const parts = [0, 1, 2, 3].map(() => new Uint8Array(8 * 1024 * 1024)); // more than a queue may have, and the system takes
    const sent = parts.map((part) => server.sendwait(1, part));
    let settled = false;
    Promise.all(sent).then(() => settled = true);
    const other = await RawClient.connect(port); // time goes by
    other.send("x");
    await log.until("receive 2 x");
    assert(!settled);
    client.destroy();
    assertEquals((await Promise.all(sent)).at(-1), false);
    other.destroy();
  });
});

/** A file of some size with bytes that tell where they are, and a folder that goes away. */
function withFile(size: number, work: (path: string, content: Uint8Array, folder: string) => Promise<void>): Promise<void> {
  return inFolder(async (folder) => {
    const content = Uint8Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8)) & 255);
    const path = join(folder, "file");
    writeFileSync(path, content);
    await work(path, content, folder);
  });
}

test("sendfile() sends a file, or a part of it, and several in order", () =>
  withFile(300_000, async (path, content) => {
    const log = new EventLog();
    await serving(noting(log), async (server, port) => {
      const client = await RawClient.connect(port);
      await log.until("connect 1");
      const before = server.stats();
      const sent = [server.sendfile(1, path), server.sendfile(1, path, 299_990), server.sendfile(1, path, 5, 10)];
      assertEquals(await client.read(300_000), content);
      assertEquals(await client.read(10), content.slice(299_990));
      assertEquals(await client.read(10), content.slice(5, 15));
      assertEquals(await Promise.all(sent), [true, true, true]);
      assertEquals(server.stats().response_count - before.response_count, 3);
      server.send(1, "end");
      assertEquals(text(await client.read(3)), "end");
      client.destroy();
    });
  }));

test("sendfile() tells by a code what is wrong with a file or a range", () =>
  withFile(10, async (path, _content, folder) => {
    const log = new EventLog();
    await serving(noting(log), async (server, port) => {
      const client = await RawClient.connect(port);
      await log.until("connect 1");
      const cases: [number, string, number, number][] = [
        [2, `${path}x`, 0, 0],
        [21, folder, 0, 0],
        [505, path, 11, 0],
        [505, path, 0, 11],
        [505, path, -1, 0],
        [505, path, 0, 1.5],
      ];
      for (const [code, name, offset, length] of cases) {
        server.send(1, "");
        assertEquals(
          [await server.sendfile(1, name, offset, length), server.getLastError()],
          [false, code],
          `${offset} ${length}`,
        );
      }
      assertEquals(await server.sendfile(1, path, 10), true); // nothing follows
      client.destroy();
      assert(server.exist(1) || log.lines.includes("close 1 0"));
    });
  }));

test("sendfile() reads no faster than the peer does, and closes the file when the peer goes", () =>
  withFile(10, async (path) => {
    const runtime = await loadRuntime();
    let read = 0;
    const closed = signal();
    setRuntime({
      ...runtime,
      // A file without an end.
      openFile: () =>
        Promise.resolve({
          size: Number.MAX_SAFE_INTEGER,
          mtime: 0,
          read: (_at, into) => Promise.resolve((read += into.length, into.length)),
          close: () => Promise.resolve(closed.resolve()),
        }),
    });
    try {
      const log = new EventLog();
      await serving(noting(log), async (server, port) => {
        const client = await RawClient.connect(port);
        await log.until("connect 1");
        client.socket.pause();
        const sent = server.sendfile(1, path);
        const queued = () => (server.getClientInfo(1) as { send_queued_bytes: number }).send_queued_bytes;
        while (queued() === 0) await new Promise<void>((resolve) => setTimeout(resolve, 1));
        for (let round = 0, before = -1; round < 5; round = before === read ? round + 1 : 0) {
          before = read;
          assertLessOrEqual(queued(), 64 * 1024);
          await new Promise<void>((resolve) => setTimeout(resolve, 5));
        }
        assertGreater(read, 64 * 1024);
        assertLessOrEqual(read, 64 * 1024 * 1024); // what the system holds of it
        client.destroy();
        assertEquals([await sent, server.getLastError()], [false, 5]);
        await closed.promise;
      });
    } finally {
      setRuntime(undefined);
    }
  }));

test("the numbers of worker and process are known while the server runs", async () => {
  const server = noting(new EventLog());
  const seen = () => [server.getWorkerId(), server.worker_id, server.getWorkerPid(), server.getMasterPid(), server.master_pid];
  assertEquals(seen(), [false, -1, false, 0, 0]);
  await serving(server, (server) => {
    assertEquals(seen(), [0, 0, process.pid, process.pid, process.pid]);
    assertEquals([server.getWorkerStatus(), server.getWorkerStatus(0), server.getWorkerStatus(1)], [1, 1, false]);
    assertEquals([server.getWorkerPid(0), server.getWorkerPid(1), server.worker_pid], [process.pid, false, process.pid]);
    assertEquals([server.getManagerPid(), server.manager_pid, server.taskworker], [0, 0, false]);
    return Promise.resolve();
  });
  assertEquals(seen(), [false, -1, false, 0, 0]);
});

test("stop() stops the only worker, and so the server", async () => {
  const server = noting(new EventLog());
  assertEquals(server.stop(), false);
  await server.start();
  assertEquals([server.stop(1), server.getLastError()], [false, 505]);
  assertEquals(server.stop(), true);
  await server.finished;
  assertEquals(server.stop(0), false);
});
