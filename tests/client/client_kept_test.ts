/** Connections that a server closes just when the next request is on its way (RFC 9112 section 9.5). */

import { assertEquals } from "@std/assert";
import type net from "node:net";
import { test } from "node:test";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { serverFor } from "./client_servers.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** Responds to the first request of each connection; `onNext` does something else with the second. */
function once(requests: string[], onNext: (socket: net.Socket, index: number) => void) {
  return (socket: net.Socket, index: number) => {
    let count = 0;
    socket.on("data", (chunk) => {
      if (count++ > 0) return onNext(socket, index);
      requests.push(chunk.toString("latin1").split("\r\n")[0]);
      socket.write(OK);
    });
    socket.on("end", () => socket.end());
  };
}

const leaves: [string, (socket: net.Socket) => void][] = [
  ["ends", (socket) => socket.end()],
  ["resets", (socket) => socket.resetAndDestroy()],
];
for (const [what, leave] of leaves) {
  test(`an idempotent request that meets a server that ${what} a kept connection is repeated on a new one`, async () => {
    const requests: string[] = [];
    await serverFor(once(requests, leave), async (port, connections) => {
      const client = new HttpClient("127.0.0.1", port);
      await client.get("/0");
      for (const [index, method] of ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].entries()) {
        client.setMethod(method);
        if (method === "PUT") client.setData(new Uint8Array([65]));
        const isHead = method === "HEAD"; // the body that is sent nevertheless breaks this connection
        assertEquals([await client.execute(`/${index + 1}`), client.statusCode, client.body], [true, 200, isHead ? "" : "ok"]);
        assertEquals(requests.at(-1), `${method} /${index + 1} HTTP/1.1`);
      }
      assertEquals(connections(), 6);
      client.close();
    });
  });

  test(`a request that is not idempotent and meets a server that ${what} a kept connection is not repeated`, async () => {
    const requests: string[] = [];
    await serverFor(once(requests, leave), async (port, connections) => {
      const client = new HttpClient("127.0.0.1", port);
      await client.get("/0");
      assertEquals([await client.post("/1", "x"), client.statusCode, client.errCode], [false, -3, 104]);
      await client.get("/2");
      client.set({ max_retries: 1 }); // the program says that it may be
      assertEquals([await client.post("/3", "x"), client.statusCode], [true, 200]);
      assertEquals([requests, connections()], [["GET /0 HTTP/1.1", "GET /2 HTTP/1.1", "POST /3 HTTP/1.1"], 3]);
      client.close();
    });
  });
}

test("a request is not repeated on a new connection, nor when a part of the response is there, nor more than once", async () => {
  const requests: string[] = [];
  const partly = once(requests, (socket, index) => index === 0 ? socket.end("HTTP/1.1 200") : socket.end());
  await serverFor(partly, async (port, connections) => {
    const client = new HttpClient("127.0.0.1", port);
    await client.get("/0");
    assertEquals([await client.get("/1"), client.statusCode, connections()], [false, -3, 1]);
    client.close();
  });
  let count = 0;
  const never = (socket: net.Socket) => socket.on("data", () => count++ === 0 ? socket.write(OK) : socket.end());
  await serverFor(never, async (port, connections) => {
    const client = new HttpClient("127.0.0.1", port);
    await client.get("/0");
    assertEquals([await client.get("/1"), client.statusCode, count, connections()], [false, -3, 3, 2]);
    assertEquals([await client.get("/2"), client.statusCode, count, connections()], [false, -3, 4, 3]);
    client.close();
  });
});

test("a server that closes right behind each response: all requests succeed", async () => {
  await serverFor((socket) => socket.on("data", () => socket.end(OK)), async (port) => {
    const client = new HttpClient("127.0.0.1", port);
    for (let i = 0; i < 40; i++) assertEquals([await client.get("/"), client.body], [true, "ok"]);
    client.close();
  });
});
