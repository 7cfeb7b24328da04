import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { afterEach, test } from "node:test";
import { native } from "../../adapters/common.ts";
import { setRuntime } from "../../mod.ts";
import { latin1, nativeSha1, useNativeFunctions, writeUtf8 } from "../../src/transport/current_runtime.ts";
import type { Runtime } from "../../src/transport/runtime.ts";
import { Frame } from "../../src/websocket/frame.ts";
import { acceptFor } from "../../src/websocket/handshake.ts";
import { bytesOf } from "../support/raw_client.ts";

afterEach(() => setRuntime(undefined));

test("whole bodies are found in Bun, and no others are taken for one", { skip: !("Bun" in globalThis) }, async () => {
  const take = native.takeWholeBody!;
  const text = new Response("tëxt", { status: 404, headers: { "X-A": "x".repeat(1000) } });
  assertEquals(await take(text), bytesOf("tëxt"));
  assertEquals(take(text), undefined); // it is used
  assertEquals(await take(Response.json([1])), bytesOf("[1]"));
  const full = () => new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(100_000)) });
  const others = [
    new Response(full()),
    new Response(full()).clone(),
    new Response(full(), { statusText: "x".repeat(1000) }),
    Object.assign(new Response(full()), { note: "x".repeat(1000) }),
    new (class extends Response {
      readonly note = "x".repeat(1000);
    })(full()),
    Response.redirect("http://localhost/?" + "x".repeat(1000)),
    new Response(null),
  ];
  for (const other of others) assertEquals([take(other), other.bodyUsed], [undefined, false]);
});

test("Latin-1: native code and web APIs return the same for any bytes, from any place in memory", () => {
  const portable = (bytes: Uint8Array, start: number, end: number) => {
    useNativeFunctions(undefined);
    return latin1(bytes, start, end);
  };
  const inNativeCode = (bytes: Uint8Array, start: number, end: number) => {
    useNativeFunctions(native);
    return latin1(bytes, start, end);
  };
  fc.assert(fc.property(
    fc.uint8Array({ maxLength: 10_000, max: 255 }),
    fc.nat(),
    fc.nat(),
    (memory, from, size) => {
      const bytes = memory.subarray(memory.length >> 3);
      const start = from % (bytes.length + 1);
      const end = Math.min(bytes.length, start + size % 5000);
      const text = inNativeCode(bytes, start, end);
      assertEquals(text, portable(bytes, start, end));
      assertEquals(Array.from(text, (character) => character.charCodeAt(0)), Array.from(bytes.subarray(start, end)));
    },
  ));
  const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  assertEquals(inNativeCode(all, 0, 256), portable(all, 0, 256));
  assertEquals(inNativeCode(all, 5, 5), "");
});

test("UTF-8: native code and web APIs write the same to any place in memory, and nothing beside it", () => {
  const write = (functions: typeof native | undefined, text: string, at: number) => {
    useNativeFunctions(functions);
    const memory = new Uint8Array(at + text.length * 3).fill(0xee).subarray(at >> 1);
    const count = writeUtf8(text, memory, at - (at >> 1));
    return [count, ...memory];
  };
  const anyText = fc.oneof(
    fc.string({ unit: "binary", maxLength: 300 }),
    fc.array(fc.nat(0xffff), { maxLength: 20 }).map(toText),
  );
  fc.assert(fc.property(anyText, fc.nat(50), (text, at) => {
    const encoded = bytesOf(text);
    const expected = new Uint8Array(at - (at >> 1) + text.length * 3).fill(0xee);
    expected.set(encoded, at - (at >> 1));
    for (const functions of [undefined, native]) assertEquals(write(functions, text, at), [encoded.length, ...expected]);
  }));
});

/** UTF-16 units, lone surrogates among them. */
function toText(units: number[]): string {
  return String.fromCharCode(...units);
}

test("Sec-WebSocket-Accept: native code and our own SHA-1 return the same", () => {
  for (const key of ["dGhlIHNhbXBsZSBub25jZQ==", "AAAAAAAAAAAAAAAAAAAAAA==", "/////////////////////w=="]) {
    useNativeFunctions(undefined);
    const own = acceptFor(key);
    useNativeFunctions(native);
    assertEquals(acceptFor(key), own);
  }
  assertEquals(acceptFor("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); // RFC 6455 section 1.3
});

test("an adapter without native functions gets the portable ones", () => {
  setRuntime({ native } as Runtime);
  assertEquals(latin1, native.latin1);
  assertEquals(nativeSha1, native.sha1);
  setRuntime({} as Runtime);
  assertEquals(nativeSha1, undefined);
  assertEquals(latin1(bytesOf("grüße"), 0, 7), "grÃ¼Ã\x9fe");
});

test("text is decoded as it is, also when the program has changed bytes that were ASCII", () => {
  for (const functions of [native, undefined]) {
    useNativeFunctions(functions);
    for (const size of [0, 1, 127, 128, 129, 4096, 4097, 70_000]) {
      const memory = new Uint8Array(size + 20).fill(97);
      assertEquals(Frame["received"](1, 1, 33, memory, 10, 10 + size, true, true).data, "a".repeat(size));
    }
    const frame = Frame["received"](1, 1, 33, bytesOf("xxabcxx"), 2, 5, true, true);
    frame.bytes.set([0xc3, 0xbc], 1);
    assertEquals(frame.data, "aü");
    assertEquals(Frame["received"](1, 1, 33, bytesOf("grüße"), 0, 7, true, false).data, "grüße");
  }
});
