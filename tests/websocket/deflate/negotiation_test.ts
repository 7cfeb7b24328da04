import { assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import {
  acceptOffer,
  checkAgreement,
  type DeflateAgreement,
  type DeflateOptions,
  makeOffer,
} from "../../../src/websocket/deflate/negotiation.ts";
import { parseExtensions } from "../../../src/websocket/extensions.ts";

const ZLIB = { sendTakeover: true, minSendWindowBits: 8 };
const WEB = { sendTakeover: false, minSendWindowBits: 15 };
const ALL: DeflateOptions = {
  sendTakeover: true,
  receiveTakeover: true,
  sendWindowBits: 15,
  receiveWindowBits: 15,
  engine: ZLIB,
};
const NO_TAKEOVER: DeflateOptions = { ...ALL, sendTakeover: false, receiveTakeover: false };
const PMD = "permessage-deflate";

/** `15t 12` for the send and the receive direction: window, and `t` for takeover. */
function short(agreed: DeflateAgreement): string {
  return [agreed.send, agreed.receive].map(({ windowBits, takeover }) => `${windowBits}${takeover ? "t" : ""}`).join(" ");
}

/** What a server answers, without the name, and what is agreed; `undefined` if it declines. */
function accept(offer: string, options: DeflateOptions): [answer: string, agreed: string] | undefined {
  const accepted = acceptOffer(parseExtensions(offer)!, options);
  if (accepted === undefined) return undefined;
  assertEquals(accepted.answer.startsWith(PMD), true);
  return [accepted.answer.slice(PMD.length), short(accepted.agreed)];
}

const C = "; client_no_context_takeover", S = "; server_no_context_takeover";

test("A server keeps the context in the directions that both sides want", () => {
  const cases: [offer: string, options: DeflateOptions, answer: string, agreed: string][] = [
    ["", ALL, "", "15t 15t"],
    [S, ALL, S, "15 15t"],
    [C, ALL, C, "15t 15"],
    [C + S, ALL, C + S, "15 15"],
    [S + C, ALL, C + S, "15 15"],
    ["", { ...ALL, sendTakeover: false }, S, "15 15t"],
    ["", { ...ALL, receiveTakeover: false }, C, "15t 15"],
    ["", { ...ALL, engine: WEB }, S, "15 15t"],
    ["", NO_TAKEOVER, C + S, "15 15"],
    [C + S, NO_TAKEOVER, C + S, "15 15"],
  ];
  for (const [offer, options, answer, agreed] of cases) assertEquals(accept(PMD + offer, options), [answer, agreed], offer);
});

test("A server keeps to the window that the client allows, and asks for a smaller one only where the client offers it", () => {
  const small = { ...ALL, sendWindowBits: 11, receiveWindowBits: 12 };
  const cases: [offer: string, options: DeflateOptions, answer: string | undefined, agreed: string][] = [
    ["; server_max_window_bits=10", ALL, "; server_max_window_bits=10", "10t 15t"],
    ["; server_max_window_bits=15", ALL, "; server_max_window_bits=15", "15t 15t"],
    ["; server_max_window_bits=8", ALL, "; server_max_window_bits=8", "8t 15t"],
    ['; server_max_window_bits="9"', ALL, "; server_max_window_bits=9", "9t 15t"],
    [
      "; server_max_window_bits=10",
      { ...ALL, engine: { ...ZLIB, minSendWindowBits: 9 } },
      "; server_max_window_bits=10",
      "10t 15t",
    ],
    ["; server_max_window_bits=8", { ...ALL, engine: { ...ZLIB, minSendWindowBits: 9 } }, undefined, ""],
    ["; server_max_window_bits=14", { ...ALL, engine: WEB }, undefined, ""],
    ["; server_max_window_bits=15", { ...ALL, engine: WEB }, S + "; server_max_window_bits=15", "15 15t"],
    ["; client_max_window_bits", ALL, "", "15t 15t"],
    ["; client_max_window_bits=10", ALL, "", "15t 10t"],
    ["; client_max_window_bits=8", ALL, "", "15t 8t"],
    // Smaller windows of our own.
    ["", small, "", "11t 15t"],
    ["; server_max_window_bits=10", small, "; server_max_window_bits=10", "10t 15t"],
    ["; server_max_window_bits=12", small, "; server_max_window_bits=11", "11t 15t"],
    ["; client_max_window_bits", small, "; client_max_window_bits=12", "11t 12t"],
    ["; client_max_window_bits=13", small, "; client_max_window_bits=12", "11t 12t"],
    ["; client_max_window_bits=12", small, "", "11t 12t"],
    ["; client_max_window_bits=11", small, "", "11t 11t"],
    ["; client_max_window_bits=15", { ...small, engine: WEB }, S + "; client_max_window_bits=12", "15 12t"],
  ];
  for (const [offer, options, answer, agreed] of cases) {
    assertEquals(accept(PMD + offer, options), answer === undefined ? undefined : [answer, agreed], offer);
  }
});

test("A server accepts what clients offer", () => {
  const cases: [client: string, offer: string, all: [string, string], none: [string, string]][] = [
    ["Firefox", PMD, ["", "15t 15t"], [C + S, "15 15"]],
    ["Chromium, ws, Bun, Node, aiohttp", `${PMD}; client_max_window_bits`, ["", "15t 15t"], [C + S, "15 15"]],
    ["Autobahn", `${PMD}; client_no_context_takeover; client_max_window_bits`, [C, "15t 15"], [C + S, "15 15"]],
    ["Swoole", `${PMD}; client_no_context_takeover; server_no_context_takeover`, [C + S, "15 15"], [C + S, "15 15"]],
    [
      "Safari",
      `${PMD}; server_max_window_bits=15; client_max_window_bits=15`,
      ["; server_max_window_bits=15", "15t 15t"],
      [C + S + "; server_max_window_bits=15", "15 15"],
    ],
    [
      "Autobahn 13.7",
      [
        `${PMD}; client_no_context_takeover; client_max_window_bits; server_no_context_takeover; server_max_window_bits=9`,
        `${PMD}; client_no_context_takeover; client_max_window_bits; server_no_context_takeover`,
        `${PMD}; client_no_context_takeover; client_max_window_bits`,
      ].join(", "),
      [C + S + "; server_max_window_bits=9", "9 15"],
      [C + S + "; server_max_window_bits=9", "9 15"],
    ],
  ];
  for (const [client, offer, all, none] of cases) {
    assertEquals(accept(offer, ALL), all, client);
    assertEquals(accept(offer, NO_TAKEOVER), none, client);
    // The portable engine accepts each of them too, and never keeps the context of what it sends.
    const [answer, agreed] = accept(offer, { ...ALL, engine: WEB })!;
    assertStringIncludes(answer, "server_no_context_takeover", client);
    assertEquals(agreed.startsWith("15 "), true, client);
  }
});

/** Parameters that make an offer and an answer unacceptable. */
const illegal = [
  "; x",
  "; x=1",
  "; Server_no_context_takeover",
  "; client_no_context_takeover=1",
  "; client_no_context_takeover=true",
  "; server_no_context_takeover=0",
  '; server_no_context_takeover="1"',
  "; client_no_context_takeover; client_no_context_takeover",
  "; server_no_context_takeover; client_no_context_takeover; server_no_context_takeover",
  "; server_max_window_bits=10; server_max_window_bits=10",
  "; server_max_window_bits",
  ...["server", "client"].flatMap((who) =>
    ["0", "1", "7", "16", "08", "010", "015", "+9", "-9", "9.0", "1e1", "0x9", "99", "100000000000000000000", "a", "15x"]
      .map((value) => `; ${who}_max_window_bits=${value}`)
  ),
  "; client_max_window_bits=10; client_max_window_bits=10",
  "; client_max_window_bits=10; client_max_window_bits",
];

test("A server passes over an offer with an unknown, doubled or illegal parameter, and takes the next", () => {
  for (const parameters of [...illegal, "; client_max_window_bits; client_max_window_bits"]) {
    assertEquals(accept(PMD + parameters, ALL), undefined, parameters);
    assertEquals(accept(`${PMD}${parameters}; client_max_window_bits=9`, ALL), undefined, parameters);
    assertEquals(accept(`${PMD}${parameters}, other, ${PMD}; server_max_window_bits=9, ${PMD}`, ALL), [
      "; server_max_window_bits=9",
      "9t 15t",
    ], parameters);
  }
  assertEquals(accept("x-webkit-deflate-frame, Permessage-Deflate, permessage-bzip2", ALL), undefined);
  assertEquals(acceptOffer([], ALL), undefined);
  assertEquals(accept(`${PMD}; server_max_window_bits=12, ${PMD}${C}`, { ...ALL, engine: WEB }), [C + S, "15 15"]);
});

test("A client offers what it would like", () => {
  const cases: [options: DeflateOptions, offer: string][] = [
    [ALL, "; client_max_window_bits"],
    [NO_TAKEOVER, `${C}${S}; client_max_window_bits`],
    [{ ...ALL, sendTakeover: false }, `${C}; client_max_window_bits`],
    [{ ...ALL, receiveTakeover: false }, `${S}; client_max_window_bits`],
    [{ ...ALL, engine: WEB }, C],
    [{ ...ALL, engine: WEB, sendWindowBits: 9, receiveWindowBits: 9 }, `${C}; server_max_window_bits=9`],
    [{ ...ALL, sendWindowBits: 10, receiveWindowBits: 11 }, "; server_max_window_bits=11; client_max_window_bits=10"],
    [{ ...ALL, sendWindowBits: 8, engine: { ...ZLIB, minSendWindowBits: 9 } }, "; client_max_window_bits=9"],
  ];
  for (const [options, offer] of cases) assertEquals(makeOffer(options), PMD + offer);
});

/** What a client makes of an answer. */
function check(answer: string, options: DeflateOptions): string {
  const agreed = checkAgreement(parseExtensions(answer)!, options);
  return typeof agreed === "string" ? agreed : short(agreed);
}

test("A client takes an answer that fits its offer", () => {
  const cases: [answer: string, options: DeflateOptions, agreed: string][] = [
    ["", ALL, "15t 15t"],
    [S, ALL, "15t 15"],
    [C, ALL, "15 15t"],
    [C + S, NO_TAKEOVER, "15 15"],
    [S, NO_TAKEOVER, "15 15"],
    [C + S, ALL, "15 15"],
    ["", { ...ALL, engine: WEB }, "15 15t"],
    ["; client_max_window_bits=9", ALL, "9t 15t"],
    ["; client_max_window_bits=15", ALL, "15t 15t"],
    ["; client_max_window_bits=8", ALL, "8t 15t"],
    ["; client_max_window_bits=10", { ...ALL, sendWindowBits: 10 }, "10t 15t"],
    ["", { ...ALL, sendWindowBits: 10 }, "10t 15t"],
    ["; server_max_window_bits=8", ALL, "15t 8t"], // may come unasked
    ["; server_max_window_bits=12", { ...ALL, receiveWindowBits: 12 }, "15t 12t"],
    ["; server_max_window_bits=9", { ...ALL, receiveWindowBits: 12 }, "15t 9t"],
    ["; server_max_window_bits=9", { ...ALL, engine: WEB }, "15 9t"],
  ];
  for (const [answer, options, agreed] of cases) assertEquals(check(PMD + answer, options), agreed, answer);
});

test("A client refuses an answer that does not fit its offer, and says why", () => {
  for (const parameters of [...illegal, "; client_max_window_bits"]) {
    assertEquals(typeof checkAgreement(parseExtensions(PMD + parameters)!, ALL), "string", parameters);
  }
  const nine = { ...ALL, engine: { ...ZLIB, minSendWindowBits: 9 } };
  const cases: [answer: string, options: DeflateOptions, why: string][] = [
    ["x-foo", ALL, "the server chose the extension x-foo, which was not offered"],
    [`${PMD}, x-foo`, ALL, "the server chose the extension x-foo, which was not offered"],
    ["Permessage-deflate", ALL, "which was not offered"],
    [`${PMD}, ${PMD}`, ALL, "chose permessage-deflate 2 times"],
    [`${PMD}; y`, ALL, "the parameter y is unknown"],
    [PMD + S + S, ALL, "server_no_context_takeover comes twice"],
    [`${PMD}${S}=1`, ALL, "server_no_context_takeover has a value"],
    [`${PMD}; client_max_window_bits`, ALL, "client_max_window_bits needs a value of 8 to 15"],
    [PMD, NO_TAKEOVER, "did not agree to server_no_context_takeover"],
    [PMD + C, { ...ALL, receiveTakeover: false }, "did not agree to server_no_context_takeover"],
    [PMD, { ...ALL, receiveWindowBits: 12 }, "did not agree to server_max_window_bits=12"],
    [`${PMD}; server_max_window_bits=13`, { ...ALL, receiveWindowBits: 12 }, "did not agree to server_max_window_bits=12"],
    [`${PMD}; client_max_window_bits=15`, { ...ALL, engine: WEB }, "client_max_window_bits, which was not offered"],
    [`${PMD}; client_max_window_bits=11`, { ...ALL, sendWindowBits: 10 }, "client_max_window_bits=11, above the offered 10"],
    [`${PMD}; client_max_window_bits=8`, nine, "client_max_window_bits=8, which is too small here"],
  ];
  for (const [answer, options, why] of cases) assertStringIncludes(check(answer, options), why);
  assertStringIncludes(checkAgreement([], ALL) as string, "0 times");
});

const anyBits = fc.integer({ min: 8, max: 15 });
const anyOptions: fc.Arbitrary<DeflateOptions> = fc.record({
  sendTakeover: fc.boolean(),
  receiveTakeover: fc.boolean(),
  sendWindowBits: anyBits,
  receiveWindowBits: anyBits,
  engine: fc.constantFrom(ZLIB, WEB, { sendTakeover: true, minSendWindowBits: 9 }),
});

test("A client and a server of ours agree on the same, or on nothing", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(anyOptions, anyOptions, (client, server) => {
      const accepted = acceptOffer(parseExtensions(makeOffer(client))!, server);
      if (accepted === undefined) {
        // Only an engine that cannot shrink its window may decline.
        assertEquals(client.receiveWindowBits < server.engine.minSendWindowBits, true);
        seen.add("declined");
        return;
      }
      const agreed = checkAgreement(parseExtensions(accepted.answer)!, client);
      if (typeof agreed === "string") {
        assertStringIncludes(agreed, "too small here");
        assertEquals(server.receiveWindowBits < client.engine.minSendWindowBits, true);
        seen.add("refused");
        return;
      }
      seen.add("agreed");
      // Whoever sends uses no larger window, and no takeover, than the receiver is ready for.
      for (const [sends, receives] of [[agreed.send, accepted.agreed.receive], [accepted.agreed.send, agreed.receive]]) {
        assertEquals(sends.windowBits <= receives.windowBits, true);
        assertEquals(sends.takeover && !receives.takeover, false);
      }
      assertEquals(agreed.receive.windowBits <= client.receiveWindowBits, true);
      assertEquals(agreed.receive.takeover && !client.receiveTakeover, false);
      assertEquals(accepted.agreed.receive.takeover && !server.receiveTakeover, false);
    }),
    { numRuns: 3000 },
  );
  assertEquals([...seen].sort(), ["agreed", "declined", "refused"]);
});

test("Offers and answers of any parameters give a result and no exception", () => {
  const anyParameter = fc.record({
    name: fc.constantFrom(
      "server_no_context_takeover",
      "client_no_context_takeover",
      "server_max_window_bits",
      "client_max_window_bits",
      "constructor",
      "__proto__",
    ),
    value: fc.constantFrom(undefined, "8", "9", "15", "16", "x", "constructor"),
  });
  const anyExtension = fc.record({ name: fc.constant(PMD), parameters: fc.array(anyParameter, { maxLength: 4 }) });
  fc.assert(
    fc.property(fc.array(anyExtension, { maxLength: 3 }), anyOptions, (extensions, options) => {
      const accepted = acceptOffer(extensions, options);
      if (accepted !== undefined) assertEquals(parseExtensions(accepted.answer)?.length, 1);
      const agreed = checkAgreement(extensions, options);
      if (typeof agreed === "object") assertEquals(extensions.length, 1);
    }),
    { numRuns: 2000 },
  );
});
