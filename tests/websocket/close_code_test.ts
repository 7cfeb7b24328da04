import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { decodeClose, encodeClose, isSendableCloseCode, MAX_REASON_LENGTH } from "../../src/websocket/close_code.ts";
import { hex } from "../support/raw_client.ts";
import { toHex } from "./recorder.ts";

test("isSendableCloseCode knows RFC 6455 section 7.4 and the registered codes", () => {
  const ranges = [[1000, 1003], [1007, 1014], [3000, 4999]];
  for (let code = -10; code <= 66_000; code++) {
    assertEquals(isSendableCloseCode(code), ranges.some(([first, last]) => code >= first && code <= last), `${code}`);
  }
  for (const code of [NaN, Infinity, -Infinity, 1000.5, 1007.1, 3000.5, -1000]) {
    assertEquals(isSendableCloseCode(code), false, `${code}`);
  }
});

test("encodeClose puts the code in front of the reason", () => {
  assertEquals(toHex(encodeClose(1000, "")!), "03e8");
  assertEquals(toHex(encodeClose(4999, "bye ö")!), "138762796520c3b6");
});

test("encodeClose takes reasons up to 123 bytes, however few characters they are", () => {
  assertEquals(MAX_REASON_LENGTH, 123);
  assertEquals(encodeClose(1000, "x".repeat(123))?.length, 125);
  assertEquals(encodeClose(1000, "x".repeat(124)), undefined);
  assertEquals(encodeClose(1000, "é".repeat(61))?.length, 124);
  assertEquals(encodeClose(1000, "é".repeat(62)), undefined);
  assertEquals(encodeClose(1000, "€".repeat(41))?.length, 125);
  assertEquals(encodeClose(1000, "€".repeat(41) + "x"), undefined);
});

test("decodeClose reads code and reason, and 1005 where there is none", () => {
  assertEquals(decodeClose(new Uint8Array(0)), { code: 1005, reason: "" });
  assertEquals(decodeClose(hex("03e8")), { code: 1000, reason: "" });
  assertEquals(decodeClose(hex("0fa0 62796520c3b6")), { code: 4000, reason: "bye ö" });
  assertEquals(decodeClose(hex("03e8 efbbbf61")), { code: 1000, reason: "\ufeffa" });
});

test("decodeClose refuses half a code, codes that may not travel, and reasons that are not UTF-8", () => {
  assertEquals(decodeClose(hex("03")), 1002);
  for (const digits of ["0000", "03e7", "03ec", "03ed", "03ee", "03f7", "03f8", "0bb7", "1388", "ffff"]) {
    assertEquals(decodeClose(hex(digits)), 1002, digits);
    assertEquals(decodeClose(hex(`${digits} ff`)), 1002, digits);
  }
  for (const reason of ["ff", "c3", "61eda080", "c0af"]) assertEquals(decodeClose(hex(`03e8 ${reason}`)), 1007, reason);
});

test("decodeClose reads what encodeClose wrote", () => {
  const anyCode = fc.oneof(fc.integer({ min: 3000, max: 4999 }), fc.constantFrom(1000, 1003, 1007, 1014));
  const anyReason = fc.string({ unit: "binary", maxLength: 40, size: "max" }).map((text) => text.toWellFormed());
  fc.assert(fc.property(anyCode, anyReason, (code, reason) => {
    const payload = encodeClose(code, reason);
    const { length } = new TextEncoder().encode(reason);
    if (payload === undefined) assertEquals(length > 123, true);
    else assertEquals([payload.length, decodeClose(payload)], [length + 2, { code, reason }]);
  }));
});
