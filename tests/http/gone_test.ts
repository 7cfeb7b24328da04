// Clients that leave while their response is pending, over real sockets, by FIN and by reset, on every route that a response can
// take. The program is told, its streams are cancelled, and nothing stays: no connection, no file.

import { assertEquals } from "@std/assert";
import { mkdirSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fromFetch, type HttpRequest, type HttpResponse, HttpServer, type Runtime } from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { servingOn as servingCoroutineOn } from "../coroutine/stage.ts";
import { until } from "../support/activity.ts";
import { inFolder } from "../support/folder.ts";
import { lanes, servingOn } from "../support/lanes.ts";
import { RawClient } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";

/** What has happened. */
interface Log {
  started: string[];
  aborted: number;
  cancelled: number;
  failed: number;
  closed: number;
  errors: unknown[];
}

/** A route: what is asked for, and how it can be seen that the program has been told. */
interface Route {
  name: string;
  request: string;
  /** Whether the client reads what comes before it leaves. */
  reads?: boolean;
  /** What there is to see behind it, beside `aborted`. */
  seen?: Partial<Log>;
  /** What the program gets no signal of: it is not called. */
  isUnseen?: boolean;
  streams?: boolean;
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
const post = (path: string, type: string, body: string) =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: 1000000\r\n\r\n${body}`;
const FORM_PART = '--b\r\nContent-Disposition: form-data; name="f"; filename="f.txt"\r\n\r\n' + "x".repeat(5000);

const ROUTES: Route[] = [
  { name: "a handler that waits", request: get("/wait") },
  { name: "requests behind a handler that waits, which are not started", request: get("/wait") + get("/wait2") + get("/wait3") },
  { name: "a detached response", request: get("/detach") },
  { name: "server-sent events", request: get("/events"), reads: true },
  { name: "sendfile()", request: get("/file"), reads: true },
  { name: "a static file", request: get("/large"), reads: true, isUnseen: true },
  { name: "a fetch application that waits", request: get("/fetch/wait") },
  { name: "a stream that says nothing", request: get("/fetch/silent"), seen: { cancelled: 1 } },
  { name: "a stream that has gone quiet", request: get("/fetch/quiet"), reads: true, seen: { cancelled: 1 } },
  { name: "a stream that goes on", request: get("/fetch/on"), reads: true, seen: { cancelled: 1 } },
  {
    name: "a body that is read as it arrives",
    request: post("/upload", "text/plain", "some"),
    streams: true,
    seen: { failed: 1 },
  },
  { name: "a form that arrives", request: post("/form", "multipart/form-data; boundary=b", FORM_PART), isUnseen: true },
  {
    name: "a form that has arrived",
    request: `POST /wait HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: ${
      FORM_PART.length + 9
    }\r\n\r\n${FORM_PART}\r\n--b--\r\n`,
  },
];

function stream(log: Log, first?: string, goesOn = false): Response {
  return new Response(
    new ReadableStream({
      start: (controller) => first === undefined ? undefined : controller.enqueue(new TextEncoder().encode(first)),
      async pull(controller) {
        await new Promise((resolve) => goesOn && setTimeout(resolve, 5));
        controller.enqueue(new Uint8Array(100));
      },
      cancel: () => void log.cancelled++,
    }),
  );
}

function handler(log: Log, large: string, release: Promise<void>): (request: HttpRequest, response: HttpResponse) => unknown {
  const application = fromFetch((request) => {
    request.signal.addEventListener("abort", () => log.aborted++);
    const { pathname } = new URL(request.url);
    if (pathname === "/fetch/silent") return stream(log);
    if (pathname === "/fetch/quiet") return stream(log, "hello");
    if (pathname === "/fetch/on") return stream(log, "hello", true);
    return release.then(() => new Response("too late"));
  });
  return async (request, response) => {
    const path = String(request.server.path_info);
    log.started.push(path);
    if (path.startsWith("/fetch")) return await application(request, response);
    request.signal.addEventListener("abort", () => log.aborted++);
    if (path === "/file") return await response.sendfile(large);
    if (path === "/detach") return response.detach();
    if (path === "/events") {
      response.write("data: hello\n\n");
      return response.detach();
    }
    if (path === "/upload") return await request.bytes().catch(() => log.failed++);
    await release; // the handler may take its time; what its client had is gone
    response.end();
  };
}

function checkRoute(runtime: Runtime, route: Route, leave: (client: RawClient) => void): Promise<void> {
  return inFolder(async (folder) => {
    const large = join(folder, "large");
    writeFileSync(large, "");
    truncateSync(large, 64 * 1024 * 1024);
    const uploads = join(folder, "uploads");
    mkdirSync(uploads);
    const log: Log = { started: [], aborted: 0, cancelled: 0, failed: 0, closed: 0, errors: [] };
    const { promise, resolve } = signal();
    const server = new HttpServer("127.0.0.1", 0);
    server.set({
      document_root: folder,
      enable_static_handler: true,
      static_handler_locations: "/large",
      http_stream_body: route.streams === true,
      http_parse_files: !route.streams,
      upload_max_filesize: 1_000_000,
      upload_tmp_dir: uploads,
      websocket_close_timeout: 0.5,
      http_send_timeout: 1,
    });
    server.on("request", handler(log, large, promise));
    server.on("close", () => log.closed++);
    server.on("error", (_server, error) => void log.errors.push(error));
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.send(route.request);
      if (route.reads) {
        await client.readHead();
        client.socket.pause();
      } else if (route.isUnseen) await until("the form is on the disk", () => readdirSync(uploads).length > 0);
      else await until("the handler is called", () => log.started.length > 0);
      leave(client);
      await until("the connection is closed", () => log.closed === 1 && server.stats().connection_num === 0);
      if (!route.isUnseen) await until("the program is told", () => log.aborted === 1);
      const { cancelled = 0, failed = 0 } = route.seen ?? {};
      await until("the streams have ended", () => log.cancelled === cancelled && log.failed === failed);
      resolve();
      await until("no file is left", () => readdirSync(uploads).length === 0);
      client.destroy();
    });
    assertEquals([log.closed, log.aborted, log.errors], [1, route.isUnseen ? 0 : 1, []]);
    assertEquals(log.started.length, route.isUnseen ? 0 : 1);
  });
}

const WAYS: [name: string, leave: (client: RawClient) => void][] = [
  ["ends its side", (client) => client.end()],
  ["closes", (client) => client.destroy()],
  ["resets", (client) => void client.socket.resetAndDestroy()],
];

for (const [lane, runtime] of lanes) {
  for (const route of ROUTES) {
    for (const [how, leave] of WAYS) {
      // One that still reads, or could, gets what has been written.
      if (how === "ends its side" && route.reads && /file/.test(route.name)) continue;
      test(`a client that ${how} during ${route.name} (${lane})`, () => checkRoute(runtime, route, leave));
    }
  }

  for (const [how, leave] of WAYS) {
    test(`a client that ${how} during a handler of the coroutine style (${lane})`, async () => {
      let aborted = 0;
      let written: boolean | undefined;
      let called = false;
      const server = new CoroutineServer("127.0.0.1", 0);
      server.handle("/", async (request, response) => {
        called = true;
        await new Promise<void>((resolve) => request.signal.addEventListener("abort", () => resolve(void aborted++)));
        written = await response.write("late");
      });
      await servingCoroutineOn(runtime, server, async (port) => {
        const client = await RawClient.connect(port);
        client.send(get("/") + get("/2"));
        await until("the handler is called", () => called);
        leave(client);
        await until("the handler has gone on", () => written !== undefined);
        client.destroy();
      });
      assertEquals([aborted, written], [1, false]);
    });
  }

  test(`http_allow_half_open: clients that end their side get their responses (${lane})`, async () => {
    const server = new HttpServer("127.0.0.1", 0);
    server.set({ http_allow_half_open: true });
    const { promise, resolve } = signal();
    const signals: AbortSignal[] = [];
    server.on("request", async (request, response) => {
      signals.push(request.signal);
      await promise;
      response.end(String(request.server.request_uri));
    });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.send(get("/1") + get("/2"));
      client.end();
      await until("the first handler is called", () => signals.length === 1);
      resolve();
      assertEquals([(await client.readAnswer()).body, (await client.readAnswer()).body], ["/1", "/2"]);
      assertEquals((await client.readAll()).length, 0);
      assertEquals(signals.map(({ aborted }) => aborted), [false, false]);
      client.destroy();
    });
  });
}
