// The pages of metrics and health of servers with workers, as programs with real processes, in both styles.

import { assert, assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { FAMILIES } from "../../src/server/metric_families.ts";
import { until } from "../support/activity.ts";
import { inFolder } from "../support/folder.ts";
import { readMetrics, samplesOf } from "../support/metrics_text.ts";
import { inThisRuntime, Program } from "../support/program.ts";
import { frame, RawClient } from "../support/raw_client.ts";

const isHere = process.platform === "linux"; // elsewhere workers are not promised
const FILE = new URL("./metrics_program.ts", import.meta.url);

const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Sends a request on a connection of its own. */
async function ask(port: number, path: string): Promise<{ status: number; body: string }> {
  const client = await RawClient.connect(port);
  try {
    client.send(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    const answer = new TextDecoder().decode(await client.readAll());
    const [head, ...body] = answer.split("\r\n\r\n");
    return { status: Number(head.split(" ")[1]), body: body.join("\r\n\r\n") };
  } finally {
    client.destroy();
  }
}

/** The samples that do not fall, by name. */
const COUNTERS = new RegExp(
  `^(${
    FAMILIES.flatMap(({ name, type }) =>
      type === "counter" ? [`${name}_total`] : type === "histogram" ? [`${name}_(bucket|sum|count)`] : []
    )
      .join("|")
  })(\\{|$)`,
);

/** A running server, whose pages are read all the time; nothing that is counted may fall. */
class Watched {
  readonly program: Program;
  port = 0;
  admin = 0;
  /** The last page. */
  page = "";
  /** The number of pages. */
  pages = 0;
  readonly fallen: string[] = [];
  /** Whether only the master is asked. */
  isOfMaster = false;
  #values: Map<string, number> = new Map();
  #isOver = false;
  #watching: Promise<void> = Promise.resolve();

  constructor(style: string, settings: Record<string, unknown>) {
    this.program = new Program(inThisRuntime(FILE, style, JSON.stringify(settings)));
  }

  async start(): Promise<void> {
    const [, , port, , admin] = (await this.line("listens on")).split(" ");
    this.port = Number(port);
    this.admin = Number(admin);
    this.#watching = this.#watch();
  }

  async line(beginning: string): Promise<string> {
    for (;;) {
      const line = await this.program.line();
      if (line.startsWith(beginning)) return line;
    }
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      // A connection may be at a worker that is killed.
      const isOfMaster = this.isOfMaster || this.pages % 2 === 0;
      const text = (await ask(isOfMaster ? this.admin : this.port, "/metrics").catch(() => undefined))?.body;
      if (text !== undefined && text !== "") this.#compare(text);
      await later(150); // a page is good for others for 100 ms
    }
  }

  #compare(text: string): void {
    for (const [sample, value] of readMetrics(text)) {
      if (!COUNTERS.test(sample)) continue;
      const before = this.#values.get(sample) ?? 0;
      if (value < before) this.fallen.push(`${sample}: ${before} ${value}`);
      this.#values.set(sample, value);
    }
    for (const sample of this.#values.keys()) if (!text.includes(`${sample} `)) this.fallen.push(`${sample} is gone`);
    this.page = text;
    this.pages++;
  }

  /** Waits for a page that is as it should be, and was asked for after the call. */
  async until(what: string, isTrue: (page: string) => boolean): Promise<void> {
    const from = this.pages + 2;
    for (const end = Date.now() + 30_000; this.pages < from || !isTrue(this.page); await later(20)) {
      if (Date.now() > end) throw new Error(`Not within 30 s: ${what}; ${this.program.errors}\n${this.page}`);
    }
  }

  of(name: string): Record<string, number> {
    return samplesOf(this.page, name);
  }

  /** Makes requests, until each of some workers has had one. Returns the number of requests. */
  async requests(...ids: number[]): Promise<number> {
    const missing = new Set(ids.map(String));
    let count = 0;
    while (missing.size > 0) {
      missing.delete((await ask(this.port, "/who")).body.split(" ")[0]);
      count++;
    }
    return count;
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#watching;
    process.kill(this.program.process.pid!, "SIGTERM");
    await this.program.exited;
  }
}

async function watched(
  style: string,
  settings: Record<string, unknown>,
  test: (server: Watched) => Promise<void>,
): Promise<void> {
  const server = new Watched(style, settings);
  try {
    await server.start();
    await test(server);
    assertEquals(server.fallen, []);
  } finally {
    await server.stop();
  }
}

const REQUESTS = "sluice_http_requests_total";
const GET = 'method="GET",status="200"';
const READY = 'kind="worker",state="ready"';
const PATIENT = { readyz_max_delay: 60, stats_timer_interval: 100 }; // the machine may be busy
const WELL = '{"status":"ok","reasons":[]}\n';

for (const style of ["event", "coroutine"]) {
  test(
    `${style} style: the pages of all processes are the same, and counters do not fall`,
    { skip: !isHere },
    () =>
      inFolder((folder) =>
        watched(style, { ...PATIENT, stats_file: join(folder, "all.prom") }, async (server) => {
          // All processes count, and whoever is asked has the sums.
          let asked = await server.requests(0, 1, 2);
          await server.until("all requests", () => server.of(REQUESTS)[GET] === asked);
          assertEquals(server.of("sluice_workers"), { [READY]: 3 });
          await server.until("a page of all", () => Object.keys(server.of("sluice_worker_silent")).length === 0);
          const workers = Object.keys(server.of("sluice_memory_bytes")).filter((labels) => labels.includes("rss"));
          assertEquals(workers.map((labels) => labels.split("worker=")[1]).sort(), ['"-1"', '"0"', '"1"', '"2"']);
          const client = await RawClient.open(server.port, "/ws");
          client.send(frame({ opcode: 1, payload: "hello" }));
          await client.readFrame();
          await server.until("the WebSocket", () => server.of("sluice_messages_received_total")['opcode="text"'] === 1);
          const sockets = Object.entries(server.of("sluice_connections")).filter(([labels]) => labels.includes("websocket"));
          assertEquals(sockets.map(([, count]) => count), [1]);
          for (const port of [server.port, server.admin]) {
            assertEquals(await ask(port, "/readyz"), { status: 200, body: WELL });
            assertEquals(await ask(port, "/livez"), { status: 200, body: WELL });
          }
          // What is known at once is of the moment in one process, and what the others have told.
          const here = async () => samplesOf((await ask(server.port, "/metrics-here")).body, REQUESTS)[GET];
          while (await here() !== asked++) await later(250);
          const inFile = () => samplesOf(readFileSync(join(folder, "all.prom"), "utf8"), REQUESTS)[GET];
          await until("the file of the master has all", () => inFile() === asked);

          // A worker is killed.
          const before = asked;
          await server.until("all requests again", () => server.of(REQUESTS)[GET] === before);
          await ask(server.port, "/die").catch(() => {});
          await server.line("died");
          await server.until("another one", () => server.of("sluice_workers")[READY] === 3);
          assertEquals(server.of("sluice_worker_exits_total"), { 'cause="died"': 1 });
          assertEquals(server.of(REQUESTS)[GET], before); // all of them were on a page
          while ((await ask(server.admin, "/readyz")).status !== 200) await later(50);

          // All workers are replaced, under load, and the server is ready all the time.
          let isOver = false;
          let served = 0;
          const unready: string[] = [];
          const load = (async () => {
            while (!isOver) {
              if ((await ask(server.port, "/who")).status === 200) served++;
              const { body } = await ask(served % 2 === 0 ? server.port : server.admin, "/readyz");
              if (body !== WELL) unready.push(body);
            }
          })().catch((error) => void unready.push(String(error)));
          process.kill(server.program.process.pid!, "SIGHUP");
          await server.line("reloaded");
          isOver = true;
          await load;
          await server.until("the old ones have ended", () => server.of("sluice_worker_exits_total")['cause="told"'] === 3);
          assertEquals(unready, []);
          assertEquals(server.of(REQUESTS)[GET], before + served);
          assertEquals(server.of("sluice_workers"), { [READY]: 3 });
          client.destroy();
        })
      ),
  );
}

test("a worker that stands still holds no page up", { skip: !isHere }, () =>
  watched("event", {}, async (server) => {
    server.isOfMaster = true; // a connection may be at the worker
    const asked = await server.requests(0, 1, 2) + 1;
    const [id, pid] = (await ask(server.port, "/who")).body.split(" ").map(Number);
    await server.until("all requests", () => server.of(REQUESTS)[GET] === asked);
    process.kill(pid, "SIGSTOP");
    await server.until("it is silent", () => server.of("sluice_worker_silent")[`worker="${id}"`] === 1);
    assertEquals(server.of(REQUESTS)[GET], asked); // as it has told
    const { status, body } = await ask(server.admin, "/readyz");
    const { reasons, workers } = JSON.parse(body);
    assertEquals([status, reasons], [503, ["event_loop_delay"]]);
    assert(workers.includes(id), body);
    assertEquals((await ask(server.admin, "/livez")).status, 200);
    process.kill(pid, "SIGCONT");
    await server.until("it is back", () => server.of("sluice_worker_silent")[`worker="${id}"`] === undefined);
    while ((await ask(server.admin, "/readyz")).status !== 200) await later(50);
    assertEquals(server.of(REQUESTS)[GET], asked);
  }));

test(
  "a server whose worker keeps dying is not ready, and says which one it is",
  { skip: !isHere },
  () =>
    watched("dying", { ...PATIENT, worker_num: 2 }, async (server) => {
      while ((await ask(server.admin, "/readyz")).status === 200) await later(20);
      for (let i = 0; i < 20; i++) { // also while it runs: it may die again
        const { status, body } = await ask(server.admin, "/readyz");
        assertEquals([status, body], [503, '{"status":"unavailable","reasons":["workers"],"workers":[1]}\n']);
        await later(50);
      }
      await server.until("two deaths", () => server.of("sluice_worker_exits_total")['cause="died"'] >= 2);
    }),
);
