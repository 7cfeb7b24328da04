// Tasks, given by processes and done by task workers, joined in memory.

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { test } from "node:test";
import { deserialize, serialize } from "../../adapters/serializing.ts";
import type { WebSocketServer } from "../../mod.ts";
import { Requests } from "../../src/cluster/requests.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import { type Task, TaskFailure, type TaskOptions, TaskResult } from "../../src/server/task.ts";
import { Tasks } from "../../src/server/tasks.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { settle, until } from "../support/activity.ts";
import { quietServer } from "../topics/stage.ts";
import { joined, MemoryNet, Node } from "./stage.ts";

await loadRuntime(); // its turns are those that settle() waits for

interface Stage {
  readonly tasks: Tasks[];
  readonly servers: WebSocketServer[];
  readonly nodes: Node[];
  /** What workers 0 and 1 have got from `finish`. */
  readonly finished: unknown[][];
  readonly errors: string[];
}

/** Workers 0 and 1, task workers 2 and 3, all with the same handler. */
async function tasking(
  handler: (server: WebSocketServer, ...args: never[]) => unknown,
  test: (stage: Stage) => unknown,
  options: Partial<TaskOptions> = {},
): Promise<void> {
  const nodes = [1, 2, 3, 4].map((slot) => new Node(slot));
  const finished: unknown[][] = [[], []];
  const errors: string[] = [];
  const servers = nodes.map(() => quietServer());
  const tasks = nodes.map(({ mesh }, i) => {
    servers[i].on("task", handler as never);
    servers[i].on("finish", (_server, id, data) => void finished[i].push([id, data]));
    servers[i].on("error", (_server, error) => void errors.push(`${i} ${(error as Error).message}`));
    const all = { workers: 2, taskWorkers: 2, mostPending: 10, isConcurrent: false, asObject: false, ...options };
    return new Tasks(coreOf(servers[i]).context, mesh, new Requests(mesh), { serialize, deserialize }, all);
  });
  await joined(new MemoryNet(), nodes);
  for (const { queue } of tasks.slice(2)) queue.open();
  await settle();
  try {
    await test({ tasks, servers, nodes, finished, errors });
  } finally {
    await Promise.all(nodes.map(({ mesh }) => mesh.close()));
  }
}

const code = (outcome: unknown) => outcome instanceof TaskFailure ? outcome.code : outcome;

test("results come back to the worker that has given the task, by return and by finish()", async () => {
  const stages: Stage[] = [];
  const handler = (server: WebSocketServer, id: number, from: number, data: { n: number }) => {
    const { tasks, servers } = stages[0];
    if (data.n % 2 === 0) return { id, from, double: data.n * 2 };
    const own = tasks[servers.indexOf(server)];
    assert(own.queue.finish("odd"));
    assert(!own.queue.finish("again"));
    return "ignored";
  };
  await tasking(handler, async (stage) => {
    stages.push(stage);
    const { tasks: [zero, one], finished } = stage;
    assertEquals([zero.give({ n: 2 }, -1), zero.give({ n: 3 }, -1), one.give({ n: 4 }, 0)], [0, 1, 0]);
    await settle();
    assertEquals(finished[0].toSorted(), [[0, { id: 0, from: 0, double: 4 }], [1, "odd"]]);
    assertEquals(finished[1], [[0, { id: 0, from: 1, double: 8 }]]);
    const called: unknown[] = [];
    zero.give({ n: 6 }, 1, (_server, id, data) => called.push([id, data.double]));
    await settle();
    assertEquals([called, finished[0].length, zero.pendingCount, zero.queue.finish("nothing to finish")], [
      [[2, 12]],
      2,
      0,
      false,
    ]);
    assertEquals(await one.wait({ n: 1 }, -1, 5000), "odd");
  });
});

