import { assert, assertEquals, assertGreater, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { generateKeyPairSync } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import {
  type ClientInfo,
  HttpServer,
  type Listener,
  type Runtime,
  Server,
  SWOOLE_BASE,
  SWOOLE_SOCK_TCP,
  SWOOLE_SOCK_TCP6,
  SWOOLE_SOCK_UNIX_STREAM,
  SWOOLE_SSL,
  WebSocketServer,
} from "../../mod.ts";
import { inFolder } from "../support/folder.ts";
import { servingOn, startOn, testLanes } from "../support/lanes.ts";
import { closeFrame, frame, RawClient, type Target } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";

const decoder = new TextDecoder();

/** Says something over a WebSocket and over HTTP and sees that it comes back. */
async function checkEcho(target: Target): Promise<void> {
  const client = await RawClient.open(target);
  client.send(frame({ opcode: 1, payload: "over and back" }));
  assertEquals(decoder.decode((await client.readFrame())?.payload), "over and back");
  client.send(closeFrame(1000));
  assertEquals((await client.readFrame())?.opcode, 8);
  await client.whenEnded();
  client.end();
  const other = await RawClient.connect(target);
  other.send("GET /path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  assertEquals((await other.readAnswer()).body, "GET /path");
  await other.whenEnded();
  other.end();
}

function echoServer(host: string, port: number, type: number): WebSocketServer {
  const server = new WebSocketServer(host, port, SWOOLE_BASE, type);
  server.on("message", (server, frame) => server.push(frame.fd, frame));
  server.on("request", (request, response) => response.end(`${request.getMethod()} ${request.server.request_uri}`));
  return server;
}

/** What the server knows of a client that has just connected, and the client's own view. */
async function meet(server: Server, runtime: Runtime, target: (port: number) => Target) {
  const info = signal<ClientInfo | false>();
  server.on("receive", (server, fd) => info.resolve(server.getClientInfo(fd)));
  let seen: ClientInfo | false = false;
  let port = 0;
  await servingOn(runtime, server, async () => {
    const client = await RawClient.connect(target(server.port));
    port = client.socket.localPort ?? 0;
    client.send("x");
    seen = await info.promise;
    client.destroy();
  });
  assert(seen !== false);
  return { info: seen as ClientInfo, clientPort: port };
}

testLanes("TCP on 127.0.0.1: port 0 becomes a real port", async (runtime) => {
  const server = echoServer("127.0.0.1", 0, SWOOLE_SOCK_TCP);
  assertEquals(server.port, 0);
  await servingOn(runtime, server, async (server, port) => {
    assertGreater(port, 0);
    assertEquals(server.host, "127.0.0.1");
    await checkEcho(port);
  });
});

testLanes("TCP on 0.0.0.0 is reached over 127.0.0.1", async (runtime) => {
  await servingOn(runtime, echoServer("0.0.0.0", 0, SWOOLE_SOCK_TCP), (_server, port) => checkEcho(port));
});

testLanes("TCP on a host name", async (runtime) => {
  await servingOn(
    runtime,
    echoServer("localhost", 0, SWOOLE_SOCK_TCP),
    (_server, port) => checkEcho({ host: "localhost", port }),
  );
});

testLanes("two servers on port 0 get two ports", async (runtime) => {
  await servingOn(runtime, echoServer("127.0.0.1", 0, SWOOLE_SOCK_TCP), async (_server, first) => {
    await servingOn(runtime, echoServer("127.0.0.1", 0, SWOOLE_SOCK_TCP), async (_server, second) => {
      assert(first !== second);
      await checkEcho(first);
      await checkEcho(second);
    });
  });
});

testLanes("IPv6 on ::1", async (runtime) => {
  await servingOn(runtime, echoServer("::1", 0, SWOOLE_SOCK_TCP6), (_server, port) => checkEcho({ host: "::1", port }));
});

testLanes("IPv6 on ::", async (runtime) => {
  await servingOn(runtime, echoServer("::", 0, SWOOLE_SOCK_TCP6), (_server, port) => checkEcho({ host: "::1", port }));
});

testLanes("unix socket", async (runtime) => {
  await inFolder(async (folder) => {
    const path = join(folder, "echo.sock");
    await servingOn(runtime, echoServer(path, 0, SWOOLE_SOCK_UNIX_STREAM), async () => {
      assert(existsSync(path));
      await checkEcho({ path });
    });
  });
});

testLanes("a unix socket that is dropped ends in order for its peer, and others are served", async (runtime) => {
  await inFolder(async (folder) => {
    const path = join(folder, "dropped.sock");
    const server = echoServer(path, 0, SWOOLE_SOCK_UNIX_STREAM);
    server.set({ max_connection: 2, websocket_close_timeout: 0.2, http_send_timeout: 1 });
    server.on("request", (request, response) => {
      response.header("Connection", "close");
      response.end(request.server.request_uri === "/large" ? "x".repeat(5_000_000) : "small");
    });
    server.on("message", (server, { fd }) => void server.close(fd, true));
    await servingOn(runtime, server, async () => {
      const first = await RawClient.open({ path });
      const second = await RawClient.connect({ path });
      // One is too many.
      await (await RawClient.connect({ path })).whenEnded();
      // One that takes nothing of its response, until the time for that is over.
      second.socket.pause();
      second.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
      while (server.stats().connection_num > 1) await new Promise((resolve) => setTimeout(resolve, 50));
      second.destroy();
      // The program drops one.
      first.send(frame({ opcode: 1, payload: "drop me" }));
      await first.whenEnded();
      first.destroy();
      const next = await RawClient.connect({ path });
      next.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      assertEquals((await next.readAnswer()).body, "small");
      next.destroy();
    });
  });
});

testLanes("over a unix socket, which cannot be reset, a response in parts for HTTP/1.0 has its length", async (runtime) => {
  await inFolder(async (folder) => {
    const path = join(folder, "parts.sock");
    const server = new HttpServer(path, 0, SWOOLE_BASE, SWOOLE_SOCK_UNIX_STREAM);
    server.on("request", (_request, response) => {
      response.write("in ");
      response.end("parts");
    });
    await servingOn(runtime, server, async () => {
      const client = await RawClient.connect({ path });
      client.send("GET / HTTP/1.0\r\n\r\n");
      const { head, body } = await client.readAnswer();
      assertEquals([body, /^content-length: 8\r?$/im.test(head)], ["in parts", true]);
      client.destroy();
    });
  });
});

testLanes("a unix socket's file is gone when the server has stopped, and the path can be used again", async (runtime) => {
  await inFolder(async (folder) => {
    const path = join(folder, "again.sock");
    for (let round = 0; round < 2; round++) {
      await servingOn(runtime, echoServer(path, 0, SWOOLE_SOCK_UNIX_STREAM), () => checkEcho({ path }));
      assertEquals(existsSync(path), false, `round ${round}`);
    }
  });
});

testLanes("getClientInfo() has the addresses of an IPv4 client", async (runtime) => {
  const server = new Server("127.0.0.1", 0);
  const { info, clientPort } = await meet(server, runtime, (port) => port);
  assertEquals(info.remote_ip, "127.0.0.1");
  assertEquals(info.remote_port, clientPort);
  assertEquals(info.server_port, server.port);
  assertEquals(info.socket_type, SWOOLE_SOCK_TCP);
});

testLanes("getClientInfo() has the addresses of an IPv6 client", async (runtime) => {
  const server = new Server("::1", 0, SWOOLE_BASE, SWOOLE_SOCK_TCP6);
  const { info, clientPort } = await meet(server, runtime, (port) => ({ host: "::1", port }));
  assertEquals(info.remote_ip, "::1");
  assertEquals(info.remote_port, clientPort);
  assertEquals(info.socket_type, SWOOLE_SOCK_TCP6);
});

testLanes("getClientInfo() has no address for the client of a unix socket", async (runtime) => {
  await inFolder(async (folder) => {
    const path = join(folder, "info.sock");
    const server = new Server(path, 0, SWOOLE_BASE, SWOOLE_SOCK_UNIX_STREAM);
    const { info } = await meet(server, runtime, () => ({ path }));
    assertEquals(info.remote_ip, "");
    assertEquals(info.remote_port, 0);
    assertEquals(info.socket_type, SWOOLE_SOCK_UNIX_STREAM);
  });
});

testLanes("a request knows both addresses", async (runtime) => {
  const server = new HttpServer("127.0.0.1", 0);
  server.on("request", ({ server }, response) => {
    response.end(JSON.stringify([server.server_addr, server.server_port, server.remote_addr, server.remote_port]));
  });
  await servingOn(runtime, server, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    const { body } = await client.readAnswer();
    assertEquals(JSON.parse(body), ["127.0.0.1", port, "127.0.0.1", client.socket.localPort]);
    client.end();
  });
});

testLanes("a port in use: start() rejects with EADDRINUSE, and works once the port is free", async (runtime) => {
  const second = new Server("127.0.0.1", 0);
  second.on("receive", () => {});
  const first = new Server("127.0.0.1", 0);
  first.on("receive", () => {});
  await servingOn(runtime, first, async (_server, port) => {
    (second as { port: number }).port = port;
    const error = await assertRejects(() => startOn(runtime, second), Error, `127.0.0.1:${port}`);
    assertEquals((error as { code?: string }).code, "EADDRINUSE");
    assertStringIncludes(error.message, "in use");
  });
  await servingOn(runtime, second, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.destroy();
  });
});

