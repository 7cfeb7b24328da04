/**
 * Compression where the suite has no case: all forms that RFC 7692 gives a message, contexts and windows in both directions, and
 * what a peer has to refuse.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { hex } from "../support/raw_client.ts";
import { type Acceptance, type Case, CLEAN, continuation, failed, ping, type Step, text } from "./case.ts";
import { COMPRESSED_CASES, COMPRESSION, type Driving } from "./suite.ts";
import type { Agreement } from "./permessage_deflate.ts";
import { drivingClients, drivingCoroutineServer, drivingServer } from "./peers.ts";
import { runCase } from "./run_case.ts";

const RSV1 = { rsv: 4 };

function accepting(offer: string, acceptance: Acceptance = {}): Pick<Case, "compression"> {
  return { compression: { offers: [offer], accept: [acceptance] } };
}

const ANY = accepting("client_max_window_bits");

function hello(id: string, ...steps: Step[]): Case {
  return { id, ...ANY, steps, expect: [{ type: "text", payload: "Hello" }], ending: CLEAN };
}

function refused(id: string, code: number, ...steps: Step[]): Case {
  return { id, ...ANY, steps, expect: [], ending: failed(code) };
}

/** So many messages that earlier ones are referred to, and forgotten, many times over. */
function many(id: string, compression: Pick<Case, "compression">, compress: "flushed" | "final"): Case {
  const payload = { data: "html", length: 700 } as const;
  return {
    id,
    ...compression,
    steps: [{ message: payload, opcode: 1, compress, fragment: 64 }],
    rounds: 150,
    expect: [{ type: "text", payload }],
    ending: CLEAN,
  };
}

const cases: readonly Case[] = [
  hello("a compressed message (section 7.2.3.1)", text(hex("f248cdc9c90700"), RSV1)),
  hello(
    "a compressed message in fragments, with a ping in between",
    text(hex("f248cd"), { ...RSV1, fin: false }),
    continuation("", { fin: false }),
    continuation(hex("c9c90700")),
  ),
  {
    ...hello(
      "a ping inside of a compressed message",
      text(hex("f248cd"), { ...RSV1, fin: false }),
      ping("ping"),
      continuation(hex("c9c90700")),
    ),
    expect: [{ type: "pong", payload: "ping" }, { type: "text", payload: "Hello" }],
  },
  hello("a block that is not compressed (section 7.2.3.3)", text(hex("000500faff48656c6c6f00"), RSV1)),
  hello("a final block (section 7.2.3.4)", text(hex("f348cdc9c9070000"), RSV1)),
  hello("two blocks (section 7.2.3.5)", text(hex("f248050000 00ffffcac9c90700"), RSV1)),
  hello("a plain message", text("Hello")),
  {
    ...hello(
      "a second message that refers to the first (section 7.2.3.2)",
      text(hex("f248cdc9c90700"), RSV1),
      text(hex("f200110000"), RSV1),
    ),
    expect: [{ type: "text", payload: "Hello" }, { type: "text", payload: "Hello" }],
  },
  { ...hello("an empty message (section 7.2.3.6)", text(hex("00"), RSV1)), expect: [{ type: "text", payload: "" }] },
  many("contexts in both directions", ANY, "flushed"),
  many("final blocks, many messages", ANY, "final"),
  many(
    "a window of 9 bits in both directions",
    accepting("client_max_window_bits=9; server_max_window_bits=9", { clientMaxWindowBits: 9 }),
    "flushed",
  ),
  many(
    "no context in either direction",
    accepting("client_no_context_takeover; server_no_context_takeover", { clientNoContextTakeover: true }),
    "flushed",
  ),
  refused("corrupt data", 1007, text(hex("ffff"), RSV1)),
  refused("data that refer to what was never there", 1007, text(hex("f200110000"), RSV1)),
  refused("compressed text that is not UTF-8", 1007, text(hex("000100feffff00"), RSV1)),
  refused("RSV1 on a continuation", 1002, text(hex("f248cd"), { ...RSV1, fin: false }), continuation(hex("c9c90700"), RSV1)),
  refused("RSV1 on a ping", 1002, ping("ping", RSV1)),
  refused("RSV2", 1002, text("Hello", { rsv: 2 })),
];