test("a task worker does one task after the other, unless it may do several", async () => {
  for (const isConcurrent of [false, true]) {
    const log: string[] = [];
    const waiting: (() => void)[] = [];
    const handler = async (_server: unknown, given: Task | number, _from: number, name: string) => {
      const data = isConcurrent ? (given as Task).data : name;
      log.push(`begin ${data}`);
      await new Promise<void>((resolve) => waiting.push(resolve));
      log.push(`end ${data}`);
      return isConcurrent && data === "a" ? void (given as Task).finish("by hand") : data;
    };
    await tasking(handler as never, async ({ tasks: [zero], finished }) => {
      zero.give("a", 0), zero.give("b", 0);
      await settle();
      assertEquals(log, isConcurrent ? ["begin a", "begin b"] : ["begin a"]);
      assertEquals(zero.pendingCount, 2);
      while (waiting.length > 0) {
        waiting.shift()!();
        await settle();
      }
      assertEquals(log.slice(-2), isConcurrent ? ["end a", "end b"] : ["begin b", "end b"]);
      assertEquals(finished[0], [[0, isConcurrent ? "by hand" : "a"], [1, "b"]]);
    }, { isConcurrent });
  }
});

test("those with the fewest tasks get the next one, and no more than they may", () =>
  tasking(() => new Promise(() => {}), async ({ tasks: [zero, one] }) => {
    const given = Array.from({ length: 21 }, (_, i) => zero.give(i, -1));
    assertEquals(given.slice(0, 20), Array.from({ length: 20 }, (_, i) => i));
    assertEquals([code(given[20]), code(zero.give("x", 0)), code(await zero.wait("x", 1, 10))], [506, 506, 506]);
    assertEquals(one.give("of another worker", 0), 0);
    assertEquals(zero.pendingCount, 20);
  }, { mostPending: 10 }));

test("task workers that do not exist, and data that cannot be cloned", () =>
  tasking(() => 1, async ({ tasks: [zero] }) => {
    assertEquals([2, -2, 0.5, NaN, "0" as never].map((id) => code(zero.give("x", id))), [505, 505, 505, 505, 505]);
    assertThrows(() => zero.give(() => {}, -1), Error, "cannot be cloned");
    assertEquals(await zero.wait("x", -1, 5000), 1);
  }));

test("a handler that throws, rejects, or returns what cannot be cloned is reported on both sides", async () => {
  const handler = (_server: unknown, _id: number, _from: number, how: string) => {
    if (how === "throw") throw new Error("thrown");
    if (how === "reject") return Promise.reject(new Error("rejected"));
    return how === "nothing" ? undefined : () => {};
  };
  await tasking(handler as never, async ({ tasks: [zero], errors, finished }) => {
    for (const how of ["throw", "reject", "function", "nothing"]) zero.give(how, 0);
    await settle();
    assertEquals(errors.toSorted(), [
      "0 Task 0 has no result: task worker 2 (process 1003): thrown",
      "0 Task 1 has no result: task worker 2 (process 1003): rejected",
      "0 Task 2 has no result: task worker 2 (process 1003): Cannot send to another process: value cannot be cloned",
      "2 Cannot send to another process: value cannot be cloned",
      "2 rejected",
      "2 thrown",
    ]);
    assertEquals([finished[0], zero.pendingCount], [[], 0]);
    assertEquals([code(await zero.wait("throw", 0, 5000)), code(await zero.wait("nothing", 0, 5000))], [5, undefined]);
  });
});

test("a task whose worker ends is reported, and the others go to those that are there", () =>
  tasking(
    (_server: unknown, _id: never, _from: never, data: unknown) => data === "stay" ? new Promise(() => {}) : data,
    async (stage) => {
      const { tasks: [zero], nodes, errors, finished } = stage;
      zero.give("stay", 0);
      const waited = zero.wait("stay", 0, Infinity);
      await settle();
      await nodes[2].mesh.close();
      await nodes[0].until("-3");
      assertEquals(code(await waited), 32);
      await settle();
      assertEquals(errors, ["0 Task 0 has no result: task worker 2 (process 1003): the process has ended"]);
      zero.give("one", -1), zero.give("two", -1);
      await settle();
      assertEquals(finished[0], [[2, "one"], [3, "two"]]);
    },
  ));

