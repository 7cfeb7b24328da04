/**
 * The judge is judged with compression: peers that compress wrongly on purpose have to get the label that they deserve.
 *
 * @module
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import { constants, createDeflateRaw, deflateRawSync, inflateRawSync } from "node:zlib";
import type { FrameSpec, RawFrame } from "../support/raw_client.ts";
import type { Case } from "./case.ts";
import type { Role } from "./endpoint.ts";
import { joined } from "./frame_reader.ts";
import type { Verdict } from "./run_case.ts";
import { type Script, type ScriptedPeer, verdictOn } from "./scripted_peer.ts";
import { COMPRESSED_CASES } from "./suite.ts";

const TAIL = new Uint8Array([0, 0, 0xff, 0xff]);
const finishFlush = constants.Z_SYNC_FLUSH;

/** What a script answers to a message with: frames. `count` counts the messages from 1. */
type Answering = (message: Uint8Array, opcode: number, count: number) => FrameSpec[] | Promise<FrameSpec[]>;

/** Reads a whole message, which refers to nothing before it, or a Close. */
async function readMessage(peer: ScriptedPeer): Promise<{ opcode: number; message: Uint8Array } | undefined> {
  const frames: RawFrame[] = [];
  do {
    const next = await peer.read();
    if (next === null || next.opcode === 8) return undefined;
    frames.push(next);
  } while (!frames.at(-1)!.fin);
  const payload = joined([...frames.map(({ payload }) => payload), TAIL]);
  const { opcode, rsv } = frames[0];
  if (rsv !== 4 || frames.slice(1).some(({ opcode, rsv }) => opcode !== 0 || rsv !== 0)) throw new Error("RSV1 is wrong");
  return { opcode, message: inflateRawSync(payload, { finishFlush }) };
}

/** Answers messages in some way, then the Close as it should be. */
function echoing(answer: Answering): Script {
  return async (peer) => {
    let count = 0;
    for (let next = await readMessage(peer); next !== undefined; next = await readMessage(peer)) {
      for (const spec of await answer(next.message, next.opcode, ++count)) peer.sendFrame(spec);
    }
    await peer.leave(1000);
  };
}

function deflated(message: Uint8Array, options: { windowBits?: number } = {}): Uint8Array {
  return deflateRawSync(message, { ...options, finishFlush }).subarray(0, -TAIL.length);
}

const properly: Answering = (message, opcode) => [{ opcode, rsv: 4, payload: deflated(message) }];

function plainly(message: Uint8Array, opcode: number): FrameSpec[] {
  return [{ opcode, payload: message }];
}

/** Compresses with one context for all messages of a connection. */
function withContext(windowBits = 15): Answering {
  const deflater = createDeflateRaw({ windowBits });
  let parts: Uint8Array[] = [];
  deflater.on("data", (part: Uint8Array) => parts.push(part));
  return async (message, opcode) => {
    deflater.write(message);
    await new Promise<void>((resolve) => deflater.flush(finishFlush, () => resolve()));
    const payload = joined(parts);
    parts = [];
    return [{ opcode, rsv: 4, payload: payload.subarray(0, -TAIL.length) }];
  };
}

/** Does one thing with the third message, and everything properly otherwise. */
function third(answer: Answering, others = properly): Answering {
  return (message, opcode, count) => (count === 3 ? answer : others)(message, opcode, count);
}

/** What a scripted peer says of compression in its half of the handshake. */
type Says = Readonly<Record<Role, string>>;

// The suite has no context of its own in any of them, so that a script can inflate message by message.
const FORGETFUL: Says = {
  server: "; client_no_context_takeover; server_no_context_takeover",
  client: "; client_no_context_takeover; server_no_context_takeover",
};
const MINDFUL: Says = { server: "; client_no_context_takeover", client: "; server_no_context_takeover" };
const SMALL: Says = {
  server: "; client_no_context_takeover; server_max_window_bits=9",
  client: "; server_no_context_takeover; client_max_window_bits",
};

const OK: Verdict = { behavior: "OK", behaviorClose: "OK" };
const NON_STRICT: Verdict = { behavior: "NON-STRICT", behaviorClose: "OK" };
const FAILED: Verdict = { behavior: "FAILED", behaviorClose: "FAILED" };
const WRONG: Verdict = { behavior: "FAILED", behaviorClose: "OK" };

