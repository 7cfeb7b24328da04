// Applications of real frameworks as the `request` handler, with WebSockets beside them on the same port.

import { assertEquals } from "@std/assert";
import { H3 } from "h3";
import { Hono } from "hono";
import { AutoRouter, type IRequest } from "itty-router";
import { test } from "node:test";
import { type FetchApplication, fromFetch, WebSocketServer } from "../../mod.ts";
import { HttpServer } from "../../src/coroutine/mod.ts";

const hono = new Hono();
hono.get("/hello/:name", (c) => c.json({ hello: c.req.param("name"), q: c.req.query("q") }));
hono.post("/upper", async (c) => c.text((await c.req.text()).toUpperCase(), 201, { "X-From": "application" }));
hono.get("/stream", () => new Response(parts()));
hono.notFound((c) => c.text("nothing", 404));

const h3 = new H3();
h3.get("/hello/:name", (event) => ({ hello: event.context.params!.name, q: event.url.searchParams.get("q") }));
h3.post("/upper", async (event) => {
  event.res.status = 201;
  event.res.headers.set("X-From", "application");
  return (await event.req.text()).toUpperCase();
});
h3.get("/stream", () => parts());
h3.all("/**", (event) => {
  event.res.status = 404;
  return "nothing";
});

const itty = AutoRouter({ missing: () => new Response("nothing", { status: 404 }) });
itty.get("/hello/:name", ({ params, query }: IRequest) => ({ hello: params.name, q: query.q }));
itty.post("/upper", async (request: IRequest) => {
  return new Response((await request.text()).toUpperCase(), { status: 201, headers: { "X-From": "application" } });
});
itty.get("/stream", () => new Response(parts()));

/** Three parts, the last one when somebody has asked for it. */
function parts(): ReadableStream<Uint8Array> {
  let count = 0;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(new TextEncoder().encode(`part ${++count};`));
      if (count === 3) controller.close();
    },
  });
}

async function check(port: number): Promise<void> {
  const at = `http://127.0.0.1:${port}`;
  const hello = await fetch(`${at}/hello/world?q=1%202`);
  assertEquals([hello.status, await hello.json()], [200, { hello: "world", q: "1 2" }]);
  const upper = await fetch(`${at}/upper`, { method: "POST", body: "abc é" });
  assertEquals([upper.status, upper.headers.get("x-from"), await upper.text()], [201, "application", "ABC É"]);
  const stream = await fetch(`${at}/stream`);
  assertEquals(await stream.text(), "part 1;part 2;part 3;");
  const missing = await fetch(`${at}/no/such`);
  assertEquals([missing.status, await missing.text()], [404, "nothing"]);
  const head = await fetch(`${at}/hello/world?q=1`, { method: "HEAD" });
  assertEquals(await head.text(), "");
}

/** Sends a message and gives what comes back. */
function echo(port: number, text: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
    socket.onopen = () => socket.send(text);
    socket.onerror = reject;
    socket.onmessage = ({ data }) => {
      socket.onclose = () => resolve(data);
      socket.close();
    };
  });
}

const applications: [name: string, application: FetchApplication][] = [
  ["Hono", hono],
  ["Hono's fetch", hono.fetch],
  ["h3", h3],
  ["itty-router", itty],
];

for (const [name, application] of applications) {
  for (const http_stream_body of [false, true]) {
    const how = `${name}, ${http_stream_body ? "bodies while they arrive" : "whole bodies"}`;
    test(`${how}: mounted in the event style, with WebSockets beside it`, async () => {
      const server = new WebSocketServer("127.0.0.1", 0);
      server.set({ http_stream_body });
      server.on("request", fromFetch(application));
      server.on("message", (server, frame) => server.push(frame.fd, frame));
      await server.start();
      await check(server.port);
      assertEquals(await echo(server.port, name), name);
      server.shutdown();
      await server.finished;
    });
  }

  test(`${name}: mounted in the coroutine style, with WebSockets beside it`, async () => {
    const server = new HttpServer("127.0.0.1", 0);
    server.handle("/", async (request, response) => {
      if (request.header["upgrade"] === undefined) return await mounted(request, response);
      await response.upgrade();
      for await (const frame of response) await response.push(frame);
    });
    const mounted = fromFetch(application);
    await server.start();
    await check(server.port);
    assertEquals(await echo(server.port, name), name);
    server.shutdown();
    await server.finished;
  });
}