test("tasks wait for a task worker to be there, as many as may", async () => {
  const options = { workers: 1, taskWorkers: 1, mostPending: 3, isConcurrent: false, asObject: false };
  const nodes = [1, 2, 3].map((slot) => new Node(slot));
  const [server, worker] = [quietServer(), quietServer()];
  const finished: unknown[] = [];
  server.on("finish", (_server, id, data) => void finished.push([id, data]));
  worker.on("task", (_server, _id, _from, data) => data);
  const [zero, one] = [server, worker].map((server, i) =>
    new Tasks(coreOf(server).context, nodes[i].mesh, new Requests(nodes[i].mesh), { serialize, deserialize }, options)
  );
  assertEquals([zero.give("a", -1), zero.give("b", 0)], [0, 1]);
  const waited = zero.wait("c", -1, 20_000);
  assertEquals([code(zero.give("d", -1)), zero.pendingCount], [506, 3]);
  await joined(new MemoryNet(), nodes);
  await settle();
  assertEquals([finished, zero.pendingCount], [[], 3]);
  one.queue.open();
  assertEquals(await waited, "c");
  await settle();
  assertEquals([finished, zero.pendingCount], [[[0, "a"], [1, "b"]], 0]);
  await nodes[1].mesh.close();
  await nodes[0].until("-2");
  let late: unknown = "none";
  zero.wait("e", -1, 1).then((outcome) => late = code(outcome));
  await until("it is late", () => late !== "none");
  assertEquals([late, zero.pendingCount], [110, 0]);
  await Promise.all(nodes.map(({ mesh }) => mesh.close()));
});

test("task(), taskwait(), taskCo(), taskWaitMulti() and finish() of servers", async () => {
  const handler = (server: WebSocketServer, _id: number, _from: number, data: unknown) => {
    if (data === "fail") throw new Error("failed");
    if (data === "by hand") return void server.finish("finished");
    return data === "nothing" ? undefined : [data];
  };
  await tasking(handler as never, async ({ tasks, servers, finished }) => {
    for (const [i, server] of servers.entries()) coreOf(server).context.tasks = tasks[i];
    const [server] = servers;
    assertEquals([server.task("a"), server.task("b", 1), server.task("by hand", 0)], [0, 1, 2]);
    await settle();
    assertEquals(finished[0].toSorted(), [[0, ["a"]], [1, ["b"]], [2, "finished"]]);
    assertEquals([await server.taskwait("c", 5), await server.taskwait("nothing", 5, 1)], [["c"], undefined]);
    assertEquals([await server.taskwait("fail", 5), server.getLastError()], [false, 5]);
    assertEquals([server.task("x", 2), server.getLastError()], [false, 505]);
    assertEquals(await server.taskCo(["d", "fail", "e"], 5), [["d"], false, ["e"]]);
    assertEquals(await server.taskWaitMulti(["d", "fail", "e"], 5), { 0: ["d"], 2: ["e"] });
    assertEquals([await server.taskCo(Array(1025).fill(0)), server.getLastError()], [false, 505]);
    assertEquals((await server.taskCo(Array(20).fill(0), 5) as unknown[]).length, 20);
    assertEquals([await server.taskWaitMulti(Array(1025).fill(0)), server.finish("x")], [false, false]);
    await assertRejects(() => server.taskwait("x", -1), RangeError, "Cannot wait for a task: -1 is not a number of seconds");
    const alone = quietServer();
    const calls = [alone.task("x"), await alone.taskwait("x"), alone.finish("x"), alone.sendMessage("x", 0)];
    assertEquals([calls, alone.getLastError()], [[false, false, false, false], 507]);
    assertEquals(await alone.taskCo(["x"]), [false]);
  });
});

