import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { CloseFrame, type Frame, WebSocketServer } from "../../mod.ts";
import { closeFrame, frame, handshake, hex, RawClient } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";
import { EventLog, textOf } from "./event_log.ts";

const REQUEST = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

test("connect, open, message and close follow each other, with their arguments", async () => {
  const log = new EventLog();
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("connect", (it, fd, reactorId) => log.add(`connect ${it === server} ${fd} ${reactorId}`));
  server.on(
    "open",
    (it, request) => log.add(`open ${it === server} ${request.fd} ${request.server.request_uri} ${request.get.a}`),
  );
  server.on("message", (it, frame) => log.add(`message ${it === server} ${frame.fd} ${frame.data}`));
  server.on("close", (it, fd, reactorId) => log.add(`close ${it === server} ${fd} ${reactorId}`));
  await serving(server, async (_server, port) => {
    const client = await RawClient.connect(port);
    await log.count(1); // nothing was sent yet
    client.send(handshake("/chat?a=b"));
    await client.readHead();
    client.send(frame({ opcode: 1, payload: "hello" }));
    client.send(closeFrame(1000));
    await client.whenEnded();
    client.end();
  });
  assertEquals(log.lines, ["connect true 1 0", "open true 1 /chat b", "message true 1 hello", "close true 1 0"]);
});

test("connect may send a connection away before it has said anything", async () => {
  const results: unknown[] = [];
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  server.on("connect", (server, fd) => {
    results.push(server.exist(fd), server.push(fd, "x"), server.getLastError());
    results.push(server.send(fd, "busy\r\n"), server.close(fd));
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.connect(port);
    assertEquals(new TextDecoder().decode(await client.readAll()), "busy\r\n");
    client.end();
  });
  assertEquals(results, [true, false, 8503, true, true]);
});

test("what open pushes follows the answer to the handshake", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  server.on("open", (server, request) => {
    assert(server.isEstablished(request.fd));
    server.push(request.fd, "welcome");
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    assertEquals(textOf(await client.readFrame()), "welcome");
    client.destroy();
  });
});

test("messages do not wait for open, nor for each other", async () => {
  const log = new EventLog();
  const gate = signal();
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("open", async () => {
    log.add("open begins");
    await gate.promise;
    log.add("open ends");
  });
  server.on("message", async (_server, frame) => {
    log.add(`${frame.data} begins`);
    if (frame.data === "two") gate.resolve();
    await gate.promise;
    log.add(`${frame.data} ends`);
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(frame({ opcode: 1, payload: "one" }));
    client.send(frame({ opcode: 1, payload: "two" }));
    await log.count(6);
    client.destroy();
  });
  assertEquals(log.lines.slice(0, 3), ["open begins", "one begins", "two begins"]);
  assertEquals(log.lines.slice(3).sort(), ["one ends", "open ends", "two ends"]);
});

test("message gets frames with all their properties", async () => {
  const frames: (Frame | CloseFrame)[] = [];
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ open_websocket_close_frame: true, open_websocket_ping_frame: true, open_websocket_pong_frame: true });
  server.on("message", (_server, frame) => frames.push(frame));
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(frame({ opcode: 1, payload: "grüße" }));
    client.send(frame({ opcode: 2, payload: hex("00ff") }));
    client.send(frame({ opcode: 1, payload: "" }));
    client.send(frame({ opcode: 2, payload: hex("01"), fin: false }));
    client.send(frame({ opcode: 9, payload: "ping" }));
    client.send(frame({ opcode: 0, payload: hex("02") }));
    client.send(frame({ opcode: 10 }));
    client.send(closeFrame(4001, "bye"));
    await client.whenEnded();
    client.end();
  });
  const show = (data: string | Uint8Array) => typeof data === "string" ? data : Array.from(data);
  assertEquals(frames.map(({ fd, opcode, flags, finish, data }) => [fd, opcode, flags, finish, show(data)]), [
    [1, 1, 33, true, "grüße"],
    [1, 2, 33, true, [0, 255]],
    [1, 1, 33, true, ""],
    [1, 9, 33, true, [0x70, 0x69, 0x6e, 0x67]],
    [1, 2, 33, true, [1, 2]],
    [1, 10, 33, true, []],
    [1, 8, 33, true, ""],
  ]);
  const close = frames.at(-1);
  assert(close instanceof CloseFrame);
  assertEquals([close.code, close.reason], [4001, "bye"]);
  assertEquals(JSON.stringify(frames[0]), '{"fd":1,"data":"grüße","opcode":1,"flags":33,"finish":true}');
});

test("bytes are plain Uint8Arrays in every runtime, and belong to the frame", async () => {
  const frames: Frame[] = [];
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", (server, frame) => {
    frames.push(frame);
    server.push(frame.fd, "got it");
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    for (const size of [1, 100, 5000, 100_000]) {
      client.send(frame({ opcode: 2, payload: new Uint8Array(size).fill(7) }));
      await client.readFrame();
      client.send(frame({ opcode: 1, payload: "7".repeat(size) }));
      await client.readFrame();
    }
    client.destroy();
  });
  for (const { opcode, data, bytes } of frames) {
    assert(bytes.constructor === Uint8Array, bytes.constructor.name); // a Buffer has another slice() and toString()
    if (opcode === 2) assert(data.constructor === Uint8Array, data.constructor.name);
    assert(bytes.every((byte) => byte === (opcode === 2 ? 7 : 0x37)));
  }
  const [small] = frames.map((frame) => frame.data as Uint8Array);
  const copy = small.slice();
  copy.fill(0);
  assertEquals(small[0], 7);
});

