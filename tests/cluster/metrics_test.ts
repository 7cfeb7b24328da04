// Metrics and health over all processes of a server: merging, and processes joined in memory.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { Master } from "../../src/cluster/master.ts";
import { type RequestHandler, Requests } from "../../src/cluster/requests.ts";
import type { Metrics } from "../../src/server/all_processes.ts";
import type { Histogram } from "../../src/server/counters.ts";
import { FAMILIES } from "../../src/server/metric_families.ts";
import { addMetrics, countersOfMetrics, metricsText, ownMetrics, subtractMetrics } from "../../src/server/metrics.ts";
import { ServerContext } from "../../src/server/server_context.ts";
import { SharedResult } from "../../src/server/shared_result.ts";
import { WorkerHealth } from "../../src/server/worker_health.ts";
import { WorkerStats } from "../../src/server/worker_stats.ts";
import { settle, until } from "../support/activity.ts";
import { readMetrics, samplesOf } from "../support/metrics_text.ts";
import { signal } from "../support/serving.ts";
import { FakeClock, FakeControl } from "./fake_processes.ts";
import { joined, MemoryNet, Node } from "./stage.ts";

// ---- merging --------------------------------------------------------------------------------------------------------

/** A histogram with two buckets of the family `sluice_ping_rtt_seconds`, of which the others are empty. */
function pings(low: number, lowest: number, sum: number): number[] {
  const { bounds } = FAMILIES.find(({ name }) => name === "sluice_ping_rtt_seconds")!;
  return [low, lowest, ...new Array(bounds!.length - 1).fill(0), sum];
}

test("counters, gauges and histograms add up; labels of one process only stay; some are the lowest or the highest", () => {
  const sum: Metrics = {};
  const one: Metrics = {
    sluice_http_requests: { 'method="GET"': 1, 'method="PUT"': 2 },
    sluice_topics: { "": 3 },
    sluice_ping_rtt_seconds: { "": pings(1, 0, 2000) },
    sluice_broker_up: { "": 1 },
    sluice_broker_lag_seconds: { "": 0.5 },
    sluice_build_info: { 'version="1"': 1 },
    sluice_connections: { 'protocol="http",worker="0"': 4 },
    of_a_later_version: { "": 1 },
  };
  const other: Metrics = {
    sluice_http_requests: { 'method="PUT"': 5, 'method="POST"': 7 },
    sluice_topics: { "": 1 },
    sluice_ping_rtt_seconds: { "": pings(2, 3, 500) },
    sluice_broker_up: { "": 0 },
    sluice_broker_lag_seconds: { "": 0.25 },
    sluice_build_info: { 'version="1"': 1 },
    sluice_connections: { 'protocol="http",worker="1"': 6 },
  };
  const before = structuredClone([one, other]);
  for (const metrics of [one, other]) addMetrics(sum, metrics);
  assertEquals([one, other], before); // they are used again
  const filled = Object.fromEntries(Object.entries(sum).filter(([, samples]) => Object.keys(samples).length > 0));
  assertEquals(filled, {
    sluice_build_info: { 'version="1"': 1 },
    sluice_connections: { 'protocol="http",worker="0"': 4, 'protocol="http",worker="1"': 6 },
    sluice_ping_rtt_seconds: { "": pings(3, 3, 2500) },
    sluice_topics: { "": 4 },
    sluice_broker_up: { "": 0 },
    sluice_broker_lag_seconds: { "": 0.5 },
    sluice_http_requests: { 'method="GET"': 1, 'method="PUT"': 7, 'method="POST"': 7 },
  });
  const counters = countersOfMetrics(other);
  assertEquals(counters.sluice_topics, undefined);
  assertEquals(counters.sluice_ping_rtt_seconds, { "": pings(2, 3, 500) });
  subtractMetrics(sum, counters);
  assertEquals(sum.sluice_ping_rtt_seconds, one.sluice_ping_rtt_seconds);
  assertEquals(sum.sluice_http_requests, { 'method="GET"': 1, 'method="PUT"': 2, 'method="POST"': 0 });
});