test("waiting has an end", () =>
  tasking(() => new Promise(() => {}), async ({ tasks: [zero] }) => {
    let outcome: unknown = "none";
    zero.wait("x", -1, 1).then((result) => outcome = code(result));
    await until("it is over", () => outcome !== "none"); // the clock of the links keeps no process alive
    assertEquals([outcome, zero.pendingCount], [110, 1]); // the task goes on, and counts
  }));

test("without a handler for task, the task fails", async () => {
  const nodes = [1, 2].map((slot) => new Node(slot));
  const options = { workers: 1, taskWorkers: 1, mostPending: 10, isConcurrent: false, asObject: false };
  const [zero, one] = nodes.map(({ mesh }) =>
    new Tasks(coreOf(quietServer()).context, mesh, new Requests(mesh), { serialize, deserialize }, options)
  );
  await joined(new MemoryNet(), nodes);
  one.queue.open();
  const outcome = await zero.wait("x", -1, 5000) as TaskFailure;
  assertEquals([outcome.code, outcome.reason], [5, "task worker 1 (process 1002): there is no handler for task"]);
  await Promise.all(nodes.map(({ mesh }) => mesh.close()));
});

test("10,000 tasks of one process are done in order by one task worker", async () => {
  const done: number[] = [];
  await tasking((_server: unknown, _id: never, _from: never, n: number) => void done.push(n), async ({ tasks: [zero] }) => {
    for (let n = 0; n < 10_000; n++) {
      while (zero.give(n, 1) instanceof TaskFailure) await new Promise((resolve) => setTimeout(resolve, 0));
    }
    await until("all are done", () => done.length === 10_000);
    assertEquals(done, Array.from({ length: 10_000 }, (_, n) => n));
  }, { mostPending: 1000 });
});

test("idle task workers first, whoever keeps the others busy", async () => {
  const done: string[] = [];
  const going: (() => void)[] = [];
  const handler = (server: WebSocketServer, _id: number, _from: number, data: string) => {
    done.push(`${data} at ${stage.servers.indexOf(server)}`);
    return data === "stay" ? new Promise<void>((resolve) => going.push(resolve)) : undefined;
  };
  let stage!: Stage;
  await tasking(handler as never, async (it) => {
    stage = it;
    const { tasks: [zero, one] } = it;
    one.give("stay", 0), one.give("next", 0);
    await settle();
    for (let i = 0; i < 3; i++) {
      zero.give("x", -1);
      await settle();
    }
    assertEquals(done.splice(0), ["stay at 2", "x at 3", "x at 3", "x at 3"]);
    going[0]();
    await settle();
    for (let i = 0; i < 4; i++) {
      zero.give("y", -1);
      await settle();
    }
    assertEquals(done.toSorted(), ["next at 2", "y at 2", "y at 2", "y at 3", "y at 3"]);
  });
});

test("a result does not wait for the next task, even if that blocks the process", async () => {
  let isHere = false;
  const log: boolean[] = [];
  await tasking(() => void log.push(isHere), async ({ tasks: [zero] }) => {
    zero.wait("first", 0, Infinity).then(() => isHere = true);
    zero.give("second", 0);
    await settle();
    assertEquals(log, [false, true]);
  });
});

test("results and data that are too large for a link", () =>
  tasking(
    (_server: unknown, _id: never, _from: never, size: number) => new Uint8Array(size),
    async ({ tasks: [zero], servers, errors }) => {
      for (const server of servers) server.set({ worker_buffer_size: 100_000 });
      assertEquals((await zero.wait(99_000, 0, Infinity) as Uint8Array).length, 99_000);
      assertEquals(code(await zero.wait(100_000, 0, Infinity)), 5);
      assertMatch(errors[0], /^2 Cannot send the result of a task: it has 1000\d\d bytes, more than worker_buffer_size allows$/);
      assertEquals(code(zero.give(new Uint8Array(1024 * 1024), 0)), 1009); // the limit of these links
      assertEquals(zero.pendingCount, 0);
    },
  ));