const scripts: [name: string, id: string, says: Says, answer: () => Answering, verdict: Verdict, story?: string][] = [
  ["nothing wrong", "12.1.6", FORGETFUL, () => properly, OK],
  ["a context that was agreed on", "12.1.6", MINDFUL, () => withContext(), OK],
  ["a small window", "13.3.6", SMALL, () => withContext(9), OK],
  ["messages that do not shrink and stay plain", "12.5.3", FORGETFUL, () => (message, opcode, count) => {
    return deflated(message).length < message.length ? properly(message, opcode, count) : plainly(message, opcode);
  }, OK],
  ["fragments with RSV1 on the first of them", "12.3.6", FORGETFUL, () => (message, opcode) => {
    const payload = deflated(message);
    return [
      { opcode, rsv: 4, fin: false, payload: payload.subarray(0, 9) },
      { opcode: 0, fin: false },
      { opcode: 0, payload: payload.subarray(9) },
    ];
  }, OK],
  ["final blocks", "12.3.6", FORGETFUL, () => (message, opcode) => {
    return [{ opcode, rsv: 4, payload: joined([deflateRawSync(message), new Uint8Array(1)]) }];
  }, OK],
  ["an answer that could have been compressed", "12.1.6", FORGETFUL, () => third(plainly), NON_STRICT, "1 answers could"],
  [
    "an answer that stays plain although there is a context",
    "12.5.3",
    MINDFUL,
    () => third(plainly, withContext()),
    NON_STRICT,
    "1 answers could",
  ],
  [
    "RSV1 missing on text",
    "12.1.6",
    FORGETFUL,
    () =>
      third((message, opcode) => {
        return [{ opcode, payload: deflated(message) }];
      }),
    FAILED,
    "a text is not UTF-8",
  ],
  ["RSV1 missing on binary", "12.2.6", FORGETFUL, () =>
    third((message, opcode) => {
      return [{ opcode, payload: deflated(message) }];
    }), WRONG],
  [
    "RSV1 on what is not compressed",
    "12.3.6",
    FORGETFUL,
    () =>
      third((message, opcode) => {
        return [{ opcode, rsv: 4, payload: message }];
      }),
    FAILED,
    "a message cannot be inflated",
  ],
  [
    "RSV1 on a continuation",
    "12.1.6",
    FORGETFUL,
    () =>
      third((message, opcode) => {
        const payload = deflated(message);
        return [
          { opcode, rsv: 4, fin: false, payload: payload.subarray(0, 9) },
          { opcode: 0, rsv: 4, payload: payload.subarray(9) },
        ];
      }),
    FAILED,
    "a reserved bit is set",
  ],
  [
    "RSV1 on a continuation only",
    "12.1.6",
    FORGETFUL,
    () =>
      third((message, opcode) => {
        return [{ opcode, fin: false }, { opcode: 0, rsv: 4, payload: deflated(message) }];
      }),
    FAILED,
    "a reserved bit is set",
  ],
  ["RSV1 on a ping", "12.1.6", FORGETFUL, () => third(() => [{ opcode: 9, rsv: 4 }]), FAILED, "a reserved bit is set"],
  [
    "RSV2 beside RSV1",
    "12.1.6",
    FORGETFUL,
    () =>
      third((message, opcode) => {
        return [{ opcode, rsv: 6, payload: deflated(message) }];
      }),
    FAILED,
    "a reserved bit is set",
  ],
  ["a context that was not agreed on", "12.1.6", FORGETFUL, () => withContext(), FAILED, "a message cannot be inflated"],
  [
    "a context that another answer did not get into",
    "12.1.6",
    MINDFUL,
    () => {
      const [one, other] = [withContext(), withContext()];
      return (message, opcode, count) => (count % 2 === 0 ? one : other)(message, opcode, count);
    },
    WRONG,
  ],
  ["a larger window than agreed", "13.3.6", SMALL, () => properly, FAILED, "a message cannot be inflated"],
  [
    "corrupt data",
    "12.1.6",
    FORGETFUL,
    () =>
      third((message, opcode) => {
        return [{ opcode, rsv: 4, payload: joined([new Uint8Array([7]), deflated(message)]) }];
      }),
    FAILED,
    "a message cannot be inflated",
  ],
  [
    "compressed text that is not UTF-8",
    "12.1.6",
    FORGETFUL,
    () =>
      third((message, opcode) => {
        message[5] = 0xff;
        return [{ opcode, rsv: 4, payload: deflated(message) }];
      }),
    FAILED,
    "a text is not UTF-8",
  ],
  [
    "other content",
    "12.2.6",
    FORGETFUL,
    () =>
      third((message, opcode) => {
        message[5]++;
        return [{ opcode, rsv: 4, payload: deflated(message) }];
      }),
    WRONG,
    "3 of 3 answers",
  ],
  ["an answer that is cut off", "12.2.6", FORGETFUL, () =>
    third((message, opcode) => {
      return [{ opcode, rsv: 4, payload: deflated(message.subarray(1)) }];
    }), WRONG],
  ["another type", "12.1.6", FORGETFUL, () => third((message) => properly(message, 2, 0)), WRONG],
  ["an answer twice", "12.1.6", FORGETFUL, () =>
    third(async (message, opcode) => {
      return [...await properly(message, opcode, 0), ...await properly(message, opcode, 0)];
    }), WRONG],
];

