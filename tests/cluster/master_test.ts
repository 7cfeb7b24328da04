/** The master with processes in memory, and a clock that the test moves. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { test } from "node:test";
import { Dispatcher, type DispatchMode } from "../../src/cluster/dispatcher.ts";
import { Master } from "../../src/cluster/master.ts";
import type { MasterOptions } from "../../src/cluster/master_interfaces.ts";
import type { ProcessExit } from "../../src/transport/processes.ts";
import { FakeClock, FakeControl, type FakeProcess, FakeSocket, settled } from "./fake_processes.ts";

class Cluster {
  readonly clock: FakeClock = new FakeClock();
  readonly control: FakeControl;
  readonly master: Master;
  readonly warnings: string[] = [];
  readonly errors: [id: number, pid: number, exit: ProcessExit][] = [];
  readonly events: string[] = [];
  readonly shutdowns: [number, number][] = [];
  /** The slots and process IDs of the processes that have ended. */
  readonly exits: string[] = [];
  /** What the handlers of a reload do. */
  during: ((event: string) => Promise<void>) | undefined = undefined;
  givenUp: Error | undefined = undefined;

  constructor(options: Partial<MasterOptions> = {}, program?: (process: FakeProcess) => void) {
    this.control = new FakeControl(program);
    this.master = new Master(
      this.control,
      {
        workers: 2,
        taskWorkers: 0,
        execArgv: undefined,
        token: "secret",
        folder: "/run/cluster",
        masterPid: 100,
        firstSeq: 1,
        ports: [0],
        passed: [false],
        startTimeout: 60,
        waitTime: 3,
        stayTime: 3,
        drainTime: 10,
        closeTimeout: 5,
        ...options,
      },
      {
        warn: (text) => void this.warnings.push(text),
        onWorkerError: (id, pid, exit) => void this.errors.push([id, pid, exit]),
        onExit: (slot, pid) => void this.exits.push(`${slot} ${pid}`),
        onReload: (event) => {
          this.events.push(event);
          return this.during?.(event);
        },
        onReady: () => {},
        onGivenUp: (error) => this.givenUp = error,
        onShutdown: (wait, tell) => void this.shutdowns.push([wait, tell]),
      },
      this.clock,
    );
  }

  get processes(): FakeProcess[] {
    return this.control.processes;
  }

  /** The process IDs of all processes that have not ended. */
  get living(): number[] {
    return this.control.living.map(({ pid }) => pid);
  }
}

async function started(options: Partial<MasterOptions> = {}, program?: (process: FakeProcess) => void): Promise<Cluster> {
  const cluster = new Cluster(options, program);
  await cluster.master.start();
  await cluster.clock.move(2); // nobody is young any more
  return cluster;
}

// ---- start ----------------------------------------------------------------------------------------------------------------

test("start: the first worker picks the ports, the others take them", async () => {
  const { master, processes, control } = new Cluster({ workers: 3, ports: [0, 8080], passed: [false, false] }, (process) => {
    process.run({ ports: 2 });
  });
  const starting = master.start();
  await settled();
  assertEquals(await starting, [9501, 8080]);
  assertEquals(processes.map(({ role }) => [role.id, role.slot, role.token, role.folder]), [
    [0, 1, "secret", "/run/cluster"],
    [1, 2, "secret", "/run/cluster"],
    [2, 3, "secret", "/run/cluster"],
  ]);
  assertEquals(processes.map(({ listening }) => listening.get(0)!.name), ["101:0", "102:9501", "103:9501"]);
  assertEquals(master.pids, [101, 102, 103]);
  assertEquals(control.processes.map(({ pids }) => pids), [[101, 102, 103], [101, 102, 103], [101, 102, 103]]);
});

test("start: nobody else is started before the first worker is ready", async () => {
  let go = () => {};
  const cluster = new Cluster({ workers: 4 }, (process) => {
    process.run({ listen: () => process.role.id === 0 ? new Promise((resolve) => go = resolve) : undefined });
  });
  const starting = cluster.master.start();
  await settled();
  assertEquals(cluster.living, [101]);
  go();
  await starting;
  assertEquals(cluster.living, [101, 102, 103, 104]);
});

test("start: each process connects to those that have said hello before", async () => {
  const { processes } = await started({ workers: 3 });
  assertEquals(processes[0].peers, [0]);
  assertEquals(processes[1].peers, [0, 1]);
  assertEquals(processes[2].peers, [0, 1, 2]);
});

