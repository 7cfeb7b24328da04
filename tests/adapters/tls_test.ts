import { assert, assertEquals, assertRejects } from "@std/assert";
import tls from "node:tls";
import { HttpServer, Server, SWOOLE_BASE, SWOOLE_SOCK_TCP, SWOOLE_SSL, WebSocketServer } from "../../mod.ts";
import { servingOn, testLanes } from "../support/lanes.ts";
import { closeFrame, frame, handshake, RawClient, SAMPLE_ACCEPT } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";
import { connectTls, tlsSettings } from "../support/tls_client.ts";

const decoder = new TextDecoder();
const TYPE = SWOOLE_SOCK_TCP | SWOOLE_SSL;

function echoServer(): WebSocketServer {
  const server = new WebSocketServer("127.0.0.1", 0, SWOOLE_BASE, TYPE);
  server.set(tlsSettings);
  server.on("message", (server, frame) => server.push(frame.fd, frame));
  server.on("request", (request, response) => response.end(`${request.getMethod()} ${request.server.request_uri}`));
  return server;
}

async function openTls(port: number): Promise<RawClient> {
  const client = await connectTls(port);
  client.send(handshake());
  assert((await client.readHead()).includes(`\r\nSec-WebSocket-Accept: ${SAMPLE_ACCEPT}\r\n`));
  return client;
}

async function checkEcho(client: RawClient, text: string): Promise<void> {
  client.send(frame({ opcode: 1, payload: text }));
  assertEquals(decoder.decode((await client.readFrame())?.payload), text);
}