test("the sum of a histogram does not depend on the order of processes", () => {
  const values = [0.1, 0.2, 0.3, 1e-7, 1e6, 7.000001];
  const metrics = values.map((value) => {
    const context = new ServerContext(undefined);
    context.counters.pings.add(value);
    return ownMetrics(context);
  });
  const texts = [metrics, [...metrics].reverse()].map((all) => {
    const sum: Metrics = {};
    for (const one of all) addMetrics(sum, one);
    return metricsText(sum, "prometheus");
  });
  assertEquals(samplesOf(texts[0], "sluice_ping_rtt_seconds_sum"), { "": 1000007.600001 });
  assertEquals(texts[0], texts[1]);
});

test("only what is of one process has the label worker, and only with workers", () => {
  const context = new ServerContext(undefined);
  context.counters.fanout.add(3);
  const labelled = (metrics: Metrics) =>
    Object.keys(metrics).filter((name) => Object.keys(metrics[name]).some((labels) => labels.includes("worker=")));
  assertEquals(labelled(ownMetrics(context)), []);
  assertEquals(Object.keys(ownMetrics(context).sluice_start_time_seconds), [""]);
  context.member = { slot: 2, id: 1, pid: 7 };
  const metrics = ownMetrics(context);
  assertEquals(labelled(metrics), ["sluice_connections", "sluice_event_loop_delay_seconds", "sluice_memory_bytes"]);
  assertEquals(metrics.sluice_memory_bytes, { 'kind="connections",worker="1"': 0 });
  assertEquals(metrics.sluice_start_time_seconds, {}); // the master has it
  const text = metricsText(metrics, "prometheus");
  assert(text.includes('sluice_event_loop_delay_seconds_bucket{worker="1",le="0.0001"} 0\n'));
  assert(text.includes('sluice_event_loop_delay_seconds_sum{worker="1"} 0\n'));
  assert(text.includes('sluice_publish_fanout_bucket{le="3.0"} 1\n'));
  assert(text.includes("sluice_publish_fanout_sum 3\n"));
});

test("each histogram has the bounds of its family", () => {
  const { counters } = new ServerContext(undefined);
  const histograms: [string, Histogram][] = [
    ["sluice_handshake_duration_seconds", counters.handshakeDuration],
    ["sluice_ping_rtt_seconds", counters.pings],
    ["sluice_publish_fanout", counters.fanout],
    ["http_server_request_duration_seconds", counters.http.http.get("GET", 200).duration],
    ["sluice_event_loop_delay_seconds", counters.loopDelay.histogram],
  ];
  counters.measure("message", performance.now(), undefined);
  histograms.push(["sluice_handler_duration_seconds", counters.handlers.get("message")!.duration]);
  assertEquals(histograms.map(([name]) => name).sort(), FAMILIES.filter(({ bounds }) => bounds).map(({ name }) => name).sort());
  for (const [of, { bounds }] of histograms) assertEquals(FAMILIES.find(({ name }) => name === of)!.bounds, bounds);
  for (const { bounds, type } of FAMILIES) assertEquals(bounds !== undefined, type === "histogram");
});

// ---- processes in memory --------------------------------------------------------------------------------------------

/** A process whose values the test sets. */
class Process {
  readonly node: Node;
  readonly context: ServerContext = new ServerContext(undefined);
  readonly stats: WorkerStats;
  readonly health: WorkerHealth;
  readonly warnings: string[] = [];
  /** How often it has looked at its values. */
  looks = 0;
  readonly #requests: Requests;
  readonly #served: Map<number, RequestHandler> = new Map();

  constructor(slot: number, clock: () => number, bufferSize = 1024 * 1024) {
    this.node = new Node(slot, { clock, bufferSize }, false);
    const { mesh } = this.node;
    const { context } = this;
    context.member = mesh.self;
    context.state = "running";
    const requests = this.#requests = new Requests(mesh);
    const serve = requests.serve.bind(requests);
    requests.serve = (method, handler) => {
      this.#served.set(method, handler);
      serve(method, handler);
    };
    this.stats = new WorkerStats(
      mesh,
      requests,
      () => {
        this.looks++;
        return { stats: { sent: context.counters.sentBytes }, metrics: ownMetrics(context) };
      },
      2,
      (message) => void this.warnings.push(message),
    );
    this.health = new WorkerHealth(context, mesh, requests, 2, 1);
    requests.serve = serve;
    mesh.pidOf = (id) => 1001 + id; // the master has slot 0
  }

  /** The values of a metric, of those that are not 0, as all processes have told them. */
  of(name: string): Record<string, number> {
    return samplesOf(metricsText(this.stats.metrics(), "prometheus"), name);
  }