test("start: a worker that cannot start is the reason why the server cannot", async () => {
  const cluster = new Cluster({}, (process) => {
    process.run({
      listen() {
        if (process.role.id === 1) throw Object.assign(new Error("Cannot listen on 127.0.0.1:80"), { code: "EACCES" });
      },
    });
  });
  const error = await assertRejects(() => cluster.master.start(), Error, "Cannot listen on 127.0.0.1:80");
  assertEquals((error as Error & { code: unknown }).code, "EACCES");
  assertEquals(cluster.living, []);
  assertEquals(cluster.processes[1].status, { code: 1, signal: 0 });
  assertEquals(cluster.clock.size, 0);
});

test("start: a runtime that cannot start processes", async () => {
  const cluster = new Cluster();
  cluster.control.beforeStart = () => {
    throw new Error("there is no script");
  };
  await assertRejects(() => cluster.master.start(), Error, "there is no script");
  assertEquals(cluster.clock.size, 0);
});

test("start: a worker that is not ready in time", async () => {
  const cluster = new Cluster({ startTimeout: 60 }, (process) => process.run({ prepare: () => new Promise(() => {}) }));
  const starting = assertRejects(() => cluster.master.start(), Error, "worker_start_timeout");
  await cluster.clock.move(59.9);
  assertEquals(cluster.living, [101]);
  await cluster.clock.move(0.2);
  await starting;
  assertEquals(cluster.processes[0].signals, ["SIGKILL"]);
  assertEquals(cluster.clock.size, 0);
});

test("start: a program that dies before it is ready is started ten times", async () => {
  const cluster = new Cluster({}, (process) => process.end(7));
  const starting = assertRejects(() => cluster.master.start(), Error, "keeps dying");
  await cluster.clock.move(30);
  await starting;
  assertEquals(cluster.processes.length, 10);
  assertEquals(cluster.errors.length, 10);
  assertEquals(cluster.errors[0], [0, 101, { code: 7, signal: 0 }]);
});

test("start: a worker with other ports than the master does not fit", async () => {
  const cluster = new Cluster({}, (process) => process.run({ ports: 2 }));
  await assertRejects(() => cluster.master.start(), Error, "it has other ports");
  assertEquals(cluster.living, []);
});

test("start: a shutdown meanwhile ends it", async () => {
  let isLoading = false;
  const cluster = new Cluster({}, () => isLoading = true); // never says hello
  const starting = assertRejects(() => cluster.master.start(), Error, "shut down meanwhile");
  await settled();
  assert(isLoading);
  await cluster.master.shutdown(3, 0);
  await starting;
  assertEquals(cluster.processes[0].status, { code: 0, signal: 15 });
  assertEquals(cluster.master.wasCutOff, false);
});

test("start: a shutdown while a process is being made kills that, and waits for its end", async () => {
  const cluster = new Cluster({}, () => {});
  const { control } = cluster;
  let go = () => {};
  control.beforeStart = () => new Promise((resolve) => go = resolve);
  const start = control.start.bind(control);
  const signals: string[] = [];
  control.start = async (options) => ({ ...await start(options), kill: (signal) => signals.push(signal) > 0 });
  const starting = assertRejects(() => cluster.master.start(), Error, "shut down meanwhile");
  await settled();
  let isOver = false;
  const over = cluster.master.shutdown(3, 0).then(() => isOver = true);
  await settled();
  assertEquals(isOver, false);
  go();
  await settled();
  assertEquals([signals[0], isOver], ["SIGKILL", false]);
  cluster.processes[0].end(0, 9);
  await over;
  await starting;
});

// ---- deaths ---------------------------------------------------------------------------------------------------------------

test("a worker that dies is replaced at once", async () => {
  const cluster = await started();
  cluster.processes[1].end(0, 9);
  await cluster.clock.move(0);
  assertEquals(cluster.living, [101, 103]);
  assertEquals(cluster.processes[2].role.id, 1);
  assertEquals(cluster.processes[2].role.slot, 3);
  assertEquals(cluster.errors, [[1, 102, { code: 0, signal: 9 }]]);
  assertEquals(cluster.processes[2].listening.get(0)!.name, "103:9501");
  assertEquals(cluster.processes[0].pids, [101, 103]);
  assertEquals(cluster.processes[0].gone, [2]);
});