const FAMILY = new Map(COMPRESSED_CASES.map((one) => [one.id, one]));

/** A case with few messages, even when all are sent. */
function shortened(id: string): Case {
  return { ...FAMILY.get(id)!, rounds: 6 };
}

for (const role of ["server", "client"] as const) {
  for (const [name, id, says, answer, verdict, part] of scripts) {
    test(`runCase judges a compressing ${role} with ${name} in ${id}`, { timeout: 60_000 }, async () => {
      const headers = { "Sec-WebSocket-Extensions": `permessage-deflate${says[role]}` };
      const { behavior, behaviorClose, story } = await verdictOn(role, shortened(id), echoing(answer()), undefined, headers);
      assertEquals({ behavior, behaviorClose }, verdict, story);
      if (part !== undefined) assertStringIncludes(story, part);
    });
  }

  test(`runCase judges a ${role} that closes after some of the messages`, { timeout: 60_000 }, async () => {
    const headers = { "Sec-WebSocket-Extensions": `permessage-deflate${FORGETFUL[role]}` };
    const { behavior, behaviorClose, story } = await verdictOn(
      role,
      shortened("12.1.6"),
      async (peer) => {
        for (let count = 1; count <= 3; count++) {
          const { message, opcode } = (await readMessage(peer))!;
          for (const spec of await properly(message, opcode, count)) peer.sendFrame(spec);
        }
        await peer.leave(1000);
      },
      undefined,
      headers,
    );
    assertEquals({ behavior, behaviorClose }, FAILED);
    assertStringIncludes(story, "closed by peer");
  });

  test(`runCase does not count a ${role} that does not agree on compression as right or wrong`, { timeout: 60_000 }, async () => {
    const { behavior, behaviorClose } = await verdictOn(role, shortened("13.5.6"), echoing(properly));
    assertEquals({ behavior, behaviorClose }, { behavior: "UNIMPLEMENTED", behaviorClose: "OK" });
  });
}

test("runCase leaves out what a client's offer does not allow", { timeout: 60_000 }, async () => {
  const headers = { "Sec-WebSocket-Extensions": `permessage-deflate${MINDFUL.client}` };
  for (const [id, outcome] of [["13.2.6", "OK"], ["13.3.6", "UNIMPLEMENTED"], ["13.7.6", "OK"]]) {
    const { behavior } = await verdictOn("client", shortened(id), echoing(properly), undefined, headers);
    assertEquals(behavior, outcome, id);
  }
});

test("runCase fails a peer that agrees on compression wrongly", { timeout: 60_000 }, async () => {
  const handshakes: [role: Role, id: string, says: string, fault: string][] = [
    ["server", "13.3.6", "permessage-deflate; client_no_context_takeover", "the handshake's answer goes beyond what was offered"],
    ["server", "13.3.6", "permessage-deflate; server_max_window_bits=10", "the handshake's answer goes beyond what was offered"],
    [
      "server",
      "12.1.6",
      "permessage-deflate; client_max_window_bits",
      'the extension\'s parameter "client_max_window_bits" is wrong',
    ],
    ["server", "12.1.6", "x-webkit-deflate-frame", 'an extension is called "x-webkit-deflate-frame"'],
    [
      "client",
      "12.1.6",
      "permessage-deflate; server_max_window_bits",
      'the extension\'s parameter "server_max_window_bits" is wrong',
    ],
  ];
  for (const [role, id, says, fault] of handshakes) {
    const headers = { "Sec-WebSocket-Extensions": says };
    const { behavior, behaviorClose, story } = await verdictOn(role, shortened(id), async () => {}, undefined, headers);
    assertEquals({ behavior, behaviorClose }, FAILED, says);
    assertStringIncludes(story, fault);
  }
});