testLanes("a server can start again on its port at once, although it has ended connections there", async (runtime) => {
  let port = 0;
  for (let round = 0; round < 3; round++) {
    const server = new Server("127.0.0.1", port);
    server.on("receive", (server, fd) => void server.close(fd)); // who closes first keeps the port in TIME_WAIT
    await servingOn(runtime, server, async () => {
      port = server.port;
      const client = await RawClient.connect(port);
      client.send("bye");
      assertEquals((await client.readAll()).length, 0);
      client.end();
    });
  }
});

testLanes("shutdown() while start() is under way: nothing listens in the end", async (runtime) => {
  const server = new Server("127.0.0.1", 0);
  server.on("receive", () => {});
  let listener: Listener | undefined;
  const noted: Runtime = {
    ...runtime,
    listen: async (...args) => listener = await runtime.listen(...args),
  };
  const starting = startOn(noted, server);
  server.shutdown();
  await Promise.allSettled([starting, server.finished]);
  try {
    if (listener === undefined) return; // it has never listened
    const outcome = await RawClient.connect(listener.address.port).catch((error) => error.code);
    if (outcome instanceof RawClient) outcome.destroy();
    assertEquals(outcome, "ECONNREFUSED");
  } finally {
    await listener?.close();
  }
});

testLanes("a port taken by another program: EADDRINUSE", async (runtime) => {
  const other = net.createServer();
  const port = await new Promise<number>((resolve) =>
    other.listen(0, "127.0.0.1", () => resolve((other.address() as net.AddressInfo).port))
  );
  const server = new Server("127.0.0.1", port);
  server.on("receive", () => {});
  try {
    const error = await assertRejects(() => startOn(runtime, server), Error);
    assertEquals((error as { code?: string }).code, "EADDRINUSE");
  } finally {
    await new Promise<void>((resolve) => other.close(() => resolve()));
  }
});

