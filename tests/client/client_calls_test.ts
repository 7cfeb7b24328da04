// What belongs to which call: what is set while a request is under way, calls at the same time, and calls that a close() cut off.

import { assertEquals, assertRejects } from "@std/assert";
import { writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { HttpClient, HttpServer } from "../../src/coroutine/mod.ts";
import { inFolder } from "../support/folder.ts";
import { memoryPipes } from "../support/memory_pipe.ts";
import { serving, signal } from "../support/serving.ts";

const LARGE = 2_000_000;

/** A server that notes what it gets, and waits before it responds to paths that begin with /slow. */
async function noting(work: (port: number, seen: string[], open: () => number) => Promise<void>): Promise<void> {
  const seen: string[] = [];
  let webSockets = 0;
  const server = new HttpServer("127.0.0.1");
  server.handle("/", async (request, response) => {
    const { request_method, request_uri } = request.server;
    const { cookie } = request.header;
    seen.push([request_method, request_uri, await request.text(), request.header["x-of"], cookie].join(" ").trim());
    if (request_uri === "/missing") response.status(404);
    response.end(`${request_uri}`);
  });
  server.handle("/ws", async (_request, ws) => {
    await ws.upgrade();
    webSockets++;
    while (await ws.recv()); // until it ends
    webSockets--;
  });
  await server.start();
  try {
    await work(server.port, seen, () => webSockets);
  } finally {
    server.shutdown(0);
    await server.finished;
  }
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test("what is set while a request is under way goes out with the next one", async () => {
  await noting(async (port, seen) => {
    const client = new HttpClient("127.0.0.1", port);
    for (const defers of [false, true]) {
      client.setDefer(defers);
      const waits = async (call: Promise<boolean>) =>
        assertEquals([await call, defers ? await client.recv() : true], [true, true]);
      for (const _connection of ["first", "kept"]) {
        const call = client.get("/a");
        client.setMethod("PUT");
        client.setData("for the next one");
        client.setHeaders({ "X-Of": "next" });
        client.setCookies({ of: "next" });
        await waits(call);
        await waits(client.execute("/b"));
        assertEquals(seen.splice(0), ["GET /a", "PUT /b for the next one next of=next"]);
        client.setHeaders({});
        client.setCookies({});
      }
      const pay = client.post("/pay", "amount=1");
      client.setData("amount=1000");
      await waits(pay);
      await waits(client.execute("/next"));
      assertEquals(seen.splice(0), ["POST /pay amount=1", "POST /next amount=1000"]);
    }
    client.close();
  });
});

test("a file that is still being added goes out with the request that it was added for", () =>
  inFolder(async (folder) => {
    writeFileSync(join(folder, "one"), "content of one");
    writeFileSync(join(folder, "two"), "content of two");
    await noting(async (port, seen) => {
      const client = new HttpClient("127.0.0.1", port);
      client.addFile(join(folder, "one"), "a"); // not awaited
      const call = client.post("/first", {});
      const added = client.addFile(join(folder, "two"), "b");
      assertEquals(client.uploadFiles.length, 0); // of the next request
      await call;
      await added;
      assertEquals(client.uploadFiles.length, 1);
      await client.post("/second", {});
      const [first, second] = seen;
      assertEquals([first.includes("content of one"), first.includes("content of two")], [true, false]);
      assertEquals([second.includes("content of one"), second.includes("content of two")], [false, true]);
      client.close();
    });
  }));

test("after close() another request begins, which the one that was closed does not disturb", async () => {
  await noting(async (port, seen) => {
    for (let round = 0; round < 3; round++) {
      const client = new HttpClient("127.0.0.1", port);
      if (round > 0) await client.get("/warm");
      seen.length = 0;
      const closed = client.get("/a");
      if (round === 2) await new Promise((resolve) => setTimeout(resolve, 0));
      client.close();
      assertEquals([await client.post("/b", "precious"), client.statusCode, client.body], [true, 200, "/b"]);
      const result = await closed;
      if (round < 2) assertEquals(result, false); // later it may have been over
      assertEquals([client.statusCode, client.body], [200, "/b"]);
      assertEquals(seen.filter((one) => one !== "GET /a"), ["POST /b precious"]);
      client.close();
    }
  });
});

test("a call at the same time as another is refused, whichever they are", async () => {
  await noting(async (port, _seen, open) => {
    const calls: Record<string, (client: HttpClient) => Promise<boolean>> = {
      get: (client) => client.get("/get"),
      post: (client) => client.post("/post", "x"),
      upgrade: (client) => client.upgrade("/ws"),
      compressed: (client) => {
        client.set({ websocket_compression: true });
        return client.upgrade("/ws");
      },
    };
    for (const [one, first] of Object.entries(calls)) {
      for (const second of Object.values(calls)) {
        for (const isKept of [false, true]) {
          const client = new HttpClient("127.0.0.1", port);
          if (isKept) await client.get("/warm");
          const call = first(client);
          await assertRejects(() => second(client), Error, "another one is under way");
          assertEquals([await call, client.statusCode], [true, one === "get" || one === "post" ? 200 : 101]);
          if (client.statusCode === 101) assertEquals(await client.push("there"), true);
          client.close();
        }
      }
    }
    await until(() => open() === 0);
  });
});

test("close() during upgrade() leaves no WebSocket", async () => {
  await noting(async (port, _seen, open) => {
    for (const turns of [0, 1, 2, 3, 5, 10]) {
      const client = new HttpClient("127.0.0.1", port);
      const call = client.upgrade("/ws");
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setTimeout(resolve, 0));
      client.close();
      await call;
      assertEquals(client.connected, false);
    }
    await until(() => open() === 0);
  });
});

test("a request while a push is still being compressed leaves the WebSocket to it, and opens another connection", async () => {
  const LONG = "x".repeat(300_000);
  const settings = { websocket_compression: true, websocket_compression_auto: true, package_max_length: LARGE } as const;
  const server = new HttpServer("127.0.0.1");
  const received: string[] = [];
  const failures: number[] = [];
  let over = signal();
  server.set(settings);
  server.handle("/", (_request, response) => response.end("page"));
  server.handle("/ws", async (_request, ws) => {
    await ws.upgrade();
    for await (const frame of ws) received.push(String(frame.data));
    failures.push(ws.getLastError());
    over.resolve();
  });
  const page = async (client: HttpClient) => {
    assertEquals(client.connected, false);
    assertEquals([await client.get("/"), client.statusCode, client.body], [true, 200, "page"]);
  };
  const requests: ((client: HttpClient) => Promise<void>)[] = [
    async (client) => {
      assertEquals([await client.get("/"), client.statusCode, client.body], [true, 200, "page"]);
    },
    (client) => {
      assertEquals([client.close(), client.close(), client.errCode], [true, false, 5001]);
      return page(client);
    },
    (client) => {
      const [own, other] = memoryPipes();
      client.use(own);
      server.accept(other);
      return page(client);
    },
    async (client) => {
      assertEquals([await client.upgrade("/ws"), client.statusCode], [true, 101]);
      assertEquals(await client.push("last"), true);
    },
  ];
  await serving(server, async (_server, port) => {
    for (const engine of ["zlib", "web"] as const) {
      for (const request of requests) {
        const client = new HttpClient("127.0.0.1", port);
        client.set({ ...settings, websocket_compression_engine: engine });
        assertEquals(await client.upgrade("/ws"), true);
        over = signal();
        client.push("first");
        client.push(LONG);
        client.push("after it"); // waits until that is compressed
        await request(client);
        await over.promise;
        assertEquals(received.splice(0).filter((text) => text !== "last"), ["first", LONG, "after it"]);
        assertEquals(failures.splice(0), [0]);
        if (client.statusCode === 101) over = signal();
        client.close();
        await over.promise;
        received.splice(0);
        failures.splice(0);
      }
    }
  });
});

test("while a body is decoded the client is busy; responses are not mixed", async () => {
  const server = http.createServer((request, response) => {
    if (request.url !== "/large") return void response.writeHead(404).end("missing");
    response.writeHead(200, { "Content-Encoding": "gzip" }).end(gzipSync(new Uint8Array(LARGE).fill(65)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = new HttpClient("127.0.0.1", (server.address() as AddressInfo).port);
  for (const defers of [false, true]) {
    client.setDefer(defers);
    let isDone = false;
    const call = (async () => {
      const result = await client.get("/large");
      return defers ? await client.recv() : result;
    })().finally(() => isDone = true);
    let refused = 0;
    while (!isDone) {
      await client.get("/missing").then(() => assertEquals("accepted", "refused"), () => refused++);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    assertEquals([await call, client.statusCode, client.body.length, refused > 0], [true, 200, LARGE, true]);
  }
  client.close();
  server.close();
});