const peers: [peer: string, driving: Driving][] = [
  ["the server", drivingServer(COMPRESSION)],
  ["the coroutine server", drivingCoroutineServer(COMPRESSION)],
  ["the client", drivingClients(COMPRESSION)],
  ["the server with the web engine", drivingServer({ ...COMPRESSION, websocket_compression_engine: "web" })],
  ["the client with the web engine", drivingClients({ ...COMPRESSION, websocket_compression_engine: "web" })],
];

for (const [peer, driving] of peers) {
  test(
    `compression beyond the suite's cases: ${peer} takes what is right and refuses what is not`,
    { timeout: 120_000 },
    () =>
      driving(async (driver) => {
        const wrong: string[] = [];
        for (const one of cases) {
          const { behavior, behaviorClose, story } = await runCase(one, driver);
          if (behavior !== "OK" || behaviorClose !== "OK") wrong.push(`${one.id}: ${behavior} / ${behaviorClose} (${story})`);
        }
        assertEquals(wrong, []);
      }),
  );
}

/** Window bits of what the peer sends and of what it receives, `+` with takeover. */
function told({ send, receive }: Agreement): string {
  return [receive, send].map(({ windowBits, takeover }) => `${windowBits}${takeover ? "+" : ""}`).join(" ");
}

const agreements: [peer: string, driving: Driving, agreed: Record<string, string>][] = [
  ["the server", drivingServer(COMPRESSION), {
    "12.1": "15+ 15",
    "13.1": "15+ 15",
    "13.2": "15 15",
    "13.3": "9+ 15",
    "13.4": "15+ 15",
    "13.5": "9 15",
    "13.6": "15 15",
    "13.7": "9 15",
  }],
  ["the server without takeover", drivingServer({ websocket_compression: true }), {
    "12.1": "15 15",
    "13.1": "15 15",
    "13.2": "15 15",
    "13.3": "9 15",
    "13.4": "15 15",
    "13.5": "9 15",
    "13.6": "15 15",
    "13.7": "9 15",
  }],
  ["the server with the web engine", peers[3][1], {
    "12.1": "15 15",
    "13.1": "15 15",
    "13.2": "15 15",
    "13.3": "9 15",
    "13.4": "15 15",
    "13.5": "9 15",
    "13.6": "15 15",
    "13.7": "9 15",
  }],
  ["the client", drivingClients(COMPRESSION), {
    "12.1": "15+ 15+",
    "13.1": "15+ 15+",
    "13.2": "15 15+",
    "13.3": "9+ 15+",
    "13.4": "15+ 15+",
    "13.5": "9 15+",
    "13.6": "15 15+",
    "13.7": "9 15+",
  }],
  ["the client without takeover", drivingClients({ websocket_compression: true }), {
    "12.1": "15 15",
    "13.1": "15 15",
    "13.2": "15 15",
    "13.3": "9 15",
    "13.4": "15 15",
    "13.5": "9 15",
    "13.6": "15 15",
    "13.7": "9 15",
  }],
];

for (const [peer, driving, agreed] of agreements) {
  test(
    `compression: ${peer} agrees on what each family of cases is about, and echoes as agreed`,
    { timeout: 120_000 },
    () =>
      driving(async (driver) => {
        const found: Record<string, string | undefined> = {};
        for (const family of Object.keys(agreed)) {
          const one = COMPRESSED_CASES.find(({ id }) => id === `${family}.5`)!;
          const endpoint = await driver.connect(one.compression);
          found[family] = endpoint.agreed && told(endpoint.agreed);
          await endpoint.send([endpoint.close(new Uint8Array(0))]);
          await endpoint.whenEnded();
          endpoint.release();
          const { behavior, story } = await runCase({ ...one, rounds: 10 }, driver);
          assertEquals(behavior, "OK", `${family}: ${story}`);
        }
        assertEquals(found, agreed);
      }),
  );
}
