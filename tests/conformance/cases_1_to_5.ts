/**
 * Cases 1.* framing, 2.* pings and pongs, 3.* reserved bits, 4.* reserved opcodes, 5.* fragmentation.
 *
 * @module
 */

import {
  type Answer,
  binary,
  type Case,
  CLEAN,
  close,
  continuation,
  failed,
  type Payload,
  ping,
  pong,
  type Step,
  text,
  UNFINISHED,
} from "./case.ts";

const HELLO = "Hello, world!";
const BYTES = new Uint8Array([0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff]);

function repeat(unit: string | number, length: number): Payload {
  return { repeat: typeof unit === "string" ? unit : new Uint8Array([unit]), length };
}

function textBack(payload: Payload): Answer {
  return { type: "text", payload };
}

function pongBack(payload: Payload): Answer {
  return { type: "pong", payload };
}

function framing(): Case[] {
  const lengths = [0, 125, 126, 127, 128, 65535, 65536, 65536];
  return (["text", "binary"] as const).flatMap((type, family) =>
    lengths.map((length, i): Case => {
      const payload = repeat(type === "text" ? "*" : 0xfe, length);
      return {
        id: `1.${family + 1}.${i + 1}`,
        steps: [type === "text" ? text(payload) : binary(payload)],
        ...(i === 7 ? { chop: 997 } : {}),
        expect: [{ type, payload }],
        ending: CLEAN,
      };
    })
  );
}

function pings(): Case[] {
  const many = Array.from({ length: 10 }, (_, i) => `payload-${i}`);
  const unsolicited = pong("unsolicited pong payload");
  const answered = [HELLO, BYTES, repeat(0xfe, 125)];
  const all: Omit<Case, "id" | "ending">[] = [
    ...["", ...answered].map((payload) => ({ steps: [ping(payload)], expect: [pongBack(payload)] })),
    { steps: [ping(repeat(0xfe, 126))], expect: [] },
    { steps: [ping(repeat(0xfe, 125))], chop: 1, expect: [pongBack(repeat(0xfe, 125))] },
    { steps: [pong(), close(1000)], expect: [] },
    { steps: [unsolicited, close(1000)], expect: [] },
    { steps: [unsolicited, ping("ping payload")], expect: [pongBack("ping payload")] },
    { steps: many.map((payload) => ping(payload)), expect: many.map(pongBack) },
    { steps: many.map((payload) => ping(payload)), chop: 1, expect: many.map(pongBack) },
  ];
  return all.map((rest, i) => ({ id: `2.${i + 1}`, ...rest, ending: i + 1 === 5 ? failed(1002) : CLEAN }));
}

/** A good text, then a frame that is not allowed, then a ping that must not be answered. */
function badAfterText(bad: Step): Omit<Case, "id" | "ending"> {
  return { steps: [text(HELLO), bad, ping()], expect: [textBack(HELLO)], tolerate: [] };
}

function reservedBits(): Case[] {
  const all: Omit<Case, "id" | "ending">[] = [
    { steps: [text(HELLO, { rsv: 1 })], expect: [] },
    badAfterText(text(HELLO, { rsv: 2 })),
    { ...badAfterText(text(HELLO, { rsv: 3 })), apart: true },
    { ...badAfterText(text(HELLO, { rsv: 4 })), chop: 1 },
    { steps: [binary(BYTES, { rsv: 5 })], expect: [] },
    { steps: [binary(HELLO, { rsv: 6 })], expect: [] },
    // As a frame, not as our Close: with these bits it is none.
    { steps: [{ frame: { opcode: 8, rsv: 7 } }], expect: [] },
  ];
  return all.map((rest, i) => ({ id: `3.${i + 1}`, ...rest, ending: failed(1002) }));
}

function reservedOpcodes(): Case[] {
  return [3, 11].flatMap((first, family) => {
    const all: Omit<Case, "id" | "ending">[] = [
      { steps: [{ frame: { opcode: first } }], expect: [] },
      { steps: [{ frame: { opcode: first + 1, payload: "reserved opcode payload" } }], expect: [] },
      badAfterText({ frame: { opcode: first + 2 } }),
      badAfterText({ frame: { opcode: first + 3, payload: HELLO } }),
      { ...badAfterText({ frame: { opcode: first + 4, payload: HELLO } }), chop: 1 },
    ];
    return all.map((rest, i) => ({ id: `4.${family + 1}.${i + 1}`, ...rest, ending: failed(1002) }));
  });
}

/** The three ways in which some series are sent: in one go, apart, byte by byte. */
const WAYS: readonly Pick<Case, "chop" | "apart">[] = [{}, { apart: true }, { chop: 1 }];

function fragmentation(): Case[] {
  const whole = textBack("fragment1fragment2");
  const first = text("fragment1", UNFINISHED);
  const last = continuation("fragment2");
  const stray = "non-continuation payload";
  const join: Case[] = WAYS.map((way, i) => ({
    id: `5.${3 + i}`,
    steps: [first, last],
    ...way,
    expect: [whole],
    ending: CLEAN,
  }));
  const pingBetween: Case[] = WAYS.map((way, i) => ({
    id: `5.${6 + i}`,
    steps: [first, ping("ping payload"), last],
    ...way,
    expect: [pongBack("ping payload"), whole],
    ending: CLEAN,
  }));
  const nothingToContinue: Case[] = [{}, UNFINISHED].flatMap((bits, series) =>
    WAYS.map((way, i) => ({
      id: `5.${9 + 3 * series + i}`,
      steps: [continuation(stray, bits), text(HELLO)],
      ...way,
      expect: [],
      ending: failed(1002),
    }))
  );
  const wrongOrder: Step[] = [continuation("fragment1", UNFINISHED), text("fragment2", UNFINISHED), continuation("fragment3")];
  const wrongOrderToo: Step[] = [continuation("fragment1"), text("fragment2", UNFINISHED), continuation("fragment3")];
  const withPings: Step[] = [
    first,
    continuation("fragment2", UNFINISHED),
    ping("pongme 1!"),
    { answers: 1 },
    continuation("fragment3", UNFINISHED),
    continuation("fragment4", UNFINISHED),
    ping("pongme 2!"),
    continuation("fragment5"),
  ];
  const joined = "fragment1fragment2fragment3fragment4fragment5";
  const pongsFirst = [pongBack("pongme 1!"), pongBack("pongme 2!"), textBack(joined)];
  return [
    { id: "5.1", steps: [ping("fragment1", UNFINISHED), last], expect: [], ending: failed(1002) },
    { id: "5.2", steps: [pong("fragment1", UNFINISHED), last], expect: [], ending: failed(1002) },
    ...join,
    ...pingBetween,
    ...nothingToContinue,
    {
      id: "5.15",
      steps: [first, last, continuation("fragment3", UNFINISHED), text("fragment4")],
      expect: [whole],
      tolerate: [],
      ending: failed(1002),
    },
    { id: "5.16", steps: [...wrongOrder, ...wrongOrder], expect: [], ending: failed(1002) },
    { id: "5.17", steps: [...wrongOrderToo, ...wrongOrderToo], expect: [], ending: failed(1002) },
    { id: "5.18", steps: [first, text("fragment2")], expect: [], ending: failed(1002) },
    { id: "5.19", steps: withPings, expect: pongsFirst, ending: CLEAN },
    { id: "5.20", steps: withPings, apart: true, expect: pongsFirst, ending: CLEAN },
  ];
}

/** The cases 1.* to 5.*. */
export const cases: readonly Case[] = [
  ...framing(),
  ...pings(),
  ...reservedBits(),
  ...reservedOpcodes(),
  ...fragmentation(),
];
