import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { acceptFor, checkAnswer, checkHandshake, chooseSubprotocol, sha1 } from "../../src/websocket/handshake.ts";
import { hasToken } from "../../src/http/field_values.ts";
import { isUpgrade } from "../../src/http/request_parser.ts";
import { SAMPLE_ACCEPT, SAMPLE_KEY } from "../support/raw_client.ts";

type Fields = Record<string, string | undefined>;

/** The header fields with changes; `undefined` leaves one out. */
function fields(common: Record<string, string>, changes: Fields): Record<string, string> {
  const all = Object.entries({ ...common, ...changes }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(all) as Record<string, string>;
}

/** A right handshake with changes. */
function request(changes: Fields = {}, method = "GET", version = "1.1") {
  const header = fields({
    "host": "server.example.com",
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec-websocket-key": SAMPLE_KEY,
    "sec-websocket-version": "13",
  }, changes);
  return { method, version, header };
}

/** The status that a handshake is refused with. */
function refusal(changes: Fields, origins: string | string[] = "same-origin"): number | undefined {
  return checkHandshake(request(changes), origins)?.status;
}

test("acceptFor gives the example of RFC 6455 section 1.3, and agrees with the runtime's SHA-1 on any key", () => {
  assertEquals(acceptFor(SAMPLE_KEY), SAMPLE_ACCEPT);
  const anyKey = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => btoa(String.fromCharCode(...bytes)));
  fc.assert(fc.property(anyKey, (key) => {
    const hash = createHash("sha1").update(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    assertEquals(acceptFor(key), hash.digest("base64"));
    assertEquals(refusal({ "sec-websocket-key": key }), undefined);
  }));
});

test("checkHandshake accepts what RFC 6455 section 4.2.1 asks for, in any letter case", () => {
  assertEquals(checkHandshake(request(), "same-origin"), undefined);
  for (
    const changes of [
      { connection: "upgrade" },
      { connection: "keep-alive, UPGRADE" },
      { connection: "Upgrade ,foo" },
      { upgrade: "WebSocket" },
      { "sec-websocket-protocol": "chat", "sec-websocket-extensions": "permessage-deflate" },
    ]
  ) assertEquals(refusal(changes), undefined);
});

test("checkHandshake refuses with 400 what is no handshake", () => {
  assertEquals(checkHandshake(request({}, "POST"), "*")?.status, 400);
  assertEquals(checkHandshake(request({}, "get"), "*")?.status, 400);
  assertEquals(checkHandshake(request({}, "GET", "1.0"), "*")?.status, 400);
  const wrong: Fields[] = [
    { connection: undefined },
    { connection: "" },
    { connection: "close" },
    { connection: "upgraded" },
    { connection: "not-upgrade" },
    { "sec-websocket-key": undefined },
    { "sec-websocket-key": "" },
    { "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ" }, // without padding
    { "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZR==" }, // bits beyond the 16th byte
    { "sec-websocket-key": "dGhlIHNhbXBsZSBub25j" }, // 15 bytes
    { "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQAA" }, // 18 bytes
    { "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQA=" }, // 17 bytes
    { "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==" },
    { "sec-websocket-key": "dGhlIHNhbXBsZSBub25j-Q==" },
    { "sec-websocket-key": "dGhlIHNhbXBs=SBub25jZQ==" },
    { "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=\u00e9" },
  ];
  for (const changes of wrong) assertEquals(refusal(changes), 400, JSON.stringify(changes));
});

test("checkHandshake refuses other versions with 426 (RFC 6455 section 4.4)", () => {
  for (const version of [undefined, "", "8", "7, 8, 13", "13, 13", "013", "13.0"]) {
    assertEquals(refusal({ "sec-websocket-version": version }), 426, `${version}`);
  }
});

test("checkHandshake refuses pages of other origins with 403 (RFC 6455 section 10.2)", () => {
  const same: [host: string, origin: string | undefined][] = [
    ["a.example", undefined], // no page
    ["a.example", "http://a.example"],
    ["A.example", "http://a.EXAMPLE"],
    ["a.example", "https://a.example"], // TLS may end at a proxy
    ["a.example:80", "http://a.example"],
    ["a.example", "http://a.example:80"],
    ["a.example:443", "https://a.example"],
    ["a.example:8080", "http://a.example:8080"],
    ["[::1]:9501", "http://[::1]:9501"],
  ];
  for (const [host, origin] of same) assertEquals(refusal({ host, origin }), undefined, `${host} ${origin}`);
  const other: [host: string, origin: string][] = [
    ["a.example", "http://b.example"],
    ["a.example", "http://a.example.evil"],
    ["a.example", "http://evil-a.example"],
    ["a.example", "http://sub.a.example"],
    ["a.example:8080", "http://a.example"],
    ["a.example", "http://a.example:8080"],
    ["a.example", "https://a.example:80"],
    ["a.example", "http://a.example:443"],
    ["a.example", "null"],
    ["ll", "null"], // an opaque origin is no host
    ["a.example", ""],
    ["a.example", "a.example"],
    ["a.example", "http://"],
  ];
  for (const [host, origin] of other) assertEquals(refusal({ host, origin }), 403, `${host} ${origin}`);

  const list = ["https://app.example", "http://localhost:3000"];
  assertEquals(refusal({ origin: "https://app.example" }, list), undefined);
  assertEquals(refusal({ origin: "HTTPS://APP.example" }, list), undefined);
  assertEquals(refusal({ origin: undefined }, list), undefined);
  assertEquals(refusal({ origin: "http://app.example" }, list), 403);
  assertEquals(refusal({ origin: "http://server.example.com" }, list), 403);
  assertEquals(refusal({ origin: "http://any.example" }, "*"), undefined);
  assertEquals(refusal({ origin: "https://one.example" }, "https://one.example"), undefined);
  assertEquals(refusal({ origin: "https://two.example" }, "https://one.example"), 403);
});

test("isUpgrade and hasToken read lists of tokens", () => {
  for (const upgrade of ["websocket", "WebSocket", "h2c, websocket", "websocket , h2c"]) {
    assertEquals(isUpgrade(request({ upgrade })), true, upgrade);
  }
  for (const upgrade of [undefined, "", "h2c", "websockets", "web socket", "websocket/13"]) {
    assertEquals(isUpgrade(request({ upgrade })), false, `${upgrade}`);
  }
  assertEquals(hasToken(undefined, "upgrade"), false);
  assertEquals(hasToken("a,,upgrade", "upgrade"), true);
});

test("chooseSubprotocol takes the first of the client's list that the server speaks, or none", () => {
  assertEquals(chooseSubprotocol(undefined, ["chat"]), undefined);
  assertEquals(chooseSubprotocol("chat", []), undefined);
  assertEquals(chooseSubprotocol("a, b, c", ["c", "b"]), "b");
  assertEquals(chooseSubprotocol("a,b ,c", ["b"]), "b");
  assertEquals(chooseSubprotocol("A", ["a"]), undefined); // section 4.1: they are compared as they are
  assertEquals(chooseSubprotocol("a,,b", [""]), undefined); // an empty setting speaks nothing
  assertEquals(chooseSubprotocol("", [""]), undefined);
});

/** A right answer with changes. */
function answer(changes: Fields = {}, status = 101) {
  const header = fields({ upgrade: "websocket", connection: "Upgrade", "sec-websocket-accept": SAMPLE_ACCEPT }, changes);
  return { status, header };
}

test("checkAnswer accepts what RFC 6455 section 4.1 asks for", () => {
  assertEquals(checkAnswer(answer(), SAMPLE_KEY), undefined);
  assertEquals(checkAnswer(answer({ upgrade: "WebSocket", connection: "keep-alive, upgrade" }), SAMPLE_KEY), undefined);
  assertEquals(checkAnswer(answer({ "sec-websocket-accept": ` ${SAMPLE_ACCEPT} ` }), SAMPLE_KEY), undefined);
  assertEquals(checkAnswer(answer({ "sec-websocket-protocol": "b" }), SAMPLE_KEY, ["a", "b"]), undefined);
  assertEquals(checkAnswer(answer(), SAMPLE_KEY, ["a"]), undefined);
});

test("checkAnswer says what is wrong with an answer", () => {
  const wrong: [reason: string, changes: Fields, status?: number, offered?: string[]][] = [
    ["the server answered with status 200", {}, 200],
    ["the server answered with status 401", {}, 401],
    ["the Upgrade header is not websocket", { upgrade: undefined }],
    ["the Upgrade header is not websocket", { upgrade: "h2c" }],
    ["the Connection header lacks Upgrade", { connection: undefined }],
    ["the Connection header lacks Upgrade", { connection: "close" }],
    ["Sec-WebSocket-Accept does not belong to the key", { "sec-websocket-accept": undefined }],
    ["Sec-WebSocket-Accept does not belong to the key", { "sec-websocket-accept": SAMPLE_ACCEPT.toLowerCase() }],
    ["the server chose an extension that was not offered", { "sec-websocket-extensions": "permessage-deflate" }],
    ["the server chose a subprotocol that was not offered", { "sec-websocket-protocol": "b" }],
    ["the server chose a subprotocol that was not offered", { "sec-websocket-protocol": "b" }, 101, ["a"]],
    ["the server chose a subprotocol that was not offered", { "sec-websocket-protocol": "a, b" }, 101, ["a", "b"]],
  ];
  for (const [reason, changes, status, offered] of wrong) {
    assertEquals(checkAnswer(answer(changes, status), SAMPLE_KEY, offered), reason);
  }
});

/** The SHA-1 of the runtime. */
function reference(text: string): Uint8Array {
  return new Uint8Array(createHash("sha1").update(text, "latin1").digest());
}

test("sha1 gives the digests of FIPS 180-4", () => {
  const digests: [text: string, digest: string][] = [
    ["", "da39a3ee5e6b4b0d3255bfef95601890afd80709"],
    ["abc", "a9993e364706816aba3e25717850c26c9cd0d89d"],
    ["abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1"],
  ];
  for (const [text, digest] of digests) {
    assertEquals(Array.from(sha1(text), (byte) => byte.toString(16).padStart(2, "0")).join(""), digest);
  }
});

test("sha1 agrees with the runtime's at every length around the block size", () => {
  for (let length = 0; length <= 200; length++) {
    const text = Array.from({ length }, (_, i) => String.fromCharCode((i * 7 + length) & 0x7f)).join("");
    assertEquals(sha1(text), reference(text), `length ${length}`);
  }
});

test("sha1 agrees with the runtime's on any ASCII text", () => {
  const ascii = fc.string({
    unit: fc.integer({ min: 0, max: 127 }).map((c) => String.fromCharCode(c)),
    maxLength: 600,
    size: "max",
  });
  fc.assert(fc.property(ascii, (text) => assertEquals(sha1(text), reference(text))), { numRuns: 300 });
});
