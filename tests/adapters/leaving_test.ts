import { assert, assertEquals } from "@std/assert";
import { type Runtime, WebSocketServer } from "../../mod.ts";
import { lanes, servingOn } from "../support/lanes.ts";
import { frame, handshake, RawClient } from "../support/raw_client.ts";
import { test } from "node:test";

const MIB = 1024 * 1024;
const big = new Uint8Array(3 * MIB);

/** What a client has done when it goes away. Resolves when the server has seen it. */
type Stage = (client: RawClient, seen: (what: string) => Promise<void>) => Promise<void>;

const stages: [name: string, stage: Stage][] = [
  ["before any byte", async (_client, seen) => await seen("connect")],
  ["in the request line", async (client, seen) => {
    client.send("GET /x HT");
    await seen("connect");
  }],
  ["in the header fields", async (client, seen) => {
    client.send(handshake().slice(0, 70));
    await seen("connect");
  }],
  ["in the body", async (client, seen) => {
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
    await seen("connect");
  }],
  ["between two chunks", async (client, seen) => {
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    await seen("connect");
  }],
  ["while the request is answered", async (client, seen) => {
    client.send("GET /never HTTP/1.1\r\nHost: x\r\n\r\n");
    await seen("request");
  }],
  ["while a large answer is written", async (client, seen) => {
    client.socket.pause();
    client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    await seen("request");
  }],
  ["between two requests", async (client) => {
    client.send("GET /small HTTP/1.1\r\nHost: x\r\n\r\n");
    await client.readAnswer();
  }],
  ["right behind the handshake", async (client, seen) => {
    client.send(handshake());
    await seen("open");
  }],
  ["as an open WebSocket", async (client) => {
    client.send(handshake());
    await client.readHead();
  }],
  ["in the header of a frame", async (client) => {
    client.send(handshake());
    await client.readHead();
    client.send(new Uint8Array([0x82]));
  }],
  ["in the payload of a frame", async (client) => {
    client.send(handshake());
    await client.readHead();
    client.send(frame({ opcode: 2, payload: new Uint8Array(1000) }).subarray(0, 500));
  }],
  ["between two fragments", async (client) => {
    client.send(handshake());
    await client.readHead();
    client.send(frame({ opcode: 1, payload: "first", fin: false }));
  }],
  ["while messages are pushed to it", async (client, seen) => {
    client.send(handshake());
    await client.readHead();
    client.socket.pause();
    client.send(frame({ opcode: 1, payload: "push" }));
    await seen("message");
  }],
  ["while the closing handshake is on its way", async (client, seen) => {
    client.send(handshake());
    await client.readHead();
    client.send(frame({ opcode: 1, payload: "disconnect" }));
    await seen("message");
  }],
];

async function checkStage(runtime: Runtime, stage: Stage, leave: (client: RawClient) => void): Promise<void> {
  const server = new WebSocketServer("127.0.0.1", 0);
  const events: string[] = [];
  const errors: unknown[] = [];
  let wake = () => {};
  const note = (what: string) => {
    events.push(what);
    wake();
  };
  const seen = async (what: string) => {
    while (!events.includes(what)) await new Promise<void>((resolve) => wake = resolve);
  };
  let steady = 0;
  const noteFor = (fd: number, what: string) => void (fd !== steady && note(what));
  server.set({ websocket_close_timeout: 0.5 });
  server.on("connect", (_server, fd) => noteFor(fd, "connect"));
  server.on("open", (_server, { fd }) => {
    if (steady === 0) steady = fd;
    noteFor(fd, "open");
  });
  server.on("request", (request, response) => {
    note("request");
    const path = request.server.request_uri;
    if (path === "/small") response.end("small");
    else if (path === "/large") { for (let i = 0; i < 20; i++) response.write(big); }
    else response.detach();
  });
  server.on("message", (server, { fd, data }) => {
    if (data === "push") { while (server.push(fd, big)); }
    else if (data === "disconnect") server.disconnect(fd);
    else server.push(fd, data);
    noteFor(fd, "message");
  });
  server.on("close", (_server, fd) => noteFor(fd, "close"));
  server.on("disconnect", (_server, fd) => noteFor(fd, "disconnect"));
  server.on("error", (_server, error) => void errors.push(error));

  await servingOn(runtime, server, async (server, port) => {
    const other = await RawClient.open(port);
    events.length = 0;
    const client = await RawClient.connect(port);
    await stage(client, seen);
    const isWebSocket = events.includes("open");
    leave(client);
    await seen(isWebSocket ? "close" : "disconnect");
    other.send(frame({ opcode: 1, payload: "still served" }));
    assertEquals(new TextDecoder().decode((await other.readFrame())?.payload), "still served");
    assertEquals(events.filter((name) => name === "close" || name === "disconnect").length, 1);
    assertEquals(server.connections.size, 1);
    assertEquals(errors, []);
    client.destroy();
    other.destroy();
  });
  assertEquals(server.connections.size, 0);
  assert(server.stats().close_count === server.stats().accept_count);
}

for (const [lane, runtime] of lanes) {
  for (const [name, stage] of stages) {
    test(`a client that resets the connection ${name} (${lane})`, () =>
      checkStage(runtime, stage, (client) => void client.socket.resetAndDestroy()));
  }
}

// One that closes its socket ends its side, and nothing tells it from one that only ends its side.
for (const [lane, runtime] of lanes) {
  for (const [name, stage] of stages) {
    test(`a client that closes the connection ${name} (${lane})`, () => checkStage(runtime, stage, (client) => client.destroy()));
  }
}