test("a process that joins is told if one has ended that it was to connect to", async () => {
  const cluster = await started();
  let go = () => {};
  cluster.control.program = (process) => process.run({ prepare: () => new Promise((resolve) => go = resolve) });
  cluster.master.reload();
  await settled();
  assertEquals(cluster.processes[2].peers, [0, 1, 2]);
  cluster.processes[1].end(0, 9);
  await settled();
  assertEquals(cluster.processes[2].gone, [2]);
  go();
});

test("a worker that ends by itself with status 0 is replaced without an error", async () => {
  const cluster = await started();
  cluster.processes[0].end(0);
  await cluster.clock.move(0);
  assertEquals(cluster.living, [102, 103]);
  assertEquals(cluster.errors, []);
  assertEquals(cluster.warnings, ["Worker 0 (process 101) has ended by itself"]);
});

test("a worker that dies young is replaced after a pause, which grows", async () => {
  let dies = false;
  const cluster = await started({ workers: 2 }, (process) => dies && process.role.id === 1 ? process.end(1) : process.run());
  dies = true;
  const startOf = (index: number) => cluster.processes[index] === undefined ? "none" : "some";
  cluster.processes[1].end(1); // an old one: at once
  await cluster.clock.move(0);
  assertEquals(cluster.processes.length, 3); // has died at once
  for (const [index, pause] of [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5].entries()) {
    await cluster.clock.move(pause * 0.99);
    assertEquals(startOf(3 + index), "none", `before ${pause} s`);
    await cluster.clock.move(pause * 0.01 + 1e-9);
    assertEquals(startOf(3 + index), "some", `after ${pause} s`);
  }
  assertEquals(cluster.givenUp, undefined);
  await cluster.clock.move(6);
  assertEquals(cluster.givenUp?.message.includes("Worker 1 keeps dying"), true);
  assertEquals(cluster.living, [101]);
  await cluster.clock.move(60);
  assertEquals(cluster.living, [101]); // nothing is started any more
});

test("a worker that lives for a second is forgiven", async () => {
  const cluster = await started();
  for (let round = 0; round < 25; round++) {
    cluster.control.living.find(({ role }) => role.id === 1)!.end(1);
    await cluster.clock.move(1.5);
  }
  assertEquals(cluster.givenUp, undefined);
  assertEquals(cluster.living.length, 2);
});

test("a runtime that cannot start a process any more is tried again, with pauses", async () => {
  const cluster = await started();
  let fails = 3;
  cluster.control.beforeStart = () => {
    if (fails-- > 0) throw new Error("no memory");
  };
  cluster.processes[0].end(0, 9);
  await cluster.clock.move(0.05);
  assertEquals(cluster.living, [102]);
  await cluster.clock.move(1);
  assertEquals(cluster.living, [102, 103]);
  assertEquals(cluster.warnings.filter((text) => text.includes("no memory")).length, 3);
});

test("fds: an fd is never given twice, whoever has the slot", async () => {
  const cluster = await started({ firstSeq: 1001 });
  const seen = new Map<number, number>();
  for (let round = 0; round < 260; round++) {
    cluster.control.living.find(({ role }) => role.id === 1)!.end(1);
    await cluster.clock.move(1.5);
  }
  for (const { role, fds } of cluster.processes) {
    for (const { first, count } of fds) {
      assert(first >= 1001);
      assert((seen.get(role.slot) ?? 0) <= first);
      seen.set(role.slot, first + count);
    }
  }
  assertEquals(seen.size, 255);
  const last = cluster.processes[0];
  const before = seen.get(last.role.slot)!;
  last.life!.send({ type: "fds" });
  await settled();
  assertEquals(last.fds.at(-1), { first: before, count: 65_536 });
});

// ---- reload ---------------------------------------------------------------------------------------------------------------

test("reload: one after the other, with the listening sockets of the old ones", async () => {
  const cluster = await started();
  const sockets = cluster.processes.map(({ listening }) => listening.get(0)!);
  assertEquals(cluster.master.reload(), true);
  await settled();
  assertEquals(cluster.living, [103, 104]);
  assertEquals(cluster.processes.map(({ role }) => role.id), [0, 1, 0, 1]);
  assertEquals(cluster.processes[2].listening.get(0)!.name, sockets[0].name);
  assertEquals(cluster.processes[3].listening.get(0)!.name, sockets[1].name);
  assertEquals(cluster.processes[3].listening.get(0)!.isClosed, false);
  assertEquals(sockets.map(({ isClosed }) => isClosed), [true, true]);
  assertEquals(cluster.processes[0].orders, ["retire 3 10"]);
  assertEquals(cluster.events, ["beforereload", "afterreload"]);
  assertEquals(cluster.errors, []);
  assertEquals(cluster.master.pids, [103, 104]);
  assertEquals(cluster.processes[2].pids, [103, 104]);
});

