// The settings of task workers: their limits, and what a server with task workers needs.

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { test } from "node:test";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { Server } from "../../mod.ts";

test("at the limit, and one past it", () => {
  const server = new Server("127.0.0.1");
  for (const [name, least, most] of [["task_worker_num", 0, 126], ["task_max_pending", 1, 4000]] as const) {
    server.set({ [name]: least });
    server.set({ [name]: most });
    for (const value of [least - 1, most + 1, 0.5]) assertThrows(() => server.set({ [name]: value }), RangeError, name);
  }
  for (const name of ["task_max_request", "task_max_request_grace"]) {
    server.set({ [name]: 0 });
    server.set({ [name]: Number.MAX_SAFE_INTEGER });
    assertThrows(() => server.set({ [name]: -1 }), RangeError, name);
  }
  for (const name of ["task_enable_coroutine", "task_object", "task_use_object"]) {
    assertThrows(() => server.set({ [name]: 1 }), TypeError, name);
  }
  assertThrows(() => server.listen("127.0.0.1", 0).set({ task_max_pending: 1 } as never), TypeError, "task_max_pending");
});

test("start() says what is missing, or too much, before there are processes", async () => {
  const server = new Server("127.0.0.1");
  server.on("receive", () => {});
  server.set({ task_worker_num: 1 });
  await assertRejects(() => server.start(), TypeError, "there is no handler for task, which task_worker_num needs");
  server.on("task", () => {});
  server.set({ worker_num: 2, task_worker_num: 126 });
  await assertRejects(() => server.start(), RangeError, "worker_num and task_worker_num are 2 and 126, together more than 127");
  const coroutines = new CoroutineServer("127.0.0.1");
  coroutines.set({ task_worker_num: 1 });
  await assertRejects(() => coroutines.start(), TypeError, "only the event style has one");
});

test("without task workers, one process is everything, and there is nobody for tasks", async () => {
  const server = new Server("127.0.0.1");
  server.on("receive", () => {});
  server.on("task", () => {});
  server.set({ task_worker_num: 0 });
  await server.start();
  assertEquals([server.task("x"), server.getLastError(), await server.taskwait("x"), server.finish("x")], [
    false,
    507,
    false,
    false,
  ]);
  assertEquals([server.taskworker, server.worker_id, server.stats().task_worker_num, server.manager_pid], [false, 0, 0, 0]);
  server.shutdown();
  await server.finished;
});
