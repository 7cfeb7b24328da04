/** What becomes of a connection when its handler is done, fails or goes on elsewhere; and of all when the server stops. */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { test } from "node:test";
import { HttpServer, type RequestHandler } from "../../src/coroutine/mod.ts";
import { MemoryClient, settle } from "../support/memory_client.ts";
import { handshake, RawClient } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";
import { acceptLane, arrive, awake, framesIn, get, next, open, openLane, readFrame, rest, sent, serverWith } from "./stage.ts";

const fault = new Error("on purpose");

/** Ways for a handler to fail, at once and later. */
const failures: [string, (before: () => Promise<unknown>) => RequestHandler][] = [
  ["throws at once", (before) => () => {
    before();
    throw fault;
  }],
  ["throws later", (before) => async () => {
    await before();
    await Promise.resolve();
    throw fault;
  }],
  ["rejects", (before) => () => before().then(() => Promise.reject(fault))],
];

test("a handler that fails before it has answered: 500, the error is reported, the connection ends", async () => {
  for (const [how, handler] of failures) {
    const server = serverWith(handler(() => Promise.resolve()));
    const client = new MemoryClient(server);
    client.send(get("/"));
    const answer = await client.readAnswer();
    assertEquals([answer.status, answer.body, await client.readAll()], [500, "", ""], how);
    assertEquals(server.errors, [fault], how);
  }
});

test("a handler that fails in the middle of an answer: the connection ends, so that the peer sees it is cut off", async () => {
  const server = serverWith((_request, response) => {
    response.write("half");
    throw fault;
  });
  const lane = acceptLane(server);
  lane.receive(get("/"));
  await settle();
  assertEquals([lane.ended, lane.text.endsWith("\r\n4\r\nhalf\r\n"), server.errors], [true, true, [fault]]);
});

test("a handler that returns behind write(), without end(): what was written is the response", async () => {
  const server = serverWith(async (_request, response) => {
    await response.write("one");
    await response.write("two");
  });
  const client = new MemoryClient(server);
  for (let i = 0; i < 2; i++) { // the connection is kept
    client.send(get("/"));
    const { status, body } = await client.readAnswer();
    assertEquals([status, body], [200, "onetwo"]);
  }
  assertEquals(server.errors, []);
});

test("a handler that fails behind its answer: the answer stands, the error is reported", async () => {
  const server = serverWith(async (_request, response) => {
    response.end("fine");
    await Promise.resolve();
    throw fault;
  });
  const client = new MemoryClient(server);
  client.send(get("/"));
  assertEquals((await client.readAnswer()).body, "fine");
  await settle();
  assertEquals(server.errors, [fault]);
});

test("a handler that fails after upgrade(): Close 1011 behind what was pushed, the error is reported with its fd", async () => {
  const fds: number[] = [];
  const server = serverWith(async (_request, ws) => {
    await ws.upgrade();
    await ws.push("before");
    throw fault;
  });
  server.on("error", (it, error, fd) => {
    assert(it === server && error === fault);
    fds.push(fd);
  });
  const client = new MemoryClient(server);
  client.send(handshake());
  await client.readHead();
  assertEquals([await readFrame(client), await readFrame(client), await client.readAll()], ["81 before", "88 1011", ""]);
  assertEquals(fds, [1]);
});

test("a failure ends its own connection and no other, whatever it is, and also when the error handler fails", async () => {
  for (const error of [fault, "text", undefined, null, 0, { a: 1 }]) {
    const one = await open();
    const reported = signal<unknown>();
    one.server.on("error", (_server, error) => {
      reported.resolve(error);
      throw "again";
    });
    const other = new MemoryClient(one.server);
    other.send(handshake());
    await other.readHead();
    const write = console.error;
    console.error = () => {}; // the second failure is logged
    one.fail(error);
    assertEquals(await reported.promise, error);
    assertEquals(await readFrame(one.client), "88 1011");
    console.error = write;
    other.send(sent(9, "alive?"));
    assertEquals(await readFrame(other), "8a alive?");
    other.drop();
  }
});

test("a failure after the connection has ended is reported, and nothing is sent", async () => {
  const { server, lane, ws, fail } = await openLane();
  ws.close();
  await settle();
  const before = lane.text;
  fail(fault);
  await settle();
  assertEquals([server.errors, lane.text], [[fault], before]);
});

test("without an error handler the failure is logged, with its fd", async () => {
  const file = joinPath(tmpdir(), `sluice-coroutine-${Date.now()}-${Math.random()}.log`);
  const server = new HttpServer("127.0.0.1");
  server.set({ log_file: file });
  server.handle("/", () => Promise.reject(new Error("in the log")));
  try {
    await serving(server, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.send(get("/"));
      assertEquals((await client.readAnswer()).status, 500);
      for (let text = ""; !text.includes("in the log");) {
        await settle();
        try {
          text = readFileSync(file, "utf8");
        } catch { /* it is not there yet */ }
      }
      assertStringIncludes(readFileSync(file, "utf8"), 'fd 1: GET "/": Error: in the log');
      client.destroy();
    });
  } finally {
    rmSync(file, { force: true });
  }
});

