import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import { CloseFrame, Frame, swooleStrerror, WEBSOCKET_OPCODE_BINARY, WEBSOCKET_OPCODE_PING } from "../../mod.ts";
import { type HttpResponse, HttpServer, type RequestHandler } from "../../src/coroutine/mod.ts";
import { closeFrame, frame, RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { Remembering, textOf } from "./console.ts";

const say = (text: string) => frame({ opcode: 1, payload: text });

/** The languages of the page differ in what is said. */
const LANGUAGES = [
  { hello: "Hello", how: "How are you", server: "Server: " },
  { hello: "Hello", how: "How are you", server: "Server：" },
  { hello: "Привет", how: "Как ты там", server: "Сервер：" },
];

function completeExample(console: Remembering, { hello, how } = LANGUAGES[0]): HttpServer {
  const server = new HttpServer("127.0.0.1", 0, false);

  server.handle("/websocket", async (_request, ws) => {
    await ws.upgrade();
    while (true) {
      const frame = await ws.recv();
      if (frame === "") {
        ws.close();
        break;
      } else if (frame === false) {
        console.log(`errorCode: ${ws.getLastError()}`);
        ws.close();
        break;
      } else if (frame.data === "close" || frame instanceof CloseFrame) {
        ws.close();
        break;
      }
      await ws.push(`${hello} ${frame.data}!`);
      await ws.push(`${how}, ${frame.data}?`);
    }
  });

  server.handle("/", async (_request, response) => {
    await response.end("<h1>Swoole WebSocket Server</h1>");
  });

  return server;
}

for (const language of [LANGUAGES[0], LANGUAGES[2]]) {
  test(`the complete example says ${language.hello}, and beside it there is a page`, async () => {
    const console = new Remembering();
    await serving(completeExample(console, language), async (_server, port) => {
      const client = await RawClient.open(port, "/websocket");
      for (const name of ["hello", "Ада"]) {
        client.send(say(name));
        assertEquals(textOf(await client.readFrame()), `${language.hello} ${name}!`);
        assertEquals(textOf(await client.readFrame()), `${language.how}, ${name}?`);
      }
      const reader = await RawClient.connect(port);
      reader.send("GET /any/path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      const { status, body } = await reader.readAnswer();
      assertEquals([status, body], [200, "<h1>Swoole WebSocket Server</h1>"]);
      for (const one of [client, reader]) one.end();
    });
    assertEquals(console.lines, []);
  });
}

test("the complete example ends at the word close without a Close frame, and answers one with one", async () => {
  const console = new Remembering();
  await serving(completeExample(console), async (_server, port) => {
    const talker = await RawClient.open(port, "/websocket");
    talker.send(say("close"));
    assertEquals(await talker.readFrames(), []); // nothing but the end
    const closer = await RawClient.open(port, "/websocket");
    closer.send(closeFrame(4000, "bye"));
    const frames = await closer.readFrames();
    assertEquals([frames.length, frames[0].opcode, ...frames[0].payload.subarray(0, 2)], [1, 8, 0x0f, 0xa0]);
    for (const one of [talker, closer]) one.end();
  });
  assertEquals(console.lines, []);
});

test("the complete example prints the error code when a client breaks the protocol, and nothing when it just goes", async () => {
  const console = new Remembering();
  await serving(completeExample(console), async (_server, port) => {
    const leaver = await RawClient.open(port, "/websocket");
    leaver.end();
    assertEquals(await leaver.readFrames(), []);
    const breaker = await RawClient.open(port, "/websocket");
    breaker.send(frame({ opcode: 1, payload: "not masked", mask: false }));
    const [close] = await breaker.readFrames();
    assertEquals([close.opcode, ...close.payload.subarray(0, 2)], [8, 1002 >> 8, 1002 & 255]);
    breaker.end();
  });
  assertEquals(console.lines, ["errorCode: 8506"]);
  assert(swooleStrerror(8506) !== "");
});

for (const { server: prefix } of LANGUAGES) {
  test(`the batch send example sends "${prefix}…" to everybody who is there`, async () => {
    const console = new Remembering();
    const wsObjects = new Map<number, HttpResponse>();
    const server = new HttpServer("127.0.0.1", 0, false);

    server.handle("/websocket", async (_request, ws) => {
      await ws.upgrade();
      const objectId = ws.fd;
      wsObjects.set(objectId, ws);
      while (true) {
        const frame = await ws.recv();
        if (frame === "") {
          wsObjects.delete(objectId);
          ws.close();
          break;
        } else if (frame === false) {
          console.log(`errorCode: ${ws.getLastError()}`);
          ws.close();
          break;
        } else {
          if (frame.data === "close" || frame instanceof CloseFrame) {
            wsObjects.delete(objectId);
            ws.close();
            break;
          }
          for (const obj of wsObjects.values()) obj.push(`${prefix}${frame.data}`);
        }
      }
    });

    await serving(server, async (_server, port) => {
      const clients = await Promise.all([1, 2, 3].map(() => RawClient.open(port, "/websocket")));
      clients[0].send(say("one"));
      for (const client of clients) assertEquals(textOf(await client.readFrame()), `${prefix}one`);
      clients[2].send(say("close"));
      assertEquals(await clients[2].readFrames(), []);
      clients[1].send(say("two"));
      for (const client of clients.slice(0, 2)) assertEquals(textOf(await client.readFrame()), `${prefix}two`);
      for (const client of clients) client.end();
      for (const client of clients) await client.whenEnded();
    });
    assertEquals([console.lines, wsObjects.size], [[], 0]);
  });
}

/** Runs a handler on one WebSocket, with a client that does its part; what the handler notes is asserted afterwards. */
async function withHandler(
  handler: (ws: HttpResponse, note: (result: unknown) => void) => Promise<unknown>,
  work: (client: RawClient) => Promise<void>,
  noted: unknown[],
): Promise<void> {
  const notes: unknown[] = [];
  const handle: RequestHandler = (_request, ws) => handler(ws, (result) => notes.push(result));
  const server = new HttpServer("127.0.0.1", 0, false);
  server.handle("/websocket", handle);
  server.on("error", (_server, error) => notes.push(error));
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port, "/websocket");
    await work(client);
    client.end();
    await client.whenEnded();
  });
  assertEquals(notes, noted);
}

