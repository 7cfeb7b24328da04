import { assert, assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { constants, createDeflateRaw, createInflateRaw, deflateRawSync, inflateRawSync } from "node:zlib";
import type { Compression } from "./case.ts";
import { slice } from "./data.ts";
import { joined } from "./frame_reader.ts";
import { type Agreement, chooseAnswer, Codec, offerOf, takeAnswer } from "./permessage_deflate.ts";

const THREE: Compression = {
  offers: [
    "client_no_context_takeover; client_max_window_bits; server_no_context_takeover; server_max_window_bits=9",
    "client_max_window_bits=12; server_no_context_takeover",
    "server_max_window_bits=15",
  ],
  accept: [{ clientNoContextTakeover: true, clientMaxWindowBits: 9 }, { clientNoContextTakeover: true }, {}],
};

/** Window bits of what we send and of what we receive, `+` with takeover. */
function told(agreed: Agreement | string | undefined): string | undefined {
  if (typeof agreed !== "object") return agreed;
  return [agreed.send, agreed.receive].map(({ windowBits, takeover }) => `${windowBits}${takeover ? "+" : ""}`).join(" ");
}

test("offerOf joins the offers", () => {
  assertEquals(offerOf({ offers: ["a", "b; c"], accept: [] }), "permessage-deflate; a, permessage-deflate; b; c");
});

test("takeAnswer takes what fits one of the offers, and nothing else", () => {
  const beyond = "the handshake's answer goes beyond what was offered";
  const answers: [answer: string, outcome: string][] = [
    ["; server_no_context_takeover; server_max_window_bits=9", "15 9"],
    ["; server_no_context_takeover; server_max_window_bits=8;client_max_window_bits=10", "10 8"],
    ["; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=10", "10+ 10"],
    ["; server_no_context_takeover", "12+ 15"],
    ["; server_no_context_takeover; client_no_context_takeover", "12 15"],
    ["; server_max_window_bits=12", "15+ 12+"],
    ["", beyond],
    ["; server_max_window_bits=12; client_max_window_bits=12", beyond],
    ["; client_no_context_takeover", beyond],
    ["; server_no_context_takeover; client_max_window_bits=13", beyond],
    ["; server_no_context_takeover; client_max_window_bits", 'the extension\'s parameter "client_max_window_bits" is wrong'],
    ["; server_max_window_bits=16", 'the extension\'s parameter "server_max_window_bits=16" is wrong'],
    ["; server_max_window_bits=08", 'the extension\'s parameter "server_max_window_bits=08" is wrong'],
    ["; server_no_context_takeover=1", 'the extension\'s parameter "server_no_context_takeover=1" is wrong'],
    [
      "; server_no_context_takeover; server_no_context_takeover",
      'the extension\'s parameter "server_no_context_takeover" comes twice',
    ],
    ["; mode=9", 'the extension\'s parameter "mode=9" is wrong'],
    [";", 'the extension\'s parameter "" is wrong'],
    [", permessage-deflate", "the handshake's answer has more than one extension"],
    [", x-webkit-deflate-frame", 'an extension is called "x-webkit-deflate-frame"'],
  ];
  for (const [answer, outcome] of answers) assertEquals(told(takeAnswer(`permessage-deflate${answer}`, THREE)), outcome, answer);
});

test("chooseAnswer gives the first answer that an offer allows", () => {
  const offers: [offer: string, answer: string | undefined, outcome: string | undefined][] = [
    ["; client_max_window_bits", "; client_no_context_takeover; client_max_window_bits=9", "15+ 9"],
    ["; client_max_window_bits=9", "; client_no_context_takeover; client_max_window_bits=9", "15+ 9"],
    ["; client_max_window_bits=8", "; client_no_context_takeover", "15+ 8"],
    ["", "; client_no_context_takeover", "15+ 15"],
    [
      "; server_no_context_takeover; server_max_window_bits=10",
      "; server_no_context_takeover; server_max_window_bits=10; client_no_context_takeover",
      "10 15",
    ],
    [", permessage-deflate; client_max_window_bits", "; client_no_context_takeover; client_max_window_bits=9", "15+ 9"],
    ["; client_max_window_bits=7", undefined, 'the extension\'s parameter "client_max_window_bits=7" is wrong'],
    ["; server_max_window_bits", undefined, 'the extension\'s parameter "server_max_window_bits" is wrong'],
  ];
  for (const [offer, answer, outcome] of offers) {
    const chosen = chooseAnswer(`permessage-deflate${offer}`, THREE);
    assertEquals(typeof chosen === "object" ? chosen.answer : undefined, answer && `permessage-deflate${answer}`, offer);
    assertEquals(told(typeof chosen === "object" ? chosen.agreed : chosen), outcome, offer);
  }
  const unlucky = { offers: [], accept: [{ clientMaxWindowBits: 9 }] };
  assertEquals(chooseAnswer("permessage-deflate; client_max_window_bits=8, permessage-deflate", unlucky), undefined);
  const takeover = chooseAnswer("permessage-deflate; client_no_context_takeover", { offers: [], accept: [{}] });
  assertEquals(typeof takeover === "object" && takeover.answer, "permessage-deflate");
  assertEquals(told(typeof takeover === "object" ? takeover.agreed : takeover), "15+ 15"); // the offer says it for both
});

function agreement(windowBits: number, takeover: boolean): Agreement {
  return { send: { windowBits, takeover }, receive: { windowBits, takeover } };
}

const TAIL = new Uint8Array([0, 0, 0xff, 0xff]);
const messages = Array.from({ length: 40 }, (_, i) => slice("json", i * 3000, 3000));

/** What a stream makes of messages, one after the other with one context. */
async function streamed(windowBits: number): Promise<Uint8Array[]> {
  const deflater = createDeflateRaw({ windowBits });
  let parts: Uint8Array[] = [];
  deflater.on("data", (part: Uint8Array) => parts.push(part));
  const payloads: Uint8Array[] = [];
  for (const message of messages) {
    deflater.write(message);
    await new Promise<void>((resolve) => deflater.flush(constants.Z_SYNC_FLUSH, () => resolve()));
    const whole = joined(parts);
    parts = [];
    payloads.push(whole.subarray(0, whole.length - TAIL.length));
  }
  deflater.close();
  return payloads;
}

test("Codec inflates with the context that was agreed on", async () => {
  for (const windowBits of [9, 12, 15]) {
    const codec = new Codec(agreement(windowBits, true));
    assertEquals((await streamed(windowBits)).map((payload) => codec.inflate(payload)), messages, String(windowBits));
  }
});

test("Codec finds a context that was not agreed on", async () => {
  const payloads = await streamed(15);
  const codec = new Codec(agreement(15, false));
  assertEquals(codec.inflate(payloads[0]), messages[0]);
  assertThrows(() => codec.inflate(payloads[1]), Error);
});

test("Codec finds a window that is larger than agreed, within a message and across messages", async () => {
  const long = slice("json", 0, 30_000);
  const payload = deflateRawSync(long, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -TAIL.length);
  for (const windowBits of [9, 12]) {
    assertThrows(() => new Codec(agreement(windowBits, false)).inflate(payload), Error);
    const payloads = await streamed(15);
    const codec = new Codec(agreement(windowBits, true));
    assertThrows(() => payloads.map((payload) => codec.inflate(payload)), Error);
  }
  assertEquals(new Codec(agreement(15, false)).inflate(payload), long);
});

test("Codec inflates final blocks, and finds what is corrupt", () => {
  const codec = new Codec(agreement(15, false));
  assertEquals(codec.inflate(joined([deflateRawSync(messages[0]), new Uint8Array(1)])), messages[0]);
  assertThrows(() => codec.inflate(new Uint8Array([0xff, 0xff])), Error);
  assertThrows(() => codec.inflate(new Uint8Array([0x00, 0x05, 0x00, 0x05, 0x00])), Error);
});

test("Codec compresses as it was agreed on", async () => {
  const codec = new Codec(agreement(9, true));
  const payloads: Uint8Array[] = [];
  for (const message of messages) payloads.push(await codec.deflate(message, "flushed"));
  codec.close();
  const inflater = createInflateRaw({ windowBits: 9 });
  const parts: Uint8Array[] = [];
  inflater.on("data", (part: Uint8Array) => parts.push(part));
  for (const payload of payloads) inflater.write(joined([payload, TAIL]));
  await new Promise<void>((resolve) => inflater.flush(() => resolve()));
  inflater.close();
  assertEquals(joined(parts), joined(messages));
  // It does refer to what came before.
  assertThrows(() => payloads.map((payload) => new Codec(agreement(9, false)).inflate(payload)), Error);

  const apart = new Codec(agreement(15, false));
  for (const blocks of ["flushed", "final"] as const) {
    const payload = await apart.deflate(messages[1], blocks);
    assertEquals(new Uint8Array(inflateRawSync(joined([payload, TAIL]), { finishFlush: constants.Z_SYNC_FLUSH })), messages[1]);
    // Without the tail only what is final has its end.
    let ends = true;
    try {
      inflateRawSync(payload);
    } catch {
      ends = false;
    }
    assertEquals(ends, blocks === "final");
  }
});

test("Codec knows what may stay plain", () => {
  const noise = slice("pdf", 500, 400);
  assert(new Codec(agreement(15, false)).mayBePlain(noise));
  assert(!new Codec(agreement(15, true)).mayBePlain(noise));
  assert(!new Codec(agreement(15, false)).mayBePlain(messages[0]));
  assert(!new Codec(agreement(9, false)).mayBePlain(messages[0]));
});
