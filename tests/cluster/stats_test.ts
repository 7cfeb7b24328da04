// stats() over all processes of a server, joined in memory, and as real processes.

import { assert, assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { Requests } from "../../src/cluster/requests.ts";
import type { Metrics } from "../../src/server/all_processes.ts";
import { WorkerStats } from "../../src/server/worker_stats.ts";
import { settle, until } from "../support/activity.ts";
import { inFolder } from "../support/folder.ts";
import { inThisRuntime, Program } from "../support/program.ts";
import { RawClient } from "../support/raw_client.ts";
import { joined, MemoryNet, Node } from "./stage.ts";

// deno-lint-ignore no-explicit-any
type Numbers = any;

/** A process with numbers that the test sets. */
interface Process {
  readonly node: Node;
  readonly stats: WorkerStats;
  readonly own: Numbers;
  readonly metrics: Metrics;
  /** The sum, as this process sees it. */
  readonly sum: () => Numbers;
}

function makeProcess(slot: number, clock?: () => number): Process {
  const node = new Node(slot, clock === undefined ? {} : { clock }, false);
  const own: Numbers = {
    start_time: 100 + slot,
    worker_num: 1,
    request_count: 0,
    worker_request_count: 0,
    connection_num: 0,
    refusals: { request: {} },
    min_fd: 0,
    max_fd: 0,
    event_loop_delay: 0,
    handler_num: 0,
  };
  const metrics: Metrics = {};
  const collect = () => ({ stats: { ...own, worker_request_count: own.request_count }, metrics: structuredClone(metrics) });
  const stats = new WorkerStats(node.mesh, new Requests(node.mesh), collect, 2, () => {});
  return { node, stats, own, metrics, sum: () => stats.sum() };
}

/** The master and two workers. */
async function processes(test: (all: Process[], net: MemoryNet) => Promise<void>): Promise<void> {
  const all = [0, 1, 2].map((slot) => makeProcess(slot));
  const net = new MemoryNet();
  await joined(net, all.map(({ node }) => node));
  try {
    await test(all, net);
  } finally {
    await Promise.all(all.map(({ node }) => node.mesh.close()));
  }
}

async function tellAll(all: readonly Process[]): Promise<void> {
  for (const { stats } of all) stats.tell();
  await settle();
}

test("each process has the sums; what is about a process is its own", () =>
  processes(async (all) => {
    const [master, one, two] = all;
    Object.assign(one.own, { request_count: 3, connection_num: 2, min_fd: 257, max_fd: 513, event_loop_delay: 0.25 });
    Object.assign(two.own, {
      request_count: 4,
      connection_num: 1,
      min_fd: 258,
      max_fd: 258,
      event_loop_delay: 0.1,
      handler_num: 1,
    });
    one.own.refusals = { request: { late: 1 } };
    two.own.refusals = { request: { late: 2, large: 5 } };
    await tellAll(all);
    for (const { sum, own } of all) {
      const { request_count, connection_num, refusals, worker_num, min_fd, max_fd, event_loop_delay, start_time } = sum();
      assertEquals([request_count, connection_num, worker_num, start_time], [7, 3, 2, 100]);
      assertEquals([min_fd, max_fd, event_loop_delay], [257, 513, 0.25]);
      assertEquals(refusals, { request: { late: 3, large: 5 } });
      assertEquals(sum().worker_request_count, own.request_count);
    }
    assertEquals(all.map(({ sum }) => sum().idle_worker_num), [1, 0, 1]); // two has a handler, and who asks is busy
    assertEquals(master.own.request_count, 0);
    one.own.request_count = 10; // seen at once by itself, by the others when it has told
    assertEquals([one.sum().request_count, two.sum().request_count], [14, 7]);
    await tellAll([one]);
    assertEquals(two.sum().request_count, 14);
  }));

test("a process that changes nothing says nothing, and the clock makes it tell otherwise", () =>
  processes(async ([master, one]) => {
    one.own.request_count = 1;
    await until("the master has heard", () => {
      one.node.mesh.tick();
      return master.sum().request_count === 1;
    });
    const { sentBytes } = one.node.link(0).connection;
    one.stats.tell();
    assertEquals(one.node.link(0).connection.sentBytes, sentBytes);
  }));

test("counters of a process that has ended are kept, also for one that starts later; its gauges are not", () =>
  processes(async (all, net) => {
    const [master, one, two] = all;
    Object.assign(one.own, { request_count: 3, connection_num: 2 });
    one.own.refusals = { request: { late: 1 } };
    two.own.request_count = 4;
    await tellAll(all);
    one.own.request_count = 5;
    one.stats.tell(); // as it does in the end
    await one.node.mesh.close();
    await settle();
    for (const { sum } of [master, two]) assertEquals([sum().request_count, sum().connection_num], [9, 0]);
    await tellAll([master]); // the master counts it now
    for (const { sum } of [master, two]) assertEquals([sum().request_count, sum().connection_num], [9, 0]);
    const late = makeProcess(3);
    await late.node.mesh.listen(net, "//3");
    await late.node.mesh.join(net, [{ slot: 0, path: "//0" }, { slot: 2, path: "//2" }]);
    assertEquals(late.sum().request_count, 9); // before it says anything
    assertEquals(late.sum().refusals, { request: { late: 1 } });
    await late.node.mesh.close();
  }));

test("what a process that was killed has counted is told soon, also to one that has never been joined to it", () =>
  processes(async (all, net) => {
    const [master, one, two] = all;
    one.own.request_count = 3;
    await tellAll(all);
    const late = makeProcess(3);
    await late.node.mesh.listen(net, "//3");
    await late.node.mesh.join(net, [{ slot: 0, path: "//0" }]); // the other one is killed before it can be joined
    assertEquals(late.sum().request_count, 0);
    await one.node.mesh.close();
    await settle();
    master.node.mesh.tick(); // although it has told its counters less than a second ago
    await settle();
    assertEquals([master, two, late].map(({ sum }) => sum().request_count), [3, 3, 3]);
    await late.node.mesh.close();
  }));

test("a process that has ended counts once, whether that is known before or after the end of its link", () =>
  processes(async (all) => {
    const [master, one, two] = all;
    one.own.request_count = 3;
    two.own.request_count = 4;
    await tellAll(all);
    master.stats.exited(1, 1001);
    assertEquals(master.sum().request_count, 7);
    one.own.request_count = 5; // what arrives last
    one.stats.tell();
    await one.node.mesh.close();
    await settle();
    assertEquals([master.sum().request_count, two.sum().request_count], [9, 9]);
    await two.node.mesh.close();
    await settle();
    master.stats.exited(2, 1002);
    master.stats.exited(9, 1009); // was never joined
    assertEquals(master.sum().request_count, 9);
  }));

test("no process shows a counter lower than before, also when the master knows less of one that was killed", () =>
  processes(async (all) => {
    const [master, one, two] = all;
    Object.assign(one.own, { request_count: 3, connection_num: 2 });
    await tellAll(all);
    Object.assign(one.own, { request_count: 8, refusals: { request: { late: 2 } } });
    one.node.link(0).tell = () => {}; // what it says to the master does not arrive
    one.stats.tell();
    await settle();
    assertEquals([master, two].map(({ sum }) => sum().request_count), [3, 8]);
    assertEquals(two.sum().refusals, { request: { late: 2 } });
    await one.node.mesh.close();
    await settle();
    master.node.mesh.tick();
    await settle();
    assertEquals([master, two].map(({ sum }) => [sum().request_count, sum().connection_num]), [[3, 0], [8, 0]]);
    assertEquals(two.sum().refusals, { request: { late: 2 } });
    two.own.request_count = 7; // the sum goes on when it is above that
    assertEquals(two.sum().request_count, 10);
  }));

test("a look that takes long makes a process tell less often, unless it was one alone", async () => {
  let now = 1000;
  const [master, one] = [0, 1].map((slot) => makeProcess(slot, () => now));
  await joined(new MemoryNet(), [master.node, one.node]);
  const real = performance.now;
  let looked = 0; // how long all looks have taken
  let isSlow = false;
  performance.now = () => looked;
  Object.defineProperty(one.own, "request_count", {
    enumerable: true,
    get() {
      if (isSlow) looked += 50; // it is read twice in one look
      return now;
    },
  });
  const told = async (after: number) => {
    now += after;
    one.node.mesh.tick();
    await settle();
    return master.sum().request_count === now;
  };
  try {
    isSlow = true;
    assertEquals(await told(10_000), true);
    isSlow = false;
    assertEquals(await told(1000), true); // one slow look
    isSlow = true;
    assertEquals([await told(1000), await told(1000)], [true, true]);
    assertEquals([await told(1000), await told(899), await told(1)], [false, false, true]); // two of them, of 100 ms each
    isSlow = false;
    assertEquals([await told(1899), await told(1), await told(900)], [false, true, true]);
  } finally {
    performance.now = real;
    await Promise.all([master.node.mesh.close(), one.node.mesh.close()]);
  }
});

test("a link that is made again counts nothing twice", () =>
  processes(async (all) => {
    const [master, one, two] = all;
    one.own.request_count = 3;
    await tellAll(all);
    one.node.link(0).fail("a test");
    await until("the master has lost it", () => master.node.events.includes("-1"));
    assertEquals(master.sum().request_count, 3);
    await tellAll([master]);
    assertEquals(two.sum().request_count, 3);
    await until("it is joined again", () => master.node.mesh.linkOf(1) !== undefined);
    await settle();
    one.own.request_count = 4;
    await tellAll(all);
    await tellAll([one]); // of which the others hear only now that the master counts it no more
    assertEquals(all.map(({ sum }) => sum().request_count), [4, 4, 4]);
    for (const { node } of all) node.warnings.length = 0;
  }));

const isHere = process.platform === "linux"; // elsewhere workers are not promised

test(
  "real processes: sums in all, also behind a worker that is killed, and whole lines of the log from all",
  { skip: !isHere },
  () =>
    inFolder(async (folder) => {
      const log_file = join(folder, "log");
      const access_log_file = join(folder, "access");
      const settings = { log_format: "json", access_log: true, log_file, access_log_file, admin_server: "127.0.0.1:0" };
      const program = new Program(inThisRuntime(new URL("./stats_program.ts", import.meta.url), JSON.stringify(settings)));
      try {
        const [, , port, , admin] = (await program.line()).split(" ").map(Number);
        const ask = async (path: string) => {
          const client = await RawClient.connect(port); // one connection for each, so that all workers get some
          client.send(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
          const answer = new TextDecoder().decode(await client.readAll());
          client.destroy();
          return JSON.parse(answer.slice(answer.indexOf("\r\n\r\n")));
        };
        const workers = new Set<number>();
        let asked = 0;
        while (workers.size < 3 || asked < 60) {
          workers.add((await ask("/warn")).worker);
          asked++;
        }
        const stats = async () => {
          asked++;
          return await ask("/stats");
        };
        let seen: Numbers;
        do {
          await new Promise((resolve) => setTimeout(resolve, 1500)); // each has told by then, unless it is busy
          seen = await stats();
        } while (seen.request_count < asked);
        assertEquals([seen.worker_num, seen.task_worker_num], [3, 0]);
        assert(seen.worker_request_count < seen.request_count && seen.request_count === asked, JSON.stringify([asked, seen]));
        const nobody = await RawClient.connect(admin);
        nobody.send("what\r\n\r\n");
        await nobody.readAll();
        nobody.destroy();
        const before = seen.request_count;
        await ask("/die").catch(() => {});
        assertEquals(await program.line(), "replaced");
        // The last one may have been counted by the one that was killed. Sums are about a second old.
        let after = (await stats()).request_count;
        for (let more = 1; after < before - 2 + more; more++) {
          assert(more < 10, `${after} < ${before - 2 + more}`);
          await new Promise((resolve) => setTimeout(resolve, 1500));
          after = (await stats()).request_count;
        }
        const lines = () => readFileSync(access_log_file, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
        await until("all is logged", () => lines().length >= asked - 1); // the one that was killed may not have written its last one
        assertEquals(new Set(lines().map(({ worker }) => worker)), new Set([0, 1, 2]));
        const warnings = readFileSync(log_file, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
        assertEquals(new Set(warnings.filter(({ event }) => event === "error").map(({ worker }) => worker)), new Set([0, 1, 2]));
        const refused = warnings.filter(({ event }) => event === "refusal"); // by the server of admin_server
        assertEquals(refused.map(({ worker, pid }) => [worker, pid]), [[-1, program.process.pid]]);
      } finally {
        process.kill(program.process.pid!, "SIGTERM");
        await program.exited;
      }
    }),
);
