/** Which pages may open a WebSocket, where a server listens on addresses of this machine only, or on others too. */

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { type ServerSettings, WebSocketServer } from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { loggedDuring } from "../support/log_lines.ts";
import { handshake, RawClient } from "../support/raw_client.ts";
import { serving, type Startable } from "../support/serving.ts";

type Make = (host: string, settings: ServerSettings) => Startable;

const STYLES: readonly (readonly [name: string, make: Make])[] = [
  ["event style", (host, settings) => {
    const server = new WebSocketServer(host, 0);
    server.set(settings);
    server.on("message", () => {});
    return server;
  }],
  ["event style with a handshake handler", (host, settings) => {
    const server = new WebSocketServer(host, 0);
    server.set(settings);
    server.on("message", () => {});
    server.on("handshake", (request, response) => {
      response.status(server.checkHandshake(request)?.status ?? 101);
      response.end();
    });
    return server;
  }],
  ["coroutine style", (host, settings) => {
    const server = new CoroutineServer(host);
    server.set(settings);
    server.handle("/", async (_request, ws) => void await ws.upgrade());
    return server;
  }],
];

/** Returns the status that a page gets. */
async function statusFor(port: number, host: string, origin: string): Promise<number> {
  const client = await RawClient.connect(port);
  client.send(handshake("/", { Host: host, Origin: origin }));
  const head = await client.readHead();
  client.destroy();
  return Number(head.slice(9, 12));
}

const PAGE = "http://localhost:5173";

for (const [name, make] of STYLES) {
  test(`a page of another port of this machine may connect to what listens on this machine only, ${name}`, async () => {
    await loggedDuring(async () => {
      for (const listensOn of ["127.0.0.1", "localhost"]) {
        await serving(make(listensOn, {}), async (_server, port) => {
          // Of the two addresses of localhost, the server has the first one.
          const at = await RawClient.connect(port).then((client) => (client.destroy(), true), () => false);
          if (!at) return assertEquals(listensOn, "localhost");
          assertEquals(await statusFor(port, `localhost:${port}`, PAGE), 101);
          assertEquals(await statusFor(port, `127.0.0.1:${port}`, PAGE), 101);
          assertEquals(await statusFor(port, `127.0.0.1:${port}`, "https://[::1]:8443"), 101);
          assertEquals(await statusFor(port, `a.example:${port}`, PAGE), 403); // as after a change of the address of a.example
          assertEquals(await statusFor(port, `localhost:${port}`, "http://a.example:5173"), 403);
        });
      }
      await serving(make("127.0.0.1", { websocket_origins: ["https://a.example"] }), async (_server, port) => {
        assertEquals(await statusFor(port, `localhost:${port}`, PAGE), 403);
      });
      await serving(make("0.0.0.0", {}), async (_server, port) => {
        assertEquals(await statusFor(port, `localhost:${port}`, PAGE), 403);
        assertEquals(await statusFor(port, `localhost:${port}`, `http://127.0.0.1:${port}`), 101); // but of this port it may
      });
    });
  });
}

test("each port of a server has its own addresses", async () => {
  await loggedDuring(async () => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.on("message", () => {});
    const everywhere = server.listen("0.0.0.0", 0);
    assert(everywhere);
    await serving(server, async (server) => {
      assertEquals(await statusFor(server.port, "localhost", PAGE), 101);
      assertEquals(await statusFor(everywhere.port, "localhost", PAGE), 403);
    });
  });
});
