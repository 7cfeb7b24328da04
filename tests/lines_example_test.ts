// The example of lines over TCP, with the two web streams of the adapters' connections as its clients.

import { assertEquals } from "@std/assert";
import { TextLineStream } from "@std/streams";
import type { Runtime } from "../mod.ts";
import { startExample } from "./browser/start_example.ts";
import { testLanes } from "./support/lanes.ts";

const encoder = new TextEncoder();

/** Somebody who sends bytes and reads lines. */
async function join(runtime: Runtime, port: number) {
  const { signal } = new AbortController();
  const pipe = await runtime.connect({ transport: "tcp", hostname: "127.0.0.1", port, noDelay: true, signal });
  const writer = pipe.writable.getWriter();
  const decoder = new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>;
  const lines = pipe.readable.pipeThrough(decoder).pipeThrough(new TextLineStream()).getReader();
  return {
    send: (...chunks: Uint8Array[]) => Promise.all(chunks.map((chunk) => writer.write(chunk))),
    line: async () => (await lines.read()).value,
    end: () => writer.close(),
    rest: async () => {
      const rest: string[] = [];
      for (let { done, value } = await lines.read(); !done; { done, value } = await lines.read()) rest.push(value!);
      return rest;
    },
  };
}

testLanes(
  "Lines go to everybody else, whole, however they were sent; a line without an end goes to nobody",
  async (runtime) => {
    const example = await startExample("lines.ts");
    try {
      const first = await join(runtime, example.port);
      const second = await join(runtime, example.port);
      await second.send(encoder.encode("hello\n")); // whoever connected before is known by now
      assertEquals(await first.line(), "hello");
      const drink = encoder.encode("café\r\ntea\n\n");
      await first.send(drink.slice(0, 4), drink.slice(4));
      assertEquals([await second.line(), await second.line(), await second.line()], ["café", "tea", ""]);
      await second.send(encoder.encode("half"));
      await second.end();
      assertEquals(await second.rest(), []); // the server has ended, too
      await first.send(encoder.encode("alone\n"));
      await first.end();
      assertEquals(await first.rest(), []);
    } finally {
      await example.kill();
    }
  },
);
