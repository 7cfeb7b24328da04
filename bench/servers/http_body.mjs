// The body of the responses of the HTTP servers under test: "Hello, World!" again and again, as long as the row says, or what they were sent.

import process from "node:process";

const HELLO = "Hello, World!";
const length = Number(process.env.BENCH_BODY ?? HELLO.length);

/** The body of every response to GET. */
export const body = HELLO.repeat(Math.ceil(length / HELLO.length)).slice(0, length);

/** Whether the requests are POST and their bodies come back. */
export const echoes = process.env.BENCH_ECHO === "1";