testLanes("TLS: WebSocket and HTTP", async (runtime) => {
  await servingOn(runtime, echoServer(), async (server, port) => {
    assertEquals(server.ssl, true);
    const client = await openTls(port);
    await checkEcho(client, "over and back");
    client.send(closeFrame(1000));
    assertEquals((await client.readFrame())?.opcode, 8);
    await client.whenEnded();
    client.end();

    const other = await connectTls(port);
    other.send("GET /secret HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assertEquals((await other.readAnswer()).body, "GET /secret");
    await other.whenEnded();
    other.end();
  });
});

testLanes("TLS: the client's address is known", async (runtime) => {
  const server = new Server("127.0.0.1", 0, SWOOLE_BASE, TYPE);
  server.set(tlsSettings);
  server.on("receive", (server, fd) => {
    const info = server.getClientInfo(fd);
    server.send(fd, JSON.stringify(info && [info.remote_ip, info.remote_port]) + "\r\n\r\n");
  });
  await servingOn(runtime, server, async (_server, port) => {
    const client = await connectTls(port);
    client.send("x");
    assertEquals(JSON.parse(await client.readHead()), ["127.0.0.1", client.socket.localPort]);
    client.destroy();
  });
});

testLanes("TLS: a client that does not trust the certificate is not let down by us", async (runtime) => {
  await servingOn(runtime, echoServer(), async (_server, port) => {
    await assertRejects(() =>
      new Promise((_resolve, reject) => {
        const socket = tls.connect({ host: "127.0.0.1", port, servername: "localhost", ca: [] });
        socket.once("error", reject);
      })
    );
    const client = await openTls(port);
    await checkEcho(client, "still here");
    client.destroy();
  });
});

testLanes("TLS: plain text on a TLS port ends that connection and harms no other", async (runtime) => {
  const server = echoServer();
  const connected: number[] = [];
  const errors: unknown[] = [];
  server.on("connect", (_server, fd) => void connected.push(fd));
  server.on("error", (_server, error) => void errors.push(error));
  await servingOn(runtime, server, async (server, port) => {
    const before = await openTls(port);
    const plain = await RawClient.connect(port);
    plain.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await plain.whenEnded();
    plain.destroy();
    await checkEcho(before, "before");
    const after = await openTls(port);
    await checkEcho(after, "after");
    assertEquals(connected.length, 2); // the failed one was never shown to the program
    assertEquals(server.connections.size, 2);
    assertEquals(errors, []);
    before.destroy();
    after.destroy();
  });
});

testLanes("TLS: clients that leave in the middle of the handshake harm nobody", async (runtime) => {
  const server = echoServer();
  const errors: unknown[] = [];
  server.on("error", (_server, error) => void errors.push(error));
  await servingOn(runtime, server, async (_server, port) => {
    const steady = await openTls(port);
    for (const bytes of ["", "\x16", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]) {
      const client = await RawClient.connect(port);
      client.send(bytes);
      await checkEcho(steady, "meanwhile");
      client.socket.resetAndDestroy();
      await checkEcho(steady, "afterwards");
    }
    assertEquals(errors, []);
    steady.destroy();
  });
});

testLanes("TLS: a peer that does not shake hands is cut off, others are served", async (runtime) => {
  const server = echoServer();
  server.set({ http_request_timeout: 2 });
  await servingOn(runtime, server, async (_server, port) => {
    const steady = await openTls(port);
    const silent = await RawClient.connect(port);
    const half = await RawClient.connect(port);
    half.send(new Uint8Array([0x16, 0x03, 0x01]));
    await checkEcho(steady, "meanwhile");
    await silent.whenEnded();
    await half.whenEnded();
    await checkEcho(steady, "afterwards");
    for (const client of [silent, half, steady]) client.destroy();
  });
});

testLanes("TLS: 4 MiB each way arrive unharmed", async (runtime) => {
  const server = new WebSocketServer("127.0.0.1", 0, SWOOLE_BASE, TYPE);
  server.set({ ...tlsSettings, package_max_length: 8 * 1024 * 1024 });
  server.on("message", (server, frame) => server.push(frame.fd, frame));
  await servingOn(runtime, server, async (_server, port) => {
    const client = await openTls(port);
    const payload = Uint8Array.from({ length: 4 * 1024 * 1024 }, (_, i) => (i * 31 + (i >> 12)) & 255);
    client.send(frame({ opcode: 2, payload }));
    const echo = await client.readFrame();
    assertEquals(echo?.payload.length, payload.length);
    assert(echo!.payload.every((byte, i) => byte === payload[i]));
    client.destroy();
  });
});

testLanes("TLS: close() delivers what is queued, then ends", async (runtime) => {
  const server = new Server("127.0.0.1", 0, SWOOLE_BASE, TYPE);
  server.set(tlsSettings);
  const size = 1024 * 1024;
  server.on("receive", (server, fd) => {
    server.send(fd, new Uint8Array(size).fill(1));
    server.send(fd, new Uint8Array(size).fill(2));
    server.close(fd);
  });
  await servingOn(runtime, server, async (_server, port) => {
    const client = await connectTls(port);
    client.send("now");
    const all = await client.readAll();
    assertEquals(client.error, undefined);
    assertEquals(all.length, 2 * size);
    assertEquals([all[0], all[size - 1], all[size], all[2 * size - 1]], [1, 1, 2, 2]);
    client.end();
  });
});

testLanes("TLS: close(fd, true) drops the connection", async (runtime) => {
  const server = new Server("127.0.0.1", 0, SWOOLE_BASE, TYPE);
  server.set(tlsSettings);
  const closed = signal<number>();
  server.on("receive", (server, fd) => void server.close(fd, true));
  server.on("close", (_server, _fd, reactorId) => closed.resolve(reactorId));
  await servingOn(runtime, server, async (server, port) => {
    const client = await connectTls(port);
    client.send("now");
    assertEquals(await closed.promise, -1);
    await client.whenEnded();
    assertEquals(server.connections.size, 0);
    client.destroy();
  });
});

testLanes("TLS: a client that goes away without a word is noticed", async (runtime) => {
  const server = echoServer();
  const closed = signal();
  server.on("close", () => closed.resolve());
  await servingOn(runtime, server, async (_server, port) => {
    const client = await openTls(port);
    await checkEcho(client, "hello");
    client.destroy();
    await closed.promise;
  });
});

testLanes(
  "TLS: with http_allow_half_open a client may end its side after the request and still gets the response",
  async (runtime) => {
    const server = new HttpServer("127.0.0.1", 0, SWOOLE_BASE, TYPE);
    server.set({ ...tlsSettings, http_allow_half_open: true });
    const asked = signal<(text: string) => void>();
    server.on("request", (_request, response) => {
      response.detach();
      asked.resolve((text) => response.end(text));
    });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await connectTls(port);
      client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
      client.end();
      const answer = await asked.promise;
      const other = await connectTls(port); // a round trip, in which the end arrives
      other.destroy();
      answer("late, but there");
      assertEquals((await client.readAnswer()).body, "late, but there");
      await client.whenEnded();
      client.destroy();
    });
  },
);
