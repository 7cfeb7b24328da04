import { assert, assertEquals, assertFalse } from "@std/assert";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { type HttpRequest, type HttpResponse, WebSocketServer } from "../../mod.ts";
import { frame, handshake, RawClient, SAMPLE_ACCEPT } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { Remembering, textOf } from "./console.ts";

function isValidKey(key: string | undefined): key is string {
  return key !== undefined && /^[+/0-9A-Za-z]{21}[AQgw]==$/.test(key) && atob(key).length === 16;
}

function acceptFor(key: string): string {
  return createHash("sha1").update(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
}

/** The page's handshake. */
function shakeHands(request: HttpRequest, response: HttpResponse): boolean | void {
  const key = request.header["sec-websocket-key"]; // header names in lower case
  if (!isValidKey(key)) {
    response.end();
    return false;
  }
  response.header("Upgrade", "websocket");
  response.header("Connection", "Upgrade");
  response.header("Sec-WebSocket-Accept", acceptFor(key));
  response.header("Sec-WebSocket-Version", "13");
  const protocol = request.header["sec-websocket-protocol"];
  if (protocol !== undefined) response.header("Sec-WebSocket-Protocol", protocol);
  response.status(101);
  response.end();
}

/** A server with the page's handshake that echoes. */
function handshakeServer(): WebSocketServer {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", (server, frame) => server.push(frame.fd, frame.data));
  server.on("handshake", shakeHands);
  return server;
}

test("a handshake of one's own opens the WebSocket, and open is not called", async () => {
  const console = new Remembering();
  const server = handshakeServer();
  server.on("open", () => console.log("open"));
  server.on("beforeHandshakeResponse", () => console.log("beforeHandshakeResponse"));
  await serving(server, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.send(handshake());
    const head = await client.readHead();
    assert(head.startsWith("HTTP/1.1 101 Switching Protocols\r\n"));
    const accept = `Sec-Websocket-Accept: ${SAMPLE_ACCEPT}`; // header() sends names with capitals where words begin
    for (const line of ["Upgrade: websocket", "Connection: Upgrade", "Sec-Websocket-Version: 13", accept]) {
      assert(head.includes(`\r\n${line}\r\n`), head);
    }
    assertFalse(/sec-websocket-protocol/i.test(head), head);
    client.send(frame({ opcode: 1, payload: "hello" }));
    assertEquals(textOf(await client.readFrame()), "hello");
    client.end();
  });
  assertEquals(console.lines, []);
});

test("a handshake of one's own answers the subprotocol that was offered", async () => {
  await serving(handshakeServer(), async (_server, port) => {
    const client = await RawClient.connect(port);
    client.send(handshake("/", { "Sec-WebSocket-Protocol": "chat" }));
    assert((await client.readHead()).includes("\r\nSec-Websocket-Protocol: chat\r\n"));
    client.end();
  });
});

for (const key of [null, "abc", "dGhlIHNhbXBsZSBub25jZR==", "dGhlIHNhbXBsZSBub25j*Q=="]) {
  test(`a handshake of one's own refuses the key ${key}: an answer and the end`, async () => {
    await serving(handshakeServer(), async (server, port) => {
      const client = await RawClient.connect(port);
      client.send(handshake("/", { "Sec-WebSocket-Key": key }));
      const { status, body } = await client.readAnswer();
      assertEquals([status, body], [200, ""]);
      await client.whenEnded();
      assertEquals(server.connections.size, 0);
      client.end();
    });
  });
}

test("what open would do is deferred by a handshake of one's own", async () => {
  const console = new Remembering();

  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  server.on("handshake", (request, response) => {
    shakeHands(request, response);

    server.defer(() => {
      console.log("Client connected");
      server.push(request.fd, "hello, welcome\n");
    });
  });

  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    assertEquals(textOf(await client.readFrame()), "hello, welcome\n");
    client.end();
  });
  assertEquals(console.lines, ["Client connected"]);
});

test("a handshake of one's own may be asynchronous, the connection waits for it", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", (server, frame) => server.push(frame.fd, frame.data));
  server.on("handShake", async (request, response) => {
    await new Promise<void>((resolve) => server.after(1, resolve));
    shakeHands(request, response);
  });

  await serving(server, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.send(handshake());
    client.send(frame({ opcode: 1, payload: "early" }));
    assert((await client.readHead()).startsWith("HTTP/1.1 101 "));
    assertEquals(textOf(await client.readFrame()), "early");
    client.end();
  });
});

test("beforeHandshakeResponse adds headers to the answer, and open is called", async () => {
  const console = new Remembering();

  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  server.on("open", () => console.log("open"));
  server.on("beforeHandshakeResponse", (_request, response) => response.header("X-Node", "a1"));

  await serving(server, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.send(handshake());
    const head = await client.readHead();
    assert(head.startsWith("HTTP/1.1 101 "));
    assert(head.includes("\r\nX-Node: a1\r\n"), head);
    assert(head.includes(`\r\nSec-WebSocket-Accept: ${SAMPLE_ACCEPT}\r\n`), head);
    client.end();
  });
  assertEquals(console.lines, ["open"]);
});

const OFFERS: [offer: string | null, answer: string | undefined][] = [
  ["chat", "chat"],
  ["superchat, chat", "chat"],
  [null, undefined],
  ["superchat", undefined],
];
for (const [offer, answer] of OFFERS) {
  test(`websocket_subprotocol "chat" answers the offer ${offer} with ${answer}`, async () => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set({ websocket_subprotocol: "chat" });
    server.on("message", () => {});
    await serving(server, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.send(handshake("/", { "Sec-WebSocket-Protocol": offer }));
      const head = await client.readHead();
      assert(head.startsWith("HTTP/1.1 101 "));
      assertEquals(/^Sec-WebSocket-Protocol: (.*)\r$/m.exec(head)?.[1], answer);
      client.end();
    });
  });
}
