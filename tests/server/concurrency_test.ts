// How many requests may be in work at a time: `max_concurrency`, `worker_max_concurrency`.

import { assertEquals, assertLessOrEqual, assertThrows } from "@std/assert";
import { test } from "node:test";
import { HttpServer, type ServerSettings, WebSocketServer } from "../../mod.ts";
import { RequestQueue } from "../../src/server/running_handlers.ts";
import { resolveSettings } from "../../src/server/settings/settings.ts";
import { until } from "../support/activity.ts";
import { MemoryClient } from "../support/memory_client.ts";
import { EventLog } from "./event_log.ts";

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;

/** A server whose handlers wait until they are told to answer. */
class Stage {
  readonly server: HttpServer;
  readonly log: EventLog = new EventLog();
  readonly #answers: Map<string, () => void> = new Map();

  constructor(settings: ServerSettings, server: HttpServer = new HttpServer("127.0.0.1", 0)) {
    this.server = server;
    server.set(settings);
    server.on("request", async (request, response) => {
      const name = String(request.server.request_uri);
      this.log.add(name);
      await new Promise<void>((resolve) => this.#answers.set(name, resolve));
      response.end(name);
    });
  }

  ask(...paths: string[]): MemoryClient[] {
    return paths.map((path) => {
      const client = new MemoryClient(this.server);
      client.send(get(path));
      return client;
    });
  }

  answer(path: string): void {
    this.#answers.get(path)!();
  }

  get counts(): [concurrency: number, running: number] {
    const { concurrency, worker_concurrency } = this.server.stats();
    return [concurrency, worker_concurrency];
  }

  async end(clients: MemoryClient[]): Promise<void> {
    for (const client of clients) client.drop();
    this.server.shutdown();
    await this.server.finished;
  }
}

test("requests above max_concurrency are answered with 503, and the connection goes on", async () => {
  const stage = new Stage({ max_concurrency: 2 });
  const [a, b] = stage.ask("/a", "/b");
  await stage.log.count(2);
  assertEquals(stage.counts, [2, 2]);
  const [c] = stage.ask("/c");
  const refused = await c.readAnswer();
  assertEquals([refused.status, refused.body], [503, "too many requests at a time"]);
  stage.answer("/a");
  assertEquals((await a.readAnswer()).body, "/a");
  c.send(get("/d"));
  await stage.log.until("/d");
  for (const path of ["/b", "/d"]) stage.answer(path);
  assertEquals([(await b.readAnswer()).body, (await c.readAnswer()).body], ["/b", "/d"]);
  assertEquals(stage.counts, [0, 0]);
  assertEquals(stage.log.lines, ["/a", "/b", "/d"]);
  await stage.end([a, b, c]);
});

test("requests above worker_max_concurrency wait for their turn, in order", async () => {
  const stage = new Stage({ worker_max_concurrency: 1 });
  const clients = stage.ask("/a", "/b", "/c");
  await stage.log.count(1);
  await until("3 requests are in work", () => stage.counts[0] >= 3);
  assertEquals([stage.counts, stage.log.lines], [[3, 1], ["/a"]]);
  assertEquals(stage.server.stats().request_count, 1);
  for (const [i, path] of ["/a", "/b", "/c"].entries()) {
    await stage.log.count(i + 1);
    stage.answer(path);
    assertEquals((await clients[i].readAnswer()).body, path);
  }
  assertEquals(stage.log.lines, ["/a", "/b", "/c"]);
  await stage.end(clients);
});

test("both together: so many run, so many more wait, and the others are refused", async () => {
  const stage = new Stage({ max_concurrency: 2, worker_max_concurrency: 1 });
  const [a, b] = stage.ask("/a", "/b");
  await stage.log.count(1);
  await until("2 requests are in work", () => stage.counts[0] >= 2);
  const [c] = stage.ask("/c");
  assertEquals((await c.readAnswer()).status, 503);
  stage.answer("/a");
  await stage.log.count(2);
  stage.answer("/b");
  assertEquals([(await a.readAnswer()).body, (await b.readAnswer()).body], ["/a", "/b"]);
  await stage.end([a, b, c]);
});

test("who leaves while waiting loses the turn", async () => {
  const stage = new Stage({ worker_max_concurrency: 1 });
  const closed = new EventLog();
  stage.server.on("close", (_server, fd) => closed.add(`close ${fd}`));
  const [a, b, c] = stage.ask("/a", "/b", "/c");
  await stage.log.count(1);
  await until("3 requests are in work", () => stage.counts[0] >= 3);
  b.drop();
  await closed.until("close 2");
  stage.answer("/a");
  await stage.log.until("/c");
  stage.answer("/c");
  assertEquals((await c.readAnswer()).body, "/c");
  assertEquals(stage.log.lines, ["/a", "/c"]);
  await stage.end([a, c]);
});

test("a handler that fails gives its place up", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ max_concurrency: 1, log_file: "/dev/null" });
  server.on("message", () => {});
  server.on("request", (request, response) => {
    if (request.server.request_uri === "/throw") throw new Error("thrown");
    if (request.server.request_uri === "/reject") return Promise.reject(new Error("rejected"));
    response.end("fine");
  });
  for (const [path, status] of [["/throw", 500], ["/reject", 500], ["/", 200]] as const) {
    const client = new MemoryClient(server);
    client.send(get(path));
    assertEquals((await client.readAnswer()).status, status);
    client.drop();
  }
  server.shutdown();
  await server.finished;
});

