// A start that is overtaken by shutdown(), at each of the places where it waits for something.

import { assertEquals, assertRejects } from "@std/assert";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { HttpServer, type Runtime, setRuntime } from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { settle } from "../support/memory_client.ts";
import { RawClient } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";

/** A runtime that stands still at one place of the start, and knows what is bound. */
function halting(runtime: Runtime, place: "files" | "binding" | "bound") {
  const reached = signal();
  const go = signal();
  const halt = async (where: string) => {
    if (where !== place) return;
    reached.resolve();
    await go.promise;
  };
  const state = { bound: 0, reached: reached.promise, go: () => go.resolve() };
  const halted: Runtime = {
    ...runtime,
    openFile: async (path) => {
      await halt("files");
      return await runtime.openFile(path);
    },
    listen: async (...args) => {
      await halt("binding");
      const listener = await runtime.listen(...args);
      state.bound++;
      await halt("bound");
      const close = async () => {
        await listener.close();
        state.bound--;
      };
      return { address: listener.address, close };
    },
  };
  return { state, halted };
}

for (const style of ["events", "coroutines"] as const) {
  for (const place of ["nowhere", "files", "binding", "bound"] as const) {
    test(`${style}: a start overtaken by shutdown() leaves nothing and rejects; finished waits for it (halted: ${place})`, async () => {
      const log: string[] = [];
      let server: HttpServer | CoroutineServer;
      if (style === "events") {
        server = new HttpServer("127.0.0.1", 0);
        server.on("request", (_request, response) => void response.end("ok"));
        server.on("start", () => void log.push("start"));
        server.on("workerStart", () => void log.push("workerStart"));
        server.listen("127.0.0.1", 0);
      } else {
        server = new CoroutineServer("127.0.0.1", 0);
        server.handle("/", (_request, response) => void response.end("ok"));
      }
      server.set({ document_root: tmpdir() });
      const runtime = await loadRuntime();
      const { state, halted } = halting(runtime, place as "files");
      setRuntime(halted);
      try {
        const first = server.start();
        const refused = assertRejects(() => first, Error, "Cannot start the server: it was shut down meanwhile");
        if (place !== "nowhere") await state.reached;
        const { finished } = server;
        let isFinished = false;
        finished.then(() => isFinished = true);
        assertEquals(server.shutdown(0), true);
        await settle();
        if (place !== "nowhere") assertEquals(isFinished, false);
        if (!isFinished) await assertRejects(() => server.start(), Error, "it is stopping");
        state.go();
        await finished;
        assertEquals([state.bound, server.port, log], [0, 0, []]);
        await refused;
        if (style === "coroutines") {
          assertEquals((server as CoroutineServer).errMsg, "Cannot start the server: it was shut down meanwhile");
        }
        assertEquals(await server.start(), true);
        assertEquals(log, style === "events" ? ["start", "workerStart"] : []);
        assertEquals(state.bound, style === "events" ? 2 : 1);
        const client = await RawClient.connect(server.port);
        client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assertEquals((await client.readAnswer()).body, "ok");
        client.end();
        server.shutdown(0);
        await server.finished;
        assertEquals(state.bound, 0);
      } finally {
        setRuntime(undefined);
      }
    });
  }

  test(`${style}: shutdown() behind a start that fails waits for its end, too`, async () => {
    const taken = new HttpServer("127.0.0.1", 0);
    taken.on("request", () => {});
    await taken.start();
    const server = style === "events" ? new HttpServer("127.0.0.1", taken.port) : new CoroutineServer("127.0.0.1", taken.port);
    if (server instanceof HttpServer) server.on("request", () => {});
    const { state, halted } = halting(await loadRuntime(), "binding");
    setRuntime(halted);
    try {
      const refused = assertRejects(() => server.start(), Error, "the address is in use already");
      await state.reached;
      server.shutdown(0);
      state.go();
      await server.finished;
      await refused;
      taken.shutdown(0);
      await taken.finished;
      assertEquals([await server.start(), state.bound], [true, 1]);
      server.shutdown(0);
      await server.finished;
    } finally {
      setRuntime(undefined);
    }
  });
}

test("the handler of start may shut the server down: the start has succeeded", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.on("request", () => {});
  const log: string[] = [];
  for (const event of ["start", "workerStart", "beforeShutdown", "shutdown"] as const) {
    server.on(event, () => {
      log.push(event);
      if (event === "start") server.shutdown(0);
    });
  }
  assertEquals(await server.start(), true);
  await server.finished;
  assertEquals(log, ["start", "beforeShutdown", "workerStart", "shutdown"]);
});