  /** Lets it reply to nothing, as if its event loop were blocked; or to everything again. */
  block(isBlocked = true): void {
    for (const method of [48, 49]) {
      const handler = this.#served.get(method)!;
      this.#requests.serve(method, isBlocked ? () => new Promise(() => {}) : handler);
    }
    const { tell } = WorkerStats.prototype;
    this.stats.tell = isBlocked ? () => {} : tell;
  }
}

/** A moment that the test moves. */
interface Time {
  now: number;
}

/** Runs a test with the master, workers 0 and 1, and task worker 2. */
async function processes(
  test: (all: Process[], net: MemoryNet, time: Time) => Promise<void>,
  bufferSize?: number,
): Promise<void> {
  const time: Time = { now: 1000 };
  const all = [0, 1, 2, 3].map((slot) => new Process(slot, () => time.now, bufferSize));
  const net = new MemoryNet();
  await joined(net, all.map(({ node }) => node));
  await settle();
  try {
    await test(all, net, time);
  } finally {
    await Promise.all(all.map(({ node }) => node.mesh.close()));
  }
}

/** Moves the time, and lets all processes look whether something is late. */
async function pass(all: readonly Process[], time: Time, milliseconds: number): Promise<void> {
  for (let passed = 0; passed < milliseconds; passed += 250) {
    time.now += 250;
    for (const { node } of all) node.mesh.tick();
    await settle();
  }
}

const REQUESTS = "sluice_packets_dropped_total"; // a counter that a test can set
const SILENT = "sluice_worker_silent";

async function freshOf({ stats }: Process): Promise<string> {
  return metricsText(await stats.freshMetrics(), "prometheus");
}

test("who is asked has the values of all: what they are now on the page, what they told last at once", () =>
  processes(async (all) => {
    for (const [index, { context }] of all.entries()) context.counters.droppedPackets = 10 ** index;
    assertEquals(all[1].of(REQUESTS), { "": 10 }); // nobody has told
    for (const one of all) {
      const text = await freshOf(one);
      assertEquals(samplesOf(text, REQUESTS), { "": 1111 });
      assertEquals([...readMetrics(text).keys()].filter((sample) => sample.startsWith(SILENT)).sort(), [
        `${SILENT}{worker="-1"}`,
        `${SILENT}{worker="0"}`,
        `${SILENT}{worker="1"}`,
        `${SILENT}{worker="2"}`,
      ]);
      assertEquals(samplesOf(text, SILENT), {});
    }
    assertEquals(all[0].of(REQUESTS), { "": 1111 }); // what was on a page is known to the master
    for (const { stats } of all) stats.tell();
    await settle();
    for (const one of all) assertEquals(one.of(REQUESTS), { "": 1111 });
    assertEquals(samplesOf(metricsText(all[0].stats.metrics(), "prometheus"), SILENT), {});
  }));

test("a process that does not reply within a second has the values that it told last, and the page says which it is", () =>
  processes(async (all, _net, time) => {
    const [master, first, slow] = all;
    const others = all.filter((one) => one !== slow);
    slow.context.counters.droppedPackets = 5;
    slow.stats.tell(true);
    await settle();
    slow.context.counters.droppedPackets = 6;
    slow.block();
    for (const asked of [master, first]) {
      await new Promise((resolve) => setTimeout(resolve, 110)); // a page is good for others so long
      let text: string | undefined;
      freshOf(asked).then((page) => text = page);
      await pass(others, time, 500);
      assertEquals(text, undefined);
      await pass(others, time, 750);
      assertEquals([samplesOf(text!, REQUESTS), samplesOf(text!, SILENT)], [{ "": 5 }, { 'worker="1"': 1 }]);
    }
    slow.block(false);
    await new Promise((resolve) => setTimeout(resolve, 210));
    for (const asked of [master, first]) {
      const text = await freshOf(asked);
      assertEquals([samplesOf(text, REQUESTS), samplesOf(text, SILENT)], [{ "": 6 }, {}]);
    }
  }));