test("a handler that returns without an answer: 500 with an empty body, nothing is reported, the connection stays", async () => {
  for (const handler of [() => {}, () => Promise.resolve(), () => "text", () => ({ then: (done: () => void) => done() })]) {
    const server = serverWith(handler);
    const client = new MemoryClient(server);
    client.send(get("/") + get("/"));
    for (let i = 0; i < 2; i++) {
      const { status, body } = await client.readAnswer();
      assertEquals([status, body], [500, ""]);
    }
    assertEquals([server.errors, client.ended], [[], false]);
    client.end();
  }
});

test("a handler that returns with the WebSocket open: Close 1000, and the end when the peer has answered", async () => {
  const { client, leave, ws } = await open();
  await ws.push("bye");
  leave();
  assertEquals([await readFrame(client), await readFrame(client)], ["81 bye", "88 1000"]);
  await settle();
  assertEquals(client.ended, false);
  client.send(sent(1, "not read any more"));
  client.send(sent(8, [3, 232]));
  assertEquals(await client.readAll(), "");
});

test("a handler that returns behind close(), disconnect() or the peer's Close: nothing is added", async () => {
  const closed = await openLane();
  closed.ws.close();
  closed.leave();
  await settle();
  assertEquals([closed.lane.text, closed.lane.ended], ["", true]);

  const parting = await openLane();
  parting.ws.disconnect(4000, "x");
  parting.leave();
  await settle();
  assertEquals([framesIn(parting.lane.text), parting.lane.ended], [["88 4000 x"], false]);
  arrive(parting.lane, sent(8, [0x0f, 0xa0]));
  assertEquals([framesIn(parting.lane.text), parting.lane.ended], [["88 4000 x"], true]);

  const left = await openLane();
  arrive(left.lane, sent(8, [3, 233]));
  left.leave();
  await settle();
  assertEquals(framesIn(left.lane.text), ["88 1001"]);
});

test("detach() before upgrade() or instead of an answer: the rest comes later", async () => {
  const later = signal<() => unknown>();
  const server = serverWith(async (request, ws) => {
    assertEquals(ws.detach(), true);
    if (request.header["upgrade"] !== undefined) {
      await ws.upgrade();
      later.resolve(() => ws.push("late"));
    } else later.resolve(() => ws.end("late"));
  });
  const lane = acceptLane(server);
  lane.receive(handshake());
  const push = await later.promise;
  await settle();
  lane.writes.length = 0;
  assertEquals(await push(), true);
  await settle();
  assertEquals(framesIn(lane.text), ["81 late"]);

  const another = signal<() => unknown>();
  const plain = serverWith((_request, response) => {
    response.detach();
    another.resolve(() => response.end("late"));
  });
  const client = new MemoryClient(plain);
  client.send(get("/"));
  const end = await another.promise;
  await settle();
  assertEquals(client.pending, "");
  end();
  assertEquals((await client.readAnswer()).body, "late");
});

test("nothing is left when all connections are gone: finished settles behind shutdown(), however they went", async () => {
  const server = serverWith(async (request, ws) => {
    if (request.header["upgrade"] === undefined) return void ws.end("page");
    await ws.upgrade();
    const result = await rest(ws);
    if (result.includes("1 fail")) throw fault;
  });
  await server.start();
  const clients = await Promise.all(Array.from({ length: 6 }, () => RawClient.open(server.port)));
  const [fin, reset, close, violation, fails, quiet] = clients;
  const page = await RawClient.connect(server.port);
  page.send(get("/"));
  await page.readAnswer();
  fin.end();
  reset.socket.resetAndDestroy();
  close.send(sent(8, [3, 232]));
  violation.send(sent(3));
  fails.send(sent(1, "fail"));
  fails.send(sent(8));
  for (const client of [fin, close, violation, fails]) {
    await client.whenEnded();
    client.destroy();
  }
  assertEquals(server.shutdown(), true);
  await page.whenEnded(); // it was idle
  page.destroy();
  quiet.send(sent(9, "still open"));
  assertEquals((await quiet.readFrame())?.opcode, 10);
  quiet.send(sent(8));
  await quiet.whenEnded();
  quiet.destroy();
  await server.finished;
  assertEquals(server.errors, [fault]);
});

