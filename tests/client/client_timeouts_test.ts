/** The times of `HttpClient`: monotonic, with 0 and very large numbers safe, over TLS too. */

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { CloseFrame } from "../../mod.ts";
import { HttpClient, type HttpClientSettings, HttpServer } from "../../src/coroutine/mod.ts";
import { serverFor } from "./client_servers.ts";

const path = (name: string) => fileURLToPath(new URL(`../tls/${name}`, import.meta.url));
const TIMES = [
  "timeout",
  "connect_timeout",
  "read_timeout",
  "write_timeout",
  "websocket_close_timeout",
  "websocket_ping_interval",
  "websocket_ping_timeout",
  "websocket_message_timeout",
] as const;

/** Runs a server that echoes messages and greets requests, a little late. */
async function greeting(ssl: boolean, work: (port: number) => Promise<void>): Promise<void> {
  const server = new HttpServer("127.0.0.1", 0, ssl);
  if (ssl) server.set({ ssl_cert_file: path("cert.pem"), ssl_key_file: path("key.pem") });
  server.handle("/", async (_request, response) => {
    await new Promise((resolve) => setTimeout(resolve, 30));
    await response.end("hello");
  });
  server.handle("/ws", async (_request, ws) => {
    await ws.upgrade();
    for await (const frame of ws) {
      await new Promise((resolve) => setTimeout(resolve, 30));
      await ws.push(frame.data);
    }
  });
  await server.start();
  try {
    await work(server.port);
  } finally {
    server.shutdown(0);
    await server.finished;
  }
}

for (const ssl of [false, true]) {
  for (const value of [0, 2_147_484, 1e9, Number.MAX_SAFE_INTEGER]) {
    test(`every time at ${value}${ssl ? ", over TLS" : ""}: nothing is late`, async () => {
      await greeting(ssl, async (port) => {
        for (const name of TIMES) {
          const client = new HttpClient("127.0.0.1", port, ssl);
          const settings: HttpClientSettings = { [name]: value };
          client.set(ssl ? { ...settings, ssl_verify_peer: false } : settings);
          assertEquals([await client.get("/"), client.body, client.errMsg], [true, "hello", ""], name);
          assertEquals([await client.upgrade("/ws"), await client.push("text")], [true, true], name);
          const frame = await client.recv(value);
          assertEquals(frame !== "" && frame !== false && frame.data, "text", name);
          client.disconnect();
          const last = await client.recv();
          assertEquals(last instanceof CloseFrame || last === "", true, name);
        }
      });
    });
  }
}

test("a clock that is set forward or back makes nothing late, and nothing wait", async () => {
  const now = Date.now;
  try {
    await serverFor((socket, index) => {
      socket.on("data", () => {
        if (index === 0) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      });
    }, async (port) => {
      for (const leap of [86_400_000, -86_400_000]) {
        const client = new HttpClient("127.0.0.1", port);
        client.set({ timeout: 30 });
        Date.now = now;
        const asking = client.get("/");
        Date.now = () => now() + leap;
        if (leap > 0) assertEquals([await asking, client.body], [true, "ok"]);
        else {
          client.close();
          assertEquals(await asking, false);
        }
        const late = new HttpClient("127.0.0.1", port);
        late.set({ timeout: 0.2 });
        assertEquals([await late.get("/"), late.statusCode, late.errCode], [false, -2, 110]);
        client.close();
      }
    });
  } finally {
    Date.now = now;
  }
});
