// Compression in both styles and the client: nothing is lost or out of order, however the engine works and the connection ends.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { CloseFrame, type CompressionSettings, Frame, type ServerSettings, WebSocketServer } from "../../mod.ts";
import { HttpClient, HttpServer } from "../../src/coroutine/mod.ts";

const COMPRESS = 3;
const LONG = "Hello Sluice ".repeat(20_000); // so long that every engine takes a turn for it

const ENGINES = ["zlib", "web"];

function settings(engine: string, takeover = false): CompressionSettings {
  return {
    websocket_compression: true,
    websocket_compression_engine: engine,
    websocket_compression_send_takeover: takeover,
    websocket_compression_receive_takeover: takeover,
  };
}

/** Runs a server, and a client of it whose WebSocket is open. */
async function connected(
  server: HttpServer | WebSocketServer,
  given: CompressionSettings,
  work: (client: HttpClient) => Promise<void>,
): Promise<void> {
  await server.start();
  const client = new HttpClient("127.0.0.1", server.port);
  client.set(given);
  try {
    assert(await client.upgrade("/"), client.errMsg);
    assert(String(client.headers["sec-websocket-extensions"]).startsWith("permessage-deflate"));
    await work(client);
  } finally {
    client.close();
    server instanceof HttpServer ? server.shutdown(0) : server.shutdown();
    await server.finished;
  }
}

function coroutineServer(given: ServerSettings, handler: Parameters<HttpServer["handle"]>[1]): HttpServer {
  const server = new HttpServer("127.0.0.1");
  server.set(given);
  server.handle("/", handler);
  return server;
}

/** Receives until the connection ends: what came, and the close code. */
async function receiveAll(client: HttpClient): Promise<unknown[]> {
  const all: unknown[] = [];
  while (true) {
    const received = await client.recv(60);
    if (received === "" || received === false) return all;
    all.push(received instanceof CloseFrame ? received.code : received.data);
  }
}

for (const engine of ENGINES) {
  for (const takeover of [false, true]) {
    test(
      `${engine}, takeover ${takeover}: messages of all kinds are echoed in order, in either style`,
      { timeout: 60_000 },
      async () => {
        const texts = ["", "a", LONG, "short", LONG.slice(5), "ü".repeat(3000), "x".repeat(100_000), "end"];
        const event = new WebSocketServer("127.0.0.1", 0);
        event.set(settings(engine, takeover));
        event.on("message", (server, frame) => server.push(frame.fd, frame));
        const coroutine = coroutineServer(settings(engine, takeover), async (_request, ws) => {
          await ws.upgrade();
          for await (const frame of ws) await ws.push(frame);
        });
        for (const server of [event, coroutine]) {
          await connected(server, settings(engine, takeover), async (client) => {
            for (const text of texts) client.push(text, 1, COMPRESS);
            for (const text of texts) {
              const frame = await client.recv(60);
              assert(
                frame instanceof Frame && frame.data === text,
                `${text.length} characters came as ${String(frame).slice(0, 50)}`,
              );
              if (text.length > 100) assertEquals(frame.flags, 7);
            }
          });
        }
      },
    );
  }

  test(`${engine}: what was pushed is sent before close() ends the connection, and before the handler's end does`, {
    timeout: 60_000,
  }, async () => {
    const endings: [name: string, end: (ws: { close(): boolean }) => void, code: number[]][] = [
      ["close()", (ws) => void ws.close(), []],
      ["return", () => {}, [1000]],
    ];
    for (const [name, end, code] of endings) {
      const server = coroutineServer(settings(engine), async (_request, ws) => {
        await ws.upgrade();
        for (let i = 0; i < 5; i++) ws.push(LONG + i, 1, COMPRESS);
        ws.push("plain");
        end(ws);
      });
      await connected(server, settings(engine), async (client) => {
        const expected = [0, 1, 2, 3, 4].map((i) => LONG + i);
        assert(JSON.stringify(await receiveAll(client)) === JSON.stringify([...expected, "plain", ...code]), name);
      });
    }
  });

  test(`${engine}: close(fd) sends what was pushed`, { timeout: 60_000 }, async () => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set(settings(engine));
    const after: boolean[] = [];
    server.on("message", () => {});
    server.on("open", (server, { fd }) => {
      server.push(fd, LONG, 1, COMPRESS);
      after.push(server.close(fd), server.push(fd, "too late"));
    });
    await connected(server, settings(engine), async (client) => {
      assert(JSON.stringify(await receiveAll(client)) === JSON.stringify([LONG]));
      assertEquals(after, [true, false]);
    });
  });

  test(`${engine}: push() waits while messages are being compressed, and nothing is lost`, { timeout: 60_000 }, async () => {
    const COUNT = 20;
    let settled = 0;
    let settledAtOnce = 0;
    const server = coroutineServer(settings(engine), async (_request, ws) => {
      await ws.upgrade();
      const pushes = Array.from({ length: COUNT }, (_, i) => ws.push(LONG + i, 1, COMPRESS).then(() => settled++));
      await pushes[0];
      settledAtOnce = settled;
      await Promise.all(pushes);
    });
    await connected(server, settings(engine), async (client) => {
      const received = await receiveAll(client);
      assertEquals([received.length, received.at(-1)], [COUNT + 1, 1000]);
      for (let i = 0; i < COUNT; i++) assert(received[i] === LONG + i);
      // The first one is being compressed and none other has begun.
      assertEquals([settledAtOnce, settled], [1, COUNT]);
    });
  });
}

test("a server without compression answers an offer without it, and the client sends plain", { timeout: 60_000 }, async () => {
  const server = coroutineServer({}, async (_request, ws) => {
    await ws.upgrade();
    for await (const frame of ws) await ws.push(`${frame.flags}`, 1, COMPRESS);
  });
  await server.start();
  const client = new HttpClient("127.0.0.1", server.port);
  client.set(settings("zlib"));
  assert(await client.upgrade("/"));
  assertEquals(client.headers["sec-websocket-extensions"], undefined);
  await client.push(LONG, 1, COMPRESS);
  const frame = await client.recv(60);
  assert(frame instanceof Frame);
  assertEquals([frame.data, frame.flags], ["33", 1]);
  client.close();
  server.shutdown();
  await server.finished;
});