/** A way in which a connection ends, the reactor id that goes with it (where it is certain), and whether it was a WebSocket. */
type Ending = [name: string, webSocket: boolean, reactorId: number | undefined, end: (stage: EndingStage) => unknown];

interface EndingStage {
  server: WebSocketServer;
  client: RawClient;
  fd: number;
}

const ENDINGS: Ending[] = [
  ["the client closes properly", true, 0, ({ client }) => client.send(closeFrame(1000))],
  ["the client closes without a code", true, 0, ({ client }) => client.send(closeFrame())],
  ["the client ends TCP", true, 0, ({ client }) => client.end()],
  ["the client ends TCP inside a frame", true, 0, ({ client }) => {
    client.send(hex("8185 00000000 6865"));
    client.end();
  }],
  ["the client resets TCP", true, 0, ({ client }) => client.socket.resetAndDestroy()],
  ["the client breaks the protocol", true, 0, ({ client }) => client.send(hex("8300"))],
  ["the client closes with a code that may not travel", true, 0, ({ client }) => client.send(closeFrame(1005))],
  ["close()", true, -1, ({ server, fd }) => server.close(fd)],
  ["close() with reset", true, -1, ({ server, fd }) => server.close(fd, true)],
  ["disconnect(), answered", true, -1, async ({ server, client, fd }) => {
    server.disconnect(fd);
    await client.readFrame();
    client.send(closeFrame(1000));
  }],
  ["disconnect(), answered by the end of TCP", true, -1, ({ server, client, fd }) => {
    server.disconnect(fd);
    client.end();
  }],
  ["disconnect(), not answered", true, -1, ({ server, fd }) => server.disconnect(fd)],
  ["disconnect() and close()", true, -1, ({ server, fd }) => {
    server.disconnect(fd);
    server.close(fd);
  }],
  ["a pushed CloseFrame, answered", true, -1, async ({ server, client, fd }) => {
    server.push(fd, new CloseFrame());
    await client.readFrame();
    client.send(closeFrame(1000));
  }],
  ["message fails", true, undefined, ({ client }) => client.send(frame({ opcode: 1, payload: "fail" }))],

  ["the client ends TCP without a word", false, 0, ({ client }) => client.end()],
  ["the client resets TCP without a word", false, 0, ({ client }) => client.socket.resetAndDestroy()],
  ["the client ends TCP inside a request", false, 0, ({ client }) => {
    client.send(REQUEST.slice(0, 20));
    client.end();
  }],
  ["the client ends TCP after an answer", false, 0, async ({ client }) => {
    client.send(REQUEST);
    await client.readAnswer();
    client.end();
  }],
  ["the client says Connection: close", false, -1, ({ client }) => {
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  }],
  ["the program closes the response", false, -1, ({ client }) => client.send("GET /close HTTP/1.1\r\nHost: x\r\n\r\n")],
  ["close() of a plain connection", false, -1, ({ server, fd }) => server.close(fd)],
  ["the handshake is refused", false, -1, ({ client }) => client.send(handshake("/", { "Sec-WebSocket-Key": "no" }))],
  ["the request is malformed", false, undefined, ({ client }) => client.send("no\r\n\r\n")],
  ["the request is too slow", false, undefined, ({ client }) => client.send("GET / HT")],
  ["request fails", false, undefined, ({ client }) => client.send("GET /fail HTTP/1.1\r\nHost: x\r\n\r\n")],
];

for (const withDisconnect of [true, false]) {
  const handlers = withDisconnect ? "close and disconnect are" : "close alone is";
  for (const [name, webSocket, reactorId, end] of ENDINGS) {
    const event = webSocket || !withDisconnect ? "close" : "disconnect";
    test(`${name}: ${event} is called once, when ${handlers} handled`, async () => {
      const log = new EventLog();
      const server = new WebSocketServer("127.0.0.1", 0);
      server.set({ websocket_close_timeout: 0.05, http_request_timeout: 1 });
      server.on("connect", (_server, fd) => log.add(`connect ${fd}`));
      server.on("error", () => {});
      server.on("message", () => {
        throw new Error("message");
      });
      server.on("request", (request, response) => {
        if (request.server.request_uri === "/fail") throw new Error("request");
        if (request.server.request_uri === "/close") response.close();
        else response.end("hi");
      });
      server.on("close", (_server, fd, id) => log.add(`close ${fd} ${id === reactorId || reactorId === undefined}`));
      if (withDisconnect) {
        server.on("disconnect", (_server, fd, id) => log.add(`disconnect ${fd} ${id === reactorId || reactorId === undefined}`));
      }
      await serving(server, async (server, port) => {
        const client = await RawClient.connect(port);
        await log.until("connect 1");
        if (webSocket) {
          client.send(handshake());
          await client.readHead();
        }
        await end({ server, client, fd: 1 });
        await log.count(2);
        await client.whenEnded();
        client.destroy();
      });
      assertEquals(log.lines, ["connect 1", `${event} 1 true`]); // read after the server has stopped: nothing comes later
    });
  }
}