test("reload: without a limit the old ones stay as long as they like", async () => {
  const cluster = await started({ stayTime: Infinity }, (process) => process.run({ stays: true }));
  cluster.master.reload();
  await cluster.clock.move(100_000);
  assertEquals(cluster.living, [101, 102, 103, 104]);
  assertEquals(cluster.processes[0].orders, ["retire Infinity 10"]);
  cluster.processes[0].life!.leave(false);
  await settled();
  assertEquals(cluster.living, [102, 103, 104]);
  assertEquals(cluster.errors, []);
});

test("reload: an old one that does not leave is killed", async () => {
  const cluster = await started({ stayTime: 3, drainTime: 10, closeTimeout: 5 }, (process) => process.run({ stays: true }));
  cluster.master.reload();
  await cluster.clock.move(3 + 10 + 3 + 3 + 5 + 1.9);
  assertEquals(cluster.living, [101, 102, 103, 104]);
  await cluster.clock.move(0.2);
  assertEquals(cluster.living, [103, 104]);
  assertEquals(cluster.errors, [[0, 101, { code: 0, signal: 9 }], [1, 102, { code: 0, signal: 9 }]]);
});

test("reload: a second one meanwhile is refused", async () => {
  let go = () => {};
  const cluster = await started();
  cluster.control.program = (process) => process.run({ prepare: () => new Promise((resolve) => go = resolve) });
  assertEquals(cluster.master.reload(), true);
  await settled();
  assertEquals(cluster.master.reload(), false);
  cluster.processes[1].life!.send({ type: "reload", onlyTasks: false });
  await settled();
  assertEquals(cluster.living, [101, 102, 103]);
  go();
  await settled();
  go();
  await settled();
  assertEquals(cluster.living, [103, 104]);
  assertEquals(cluster.master.reload(), true);
});

test("reload: a handler of beforeReload that does not settle holds it up for so long as handlers may run", async () => {
  const cluster = await started();
  const done: (() => void)[] = [];
  cluster.during = (event) => event === "beforereload" ? new Promise((resolve) => done.push(resolve)) : Promise.resolve();
  assertEquals(cluster.master.reload(), true);
  await cluster.clock.move(2.9);
  assertEquals([cluster.processes.length, cluster.warnings, cluster.master.reload()], [2, [], false]);
  await cluster.clock.move(0.1);
  assertEquals(cluster.living, [103, 104]);
  assertEquals(cluster.warnings, [
    "The beforeReload handler has not settled for 3 s, see max_wait_time: the reload goes on",
  ]);
  done[0](); // too late, and nothing happens
  await settled();
  assertEquals(cluster.master.reload(), true);
  await settled();
  done[1](); // in time
  await cluster.clock.move(20);
  assertEquals([cluster.living, cluster.warnings.length], [[105, 106], 1]);
  assertEquals(cluster.clock.size, 0);

  const patient = await started({ waitTime: Infinity });
  patient.during = cluster.during;
  patient.master.reload();
  await patient.clock.move(1e6);
  assertEquals([patient.processes.length, patient.warnings], [2, []]);
  done[2]();
  await settled();
  assertEquals(patient.living, [103, 104]);
});

test("reload: a handler of beforeReload that does not settle holds up no shutdown", async () => {
  const cluster = await started({ waitTime: 60 });
  cluster.during = () => new Promise(() => {});
  cluster.master.reload();
  await settled();
  await cluster.master.shutdown(3, 0);
  await settled();
  assertEquals([cluster.clock.size, cluster.living, cluster.events], [0, [], ["beforereload"]]);
  await cluster.clock.move(60);
  assertEquals(cluster.warnings, []);
});

test("each process that has ended is told to the server, with its slot", async () => {
  const cluster = await started();
  cluster.processes[1].end(0, 9);
  await cluster.clock.move(0); // another one is started
  assertEquals([cluster.exits, cluster.living], [["2 102"], [101, 103]]);
  cluster.master.reload();
  await settled();
  assertEquals(cluster.exits.toSorted(), ["1 101", "2 102", "3 103"]);
});

