import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { test } from "node:test";
import {
  CloseFrame,
  Frame,
  PreparedMessage,
  WEBSOCKET_OPCODE_BINARY,
  WEBSOCKET_OPCODE_TEXT,
  WebSocketServer,
} from "../../mod.ts";
import { HttpClient } from "../../src/coroutine/mod.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

function frameWith(data: string | number | Uint8Array, opcode?: number): Frame {
  const frame = new Frame();
  frame.data = data;
  if (opcode !== undefined) frame.opcode = opcode;
  return frame;
}

test("text() is the payload as text, whatever the opcode", () => {
  const rows: [Frame, string][] = [
    [new Frame(), ""],
    [new CloseFrame(), ""],
    [frameWith("é"), "é"],
    [frameWith(12), "12"],
    [frameWith("é", WEBSOCKET_OPCODE_BINARY), "é"],
    [frameWith(bytesOf("é")), "é"],
    [frameWith(bytesOf("é"), WEBSOCKET_OPCODE_TEXT), "é"],
    [frameWith(new Uint8Array([0x61, 0xff, 0x62])), "a\ufffdb"],
    [frameWith(bytesOf("\ufeffa")), "\ufeffa"],
  ];
  for (const [frame, text] of rows) {
    const { data } = frame;
    assertEquals([frame.text(), frame.text()], [text, text]);
    assertEquals(frame.data, data);
  }
  const both = frameWith("é", WEBSOCKET_OPCODE_BINARY);
  both.bytes[0] = 0x41; // the bytes are the program's, and the text was made before
  assertEquals(both.bytes[0], 0x41);
});

test("json() parses what text() gives", () => {
  assertEquals(frameWith('{"a":[1,"é"]}').json(), { a: [1, "é"] });
  assertEquals(frameWith(bytesOf("null")).json(), null);
  assertEquals(frameWith(5).json(), 5);
});

test("json() of anything else is a SyntaxError that quotes nothing of it", () => {
  for (const data of ["", "{", "secret\n", bytesOf("\xff")]) {
    const error = assertThrows(() => frameWith(data).json(), SyntaxError, "Cannot parse the message: it is not JSON");
    assertInstanceOf(error, SyntaxError);
    assertEquals([error.message, error.cause], ["Cannot parse the message: it is not JSON", undefined]);
  }
});

test("received messages have text() and json(); bytes go out as a binary message, text and numbers as text", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const seen: unknown[] = [];
  server.on("message", (server, frame) => {
    seen.push([frame.opcode, frame.text(), frame.json()]);
    const bytes = bytesOf("[2]");
    for (const message of ["text", 3, bytes, frameWith(bytes), new PreparedMessage(bytes), server.prepare("prepared")]) {
      server.push(frame.fd, message);
    }
    server.send(frame.fd, WebSocketServer.pack(bytes));
    server.send(frame.fd, Frame.pack("packed"));
  });
  await server.start();
  const client = new HttpClient("127.0.0.1", server.port);
  await client.upgrade("/");
  const received: unknown[] = [];
  for (const message of ["[1]", bytesOf("[1]")]) {
    await client.push(message);
    for (let i = 0; i < 8; i++) {
      const frame = await client.recv();
      received.push(frame && [frame.opcode, typeof frame.data, frame.text()]);
    }
  }
  const answers = [
    [1, "string", "text"],
    [1, "string", "3"],
    [2, "object", "[2]"],
    [2, "object", "[2]"],
    [2, "object", "[2]"],
    [1, "string", "prepared"],
    [2, "object", "[2]"],
    [1, "string", "packed"],
  ];
  assertEquals(received, [...answers, ...answers]);
  assertEquals(seen, [[1, "[1]", [1]], [2, "[1]", [1]]]);
  client.close();
  server.shutdown();
  await server.finished;
});

test("a handler that does not catch what json() throws ends that WebSocket with 1011", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const errors: unknown[] = [];
  server.on("message", (_server, frame) => frame.json());
  server.on("error", (_server, error) => errors.push(String(error)));
  await server.start();
  const client = new HttpClient("127.0.0.1", server.port);
  await client.upgrade("/");
  await client.push("no JSON");
  const frame = await client.recv();
  assertInstanceOf(frame, CloseFrame);
  assertEquals([frame.code, errors], [1011, ["SyntaxError: Cannot parse the message: it is not JSON"]]);
  client.close();
  server.shutdown();
  await server.finished;
});

test("a binary message that is read as text keeps its bytes when their memory is used again", () => {
  const memory = new Uint8Array([0, 0xff, 0xfe, 0x41, 0]);
  const frame: Frame = Frame["received"](1, WEBSOCKET_OPCODE_BINARY, 33, memory, 1, 4, true);
  frame.opcode = WEBSOCKET_OPCODE_TEXT;
  assertEquals(frame.data, "\ufffd\ufffdA");
  Frame["settle"](frame);
  memory.fill(0xdd);
  frame.opcode = WEBSOCKET_OPCODE_BINARY;
  assertEquals(frame.data, new Uint8Array([0xff, 0xfe, 0x41]));
});
