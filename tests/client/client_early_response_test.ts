/** `HttpClient` reads while it sends: responses that come before the server has all of the request, and servers that go. */

import { assert, assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type net from "node:net";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { serverFor } from "./client_servers.ts";

const MANY = 20 * 1024 * 1024;
const HEAD = "HTTP/1.1 413 Content Too Large\r\n";

/** Posts so many bytes: as a body, or as a part of a form. */
async function post(port: number, size: number, asForm: boolean, ssl = false): Promise<HttpClient> {
  const client = new HttpClient("127.0.0.1", port, ssl);
  client.set({ timeout: 60, ssl_verify_peer: false, package_max_length: 64 * 1024 * 1024 });
  const data = new Uint8Array(size).fill(7);
  if (asForm) client.addData(data, "file");
  await client.post("/", asForm ? {} : data);
  return client;
}

test("a server that sends back what it gets while it gets it: 20 MiB, and the connection is kept", async () => {
  const server = createServer((request, response) => request.pipe(response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  for (const asForm of [false, true]) {
    const client = await post(port, MANY, asForm);
    const length = Number(/^Content-Length: (.*)$/m.exec(client.getHeaderOut() || "")?.[1]);
    assertEquals([client.errMsg, client.statusCode, client.bytes.length], ["", 200, length]);
    assert(length >= MANY && client.bytes.subarray(1000, MANY).every((byte) => byte === 7));
    assertEquals([await client.post("/", "again"), client.body], [true, "again"]);
    client.close();
  }
  await new Promise((resolve) => server.close(resolve));
});

/** What a server does once it has refused a request that is still being sent. */
const ends: [string, (socket: net.Socket) => void][] = [
  ["closes", (socket) => socket.destroy()],
  ["resets", (socket) => socket.resetAndDestroy()],
  ["ends its side", (socket) => socket.end()],
  ["closes a little later", (socket) => setTimeout(() => socket.destroy(), 50)],
];
for (const [what, end] of ends) {
  test(`a server that responds with 413, reads no further and ${what}: the response is the outcome`, async () => {
    for (const bodySize of [9, 60_000]) {
      const body = "x".repeat(bodySize);
      const respond = (socket: net.Socket) =>
        socket.once("data", () => {
          socket.pause();
          socket.write(`${HEAD}Content-Length: ${bodySize}\r\n\r\n${body}`, () => setImmediate(end, socket));
        });
      await serverFor(respond, async (port) => {
        for (const asForm of [false, true]) {
          for (let i = 0; i < 3; i++) {
            const client = await post(port, MANY, asForm);
            assertEquals([client.errMsg, client.statusCode, client.body === body], ["", 413, true]);
            assertEquals(client.connected, false); // what is left of the request belongs to no other one
          }
        }
      });
    }
  });
}

test("a response that ends where the connection does, while a body is being sent", async () => {
  const respond = (socket: net.Socket) =>
    socket.once("data", () => socket.pause().end(`${HEAD}Connection: close\r\n\r\ntoo large`));
  await serverFor(respond, async (port) => {
    for (const asForm of [false, true]) {
      const client = await post(port, MANY, asForm);
      assertEquals([client.errMsg, client.statusCode, client.body, client.connected], ["", 413, "too large", false]);
    }
  });
});

const pem = (name: string) => JSON.stringify(readFileSync(new URL(`../tls/${name}`, import.meta.url), "utf8"));

/** A server in a thread of its own: it resets the client between two of its turns, so that the next write is the first to fail. */
const refusing = (ssl: boolean) => `
  const { parentPort } = require("node:worker_threads");
  const refuse = (socket) => socket.on("error", () => {}).once("data", () => {
    socket.pause();
    socket.write("${HEAD.trim()}\\r\\nContent-Length: 30000\\r\\n\\r\\n" + "x".repeat(30000), () => {
      setImmediate(() => socket.destroy()); // the response has left
    });
  });
  const server = ${
  ssl
    ? `require("node:tls").createServer({ cert: ${pem("cert.pem")}, key: ${pem("key.pem")} }, refuse)`
    : `require("node:net").createServer(refuse)`
};
  server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port));
`;

for (const ssl of [false, true]) {
  test(`a reset that a write meets first does not lose the response in front of it${ssl ? ", over TLS" : ""}`, async () => {
    const worker = new Worker(refusing(ssl), { eval: true });
    try {
      const port = await new Promise<number>((resolve, reject) => worker.once("message", resolve).once("error", reject));
      for (let i = 0; i < 30; i++) {
        const client = await post(port, i % 2 === 0 ? 1024 * 1024 : MANY, false, ssl);
        assertEquals([client.errMsg, client.statusCode, client.bytes.length], ["", 413, 30_000], `request ${i}`);
      }
    } finally {
      await worker.terminate();
    }
  });
}

test("a response that came early stops the request, and the next one has a connection of its own", async () => {
  let taken = 0;
  await serverFor((socket, index) => {
    socket.once("data", () => socket.write(`${HEAD}Content-Length: ${index}\r\n\r\n${"x".repeat(index)}`));
    if (index === 0) setTimeout(() => socket.on("data", (chunk) => taken += chunk.length), 100);
    socket.on("end", () => socket.end());
  }, async (port, connections) => {
    const client = await post(port, MANY, false);
    assertEquals([client.statusCode, client.body, client.connected], [413, "", false]);
    assertEquals([await client.get("/"), client.statusCode, client.body, connections()], [true, 413, "x", 2]);
    assert(taken < MANY / 2, `${taken} bytes arrived`);
    client.close();
  });
});

test("a server that goes while it is being sent a body: the request fails at once", async () => {
  const goes: ((socket: net.Socket) => void)[] = [
    (socket) => socket.end(),
    (socket) => socket.destroy(),
    (socket) => socket.resetAndDestroy(),
    (socket) => socket.end(HEAD),
    (socket) => socket.end(`${HEAD}Content-Length: 5\r\n\r\nx`),
  ];
  for (const go of goes) {
    const started = performance.now();
    await serverFor((socket) => socket.once("data", () => go(socket.pause())), async (port) => {
      const client = await post(port, MANY, false);
      assertEquals([client.statusCode, client.errCode, client.connected], [-3, 104, false]);
    });
    assert(performance.now() - started < 30_000, "it was not noticed");
  }
});