test("reload: a new one that does not get ready ends it, and the old one stays", async () => {
  const cluster = await started();
  cluster.control.program = (process) => process.end(1);
  cluster.master.reload();
  await settled();
  assertEquals(cluster.living, [101, 102]);
  assertEquals(cluster.processes.length, 3);
  assertEquals(cluster.processes[0].orders, []);
  assertEquals(cluster.warnings.at(-1), "The reload has ended: no process could take the place of worker 0");
  assertEquals(cluster.events, ["beforereload", "afterreload"]);
  cluster.control.program = (process) => process.run();
  cluster.master.reload();
  await settled();
  assertEquals(cluster.living, [104, 105]);
});

test("reload: a new one that hangs is killed, and the old one stays", async () => {
  const cluster = await started();
  cluster.control.program = (process) => process.run({ listen: () => new Promise(() => {}) });
  cluster.master.reload();
  await cluster.clock.move(61);
  assertEquals(cluster.living, [101, 102]);
  assertEquals(cluster.processes[0].listening.get(0)!.isClosed, false);
});

test("reload: the old one dies in the middle of the handover", async () => {
  const cluster = await started();
  let prepared = () => {};
  cluster.control.program = (process) => process.run({ prepare: () => new Promise((resolve) => prepared = resolve) });
  cluster.master.reload();
  await settled();
  const old = cluster.processes[0];
  const give = old.parent.send.bind(old.parent);
  old.parent.send = (message, socket) => {
    if (message.type === "given") old.end(0, 9); // after the socket, before the end
    return give(message, socket);
  };
  prepared();
  await settled();
  prepared();
  await cluster.clock.move(0);
  assertEquals(cluster.master.pids, [103, 104]);
  assertEquals(cluster.living, [103, 104]);
  assertEquals(cluster.errors.map(([id]) => id), [0]);
});

test("reload: an old one whose loop is blocked does not hold it up, and its late sockets are dropped", async () => {
  const cluster = await started({ workers: 1 });
  const [old] = cluster.processes;
  const receive: (() => void)[] = [];
  const send = old.parent.send.bind(old.parent);
  old.parent.send = (message, socket) => {
    receive.push(() => send(message, socket)); // sent once its loop runs again
    return Promise.resolve(true);
  };
  cluster.master.reload();
  await cluster.clock.move(4.9);
  assertEquals(cluster.master.pids, [101]);
  await cluster.clock.move(0.2);
  assertEquals(cluster.master.pids, [102]);
  assertEquals(cluster.processes[1].listening.get(0)!.name, "102:9501");
  for (const late of receive.splice(0)) late();
  await settled();
  assertEquals(cluster.processes[1].listening.get(0)!.isClosed, false);
});

test("reload: the old one dies while the new one starts, which also fails", async () => {
  const cluster = await started();
  cluster.control.program = (process) => process.run({ prepare: () => new Promise(() => {}) });
  cluster.master.reload();
  await settled();
  cluster.processes[0].end(1);
  await settled();
  assertEquals(cluster.living, [102, 103]); // the new one takes over, no further one is started
  cluster.control.program = (process) => process.run();
  cluster.processes[2].end(1);
  await cluster.clock.move(0.3);
  assertEquals(cluster.master.pids.every((pid) => pid > 0), true);
  assertEquals(cluster.living.length, 2);
});

test("reload: only task workers", async () => {
  const cluster = await started({ workers: 1, taskWorkers: 2 });
  assertEquals(cluster.processes.map(({ role }) => role.id), [0, 1, 2]);
  cluster.master.reload(true);
  await settled();
  assertEquals(cluster.living, [101, 104, 105]);
});

test("reload: nobody is left behind when there are no more slots", async () => {
  const cluster = await started({ workers: 2, stayTime: Infinity }, (process) => process.run({ stays: true }));
  for (let round = 0; round < 127; round++) {
    cluster.master.reload();
    await cluster.clock.move(1);
  }
  assertEquals(cluster.living.length, 255);
  assert(cluster.warnings.some((text) => text.includes("255 processes")));
  assertEquals(cluster.master.pids.every((pid) => pid > 0), true);
});

test("start: task workers begin with the first worker, and learn the ports from it", async () => {
  let go = () => {};
  const cluster = new Cluster({ workers: 2, taskWorkers: 2 }, (process) => {
    process.run({ listen: () => process.role.id === 0 ? new Promise((resolve) => go = resolve) : undefined });
  });
  const starting = cluster.master.start();
  await settled();
  assertEquals(cluster.processes.map(({ role }) => role.id), [0, 2, 3]);
  assertEquals(cluster.processes.map(({ listening }) => listening.size), [0, 0, 0]);
  go();
  assertEquals(await starting, [9501]);
  assertEquals(cluster.processes.map(({ role }) => role.id), [0, 2, 3, 1]);
  assertEquals(cluster.processes[1].listening.get(0)!.name, "102:9501");
  assertEquals(cluster.master.ready.map(({ id }) => id), [0, 1]);
});