test("a Close frame before close() tells the client why", async () => {
  await withHandler(
    async (ws, note) => {
      note(await ws.upgrade());
      const frame = new CloseFrame();
      frame.reason = "close";
      note(await ws.push(frame));
      note(ws.close());
    },
    async (client) => {
      const frames = await client.readFrames();
      assertEquals(frames.map(({ opcode }) => opcode), [8]);
      assertEquals([...frames[0].payload.subarray(0, 2)], [1000 >> 8, 1000 & 255]);
      assertEquals(new TextDecoder().decode(frames[0].payload.subarray(2)), "close");
    },
    [true, true, true],
  );
});

test("upgrade() gives true for a handshake, false for another request, and nothing works before it", async () => {
  const notes: unknown[] = [];
  const server = new HttpServer("127.0.0.1", 0, false);
  server.handle("/websocket", async (_request, ws) => {
    notes.push(await ws.recv(), ws.getLastError(), await ws.push("too early"), ws.getLastError());
    notes.push(await ws.upgrade());
  });
  await serving(server, async (_server, port) => {
    const plain = await RawClient.connect(port);
    plain.send("GET /websocket HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assertEquals((await plain.readAnswer()).status, 400);
    const client = await RawClient.open(port, "/websocket");
    assertEquals((await client.readFrame())?.opcode, 8); // the handler is done
    for (const one of [plain, client]) one.end();
  });
  assertEquals(notes, [false, 8503, false, 8503, false, false, 8503, false, 8503, true]);
});

test("recv() gives a Frame, false with 110 after a timeout, a CloseFrame, an empty string, then false", async () => {
  await withHandler(
    async (ws, note) => {
      await ws.upgrade();
      note(await ws.recv(0.01));
      note(ws.getLastError());
      await ws.push("now");
      for (let i = 0; i < 2; i++) {
        const frame = await ws.recv();
        assert(frame instanceof Frame);
        note([frame.fd, frame.opcode, frame.data, frame.finish]);
      }
      const close = await ws.recv();
      assert(close instanceof CloseFrame);
      note([close.opcode, close.code, close.reason]);
      note(await ws.recv());
      note(await ws.recv());
      note(ws.getLastError());
    },
    async (client) => {
      assertEquals(textOf(await client.readFrame()), "now");
      client.send(say("text"));
      client.send(frame({ opcode: 2, payload: [1, 2], fin: false }));
      client.send(frame({ opcode: 9, payload: "answered, not returned" }));
      client.send(frame({ opcode: 0, payload: [3] }));
      assertEquals((await client.readFrame())?.opcode, 10);
      client.send(closeFrame(4001, "enough"));
      assertEquals((await client.readFrames()).map(({ opcode }) => opcode), [8]);
    },
    [false, 110, [1, 1, "text", true], [1, 2, new Uint8Array([1, 2, 3]), true], [8, 4001, "enough"], "", false, 9],
  );
});

test("push() takes a string or a Frame, an opcode and whether the message ends here", async () => {
  await withHandler(
    async (ws, note) => {
      await ws.upgrade();
      note(await ws.push("text"));
      note(await ws.push("bytes", WEBSOCKET_OPCODE_BINARY));
      note(await ws.push("one ", 1, false));
      note(await ws.push("two", 0, true));
      const ping = new Frame();
      ping.opcode = WEBSOCKET_OPCODE_PING;
      ping.data = "ping";
      note(await ws.push(ping, WEBSOCKET_OPCODE_BINARY, false)); // a Frame knows both itself
      note(await ws.push("x", 3));
      note(ws.getLastError());
      note(ws.close());
      note(await ws.push("too late"));
      note(ws.getLastError());
      note(await ws.recv());
      note(ws.close());
    },
    async (client) => {
      const frames = (await client.readFrames()).map((frame) => [frame.fin, frame.opcode, textOf(frame)]);
      assertEquals(frames, [
        [true, 1, "text"],
        [true, 2, "bytes"],
        [false, 1, "one "],
        [true, 0, "two"],
        [true, 9, "ping"],
      ]);
    },
    [true, true, true, true, true, false, 8505, true, false, 9, false, false],
  );
});

test("a WebSocket is also an iterable of its data frames", async () => {
  await withHandler(
    async (ws, note) => {
      await ws.upgrade();
      for await (const frame of ws) await ws.push(frame);
      note("the connection is closed");
    },
    async (client) => {
      client.send(say("text"));
      client.send(frame({ opcode: 2, payload: [0, 255] }));
      const [text, bytes] = [await client.readFrame(), await client.readFrame()];
      assertEquals([text?.opcode, textOf(text), bytes?.opcode, ...bytes!.payload], [1, "text", 2, 0, 255]);
      client.send(closeFrame(1000));
      assertEquals((await client.readFrames()).map(({ opcode }) => opcode), [8]);
    },
    ["the connection is closed"],
  );
});

test("what fails has an error code, and the code has words", () => {
  for (const code of [9, 104, 110, 8503, 8505, 8506]) assertStringIncludes(swooleStrerror(code), " ");
});