test("a master that does not reply leaves what all have told last", () =>
  processes(async (all, _net, time) => {
    const [master, first, second] = all;
    second.context.counters.droppedPackets = 5;
    second.stats.tell(true);
    await settle();
    second.context.counters.droppedPackets = 6;
    first.context.counters.droppedPackets = 10;
    master.block();
    let text: string | undefined;
    freshOf(first).then((page) => text = page);
    await pass([first], time, 1000);
    assertEquals(text, undefined);
    await pass([first], time, 750);
    assertEquals([samplesOf(text!, REQUESTS), samplesOf(text!, SILENT)], [{ "": 15 }, { 'worker="-1"': 1 }]);
  }));

test("a master that does not reply any more: what was on a page before does not fall", () =>
  processes(async (all, _net, time) => {
    const [master, first, second] = all;
    first.context.counters.droppedPackets = 10;
    second.context.counters.droppedPackets = 5;
    second.context.counters.pings.add(0.5);
    second.stats.tell = () => {}; // the master alone knows of it, by asking
    assertEquals(first.of(REQUESTS), { "": 10 });
    assertEquals(samplesOf(await freshOf(first), REQUESTS), { "": 15 });
    master.block();
    await new Promise((resolve) => setTimeout(resolve, 110)); // a page is good for others so long
    let text: string | undefined;
    freshOf(first).then((page) => text = page);
    await pass([first], time, 1750);
    assertEquals([samplesOf(text!, REQUESTS), samplesOf(text!, SILENT)], [{ "": 15 }, { 'worker="-1"': 1 }]);
    assertEquals(samplesOf(text!, "sluice_ping_rtt_seconds_sum"), { "": 0.5 });
    first.context.counters.droppedPackets = 20;
    await new Promise((resolve) => setTimeout(resolve, 110));
    freshOf(first).then((page) => text = page);
    await pass([first], time, 1750);
    assertEquals(samplesOf(text!, REQUESTS), { "": 20 });
  }));

test("counters and histograms of a process that has ended stay, its gauges go; what was on a page never falls", () =>
  processes(async (all, net) => {
    const [master, first, second] = all;
    first.context.counters.droppedPackets = 3;
    first.context.counters.pings.add(0.5);
    first.context.counters.loopDelay.add(0.25);
    const before = await freshOf(second);
    first.context.counters.droppedPackets = 4; // nobody hears of this one
    await first.node.mesh.close();
    await settle();
    const check = (text: string) => {
      assertEquals(samplesOf(text, REQUESTS), { "": 3 });
      assertEquals(samplesOf(text, "sluice_ping_rtt_seconds_sum"), { "": 0.5 });
      assertEquals(samplesOf(text, "sluice_event_loop_delay_seconds_count"), { 'worker="0"': 1 });
      const workers = Object.keys(readMetrics(text)).filter((sample) => sample.startsWith("sluice_memory_bytes"));
      assert(!workers.join().includes('worker="0"'));
    };
    assertEquals(samplesOf(before, REQUESTS), { "": 3 });
    check(metricsText(master.stats.metrics(), "prometheus"));
    check(await freshOf(second));
    master.stats.tell(true); // what it has counted
    await settle();
    for (const one of [master, second]) check(metricsText(one.stats.metrics(), "prometheus"));
    const late = new Process(4, () => 1000);
    await late.node.mesh.listen(net, "//4");
    await late.node.mesh.join(net, [0, 2, 3].map((slot) => ({ slot, path: `//${slot}` })));
    check(metricsText(late.stats.metrics(), "prometheus"));
    check(await freshOf(late));
    await late.node.mesh.close();
  }));

test("a process tells its last values when it stops, although stats() has not changed", () =>
  processes(async ([master, first]) => {
    first.stats.tell();
    await settle();
    first.context.counters.pings.add(1);
    first.stats.tell();
    await settle();
    assertEquals(master.of("sluice_ping_rtt_seconds_count"), {});
    first.stats.tell(true);
    await settle();
    assertEquals(master.of("sluice_ping_rtt_seconds_count"), { "": 1 });
  }));

test("a process of which nothing has changed tells its values each ten seconds only", () =>
  processes(async (all, _net, time) => {
    const first = all[1];
    await pass(all, time, 1500);
    const told = () => first.node.link(0).connection.sentBytes;
    const before = told();
    await pass(all, time, 5000);
    assert(told() - before < 200, `${told() - before} bytes`); // pings
    await pass(all, time, 6000);
    assert(told() - before > 1000);
  }));