test("shutdown() lets WebSockets go on until they end, and requests until they are answered", async () => {
  const answering = signal();
  const answer = signal();
  const server = serverWith(async (request, ws) => {
    if (request.header["upgrade"] === undefined) {
      answering.resolve();
      await answer.promise;
      return void ws.end("done");
    }
    await ws.upgrade();
    for await (const frame of ws) await ws.push(frame);
  });
  const socket = new MemoryClient(server);
  socket.send(handshake());
  await socket.readHead();
  const busy = new MemoryClient(server);
  busy.send(get("/") + get("/2"));
  const idle = new MemoryClient(server);
  await settle();
  await answering.promise;
  let finished = false;
  server.finished.then(() => finished = true);
  assertEquals([server.shutdown(), server.shutdown()], [true, false]);
  await idle.readAll();
  idle.end();
  socket.send(sent(1, "hello"));
  assertEquals([await readFrame(socket), finished], ["81 hello", false]);
  answer.resolve();
  const last = await busy.readAnswer();
  assertEquals([last.body, last.header["connection"], await busy.readAll()], ["done", "close", ""]);
  busy.end();
  const late = acceptLane(server);
  assertEquals([late.aborted, finished], [true, false]);
  socket.send(sent(8, [3, 232]));
  assertEquals(await readFrame(socket), "88 1000");
  socket.end();
  await server.finished;
});

test("shutdown(patience): what is left then is closed with 1001, and dropped after websocket_close_timeout", async () => {
  const server = serverWith(async (request, ws) => {
    if (request.header["upgrade"] === undefined) return new Promise(() => {});
    await ws.upgrade();
    assertEquals(await rest(ws), [request.get["name"] === "polite" ? "close 1001" : "1 x", '""'].slice(-2));
  }, { websocket_close_timeout: 0.3 });
  await server.start();
  const polite = await RawClient.open(server.port, "/?name=polite");
  const mute = await RawClient.open(server.port, "/?name=mute");
  mute.send(sent(1, "x"));
  const stuck = await RawClient.connect(server.port);
  stuck.send(get("/"));
  mute.send(sent(9));
  await mute.readFrame();
  server.shutdown(0.2);
  const goodbye = await polite.readFrame();
  assertEquals([goodbye?.opcode, [...goodbye!.payload]], [8, [3, 233]]);
  polite.send(sent(8, [3, 233]));
  await polite.whenEnded();
  polite.destroy();
  await mute.whenEnded();
  await stuck.whenEnded();
  for (const client of [mute, stuck]) client.destroy();
  await server.finished;
  assertEquals(server.errors, []);
});

test("shutdown(0) closes WebSockets at once", async () => {
  const { server, client, ws } = await open();
  server.shutdown(0);
  assertEquals(await readFrame(client), "88 1001");
  client.send(sent(8, [3, 233]));
  assertEquals([await next(ws), await next(ws)], ["close 1001", '""']);
  client.end();
  await awake(server.finished);
});

test("another shutdown() with less patience shortens the first one's, and one with more changes nothing", async () => {
  const { server, client, ws } = await open();
  assertEquals([server.shutdown(Infinity), server.shutdown(3600), server.shutdown(7200)], [true, true, false]);
  client.send(sent(1, "still here"));
  assertEquals(await next(ws), "1 still here");
  assertEquals(server.shutdown(0), true);
  assertEquals(await readFrame(client), "88 1001");
  assertEquals([server.shutdown(0), server.shutdown(), server.shutdown(1)], [false, false, false]);
  client.send(sent(8, [3, 233]));
  assertEquals([await next(ws), await next(ws)], ["close 1001", '""']);
  client.end();
  await awake(server.finished);
  assertEquals(server.shutdown(0), false);
});

test("a handler that never ends does not keep a server for which shutdown() is called again with a time", async () => {
  const called = signal();
  const server = serverWith(() => {
    called.resolve();
    return new Promise(() => {});
  }, { websocket_close_timeout: 0.05 });
  await server.start();
  const client = await RawClient.connect(server.port);
  client.send(get("/"));
  await called.promise;
  assertEquals([server.shutdown(), server.shutdown(0.05)], [true, true]);
  await client.whenEnded();
  client.destroy();
  await server.finished;
});

test("shutdown() of a server that does not run is false", () => {
  assertEquals(new HttpServer("localhost").shutdown(), false);
});

test("a start() that fails throws, and errCode and errMsg say why: the address is in use, there is no such folder", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  assertEquals([server.errCode, server.errMsg], [0, ""]);
  await server.start();
  assertEquals([server.errCode, server.errMsg], [0, ""]);
  const second = new HttpServer("127.0.0.1", server.port);
  const error = await assertRejects(() => second.start(), Error, "the address is in use already");
  assertEquals([second.errCode, second.errMsg], [98, error.message]);
  await assertRejects(() => server.start(), Error, "it has been started before");
  assertEquals([server.errCode, server.errMsg], [0, "Cannot start the server: it has been started before"]);
  server.shutdown();
  await server.finished;
  await server.start();
  assertEquals([server.errCode, server.errMsg], [0, ""]);
  server.shutdown();
  await server.finished;
  const nowhere = new HttpServer("unix:/no/such/folder/sluice.sock");
  await assertRejects(() => nowhere.start(), Error, "Cannot listen on");
  assertEquals(nowhere.errCode, 2);
});