test("tasks that wait for a task worker to be there: as many bytes as may", () => {
  const server = quietServer();
  server.set({ worker_buffer_size: 100_000 });
  const { mesh } = new Node(1);
  const options = { workers: 1, taskWorkers: 1, mostPending: 3, isConcurrent: false, asObject: false };
  let count = 0;
  const counting = {
    deserialize,
    serialize: (value: unknown) => {
      count++;
      return serialize(value);
    },
  };
  const tasks = new Tasks(coreOf(server).context, mesh, new Requests(mesh), counting, options);
  const given = [60_000, 60_000, 30_000, 20_000].map((size) => code(tasks.give(new Uint8Array(size), -1)));
  assertEquals([given, count], [[0, 1009, 1, 1009], 4]);
  assertEquals([code(tasks.give("c", 1)), count], [505, 4]);
  assertEquals([tasks.give("c", -1), code(tasks.give("d", -1)), count], [2, 506, 5]); // what is full takes no copy
});

test("tasks that wait for a task worker to be there, when the server has stopped", async () => {
  const server = quietServer();
  const errors: string[] = [];
  server.on("error", (_server, error) => void errors.push((error as Error).message));
  const { mesh } = new Node(1);
  const options = { workers: 1, taskWorkers: 1, mostPending: 3, isConcurrent: false, asObject: false };
  const tasks = new Tasks(coreOf(server).context, mesh, new Requests(mesh), { serialize, deserialize }, options);
  tasks.give("a", -1);
  const waited = tasks.wait("b", -1, Infinity);
  tasks.close();
  assertEquals(code(await waited), 32);
  await settle();
  assertEquals([errors, tasks.pendingCount], [["Task 0 has no result: the server has stopped"], 0]);
});

test("event_object: finish and callbacks receive a TaskResult", () =>
  tasking((_server: unknown, _id: never, _from: never, n: number) => n + 1, async ({ tasks: [zero], servers: [server] }) => {
    server.set({ event_object: true });
    const got: TaskResult[] = [];
    server.on("finish", (_server, result: unknown) => void got.push(result as TaskResult));
    zero.give(1, 0);
    zero.give(2, 1, (_server, result) => got.push(result as unknown as TaskResult));
    await settle();
    got.sort((a, b) => a.task_id - b.task_id);
    assertEquals(got.map(({ task_id, task_worker_id, data }) => [task_id, task_worker_id, data]), [[0, 2, 2], [1, 3, 3]]);
    assert(got.every((result) => result instanceof TaskResult && Math.abs(Date.now() / 1000 - result.dispatch_time) < 60));
  }));

test("a server that stops waits for its tasks, and those of others", () =>
  tasking(() => new Promise((resolve) => setTimeout(resolve, 20, 1)), async ({ tasks: [zero], servers, finished }) => {
    zero.give("x", 0);
    const counts = () => [servers[0], servers[2]].map((server) => coreOf(server).context.running.count);
    await settle();
    assertEquals(counts(), [1, 1]);
    await until("it is done", () => finished[0].length === 1);
    assertEquals(counts(), [0, 0]);
  }));

test("a task worker that leaves: what is on its way is done, and the others get what comes later", () => {
  const done: string[] = [];
  const handler = (_server: unknown, _id: number, _from: number, data: string) => void done.push(data);
  return tasking(handler as never, async ({ tasks: [zero, one, two], nodes }) => {
    const held = zero.give("before", 0);
    const left = two.queue.leave(Infinity);
    one.give("on its way", 0);
    await left;
    assertEquals([held, zero.give("later", 0), zero.pendingCount], [0, 1, 2]);
    await settle();
    assertEquals([done.toSorted(), zero.pendingCount], [["before", "on its way"], 1]); // it waits for the next one
    one.give("to another one", -1);
    two.queue.open(); // it does not come back
    await settle();
    assertEquals([done[2], zero.pendingCount], ["to another one", 1]);
    await nodes[2].mesh.close();
  });
});