test("start: a task worker that cannot start", async () => {
  const cluster = new Cluster({ workers: 1, taskWorkers: 1 }, (process) => {
    process.run({
      prepare() {
        if (process.role.id === 1) throw new Error("no database");
      },
    });
  });
  await assertRejects(() => cluster.master.start(), Error, "no database");
  assertEquals([cluster.living, cluster.clock.size], [[], 0]);
});

test("shutdown: task workers are told when the workers are gone, or have had their time", async () => {
  for (const isQuick of [true, false]) {
    const cluster = await started({ workers: 1, taskWorkers: 2 }, (process) => process.run({ stays: true }));
    const orders = () => cluster.processes.map(({ orders }) => orders.join());
    const over = cluster.master.shutdown(3, 0);
    await cluster.clock.move(1);
    assertEquals(orders(), ["shutdown 3 0", "", ""]);
    if (isQuick) cluster.processes[0].end(0);
    await cluster.clock.move(1.9);
    const told = isQuick ? "shutdown 2 0" : "";
    assertEquals(orders(), ["shutdown 3 0", told, told]);
    await cluster.clock.move(0.2);
    assertEquals(orders().slice(1), Array(2).fill(isQuick ? "shutdown 2 0,shutdown 0 0" : "shutdown 0 0"));
    for (const process of cluster.processes) process.end(0);
    await over;
    assertEquals(cluster.clock.size, 0);
  }
});

test("shutdown: a worker that has not been ready cuts nothing off, whatever it says", async () => {
  for (const cutsOff of [true, false]) {
    const cluster = await started();
    cluster.control.program = (process) => process.run({ prepare: () => new Promise(() => {}), cutsOff, stays: !cutsOff });
    cluster.processes[0].end(1);
    await cluster.clock.move(0.1);
    const over = cluster.master.shutdown(3, 0);
    await settled();
    if (!cutsOff) cluster.processes[2].end(1);
    await over;
    assertEquals([cluster.processes.length, cluster.master.wasCutOff], [3, false]);
  }
});

// ---- stop and max_request -------------------------------------------------------------------------------------------------

test("stop: a worker is replaced, then ends in order", async () => {
  const cluster = await started();
  assertEquals(cluster.master.stop(1), true);
  assertEquals(cluster.master.stop(2), false);
  assertEquals(cluster.master.stop(-1), false);
  await settled();
  assertEquals(cluster.living, [101, 103]);
  assertEquals(cluster.processes[1].orders, ["retire 0 0"]);
  assertEquals(cluster.errors, []);
});

test("stop: a worker that cannot be replaced ends all the same", async () => {
  const cluster = await started();
  cluster.control.program = (process) => process.end(1);
  cluster.processes[1].life!.send({ type: "stop", id: 1 });
  await settled();
  assertEquals(cluster.processes[1].orders, ["shutdown 3 0"]);
  assertEquals(cluster.living, [101]);
  cluster.control.program = (process) => process.run();
  await cluster.clock.move(1);
  assertEquals(cluster.living.length, 2);
});

test("max_request: a worker that has done enough is replaced, and has no limit of time", async () => {
  const cluster = await started({}, (process) => process.run({ stays: true }));
  cluster.processes[0].life!.send({ type: "retire" });
  cluster.processes[0].life!.send({ type: "retire" });
  await cluster.clock.move(10_000);
  assertEquals(cluster.living, [101, 102, 103]);
  assertEquals(cluster.processes[0].orders, ["retire Infinity 10"]);
});

// ---- shutdown -------------------------------------------------------------------------------------------------------------

test("shutdown: resolves with the last one out", async () => {
  const cluster = await started({}, (process) => process.run({ stays: true }));
  let isOver = false;
  const over = cluster.master.shutdown(3, 0).then(() => isOver = true);
  await settled();
  cluster.processes[0].life!.leave(false);
  await settled();
  assertEquals(isOver, false);
  cluster.processes[1].life!.leave(false);
  await over;
  assertEquals(cluster.processes.map(({ orders }) => orders), [["shutdown 3 0"], ["shutdown 3 0"]]);
  assertEquals(cluster.master.wasCutOff, false);
  assertEquals(cluster.clock.size, 0);
});

