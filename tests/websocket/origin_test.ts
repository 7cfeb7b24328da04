import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { isAllowedOrigin, originMistake } from "../../src/websocket/handshake.ts";

test("entries of websocket_origins that a page can have are right", () => {
  const right = [
    "same-origin",
    "*",
    "null",
    "https://example.com",
    "http://example.com:8080",
    "https://Example.COM", // letter case does not count
    "https://example.com:443", // nor does a port that need not be said
    "http://localhost:5173",
    "http://127.0.0.1",
    "http://[::1]:9501",
    "https://xn--bcher-kva.example",
    "weapp://wechat-game-runtime",
    "chrome-extension://abcdefghijklmnop",
    "capacitor://localhost",
    "file://",
  ];
  for (const entry of right) assertEquals([entry, originMistake(entry)], [entry, undefined]);
});

test("entries that can never match are named, with the right form", () => {
  const wrong: [entry: string, mistake: string][] = [
    ["example.com", 'is no origin; write "https://example.com"'],
    ["localhost:5173", 'is no origin; write "http://localhost:5173"'],
    ["//example.com", 'is no origin; write "https://example.com"'],
    ["https://example.com/", 'is no origin; write "https://example.com"'],
    ["https://example.com/chat?x=1#y", 'is no origin; write "https://example.com"'],
    ["https://user@example.com", 'is no origin; write "https://example.com"'],
    ["wss://example.com", 'is no origin; write "https://example.com"'],
    ["ws://example.com:9501/", 'is no origin; write "http://example.com:9501"'],
    ["https://bücher.example", 'is no origin; write "https://xn--bcher-kva.example"'],
    ["http://[0:0:0:0:0:0:0:1]", 'is no origin; write "http://[::1]"'],
    ["weapp://wechat-game-runtime/x", 'is no origin; write "weapp://wechat-game-runtime"'],
    ["https://a.example, https://b.example", 'is no origin, such as "https://example.com"'],
    ["", 'is no origin, such as "https://example.com"'],
    ["https://", 'is no origin, such as "https://example.com"'],
    ["https://example.com:99999", 'is no origin, such as "https://example.com"'],
    ["any thing", 'is no origin, such as "https://example.com"'],
    ["https://*.example.com", 'has a wildcard; list each origin, or use "*" for all pages'],
    ["**", 'has a wildcard; list each origin, or use "*" for all pages'],
  ];
  for (const [entry, mistake] of wrong) assertEquals(originMistake(entry), `${JSON.stringify(entry)} ${mistake}`);
});

test("in a list same-origin, * and null mean what they say", () => {
  const rows: [allowed: string | string[], origin: string, host: string | undefined, passes: boolean][] = [
    [["same-origin", "https://b.example"], "http://a.example", "a.example", true],
    [["same-origin", "https://b.example"], "https://b.example", "a.example", true],
    [["same-origin", "https://b.example"], "https://c.example", "a.example", false],
    [["same-origin"], "same-origin", "a.example", false], // what a peer sends is no such word
    [["same-origin"], "http://a.example", undefined, false],
    [["same-origin", "null"], "null", "a.example", true],
    [["same-origin", "weapp://wechat-game-runtime"], "weapp://wechat-game-runtime", "a.example", true],
    ["same-origin", "null", "null", false],
    [["null"], "http://a.example", "a.example", false],
    [["*"], "https://c.example", "a.example", true],
    [[], "http://a.example", "a.example", false],
    [["https://a.example:443"], "https://a.example", "x", true],
    [["https://a.example"], "http://a.example:443", "x", false],
    [["http://a.example"], "https://a.example", "x", false],
  ];
  for (const [allowed, origin, host, passes] of rows) {
    assertEquals([allowed, origin, host, isAllowedOrigin(origin, host, allowed)], [allowed, origin, host, passes]);
  }
});

test("the names of this machine with one port are one origin, and no others are", () => {
  const names = ["localhost", "127.0.0.1", "[::1]"];
  for (const page of names) {
    for (const host of names) {
      for (const port of ["", ":9501"]) {
        assertEquals(isAllowedOrigin(`http://${page}${port}`, host + port, "same-origin"), true, `${page} ${host}`);
        assertEquals(isAllowedOrigin(`http://${page}${port}`.toUpperCase(), "x", [`http://${host}${port}`]), true);
      }
      assertEquals(isAllowedOrigin(`http://${page}`, `${host}:80`, "same-origin"), true);
      assertEquals(isAllowedOrigin(`http://${page}:9501`, `${host}:9502`, "same-origin"), false);
      assertEquals(isAllowedOrigin(`http://${page}:5173`, "a.example", [`http://${host}:5173`]), true);
      assertEquals(isAllowedOrigin(`https://${page}:5173`, "a.example", [`http://${host}:5173`]), false);
    }
  }
  for (
    const other of ["localhost.example", "127.0.0.10", "127.0.0.1.example", "evil-localhost", "[::1].example", "0.0.0.0", "a"]
  ) {
    for (const host of names) {
      assertEquals(isAllowedOrigin(`http://${other}:9501`, `${host}:9501`, "same-origin"), false, `${other} ${host}`);
      assertEquals(isAllowedOrigin(`http://${host}:9501`, `${other}:9501`, "same-origin"), false, `${other} ${host}`);
    }
  }
});

test("on a server of this machine, all pages of this machine are of one origin, on whatever port", () => {
  const local = { isLocal: true };
  for (const page of ["localhost", "127.0.0.1", "[::1]"]) {
    for (const host of ["localhost", "127.0.0.1", "[::1]"]) {
      for (const scheme of ["http", "https"]) {
        for (const [pagePort, port] of [[":5173", ":9501"], ["", ":9501"], [":5173", ""]]) {
          const row: [string, string] = [`${scheme}://${page}${pagePort}`, host + port];
          assertEquals([...row, isAllowedOrigin(...row, "same-origin", local)], [...row, true]);
          assertEquals([...row, isAllowedOrigin(...row, ["same-origin"], local)], [...row, true]);
          assertEquals([...row, isAllowedOrigin(...row, "same-origin")], [...row, false]);
          assertEquals([...row, isAllowedOrigin(...row, ["https://a.example"], local)], [...row, false]);
        }
      }
    }
  }
  const others: [origin: string, host: string | undefined][] = [
    ["http://a.example:5173", "localhost:9501"],
    ["http://localhost.example:5173", "localhost:9501"],
    ["http://localhost:5173", "a.example:9501"], // a name that leads to this machine
    ["http://localhost:5173", "localhost.example"],
    ["http://localhost:5173", "127.0.0.10:9501"],
    ["http://localhost:5173", ""],
    ["http://localhost:5173", undefined],
    ["http://192.168.0.1:5173", "127.0.0.1:9501"],
    ["http://localhost:5173:1", "localhost:9501"],
    ["http://localhost:", "localhost:9501"],
    ["ftp://localhost:5173", "localhost:9501"],
    ["capacitor://localhost", "localhost:9501"],
    ["null", "localhost:9501"],
    ["", "localhost:9501"],
  ];
  for (const row of others) assertEquals([...row, isAllowedOrigin(...row, "same-origin", local)], [...row, false]);
});