test("a handler that answers at once takes no place", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.set({ max_concurrency: 1 });
  server.on("request", (_request, response) => response.end("fine"));
  const clients = [1, 2, 3].map(() => new MemoryClient(server));
  for (const client of clients) client.send(get("/"));
  for (const client of clients) assertEquals((await client.readAnswer()).body, "fine");
  for (const client of clients) client.drop();
  server.shutdown();
  await server.finished;
});

test("shutdown() waits for those that wait", async () => {
  const stage = new Stage({ worker_max_concurrency: 1 });
  const [a, b] = stage.ask("/a", "/b");
  await stage.log.count(1);
  await until("2 requests are in work", () => stage.counts[0] >= 2);
  stage.server.shutdown();
  stage.answer("/a");
  await stage.log.count(2);
  stage.answer("/b");
  assertEquals([(await a.readAnswer()).body, (await b.readAnswer()).body], ["/a", "/b"]);
  a.end();
  b.end();
  await stage.server.finished;
});

test("a request that has had its 503 while it waited neither counts nor reaches the handler", async () => {
  const awake = setInterval(() => {}, 1000); // the clock of the server keeps no process
  const stage = new Stage({ worker_max_concurrency: 1, http_handler_timeout: 0.2, log_level: 6 });
  const [a, b, c] = stage.ask("/a", "/b", "/c");
  await stage.log.count(1);
  c.drop();
  assertEquals([(await a.readAnswer()).status, (await b.readAnswer()).status], [503, 503]);
  assertEquals(stage.counts, [0, 0]);
  b.send(get("/d")); // it waits for the handler of /a, which still runs
  await until("the request waits", () => stage.counts[0] === 1);
  assertEquals(stage.counts, [1, 0]);
  stage.answer("/a");
  await stage.log.count(2);
  stage.answer("/d");
  assertEquals((await b.readAnswer()).body, "/d");
  assertEquals(stage.log.lines, ["/a", "/d"]);
  await stage.end([a, b]);
  clearInterval(awake);
});

test("a queue calls very many that are done at once, one after the other", async () => {
  const queue = new RequestQueue(Infinity, 1);
  let go!: () => void;
  const first = queue.enter(() => true, () => new Promise<void>((resolve) => go = resolve));
  let done = 0;
  const rest = Array.from({ length: 100_000 }, () => queue.enter(() => true, () => void done++));
  assertEquals([queue.waiting, done], [100_000, 0]);
  go();
  await Promise.all([first, ...rest]);
  assertEquals([queue.waiting, done], [0, 100_000]);
});

test("a queue forgets those that nobody waits for, so that coming and going does not fill it", () => {
  const queue = new RequestQueue(Infinity, 1);
  queue.enter(() => true, () => new Promise<void>(() => {}));
  const stays = queue.enter(() => true, () => {});
  for (let i = 0; i < 10_000; i++) {
    queue.enter(() => false, () => {});
    assertLessOrEqual(queue.waiting, 64);
  }
  assertEquals(stays instanceof Promise, true);
});

test("a full queue finds out who has left", () => {
  const queue = new RequestQueue(11, 1);
  let isWanted = true;
  queue.enter(() => true, () => new Promise<void>(() => {}));
  for (let i = 0; i < 10; i++) queue.enter(() => isWanted, () => {});
  assertEquals(queue.enter(() => true, () => {}), false);
  isWanted = false;
  let tries = 0;
  while (queue.enter(() => true, () => {}) === false) tries++;
  assertLessOrEqual(tries, 10);
  assertEquals(queue.waiting, 1);
});

test("both settings are numbers from 1 on; the second one is the first where it is not set", () => {
  const server = new HttpServer("127.0.0.1", 0);
  for (const key of ["max_concurrency", "worker_max_concurrency"]) {
    for (const value of [0, 4294967296, 1.5]) assertThrows(() => server.set({ [key]: value }), RangeError, key);
    assertThrows(() => server.listen("127.0.0.1", 0).set({ [key]: 1 }), TypeError, "it holds for the whole server");
  }
  const both = (settings: ServerSettings) => {
    const { max_concurrency, worker_max_concurrency } = resolveSettings(settings);
    return [max_concurrency, worker_max_concurrency];
  };
  assertEquals(both({}), [4294967295, 4294967295]);
  assertEquals(both({ max_concurrency: 5 }), [5, 5]);
  assertEquals(both({ worker_max_concurrency: 5 }), [4294967295, 5]);
});