test("shutdown: what does not end is killed", async () => {
  const cluster = await started({}, (process) => process.run({ stays: true }));
  let isOver = false;
  cluster.master.shutdown(3, 0).then(() => isOver = true);
  await cluster.clock.move(3 + 5 + 1.9);
  assertEquals(cluster.living, [101, 102]);
  assertEquals(isOver, false);
  await cluster.clock.move(0.2);
  assertEquals(cluster.living, []);
  assertEquals(isOver, true);
  assertEquals(cluster.master.wasCutOff, true);
  assertEquals(cluster.errors, []);
});

test("shutdown: a second call shortens it, none lengthens it", async () => {
  const cluster = await started({}, (process) => process.run({ stays: true }));
  cluster.master.shutdown(Infinity, 0);
  await cluster.clock.move(1000);
  assertEquals(cluster.living, [101, 102]);
  cluster.master.shutdown(1, 0);
  cluster.master.shutdown(100, 0);
  await cluster.clock.move(1 + 5 + 2.1);
  assertEquals(cluster.living, []);
  assertEquals(cluster.processes[0].orders, ["shutdown Infinity 0", "shutdown 1 0", "shutdown 100 0"]);
});

test("shutdown: what a worker cut off is known, not that of one that was replaced before", async () => {
  const cluster = await started({}, (process) => process.run({ cutsOff: process.role.id === 1 }));
  await cluster.master.shutdown(3, 0);
  assertEquals(cluster.master.wasCutOff, true);

  const reloaded = await started({}, (process) => process.run({ stays: process.pid <= 102 }));
  reloaded.master.reload();
  await settled();
  for (const old of reloaded.processes.slice(0, 2)) old.life!.leave(true);
  await settled();
  assertEquals(reloaded.living, [103, 104]);
  await reloaded.master.shutdown(3, 0);
  assertEquals(reloaded.master.wasCutOff, false);

  const late = await started({}, (process) => process.run({ stays: process.pid <= 102 }));
  late.master.reload();
  await settled();
  const stopped = late.master.shutdown(3, 0);
  for (const old of late.processes.slice(0, 2)) old.life!.leave(true);
  await stopped;
  assertEquals(late.master.wasCutOff, true);
});

test("shutdown: asked for by a worker", async () => {
  const cluster = await started();
  cluster.processes[1].life!.askForShutdown(Infinity, 2);
  await settled();
  assertEquals(cluster.shutdowns, [[Infinity, 2]]);
});

test("shutdown during a reload ends old and new", async () => {
  const cluster = await started({}, (process) => process.run({ stays: process.role.slot === 1 }));
  let go = () => {};
  cluster.control.program = (process) => {
    process.run({ prepare: () => process.role.id === 1 ? new Promise((resolve) => go = resolve) : undefined });
  };
  cluster.master.reload();
  await settled();
  assertEquals(cluster.living, [101, 102, 103, 104]); // the first has been replaced and stays, the second is being replaced
  let isOver = false;
  cluster.master.shutdown(3, 0).then(() => isOver = true);
  await settled();
  assertEquals(cluster.living, [101]);
  assertEquals(cluster.processes[0].orders, ["retire 3 10", "shutdown 3 0"]);
  assertEquals(cluster.processes[3].orders, ["shutdown 3 0"]);
  cluster.processes[0].life!.leave(false);
  await settled();
  assertEquals(isOver, true);
  assertEquals(cluster.processes.length, 4);
  assertEquals(cluster.warnings, []);
  go();
});

test("shutdown: nobody who dies is replaced", async () => {
  const cluster = await started({}, (process) => process.run({ stays: true }));
  cluster.processes[1].end(1); // is about to be replaced
  cluster.master.shutdown(3, 0);
  await cluster.clock.move(20);
  assertEquals(cluster.processes.length, 2);
});

// ---- workers --------------------------------------------------------------------------------------------------------------

test("a worker whose master is gone exits with 69", async () => {
  const cluster = await started();
  cluster.processes[0].parent.disconnect();
  await settled(); // it cleans up
  assertEquals(cluster.processes[0].status, { code: 69, signal: 0 });
});

test("messages of others are ignored, and their sockets closed", async () => {
  const cluster = await started();
  const [worker] = cluster.processes;
  const sent = new FakeSocket("own");
  await worker.parent.send({ type: "greetings" }, sent);
  await worker.parent.send({ type: "stop" }); // without its id
  await worker.parent.send({ type: "ready", ports: ["x"] });
  await worker.parent.send({ type: "given" });
  await worker.parent.send({ type: "hello", format: 1, ports: 1 }); // a second one
  await worker.child.send({ type: "listen", ports: [1] });
  await worker.child.send({ type: "connection", port: 0 });
  await worker.child.send({ type: "setup" });
  await settled();
  assertEquals(cluster.living, [101, 102]);
  assertEquals(worker.taken, []);
  assertEquals(worker.fds.length, 1);
});

