/** Bytes of the program that are transferred while they wait to be sent. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { test } from "node:test";
import {
  Frame,
  fromFetch,
  HttpServer,
  PreparedMessage,
  Server,
  WEBSOCKET_OPCODE_CLOSE,
  WEBSOCKET_OPCODE_PING,
  WEBSOCKET_OPCODE_PONG,
  WEBSOCKET_OPCODE_TEXT,
  WebSocketServer,
} from "../../mod.ts";
import { HttpClient, HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { openLane } from "../coroutine/stage.ts";
import { settle } from "../support/activity.ts";
import { FakeLane, laneOnly } from "../support/fake_lane.ts";
import { servingOn, testLanes } from "../support/lanes.ts";
import { MemoryClient } from "../support/memory_client.ts";
import { handshake, RawClient } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";

const SIZE = 16 << 20; // more than the system takes for a client that does not read

function transfer(bytes: Uint8Array<ArrayBuffer>): void {
  structuredClone(bytes, { transfer: [bytes.buffer] });
}

testLanes(
  "sendwait(): what the system has not taken is a copy; bytes that are gone before their turn end the connection",
  async (runtime) => {
    const server = new Server("127.0.0.1", 0);
    const errors: string[] = [];
    const sent = signal<boolean[]>();
    server.on("error", (_server, error) => errors.push(String(error)));
    server.on("receive", async (server, fd) => {
      const first = new Uint8Array(SIZE).fill(7);
      const second = new Uint8Array(SIZE);
      const sending = [server.sendwait(fd, first), server.sendwait(fd, second)];
      await new Promise((resolve) => setTimeout(resolve, 100)); // the first is on its way
      transfer(first);
      transfer(second);
      sent.resolve(await Promise.all(sending));
    });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.socket.pause();
      client.send("x");
      await new Promise((resolve) => setTimeout(resolve, 500));
      client.socket.resume();
      await client.whenEnded();
      assertEquals([client.pending.length, client.pending.every((byte) => byte === 7)], [SIZE, true]);
      assertEquals((await sent.promise)[1], false);
      assertEquals(errors, ["TypeError: Cannot send the bytes: their buffer has been transferred"]);
      client.destroy();
    });
  },
);

testLanes("fromFetch(): parts of a stream may be transferred once they have been read", async (runtime) => {
  const server = new HttpServer("127.0.0.1", 0);
  server.on(
    "request",
    fromFetch(() => {
      let count = 0;
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          const part = new Uint8Array(1 << 20).fill(7);
          controller.enqueue(part);
          if (++count === 16) controller.close();
          setTimeout(() => transfer(part), 50);
        },
      }, { highWaterMark: 0 }); // what waits in the stream itself is the application's to keep
      return new Response(body);
    }),
  );
  await servingOn(runtime, server, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.socket.pause();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    await new Promise((resolve) => setTimeout(resolve, 500));
    client.socket.resume();
    await client.whenEnded();
    let sevens = 0;
    for (const byte of client.pending) if (byte === 7) sevens++;
    assertEquals(sevens, SIZE);
    client.destroy();
  });
});

/** Bytes of 10 whose buffer has been transferred. */
function gone(): Uint8Array {
  const bytes = new Uint8Array(10);
  transfer(bytes);
  return bytes;
}

function refuse(work: () => unknown, verb = "send"): void {
  assertThrows(work, TypeError, `Cannot ${verb} the bytes: their buffer has been transferred`);
}

const OPCODES = [undefined, WEBSOCKET_OPCODE_TEXT, WEBSOCKET_OPCODE_CLOSE, WEBSOCKET_OPCODE_PING, WEBSOCKET_OPCODE_PONG];

test("bytes that were transferred before the call are refused by all that sends; empty bytes are sent", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  const lane = new FakeLane();
  server.accept(laneOnly(lane));
  lane.receive(handshake());
  for (const opcode of OPCODES) {
    refuse(() => server.push(1, gone(), opcode));
    refuse(() => WebSocketServer.pack(gone(), opcode));
  }
  refuse(() => server.prepare(gone()), "prepare");
  refuse(() => new PreparedMessage(gone()), "prepare");
  refuse(() => server.send(1, gone()));
  await assertRejects(() => server.sendwait(1, gone()), TypeError, "Cannot send the bytes: their buffer has been transferred");
  refuse(() => server.sendto("127.0.0.1", 9, gone()));
  refuse(() => new Frame().data = gone(), "set the data of a frame to");
  for (const size of [10, 0]) {
    const frame = new Frame();
    const bytes = frame.data = new Uint8Array(size);
    transfer(bytes);
    refuse(() => server.push(1, frame));
    refuse(() => Frame.pack(frame));
    refuse(() => new PreparedMessage(frame), "prepare");
  }
  const written = lane.text;
  assertEquals([server.push(1, new Uint8Array(0)), WebSocketServer.pack(new Uint8Array(0))], [true, Uint8Array.of(0x82, 0)]);
  await settle();
  assertEquals(lane.text.slice(written.length), "\x82\x00");
  server.shutdown(0);
  lane.abort();
});

test("bytes that were transferred before the call are refused by the coroutine style and the client", async () => {
  const { ws, lane, leave } = await openLane();
  for (const opcode of OPCODES) refuse(() => ws.push(gone(), opcode));
  assertEquals([await ws.push(new Uint8Array(0)), lane.text], [true, ""]);
  leave();
  lane.abort();
  const client = new HttpClient("127.0.0.1", 9);
  refuse(() => client.setData(gone()));
  await assertRejects(() => client.post("/", gone()), TypeError, "Cannot send the bytes: their buffer has been transferred");
  refuse(() => client.addData(gone(), "file"));
});

test("bytes that were transferred before the call are refused by responses of both styles, and by fromFetch()", async () => {
  const event = new HttpServer();
  event.on("request", (_request, response) => {
    refuse(() => response.write(gone()));
    refuse(() => response.end(gone()));
    response.end("fine");
  });
  const coroutine = new CoroutineServer("localhost");
  coroutine.handle("/", (_request, response) => {
    refuse(() => response.write(gone()));
    refuse(() => response.end(gone()));
    response.end("fine");
  });
  const fetching = new HttpServer();
  const errors: unknown[] = [];
  fetching.on("error", (_server, error) => errors.push(String(error)));
  fetching.on(
    "request",
    fromFetch(() => {
      const part = new Uint8Array(10);
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(part);
          controller.close();
        },
      });
      const response = new Response(body);
      transfer(part);
      return response;
    }),
  );
  for (const [server, status] of [[event, 200], [coroutine, 200], [fetching, 500]] as const) {
    const client = new MemoryClient(server);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals((await client.readAnswer()).status, status);
    client.drop();
    server.shutdown(0);
    await server.finished;
  }
  assertEquals(errors, ["TypeError: Cannot send the bytes: their buffer has been transferred"]);
});
