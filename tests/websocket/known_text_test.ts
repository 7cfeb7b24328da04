// Texts that are sent on: their bytes are copied for as long as they are still the bytes of that text.

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { WEBSOCKET_OPCODE_BINARY, WebSocketServer } from "../../mod.ts";
import { MemorySink } from "../../src/transport/bytes.ts";
import { writeTextFrame } from "../../src/websocket/encoder.ts";
import { forgetText, rememberText } from "../../src/websocket/outgoing.ts";
import { Frame } from "../../src/websocket/frame.ts";
import { serving } from "../support/serving.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { textOf } from "../server/event_log.ts";

/** Sends a text. Returns the text that a peer reads. */
function sent(text: string): string {
  const sink = new MemorySink();
  writeTextFrame(sink, 0x81, text);
  const received = Frame.unpack(sink.take());
  return received === false ? "no frame" : String(received.data);
}

test("a text that is sent again and again is the same each time, with others in between", () => {
  const texts = ["", "a", "grüße, 世界 🌍", "x".repeat(125), "é".repeat(100), "y".repeat(70_000), "z".repeat(65_536)];
  for (const text of texts) {
    assertEquals([sent(text), sent(text), sent(text)], [text, text, text]);
    assertEquals([sent(`${text}!`), sent(text), sent(`${text}!`)], [`${text}!`, text, `${text}!`]);
  }
  for (let i = 0; i < 4; i++) assertEquals(sent("a\ud800b"), "a\ufffdb");
});

test("a text whose memory is reused is encoded anew, and only that text", () => {
  const memory = new TextEncoder().encode("..first..");
  rememberText("first", memory, 2, 7);
  assertEquals(sent("first"), "first");
  forgetText(new Uint8Array(9)); // another memory
  memory.fill(0x78, 2, 7);
  assertEquals(sent("first"), "xxxxx"); // it was not forgotten yet: its bytes are what is sent
  forgetText(memory);
  assertEquals(sent("first"), "first");
});

test("what is pushed later, or after its bytes were changed, is the text that was received", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const kept: (() => void)[] = [];
  server.on("message", (server, frame) => {
    const text = frame.data as string;
    if (text.startsWith("change")) {
      frame.bytes.fill(0x2e); // the memory belongs to the program
      return void server.push(frame.fd, text);
    }
    server.push(frame.fd, text);
    kept.push(() => server.push(frame.fd, text));
    if (kept.length === 4) setTimeout(() => kept.splice(0).forEach((push) => push()), 1);
  });
  await serving(server, async (_server, port) => {
    const clients = [await RawClient.open(port), await RawClient.open(port)];
    const texts = [["first of one", "other of one"], ["first of two", "other of two"]];
    for (const [i, client] of clients.entries()) {
      for (const payload of texts[i]) client.send(frame({ opcode: 1, payload }));
    }
    for (const [i, client] of clients.entries()) {
      const received = [];
      for (let n = 0; n < 4; n++) received.push(textOf(await client.readFrame()));
      assertEquals(received, [...texts[i], ...texts[i]]);
      client.send(frame({ opcode: 1, payload: `change ${i}` }));
      assertEquals(textOf(await client.readFrame()), `change ${i}`);
      client.destroy();
    }
  });
});

test("a frame that gets other data leaves no text behind whose memory is reused", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const replies = ["text", 12, new Uint8Array([0x6f, 0x6e, 0x65])];
  let kept = "";
  server.on("message", (server, frame) => {
    if (frame.opcode === WEBSOCKET_OPCODE_BINARY) return void server.push(frame.fd, kept);
    kept = frame.data as string;
    (frame as Frame).data = replies.shift()!;
    server.push(frame.fd, frame);
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    for (const reply of ["text", "12", "one"]) {
      const text = `what was sent before ${reply}`;
      client.send(frame({ opcode: 1, payload: text }));
      assertEquals(textOf(await client.readFrame()), reply);
      client.send(frame({ opcode: 2, payload: "?".repeat(text.length) })); // in Deno, to the same memory
      assertEquals(textOf(await client.readFrame()), text);
    }
    client.destroy();
  });
});