test("a link that is made again counts nothing twice", () =>
  processes(async (all) => {
    const [master, first] = all;
    first.context.counters.droppedPackets = 3;
    first.context.counters.pings.add(0.1);
    await freshOf(master);
    first.node.link(0).fail("a test");
    await until("the master has lost it", () => master.node.events.includes("-1"));
    assertEquals([master.of(REQUESTS), master.of("sluice_ping_rtt_seconds_sum")], [{ "": 3 }, { "": 0.1 }]);
    await until("it is joined again", () => master.node.mesh.linkOf(1) !== undefined);
    await settle();
    await new Promise((resolve) => setTimeout(resolve, 110));
    for (const one of all) assertEquals(samplesOf(await freshOf(one), REQUESTS), { "": 3 });
    assertEquals(master.of("sluice_ping_rtt_seconds_sum"), { "": 0.1 });
    for (const { node } of all) node.warnings.length = 0;
  }));

test("metrics that are too large for a link are not told, which is said once; the links stay", () =>
  processes(async (all) => {
    const [master, first] = all;
    const set = (size: number) => {
      first.context.refusals.counts.set("request", new Map([["x".repeat(size), 1]]));
      first.context.counters.droppedPackets++;
    };
    const sizeOf = () => {
      const metrics = ownMetrics(first.context);
      return JSON.stringify({ own: { stats: { sent: 0, event_loop_delay: null }, metrics } }).length;
    };
    set(0);
    const room = first.node.mesh.bufferSize - 1 - sizeOf();
    set(room);
    assertEquals(sizeOf(), first.node.mesh.bufferSize - 1);
    first.stats.tell(true);
    await settle();
    assertEquals([master.of(REQUESTS), first.warnings], [{ "": 2 }, []]);
    set(room + 1);
    for (let i = 0; i < 2; i++) first.stats.tell(true);
    await settle();
    assertEquals([first.of(REQUESTS), master.of(REQUESTS)], [{ "": 3 }, { "": 2 }]); // what was shown does not fall
    assertEquals(first.warnings, ["Metrics of 65536 bytes are not told to other processes, see worker_buffer_size"]);
    assertEquals(master.node.warnings, []);
    assert(master.node.mesh.linkOf(1) !== undefined);
  }, 64 * 1024));

test("many who ask at once have the others asked once", () =>
  processes(async (all) => {
    const looks = all[2].looks;
    const pages = await Promise.all(Array.from({ length: 100 }, () => all[1].stats.freshMetrics()));
    assertEquals([new Set(pages).size, all[2].looks - looks], [1, 1]);
  }));

test("a shared result is made once at a time, is good for 100 ms, and an error is not kept longer", async () => {
  let made = 0;
  let wait = Promise.resolve();
  const shared = new SharedResult(async () => {
    const number = ++made;
    await wait;
    if (number === 3) throw new Error("third");
    return number;
  });
  const go = signal();
  wait = go.promise;
  const first = [shared.get(), shared.get()];
  await new Promise((resolve) => setTimeout(resolve, 120));
  first.push(shared.get()); // it takes long
  go.resolve();
  assertEquals(await Promise.all(first), [1, 1, 1]);
  assertEquals(await shared.get(), 2); // the first one was begun too long ago
  const until = performance.now() + 100;
  while (performance.now() <= until + 1) await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(await shared.get().catch((error) => error.message), "third");
  await new Promise((resolve) => setTimeout(resolve, 120));
  assertEquals(await shared.get(), 4);
});

// ---- health ---------------------------------------------------------------------------------------------------------

const READY = { reasons: [], workers: [] };

/** Gives the master workers that are missing. */
function missing({ context }: Process, ...ids: number[]): void {
  context.census = { missing: ids } as unknown as ServerContext["census"];
}

/** What all processes say but task workers, which have no port. */
async function checked(all: readonly Process[]): Promise<unknown[]> {
  await new Promise((resolve) => setTimeout(resolve, 110));
  return await Promise.all(all.slice(0, 3).map(({ health }) => health.check()));
}

test("the server is ready if the master runs and misses no worker, whoever is asked", () =>
  processes(async (all) => {
    const [master] = all;
    missing(master);
    assertEquals(await checked(all), [READY, READY, READY]);
    missing(master, 1, 2);
    const missed = { reasons: ["workers"], workers: [1, 2] };
    assertEquals(await checked(all), [missed, missed, missed]);
    missing(master);
    for (const state of ["starting", "stopping"] as const) {
      master.context.state = state;
      const other = { reasons: [state], workers: [] };
      assertEquals(await checked(all), [other, other, other]);
    }
  }));

