import { assert, assertEquals, assertFalse } from "@std/assert";
import { test } from "node:test";
import { createDeflateRaw, createInflateRaw } from "node:zlib";
import { codecWorks, handlesWork, zlibEngine } from "../../adapters/zlib.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import "../../adapters/auto.ts";

test("zlib's streams have the internals that the engine uses", async () => {
  assert(codecWorks());
  assertEquals((await loadRuntime()).deflate, zlibEngine);
});

test("Streams with other internals are noticed, so that the engine web is used instead", () => {
  const streams = () => [createDeflateRaw(), createInflateRaw()] as unknown as Record<string, unknown>[];
  const odd: [what: string, change: (stream: Record<string, unknown>) => void][] = [
    ["no handle", (stream) => stream._handle = undefined],
    ["no writeSync()", (stream) => stream._handle = { reset() {} }],
    ["no reset()", (stream) => stream._handle = { writeSync() {} }],
    ["writes nothing", (stream) => stream._handle = { writeSync() {}, reset() {} }],
    ["no state", (stream) => stream._writeState = undefined],
    ["state of another kind", (stream) => stream._writeState = [0, 0]],
    ["state of another length", (stream) => stream._writeState = new Uint32Array(3)],
    ["throws", (stream) => stream._handle = { reset() {}, writeSync: () => assert(false) }],
  ];
  for (const [what, change] of odd) {
    for (const at of [0, 1]) {
      const both = streams();
      change(both[at] = Object.assign(Object.create(both[at]), { close() {} }));
      assertFalse(handlesWork(both[0], both[1]), `${what}, stream ${at}`);
    }
  }
});

test("A handle that does not start anew when reset is noticed", () => {
  const [deflate, inflate] = [createDeflateRaw(), createInflateRaw()] as unknown as { _handle: Record<string, unknown> }[];
  deflate._handle.reset = () => {};
  assertFalse(handlesWork(deflate, inflate));
});