testLanes("an address that this machine does not have: EADDRNOTAVAIL", async (runtime) => {
  const server = new Server("192.0.2.1", 0);
  server.on("receive", () => {});
  const error = await assertRejects(() => startOn(runtime, server), Error, "192.0.2.1");
  const { code } = error as { code?: string };
  if ("Deno" in globalThis && runtime.name.startsWith("node:net")) return assertEquals(code, "EINVAL"); // Deno's node:net
  assertEquals(code, "EADDRNOTAVAIL");
  assertStringIncludes(error.message, "no such address");
});

testLanes("a unix path in a folder that is not there: a clear error", async (runtime) => {
  await inFolder(async (folder) => {
    const path = join(folder, "missing", "x.sock");
    const server = new Server(path, 0, SWOOLE_BASE, SWOOLE_SOCK_UNIX_STREAM);
    server.on("receive", () => {});
    const error = await assertRejects(() => startOn(runtime, server), Error, path);
    assertEquals((error as { code?: string }).code, "ENOENT");
  });
});

testLanes("a unix path that is a file: EADDRINUSE, and the file is left alone", async (runtime) => {
  await inFolder(async (folder) => {
    const path = join(folder, "file");
    writeFileSync(path, "mine");
    const server = new Server(path, 0, SWOOLE_BASE, SWOOLE_SOCK_UNIX_STREAM);
    server.on("receive", () => {});
    const error = await assertRejects(() => startOn(runtime, server), Error, path);
    assertEquals((error as { code?: string }).code, "EADDRINUSE");
    assert(existsSync(path));
  });
});