test("a worker whose event loop is late is a reason; a task worker is not, nor is any with readyz_max_delay: 0", () =>
  processes(async (all) => {
    const [master, first, , task] = all;
    missing(master);
    task.context.counters.loopDelay.add(5);
    first.context.counters.loopDelay.add(0.9);
    assertEquals(await checked([master]), [READY]);
    first.context.counters.loopDelay.add(1.1);
    assertEquals((await checked(all))[2], { reasons: ["event_loop_delay"], workers: [0] });
    missing(master, 2);
    assertEquals((await checked(all))[0], { reasons: ["workers", "event_loop_delay"], workers: [0, 2] });
    for (const { context } of all) context.config.change({ readyz_max_delay: 0 });
    missing(master);
    assertEquals(await checked(all), [READY, READY, READY]);
  }));

test("a worker or a master that does not reply within a second is late, one that may be late longer when it has been so long", () =>
  processes(async (all, _net, time) => {
    const [master, first, second] = all;
    missing(master);
    for (const [one, asked, id] of [[first, master, 0], [master, second, -1]] as const) {
      one.block();
      let found: unknown;
      asked.health.check().then((result) => found = result);
      await settle();
      assertEquals(found, undefined);
      await pass(all, time, 1500);
      assertEquals(found, { reasons: ["event_loop_delay"], workers: [id] });
      one.block(false);
    }
    assertEquals(await checked(all), [READY, READY, READY]);
    for (const { context } of all) context.config.change({ readyz_max_delay: 3600 });
    first.block();
    const later = master.health.check();
    await pass(all, time, 1500);
    assertEquals(await later, READY);
  }));

test("a worker whose master does not reply knows who runs", () =>
  processes(async (all, _net, time) => {
    const [master, first] = all;
    master.block();
    first.node.mesh.pidOf = (id) => id === 2 ? 0 : 1001 + id;
    first.context.config.change({ readyz_max_delay: 0 });
    const found = first.health.check();
    await pass(all, time, 1500);
    assertEquals(await found, { reasons: ["workers"], workers: [2] });
  }));

test("the master counts processes by state, and misses those that do not serve, and those whose last one has died young", async () => {
  const clock = new FakeClock();
  const control = new FakeControl();
  const options = {
    execArgv: undefined,
    token: "secret",
    folder: "/run",
    masterPid: 1,
    firstSeq: 1,
    ports: [0],
    passed: [false],
  };
  const times = { startTimeout: 60, waitTime: 3, stayTime: 3, drainTime: 10, closeTimeout: 5 };
  const nothing = () => {};
  const host = {
    warn: nothing,
    onWorkerError: nothing,
    onExit: nothing,
    onReload: nothing,
    onReady: nothing,
    onGivenUp: nothing,
    onShutdown: nothing,
  };
  const master = new Master(control, { workers: 2, taskWorkers: 1, ...options, ...times }, host, clock);
  const { census } = master;
  const counts = (kind: string) => census.states.filter(([of]) => of === kind).map(([, state, count]) => `${count} ${state}`);
  assertEquals([census.missing, counts("worker")], [[0, 1, 2], ["0 starting", "0 ready", "0 leaving", "2 down"]]);
  await master.start();
  assertEquals([census.missing, counts("worker")], [[], ["0 starting", "2 ready", "0 leaving", "0 down"]]);
  assertEquals(counts("task"), ["0 starting", "1 ready", "0 leaving", "0 down"]);
  await clock.move(2);
  control.processes[0].end(0, 9); // an old one
  await clock.move(0);
  assertEquals([census.missing, census.exits], [[], { told: 0, died: 1 }]); // the next one is there already
  control.living.at(-1)!.end(1);
  await clock.move(0);
  const [{ role: { id } }] = control.processes;
  assertEquals([census.missing, counts("worker")[3], census.exits.died], [[id], "1 down", 2]);
  await clock.move(0.2);
  assertEquals([census.missing, counts("worker")[3]], [[id], "0 down"]); // it runs, but may die again
  await clock.move(0.9);
  assertEquals(census.missing, []);
  master.reload();
  await clock.move(5);
  assertEquals([census.missing, census.exits], [[], { told: 3, died: 2 }]);
  await master.shutdown(0, 0);
});
