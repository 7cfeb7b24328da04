// Responses that have begun and are cut off: the client gets what was written before, and notices that the rest is missing.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { HttpServer, type Runtime } from "../../mod.ts";
import { type HttpResponse as CoroutineResponse, HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import { settle } from "../support/activity.ts";
import { FakeLane, laneOnly } from "../support/fake_lane.ts";
import { lanes, servingOn } from "../support/lanes.ts";
import { RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";

type Response = Pick<CoroutineResponse, "write" | "close"> | { write(text: string): boolean; close(): boolean };

/** What a handler does, and what a client gets of the body. */
const WAYS: readonly [name: string, act: (response: Response) => unknown, body: string][] = [
  ["throws in the turn in which it has written", (response) => {
    response.write("begun");
    throw new Error("boom");
  }, "begun"],
  ["rejects in the same turn", async (response) => {
    await response.write("begun");
    throw new Error("boom");
  }, "begun"],
  ["rejects in a later turn in which it has written", async (response) => {
    await response.write("be");
    await new Promise((resolve) => setTimeout(resolve, 5));
    response.write("gun");
    throw new Error("boom");
  }, "begun"],
  ["throws behind more than is written at once", (response) => {
    response.write("x".repeat(3_000_000));
    throw new Error("boom");
  }, "x".repeat(3_000_000)],
  ["takes longer than http_handler_timeout", (response) => {
    response.write("begun");
    return new Promise(() => {});
  }, "begun"],
];

/** Returns the body of a response, as far as it has come, and whether its end has come. */
function bodyOf(answer: string): [body: string, isWhole: boolean] {
  let rest = answer.slice(answer.indexOf("\r\n\r\n") + 4);
  let body = "";
  while (rest !== "" && !rest.startsWith("0\r\n")) {
    const size = parseInt(rest, 16);
    const from = rest.indexOf("\r\n") + 2;
    body += rest.slice(from, from + size);
    rest = rest.slice(from + size + 2);
  }
  return [body, rest !== ""];
}

for (const style of ["event", "coroutine"] as const) {
  for (const [name, act, body] of WAYS) {
    const work = async (port: number) => {
      const client = await RawClient.connect(port);
      client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      const answer = new TextDecoder().decode(await client.readAll());
      client.destroy();
      assertEquals(answer.slice(0, 12), "HTTP/1.1 200");
      const [got, isWhole] = bodyOf(answer);
      assert(got === body && !isWhole, `${got.length} bytes, ${isWhole}`);
    };
    const settings = { log_level: 6, max_wait_time: 0.1, http_handler_timeout: name.includes("takes") ? 0.1 : 0 };
    for (const [lane, runtime] of style === "event" ? lanes : lanes.slice(0, 1)) {
      test(`a handler that ${name} (${style} style, ${lane})`, () => inStyle(style, settings, act, runtime, work));
    }
  }
}

async function inStyle(
  style: "event" | "coroutine",
  settings: Record<string, number>,
  act: (response: Response) => unknown,
  runtime: Runtime,
  work: (port: number) => Promise<void>,
): Promise<void> {
  if (style === "event") {
    const server = new HttpServer("127.0.0.1", 0);
    server.set(settings);
    server.on("request", (_request, response) => act(response));
    return await servingOn(runtime, server, (_server, port) => work(port));
  }
  const server = new CoroutineServer("127.0.0.1");
  server.set(settings);
  server.handle("/", (_request, response) => act(response));
  await serving(server, (_server, port) => work(port));
}

/** A server without a socket whose handler begins a response and fails, with a connection whose lane does what a test says. */
function failing(
  settings: Record<string, number> = {},
  version = "1.1",
  act: (response: Response) => unknown = WAYS[0][1],
): { server: HttpServer; lane: FakeLane } {
  const server = new HttpServer("127.0.0.1", 0);
  server.set({ log_level: 6, ...settings });
  server.on("request", (_request, response) => act(response));
  const lane = new FakeLane();
  lane.takes = false;
  server.accept(laneOnly(lane));
  lane.receive(`GET / HTTP/${version}\r\nHost: x\r\n\r\n`);
  return { server, lane };
}

test("the connection ends once the lane has taken what was written, and is over for the program before", async () => {
  for (const [version, isReset] of [["1.1", false], ["1.0", true]] as const) {
    const { server, lane } = failing({}, version);
    await settle();
    assertEquals([lane.aborted, lane.ended, server.stats().connection_num], [false, false, 0]);
    lane.sink.onDrain();
    assertEquals([lane.aborted, lane.ended], [isReset, !isReset]); // of a body that ends with the connection, an end would be one
    assert(lane.text.includes("begun") && !lane.text.endsWith("0\r\n\r\n"), lane.text);
    lane.abort();
    server.shutdown();
    await server.finished;
  }
});

test("response.close() behind a part sends it, whatever the version", async () => {
  for (const [version, isReset] of [["1.1", false], ["1.0", true]] as const) {
    const { server, lane } = failing({}, version, (response) => {
      response.write("begun");
      response.close();
    });
    await settle();
    lane.sink.onDrain();
    assertEquals([lane.text.includes("begun"), lane.aborted, lane.ended], [true, isReset, !isReset]);
    lane.abort();
    server.shutdown();
    await server.finished;
  }
});

test("a client that takes nothing of it is dropped after http_send_timeout", async () => {
  const { server, lane } = failing({ http_send_timeout: 0.3 });
  const { table } = coreOf(server).context;
  await settle();
  assertEquals([lane.aborted, server.stats().timeouts], [false, {}]);
  while (!lane.aborted) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    table!.tick();
  }
  assertEquals(server.stats().timeouts, { http_send_timeout: 1 });
  server.shutdown();
  await server.finished;
});
