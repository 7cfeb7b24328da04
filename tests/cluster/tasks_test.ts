// Tasks, given by processes and done by task workers, joined in memory.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { test } from "node:test";
import { deserialize, serialize } from "../../adapters/serializing.ts";
import type { WebSocketServer } from "../../mod.ts";
import { Requests } from "../../src/cluster/requests.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import { type Task, TaskFailure } from "../../src/server/task.ts";
import { type TaskOptions, Tasks } from "../../src/server/tasks.ts";
import { settle, until } from "../support/activity.ts";
import { quietServer } from "../topics/stage.ts";
import { joined, MemoryNet, Node } from "./stage.ts";

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
    assert(own.finish("odd"));
    assert(!own.finish("again"));
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
    assertEquals([called, finished[0].length, zero.pendingCount, zero.finish("nothing to finish")], [[[2, 12]], 2, 0, false]);
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
      "0 Task 0 has no result: worker 2: thrown",
      "0 Task 1 has no result: worker 2: rejected",
      "0 Task 2 has no result: worker 2: Cannot send to another process: value cannot be cloned",
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
      assertEquals(errors, ["0 Task 0 has no result: worker 2: the process has ended"]);
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
  one.mayWork = false;
  assertEquals([zero.give("a", -1), zero.give("b", 0)], [0, 1]);
  const waited = zero.wait("c", -1, 20_000);
  assertEquals([code(zero.give("d", -1)), zero.pendingCount], [506, 3]);
  await joined(new MemoryNet(), nodes);
  await settle();
  assertEquals([finished, zero.pendingCount], [[], 3]);
  one.begin();
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
    assertEquals([outcome, zero.pendingCount], [110, 0]);
  }));

test("without a handler for task, the task fails", async () => {
  const nodes = [1, 2].map((slot) => new Node(slot));
  const options = { workers: 1, taskWorkers: 1, mostPending: 10, isConcurrent: false, asObject: false };
  const [zero] = nodes.map(({ mesh }) =>
    new Tasks(coreOf(quietServer()).context, mesh, new Requests(mesh), { serialize, deserialize }, options)
  );
  await joined(new MemoryNet(), nodes);
  const outcome = await zero.wait("x", -1, 5000) as TaskFailure;
  assertEquals([outcome.code, outcome.reason], [5, "worker 1: there is no handler for task"]);
  await Promise.all(nodes.map(({ mesh }) => mesh.close()));
});
