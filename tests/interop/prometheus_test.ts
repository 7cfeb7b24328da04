// Metrics, read by Prometheus' own parsers of both formats.

import { assert, assertEquals } from "@std/assert";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { HttpServer, WebSocketServer } from "../../mod.ts";
import { find } from "../../tools/prerequisites.mjs";
import type { Metrics } from "../../src/server/all_processes.ts";
import { addMetrics, metricsText, ownMetrics } from "../../src/server/metrics.ts";
import { ServerContext } from "../../src/server/server_context.ts";
import { FAMILIES } from "../../src/server/metric_families.ts";
import { readMetrics, samplesOf } from "../support/metrics_text.ts";
import { testWith } from "../support/prerequisites.ts";
import { closeFrame, frame, handshake, RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";

/** A family as the parser tells it. */
interface ParsedFamily {
  name: string;
  type: string;
  unit: string;
  help: string;
  samples: [name: string, labels: Record<string, string>, value: number][];
}

/** Parses a text with the parser of a format. */
async function parse(format: "prometheus" | "openmetrics", text: string): Promise<ParsedFamily[]> {
  const program = spawn(find("prometheus_client")!, [fileURLToPath(new URL("parse_metrics.py", import.meta.url)), format]);
  let output = "";
  let errors = "";
  program.stdout.setEncoding("utf8").on("data", (chunk: string) => output += chunk);
  program.stderr.setEncoding("utf8").on("data", (chunk: string) => errors += chunk);
  program.stdin.end(text);
  const code = await new Promise((resolve) => program.on("close", resolve));
  assertEquals([code, errors], [0, ""]);
  return JSON.parse(output);
}

/** Compares what the parser has found with the families and the values of the text. */
async function check(format: "prometheus" | "openmetrics", text: string): Promise<void> {
  const families = await parse(format, text);
  const values = readMetrics(text);
  let samples = 0;
  for (const family of families) {
    const known = FAMILIES.find(({ name }) => name === family.name)!;
    assert(known !== undefined, `${family.name} is not known`);
    assertEquals([family.type, family.help], [known.type, known.help]);
    if (format === "openmetrics") assertEquals(family.unit, known.unit ?? "");
    for (const [name, labels, value] of family.samples) {
      const parts = Object.entries(labels).map(([label, text]) => `${label}="${text}"`);
      const sample = parts.length === 0 ? name : `${name}{${parts.join(",")}}`;
      assertEquals(values.get(sample), value, sample);
      for (const label of Object.keys(labels)) assert(label === "le" || known.labels?.includes(label), sample);
      samples++;
    }
  }
  assertEquals(samples, values.size);
  assertEquals(families.map(({ name }) => name).sort(), FAMILIES.map(({ name }) => name).sort());
}

testWith("prometheus_client", "Prometheus reads what a server that has done nothing tells, in both formats", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.on("request", () => {});
  await check("prometheus", server.metrics());
  await check("openmetrics", server.stats("openmetrics"));
});

testWith("prometheus_client", "Prometheus reads the sums of several processes, in both formats", async () => {
  const sum: Metrics = {};
  for (const id of [-1, 0, 1]) {
    const context = new ServerContext(undefined);
    const { counters } = context;
    context.member = { slot: id + 1, id, pid: 1000 + id };
    counters.droppedPackets = 7;
    counters.remoteFailures.set(1009, 2);
    for (const value of [0.1, 0.2, 100]) counters.pings.add(value);
    counters.loopDelay.add(0.3);
    counters.http.http.get("GET", 200).duration.add(0.7);
    counters.addHandshake(101, 0.01);
    addMetrics(sum, ownMetrics(context));
  }
  addMetrics(sum, {
    sluice_workers: { 'kind="worker",state="ready"': 2, 'kind="task",state="down"': 1 },
    sluice_worker_exits: { 'cause="died"': 3 },
    sluice_worker_silent: { 'worker="-1"': 0, 'worker="1"': 1 },
    sluice_tasks_pending: { "": 4 },
  });
  await check("prometheus", metricsText(sum, "prometheus"));
  await check("openmetrics", metricsText(sum, "openmetrics"));
});

testWith("prometheus_client", "Prometheus reads what a busy server tells, in both formats", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ log_file: "/dev/null" });
  server.on("message", (server, message) => {
    if (message.data === "throw") throw new Error("message");
    server.publish("topic", message);
  });
  server.on("open", (server, request) => server.subscribe(request.fd, "topic"));
  server.on("request", (_request, response) => response.end("page"));
  await serving(server, async (server, port) => {
    const open = await RawClient.open(port);
    for (const end of [closeFrame(1000), closeFrame(4001), frame({ opcode: 3 }), frame({ opcode: 1, payload: "throw" })]) {
      const client = await RawClient.open(port);
      client.send(frame({ opcode: 1, payload: "hello" }));
      client.send(end);
      await client.readAll();
      client.destroy();
    }
    for (const bytes of ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "what\r\n\r\n", handshake("/", { Origin: "https://b.example" })]) {
      const client = await RawClient.connect(port);
      client.send(bytes);
      await client.readAnswer();
      client.destroy();
    }
    while (samplesOf(server.metrics(), "sluice_event_loop_delay_seconds_count")[""] === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await check("prometheus", server.metrics());
    await check("openmetrics", server.stats("openmetrics"));
    open.destroy();
  });
});
