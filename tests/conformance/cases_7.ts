/**
 * Cases 7.*: the closing handshake and close codes.
 *
 * @module
 */

import { hex } from "../support/raw_client.ts";
import { type Case, CLEAN, close, continuation, type Ending, ping, type Step, text, UNFINISHED } from "./case.ts";

/** As `CLEAN`, and a wrong code spoils the answers too. */
const CLEAN_CODE: Ending = { ...CLEAN, spoiledBy: "code" };

/** We close in a way that is not allowed: a code that says so, no code, or no Close at all. */
function refused(...codes: number[]): Ending {
  return { by: "us", clean: false, codes, spoiledBy: "code" };
}

const HELLO = "Hello World!";
const EMPTY_CLOSE: Step = { frame: { opcode: 8 } };
const LONG = { repeat: "BAsd7&jh23", length: 262144 };

const afterClose: Case[] = [
  { id: "7.1.1", steps: [text(HELLO)], expect: [{ type: "text", payload: HELLO }], ending: CLEAN_CODE },
  { id: "7.1.2", steps: [close(1000), EMPTY_CLOSE], expect: [], ending: CLEAN_CODE },
  { id: "7.1.3", steps: [close(1000), ping()], expect: [], ending: CLEAN_CODE },
  { id: "7.1.4", steps: [close(1000), text(HELLO)], expect: [], ending: CLEAN_CODE },
  {
    id: "7.1.5",
    steps: [text("fragment1", UNFINISHED), close(1000), continuation("fragment2")],
    expect: [],
    ending: CLEAN_CODE,
  },
  {
    id: "7.1.6",
    steps: [text(LONG), text(HELLO), close(1000), ping()],
    expect: [{ type: "text", payload: LONG }, { type: "text", payload: HELLO }],
    ending: CLEAN,
    informational: true,
  },
];

/** The longest reason is 123 bytes. */
function payloads(): Case[] {
  const all: [step: Step, ending: Ending][] = [
    [{ close: "" }, CLEAN_CODE],
    [{ close: "a" }, refused(1002)],
    [close(1000), CLEAN_CODE],
    [close(1000, HELLO), CLEAN_CODE],
    [close(1000, "*".repeat(123)), CLEAN_CODE],
    [close(1000, "*".repeat(124)), refused(1002)],
  ];
  return all.map(([step, ending], i) => ({ id: `7.3.${i + 1}`, steps: [step], expect: [], ending }));
}

const notUtf8: Case = {
  id: "7.5.1",
  steps: [close(1000, hex("cebae1bdb9cf83cebcceb5 eda080 656469746564"))],
  expect: [],
  ending: refused(1002, 1007),
};

function codes(): Case[] {
  const valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
  const invalid = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];
  return [
    ...valid.map((code, i): Case => ({
      id: `7.7.${i + 1}`,
      steps: [close(code)],
      expect: [],
      ending: { ...CLEAN_CODE, codes: [1000, code] },
    })),
    ...invalid.map((code, i): Case => ({ id: `7.9.${i + 1}`, steps: [close(code)], expect: [], ending: refused(1002) })),
    ...[5000, 65535].map((code, i): Case => ({
      id: `7.13.${i + 1}`,
      steps: [close(code)],
      expect: [],
      ending: refused(1002),
      informational: true,
    })),
  ];
}

/** The cases 7.*. */
export const cases: readonly Case[] = [...afterClose, ...payloads(), notUtf8, ...codes()];
