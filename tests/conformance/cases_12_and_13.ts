/**
 * Cases 12.*: compressed messages of different data and sizes; 13.*: the same with different parameters.
 *
 * @module
 */

import process from "node:process";
import { type Acceptance, type Case, CLEAN, type Compression } from "./case.ts";
import type { DataName } from "./data.ts";

/** The suite sends this many messages in each case: about 11 GB together. With `SLUICE_CONFORMANCE=full` we do so too. */
const ALL_MESSAGES = 1000;

/** Otherwise we send as many of them as have this many bytes together ... */
const BYTES = 32 * 1024;

/** ... but at least so many, so that there is one with a window that two have filled ... */
const LEAST_MESSAGES = 3;

/** ... and at most so many. */
const MOST_MESSAGES = 60;

/** Whether the suite's number of messages is sent. */
const IS_FULL: boolean = process.env.SLUICE_CONFORMANCE === "full";

/** How many messages there are in a case, in words. */
export const EXTENT: string = IS_FULL
  ? `${ALL_MESSAGES} messages per case`
  : `${LEAST_MESSAGES} to ${MOST_MESSAGES} messages per case, ${ALL_MESSAGES} with SLUICE_CONFORMANCE=full`;

/** How long a case may take, in milliseconds: the suite allows 480 s for its longest ones. */
export const PATIENCE: number = IS_FULL ? 480_000 : 60_000;

const KI = 1024;

/** Sizes of the messages, and of the fragments that their compressed bytes are cut into. */
const sizes: readonly (readonly [message: number, fragment?: number])[] = [
  [16],
  [64],
  [256],
  [KI],
  [4 * KI],
  [8 * KI],
  [16 * KI],
  [32 * KI],
  [64 * KI],
  [128 * KI],
  [8 * KI, 256],
  [16 * KI, 256],
  [32 * KI, 256],
  [64 * KI, 256],
  [128 * KI, 256],
  [128 * KI, KI],
  [128 * KI, 4 * KI],
  [128 * KI, 32 * KI],
];

type Family = readonly [id: string, data: DataName, type: "text" | "binary", compression: Compression];

function casesOf([id, data, type, compression]: Family): Case[] {
  return sizes.map(([length, fragment], i) => ({
    id: `${id}.${i + 1}`,
    compression,
    steps: [{ message: { data, length }, opcode: type === "text" ? 1 : 2, compress: "flushed", fragment }],
    rounds: IS_FULL ? ALL_MESSAGES : Math.max(LEAST_MESSAGES, Math.min(MOST_MESSAGES, Math.floor(BYTES / length))),
    expect: [{ type, payload: { data, length } }],
    ending: CLEAN,
  }));
}

const BASE = "client_no_context_takeover; client_max_window_bits";
const PLAIN: Acceptance = {};
const WITHOUT_TAKEOVER: Acceptance = { clientNoContextTakeover: true };
const WITH_BOTH: Acceptance = { clientNoContextTakeover: true, clientMaxWindowBits: 9 };

function one(offer: string, acceptance: Acceptance): Compression {
  return { offers: [offer], accept: [acceptance] };
}

const plain = one(BASE, PLAIN);

const families: readonly Family[] = [
  ["12.1", "json", "text", plain],
  ["12.2", "bitmap", "binary", plain],
  ["12.3", "poem", "binary", plain],
  ["12.4", "html", "text", plain],
  ["12.5", "pdf", "binary", plain],
  ["13.1", "json", "text", plain],
  ["13.2", "json", "text", one(`${BASE}; server_no_context_takeover`, WITHOUT_TAKEOVER)],
  ["13.3", "json", "text", one(`${BASE}; server_max_window_bits=9`, { clientMaxWindowBits: 9 })],
  ["13.4", "json", "text", one(`${BASE}; server_max_window_bits=15`, { clientMaxWindowBits: 15 })],
  ["13.5", "json", "text", one(`${BASE}; server_no_context_takeover; server_max_window_bits=9`, WITH_BOTH)],
  [
    "13.6",
    "json",
    "text",
    one(`${BASE}; server_no_context_takeover; server_max_window_bits=15`, { ...WITH_BOTH, clientMaxWindowBits: 15 }),
  ],
  ["13.7", "json", "text", {
    offers: [
      `${BASE}; server_no_context_takeover; server_max_window_bits=9`,
      `${BASE}; server_no_context_takeover`,
      BASE,
    ],
    accept: [WITH_BOTH, WITHOUT_TAKEOVER, PLAIN],
  }],
];

/** The cases 12.* and 13.*. */
export const cases: readonly Case[] = families.flatMap(casesOf);