/** Leaves a socket behind that nobody listens on, as a server that is killed does. */
async function leaveSocket(path: string): Promise<void> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(`${path}.moved`, resolve));
  renameSync(`${path}.moved`, path); // so that the runtime does not find it when it tidies up
  await new Promise((resolve) => server.close(resolve));
  assert(existsSync(path));
}

testLanes("a unix socket that a killed server has left behind is replaced", async (runtime) => {
  await inFolder(async (folder) => {
    const path = join(folder, "stale.sock");
    await leaveSocket(path);
    await servingOn(runtime, echoServer(path, 0, SWOOLE_SOCK_UNIX_STREAM), () => checkEcho({ path }));
    assertEquals(existsSync(path), false);
  });
});

testLanes("a unix socket in use is not replaced: EADDRINUSE, and its server goes on", async (runtime) => {
  await inFolder(async (folder) => {
    const path = join(folder, "used.sock");
    await servingOn(runtime, echoServer(path, 0, SWOOLE_SOCK_UNIX_STREAM), async () => {
      const second = echoServer(path, 0, SWOOLE_SOCK_UNIX_STREAM);
      const error = await assertRejects(() => startOn(runtime, second), Error);
      assertEquals(error.message, `Cannot listen on ${path}: the address is in use already`);
      assertEquals((error as { code?: string }).code, "EADDRINUSE");
      await checkEcho({ path });
    });
  });
});

testLanes("files, folders and links to files at the path of a unix socket are never removed", async (runtime) => {
  await inFolder(async (folder) => {
    writeFileSync(join(folder, "file"), "mine");
    mkdirSync(join(folder, "folder"));
    symlinkSync(join(folder, "file"), join(folder, "link"));
    for (const name of ["file", "folder", "link"]) {
      const server = echoServer(join(folder, name), 0, SWOOLE_SOCK_UNIX_STREAM);
      const error = await assertRejects(() => startOn(runtime, server), Error, "the address is in use already");
      assertEquals((error as { code?: string }).code, "EADDRINUSE", name);
    }
    assertEquals(readdirSync(folder).toSorted(), ["file", "folder", "link"]);
    assertEquals(readFileSync(join(folder, "link"), "utf8"), "mine");
  });
});

testLanes("certificates that cannot be used: start() says which setting and why", async (runtime) => {
  await inFolder(async (folder) => {
    const certificate = new URL("../tls/cert.pem", import.meta.url).pathname;
    const key = new URL("../tls/key.pem", import.meta.url).pathname;
    const text = join(folder, "text.pem");
    writeFileSync(text, "this is no certificate\n");
    const garbage = join(folder, "garbage.pem");
    writeFileSync(garbage, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    const other = join(folder, "other.pem");
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    writeFileSync(other, privateKey.export({ type: "pkcs8", format: "pem" }));
    const attempts: [settings: Record<string, string>, message: RegExp][] = [
      [{}, /ssl_cert_file/],
      [{ ssl_cert_file: certificate }, /ssl_key_file/],
      [{ ssl_cert_file: join(folder, "missing.pem"), ssl_key_file: key }, /Cannot read ssl_cert_file: /],
      [{ ssl_cert_file: certificate, ssl_key_file: join(folder, "missing.pem") }, /Cannot read ssl_key_file: /],
      [{ ssl_cert_file: text, ssl_key_file: key }, /Cannot use ssl_cert_file: .*PEM/],
      [{ ssl_cert_file: garbage, ssl_key_file: key }, /Cannot listen on 127\.0\.0\.1:0: ./],
      [{ ssl_cert_file: certificate, ssl_key_file: certificate }, /Cannot listen on 127\.0\.0\.1:0: ./],
      [{ ssl_cert_file: certificate, ssl_key_file: other }, /Cannot listen on 127\.0\.0\.1:0: ./],
    ];
    for (const [settings, message] of attempts) {
      const server = new Server("127.0.0.1", 0, SWOOLE_BASE, SWOOLE_SOCK_TCP | SWOOLE_SSL);
      server.on("receive", () => {});
      server.set(settings);
      const error = await assertRejects(() => startOn(runtime, server), Error);
      assertMatch(error.message, message);
    }
  });
});
