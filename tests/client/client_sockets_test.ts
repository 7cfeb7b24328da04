/** `HttpClient` over real sockets: connecting, connecting again, TLS, unix sockets. */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { readFileSync } from "node:fs";
import net from "node:net";
import { join as joinPath } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { HttpClient, type HttpClientSettings, HttpServer } from "../../src/coroutine/mod.ts";
import { loadRuntime, setRuntime } from "../../src/transport/current_runtime.ts";
import type { RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { ok, serverOf } from "./client_stage.ts";
import { next } from "../coroutine/stage.ts";
import { inFolder } from "../support/folder.ts";

const path = (name: string) => fileURLToPath(new URL(`../tls/${name}`, import.meta.url));

/** Answers each request on a connection. */
const answers = async (peer: RawClient) => {
  while (true) {
    const head = await peer.readHead().catch(() => undefined);
    if (head === undefined) return peer.destroy();
    peer.send(ok(head.split(" ")[1]));
  }
};

/** A port of 127.0.0.1 where nobody listens. */
async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function failure(client: HttpClient): unknown[] {
  return [client.statusCode, client.errCode, client.connected];
}

test("one connection serves many requests", async () => {
  await serverOf([answers], async (port, connections) => {
    const client = new HttpClient("127.0.0.1", port);
    for (let i = 0; i < 5; i++) {
      assertEquals([await client.get(`/${i}`), client.body], [true, `/${i}`]);
    }
    assertEquals([connections(), client.connected], [1, true]);
    const [peer, own] = [client.getpeername(), client.getsockname()];
    assert(peer !== false && peer.port === port && own !== false && own.port > 0);
    assertEquals([client.close(), client.getpeername()], [true, false]);
  });
});

test("a connection that the server has closed meanwhile is replaced without a word", async () => {
  const once = async (peer: RawClient) => {
    await peer.readHead();
    peer.send(ok("once"));
    peer.end();
  };
  await serverOf([once], async (port, connections) => {
    const client = new HttpClient("127.0.0.1", port);
    for (let i = 1; i <= 3; i++) {
      assertEquals([await client.get("/"), client.body, connections()], [true, "once", i]);
      while (client.connected) await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });
});

test("max_retries: a request is repeated, with its body, when the server closed before it answered", async () => {
  const requests: string[] = [];
  const leaves = async (peer: RawClient) => {
    requests.push(await peer.readHead() + new TextDecoder().decode(await peer.read(4)));
    peer.end();
  };
  const works = async (peer: RawClient) => {
    requests.push(await peer.readHead() + new TextDecoder().decode(await peer.read(4)));
    peer.send(ok("third"));
  };
  await serverOf([leaves, leaves, works], async (port, connections) => {
    const client = new HttpClient("127.0.0.1", port);
    client.set({ max_retries: 1 });
    assertEquals([await client.post("/", "data"), ...failure(client), connections()], [false, -3, 104, false, 2]);
    assertEquals([await client.post("/", "data"), client.body, connections()], [true, "third", 3]);
    assert(requests.length === 3 && requests.every((request) => request === requests[0] && request.endsWith("\r\n\r\ndata")));
    client.close();
  });
});

test("nobody listens: -1 and 111; a name without an address: 711", async () => {
  const client = new HttpClient("127.0.0.1", await freePort());
  assertEquals([await client.get("/"), ...failure(client)], [false, -1, 111, false]);
  assertEquals(client.errMsg, "Connection refused");
  assertEquals([await client.upgrade("/"), ...failure(client)], [false, -1, 111, false]);
  const nowhere = new HttpClient("no-such-host.invalid");
  assertEquals([await nowhere.get("/"), ...failure(nowhere)], [false, -1, 711, false]);
});

test("a server that accepts and says nothing: -2 and 110, for get() and for upgrade()", async () => {
  await serverOf([() => {}], async (port) => {
    const client = new HttpClient("127.0.0.1", port);
    client.set({ timeout: 0.1 });
    assertEquals([await client.get("/"), ...failure(client)], [false, -2, 110, false]);
    assertEquals([await client.upgrade("/"), ...failure(client)], [false, -2, 110, false]);
  });
});

test("close() while it connects: the request fails, and the next one works", async () => {
  await serverOf([() => {}], async (port) => {
    const client = new HttpClient("127.0.0.1", port, true);
    const asking = client.get("/");
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.close();
    assertEquals([await asking, ...failure(client)], [false, -1, 5001, false]);
  });
  await serverOf([answers], async (port) => {
    const client = new HttpClient("127.0.0.1", port);
    const asking = client.get("/");
    client.close();
    assertEquals([await asking, client.connected], [false, false]);
    assertEquals([await client.get("/again"), client.body], [true, "/again"]);
    client.close();
  });
});

test("a reset instead of an answer: -3 and 104", async () => {
  const resets = async (peer: RawClient) => {
    await peer.readHead();
    peer.socket.resetAndDestroy();
  };
  await serverOf([resets], async (port) => {
    const client = new HttpClient("127.0.0.1", port);
    assertEquals([await client.get("/"), ...failure(client)], [false, -3, 104, false]);
    assertEquals([await client.upgrade("/"), ...failure(client)], [false, -3, 104, false]);
  });
});

test("a server without TLS: -1 and 1018", async () => {
  const garbage = (peer: RawClient) => {
    peer.send("HTTP/1.1 400 Bad Request\r\n\r\n");
    peer.end();
  };
  await serverOf([garbage], async (port) => {
    const client = new HttpClient("127.0.0.1", port, true);
    assertEquals([await client.get("/"), ...failure(client)], [false, -1, 1018, false]);
  });
});

/** Certificates of the server, what the client says about them, and what comes of it. */
const certificates: [what: string, server: string, host: string, settings: HttpClientSettings, errCode: number][] = [
  ["of a trusted authority", "cert", "localhost", { ssl_cafile: path("ca.pem") }, 0],
  ["of an authority that nobody knows", "cert", "localhost", {}, 1014],
  ["for another host", "cert", "localhost", { ssl_cafile: path("ca.pem"), ssl_host_name: "other.example" }, 1014],
  ["for the name that was given", "cert", "127.0.0.1", { ssl_cafile: path("ca.pem"), ssl_host_name: "localhost" }, 0],
  ["signed by itself", "self", "localhost", {}, 1014],
  ["signed by itself, which is allowed", "self", "localhost", { ssl_allow_self_signed: true }, 0],
  ["that is not checked", "cert", "localhost", { ssl_verify_peer: false }, 0],
  ["that is too old", "expired", "localhost", { ssl_cafile: path("expired.pem") }, 1014],
];

for (const [what, name, host, settings, errCode] of certificates) {
  const outcome = errCode === 0 ? "a WebSocket and HTTP over TLS" : `-1 and ${errCode}`;
  test(`a certificate ${what}: ${outcome}`, async () => {
    const server = new HttpServer(host, 0, true);
    server.set({ ssl_cert_file: path(`${name}.pem`), ssl_key_file: path(name === "cert" ? "key.pem" : `${name}_key.pem`) });
    server.on("error", () => {});
    server.handle("/ws", async (_request, ws) => {
      await ws.upgrade();
      for await (const frame of ws) await ws.push(frame);
    });
    server.handle("/", (_request, response) => response.end("secret"));
    await serving(server, async (_server, port) => {
      const client = new HttpClient(host, port, true);
      client.set(settings);
      const result = await client.get("/");
      if (errCode !== 0) {
        assertEquals([result, ...failure(client), client.body], [false, -1, errCode, false, ""]);
        return;
      }
      assertEquals([result, client.body], [true, "secret"], client.errMsg);
      assertEquals(await client.upgrade("/ws"), true);
      await client.push("over TLS");
      assertEquals(await next(client), "1 over TLS");
      client.disconnect();
      assertEquals([await next(client), await next(client)], ["close 1000", '""']);
    });
  });
}

test("open_tcp_nodelay, ssl_cert_file and ssl_key_file are told to the runtime, with their defaults and as they are set", async () => {
  const told: unknown[] = [];
  setRuntime({
    ...await loadRuntime(),
    connect: ({ noDelay, tls }) => {
      told.push([noDelay, tls?.cert, tls?.key]);
      return Promise.reject(new Error("no connection"));
    },
  });
  try {
    const client = new HttpClient("localhost", 1, true);
    assertEquals(await client.get("/"), false);
    client.set({ open_tcp_nodelay: false, ssl_cert_file: path("cert.pem"), ssl_key_file: path("key.pem") });
    assertEquals(await client.get("/"), false);
  } finally {
    setRuntime(undefined);
  }
  const content = (name: string) => readFileSync(path(name), "utf8");
  assertEquals(told, [[true, undefined, undefined], [false, content("cert.pem"), content("key.pem")]]);
});

test("a file of the settings that cannot be read is an Error that names the setting", async () => {
  const client = new HttpClient("localhost", await freePort(), true);
  client.set({ ssl_cafile: "/nowhere/ca.pem" });
  const error = await assertRejects(() => client.get("/"), Error);
  assertStringIncludes(error.message, "Cannot read ssl_cafile: ");
  assert(error.cause !== undefined);
  client.set({ ssl_cafile: "" });
  assertEquals([await client.get("/"), client.errCode], [false, 111]);
  assert(readFileSync(path("ca.pem"), "utf8").includes("BEGIN CERTIFICATE"));
});

test("a unix socket: HTTP and a WebSocket; without a server -1 and 2", () =>
  inFolder(async (folder) => {
    const place = `unix:${joinPath(folder, "s")}`;
    const server = new HttpServer(place);
    server.handle("/", async (request, ws) => {
      if (request.header["upgrade"] === undefined) return void ws.end(request.header["host"]);
      await ws.upgrade();
      await ws.push("hello");
    });
    await serving(server, async () => {
      const client = new HttpClient(place);
      assertEquals([await client.get("/"), client.body], [true, "localhost"]);
      assertEquals([await client.upgrade("/"), await next(client), await next(client)], [true, "1 hello", "close 1000"]);
    });
    const nobody = new HttpClient(`unix://${joinPath(folder, "nobody")}`);
    assertEquals([await nobody.get("/"), ...failure(nobody)], [false, -1, 2, false]);
  }));

test("an IPv6 host, with brackets and without", async () => {
  await serverOf([answers], async (port) => {
    for (const host of ["::1", "[::1]"]) {
      const client = new HttpClient(host, port);
      assertEquals([await client.get("/6"), client.body, client.errMsg], [true, "/6", ""]);
      client.close();
    }
  }, { host: "::1", port: 0 });
});

test("bind_address and bind_port say where the connection comes from", async () => {
  const port = await freePort();
  await serverOf(
    [(peer) => peer.readHead().then(() => peer.send(ok(`${peer.socket.remoteAddress}:${peer.socket.remotePort}`)))],
    async (to) => {
      const client = new HttpClient("127.0.0.1", to);
      client.set({ bind_address: "127.0.0.2", bind_port: port });
      const done = await client.get("/");
      if ("Bun" in globalThis && !done) return; // it cannot
      assertEquals([done, client.body], [true, `127.0.0.2:${port}`], client.errMsg);
      client.close();
    },
  );
});

test("many clients at once, each with its own connection and answers", async () => {
  const server = new HttpServer("127.0.0.1");
  server.handle("/ws", async (_request, ws) => {
    await ws.upgrade();
    for await (const frame of ws) await ws.push(`${frame.data}!`);
  });
  server.handle("/", (request, response) => response.end(String(request.server.request_uri)));
  await serving(server, async (_server, port) => {
    await Promise.all(Array.from({ length: 50 }, async (_, i) => {
      const client = new HttpClient("127.0.0.1", port);
      assertEquals([await client.get(`/${i}`), client.body], [true, `/${i}`]);
      assertEquals(await client.upgrade("/ws"), true);
      for (let round = 0; round < 5; round++) {
        await client.push(`${i} ${round}`);
        assertEquals(await next(client), `1 ${i} ${round}!`);
      }
      client.disconnect();
      assertEquals(await next(client), "close 1000");
    }));
  });
});
