import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { copyFields, fieldName } from "../../src/http/request_head.ts";

const KNOWN = [
  "Host",
  "User-Agent",
  "Accept-Language",
  "Sec-WebSocket-Key",
  "TE",
  "Upgrade-Insecure-Requests",
  "X-Real-IP",
  "Cookie",
  "Age",
];

/** Characters that differ from a letter, a digit or the hyphen in the bit that tells the cases apart, and are part of tokens. */
const TOKEN = [..."!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"];

test("fieldName() finds the names that everybody sends in any letter case", () => {
  for (const name of KNOWN) {
    for (const spelled of [name, name.toLowerCase(), name.toUpperCase()]) {
      assertEquals(fieldName(`a: b\r\n${spelled}: c`, 6, 6 + spelled.length), name.toLowerCase());
    }
  }
});

test("fieldName() takes nothing else for one of them", () => {
  for (const name of KNOWN) {
    for (let i = 0; i < name.length; i++) {
      for (const character of TOKEN) {
        const other = name.slice(0, i) + character + name.slice(i + 1);
        assertEquals(fieldName(other, 0, other.length), other.toLowerCase());
      }
    }
  }
});

test("fieldName() takes nothing for a known name that is looked for in the same place", () => {
  // Length and letters count modulo 32.
  const longer = KNOWN.flatMap((name) => {
    const last = name.at(-1);
    return [name + "x".repeat(31) + last, name[0] + "x".repeat(name.length + 30) + last];
  });
  for (const other of ["!x%", "!12344", ...longer]) assertEquals(fieldName(other, 0, other.length), other.toLowerCase());
});

test("copyFields() copies names and values, and nothing is inherited", () => {
  const header: Record<string, string> = { host: "x", constructor: "y" };
  const copy = copyFields(header);
  assertEquals({ ...copy }, header);
  copy.host = "z";
  assertEquals([header.host, copy.toString], ["x", undefined]);
});

test("fieldName() is the name in lower case, whatever it is", () => {
  const token = fc.array(fc.constantFrom(...TOKEN), { minLength: 1, maxLength: 40 }).map((all) => all.join(""));
  fc.assert(fc.property(token, (name) => assertEquals(fieldName(name, 0, name.length), name.toLowerCase())));
});