// ---- dispatching ----------------------------------------------------------------------------------------------------------

/** Dispatches connections of clients with these addresses, and returns the numbers of the workers that got them. */
async function dispatched(mode: DispatchMode, addresses: string[], loads: number[] = []): Promise<number[]> {
  const cluster = await started({ workers: 3, passed: [true] });
  cluster.control.living.forEach(({ life }, index) => life!.send({ type: "load", connections: loads[index] ?? 0, taken: 0 }));
  await settled();
  const dispatcher = new Dispatcher(mode, 3, 512, () => cluster.master.ready);
  const sockets = addresses.map((address) => new FakeSocket(address));
  for (const socket of sockets) await dispatcher.dispatch(0, socket, socket.name);
  await settled();
  assert(sockets.every(({ isClosed }) => isClosed)); // the copies of the master
  const taken = cluster.control.living.flatMap(({ role, taken }) => taken.map(({ name }) => [name, role.id] as const));
  return addresses.map((address) => taken.find(([name]) => name === address)![1]);
}

test("dispatch: in turn", async () => {
  assertEquals(await dispatched("round", ["a", "b", "c", "d", "e"]), [0, 1, 2, 0, 1]);
});

test("dispatch: to the worker with the fewest connections", async () => {
  assertEquals(await dispatched("least", ["a", "b", "c", "d", "e", "f"], [4, 0, 2]), [1, 1, 2, 1, 1, 2]);
});

test("dispatch: by address", async () => {
  const addresses = Array.from({ length: 60 }, (_, index) => `10.0.0.${index}`);
  const first = await dispatched("address", addresses);
  assertEquals(await dispatched("address", addresses.toReversed()), first.toReversed());
  for (const id of [0, 1, 2]) assert(first.filter((one) => one === id).length > 10);
});

test("dispatch: connections wait while no worker runs, up to a limit", async () => {
  const cluster = await started({ workers: 1, passed: [true] });
  const dispatcher = new Dispatcher("round", 1, 2, () => cluster.master.ready);
  cluster.processes[0].end(0, 9);
  await settled();
  const sockets = ["a", "b", "c"].map((name) => new FakeSocket(name));
  for (const socket of sockets) await dispatcher.dispatch(0, socket, "");
  assertEquals(sockets.map(({ isClosed }) => isClosed), [false, false, true]);
  await cluster.clock.move(0);
  dispatcher.flush();
  await settled();
  assertEquals(cluster.processes[1].taken.map(({ name }) => name), ["a", "b"]);
  assertEquals(sockets.map(({ isClosed }) => isClosed), [true, true, true]);
  dispatcher.close();
  const late = new FakeSocket("late");
  await dispatcher.dispatch(0, late, "");
  assertEquals(late.isClosed, true);
});

test("dispatch: a worker that dies meanwhile does not take its connection along", async () => {
  const cluster = await started({ workers: 2, passed: [true] });
  const dispatcher = new Dispatcher("round", 2, 2, () => cluster.master.ready);
  cluster.processes[0].end(0, 9); // the master does not know yet
  const socket = new FakeSocket("a");
  await dispatcher.dispatch(0, socket, "");
  await settled();
  assertEquals(cluster.processes[1].taken.map(({ name }) => name), ["a"]);
});

test("dispatch: a worker that cannot be reached is not asked again while the master believes that it runs", async () => {
  for (const mode of ["address", "round", "least"] as const) {
    const cluster = await started({ workers: 1, passed: [true] });
    const { ready } = cluster.master;
    const dispatcher = new Dispatcher(mode, 1, 1, () => ready);
    cluster.processes[0].end(0, 9); // nobody is told
    const sockets = ["a", "b"].map((name) => new FakeSocket(name));
    for (const socket of sockets) await dispatcher.dispatch(0, socket, "10.0.0.1");
    assertEquals(sockets.map(({ isClosed }) => isClosed), [false, true]); // one may wait
    await cluster.clock.move(0.2);
    ready.splice(0, 1, ...cluster.master.ready);
    dispatcher.flush();
    await settled();
    assertEquals(cluster.processes[1].taken.map(({ name }) => name), ["a"]);
  }
});
