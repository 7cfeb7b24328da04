/**
 * Replays recordings: what clients sent to Swoole, what Swoole answered and which events its program saw.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { setImmediate } from "node:timers";
import { type ServerSettings, SWOOLE_BASE, SWOOLE_PROCESS, WebSocketServer } from "../../mod.ts";
import { RawClient } from "../support/raw_client.ts";
import { type Handlers, register, type Stage } from "./program.ts";
import { fromLatin1, ourAnswer, ourEvents, theirAnswer } from "./normalise.ts";

/** What came of a conversation. Step i is what happened after step i of the client and before its next step. */
export interface Result {
  /** What the server sent; one character per byte. */
  server: string[];
  /** How the server's side of the connection is after the step: "" open, "FIN", "RST"; "END" for either, where runtimes differ. */
  closed: string[];
  /** What the handlers logged. */
  events: string[];
}

/** A conversation with Swoole 6.2.2 and what came of it. */
export interface Recording extends Result {
  id: string;
  title: string;
  /** "process" for a server in PROCESS mode. */
  mode?: string;
  server_options: Record<string, unknown>;
  /** The client connection that each step belongs to. */
  connection: number[];
  /** What the clients sent; one character per byte. An empty step is a pause, or see `HALF_CLOSES`. */
  client: string[];
}

/** Here the client sends byte by byte. */
const BYTE_BY_BYTE = ["hs-byte-by-byte"];
/** Here an empty step of the client is the end of its side of the connection. */
const HALF_CLOSES = ["tcp-fin"];
/** Here a client leaves before the next one comes. */
const ONE_AFTER_THE_OTHER = ["api-fd-reuse"];

/** How long to wait for what never comes. Nothing is expected to take that long: what has come by then is the result. */
const PATIENCE = 10_000;

/** A step as it is stored: text, or pieces of which some are repeated. */
type Stored = string | (string | [piece: string, times: number])[];

/** All recordings. */
export function recordings(): Recording[] {
  type File = Omit<Recording, "client" | "server"> & { client: Stored[]; server: Stored[] };
  const file: File[] = JSON.parse(readFileSync(new URL("./recordings.json", import.meta.url), "utf8"));
  return file.map((recording) => ({
    ...recording,
    server_options: recording.server_options ?? {},
    connection: recording.connection ?? recording.client.map(() => 0),
    client: recording.client.map(expand),
    server: recording.server.map((step) => theirAnswer(expand(step))),
    events: ourEvents(recording.events),
  }));
}

function expand(stored: Stored): string {
  if (typeof stored === "string") return stored;
  return stored.map((part) => typeof part === "string" ? part : part[0].repeat(part[1])).join("");
}

/**
 * Sends what a recording's clients sent to a server of ours.
 *
 * @param recording The recording.
 * @param handlers The program of the server.
 * @param expected What tells how much to wait for in each step.
 * @returns What came of it.
 */
export async function replay(recording: Recording, handlers: (stage: Stage) => Handlers, expected: Result): Promise<Result> {
  const events: string[] = [];
  const wakers = new Set<() => void>();
  let sentSteps = 0;
  const until = async (done: () => boolean) => {
    while (!done()) await new Promise<void>((resolve) => wakers.add(resolve));
  };
  const wake = () => {
    const waiting = [...wakers];
    wakers.clear();
    for (const resolve of waiting) resolve();
  };

  const server = new WebSocketServer("127.0.0.1", 0, recording.mode === "process" ? SWOOLE_PROCESS : SWOOLE_BASE);
  const { worker_num: _, ...options } = recording.server_options as ServerSettings; // each has one connection, and so one worker
  server.set(options);
  const stage: Stage = {
    server,
    log: (text) => {
      events.push(text);
      wake();
    },
    logged: (text) => until(() => events.includes(text)),
    sent: (step) => until(() => sentSteps > step),
  };
  register(stage, handlers(stage));
  await server.start();

  const clients: RawClient[] = [];
  const result: Result = { server: [], closed: [], events };
  let sentBytes = 0;
  try {
    for (const [step, text] of recording.client.entries()) {
      const index = recording.connection[step];
      const client = clients[index] ??= await RawClient.connect(server.port);
      if (text === "" && HALF_CLOSES.includes(recording.id)) client.end();
      else if (BYTE_BY_BYTE.includes(recording.id)) await client.sendApart([...text].map(fromLatin1));
      else if (text !== "") client.send(fromLatin1(text));
      sentBytes += text.length;
      sentSteps++;
      wake();

      let answer = await receive(client, expected.server[step].length);
      if (expected.closed[step] === "" && expected.server[step] === "") await arrived(server, sentBytes); // a pause
      if (expected.closed[step] !== "" || !knows(server, client)) answer += await receive(client, Infinity);
      result.server.push(answer);
      result.closed.push(client.ended ? client.error === undefined ? "FIN" : "RST" : "");
      if (ONE_AFTER_THE_OTHER.includes(recording.id)) await finish(client);
    }
    // What is open still is closed by the client, in order; what the server had left to say counts for the last step.
    for (const [index, client] of clients.entries()) {
      const rest = await finish(client);
      if (rest !== "") result.server[recording.connection.lastIndexOf(index)] += rest;
    }
    await patiently(until(() => events.length >= expected.events.length), undefined);
  } finally {
    for (const client of clients) client.destroy();
    server.shutdown();
    await server.finished;
  }
  result.server = result.server.map(ourAnswer);
  return result;
}

/** Reads a number of bytes and whatever came with them; less at the end of the connection. */
async function receive(client: RawClient, count: number): Promise<string> {
  let text = "";
  while (text.length < count) {
    const chunk = await patiently(client.readSome(), null);
    if (chunk === null) break;
    for (const byte of chunk) text += String.fromCharCode(byte);
  }
  return text;
}

/** Ends the client's side and reads what the server sends until it ends its own. */
function finish(client: RawClient): Promise<string> {
  client.end();
  return receive(client, Infinity);
}

/** Whether the server has not closed a connection. */
function knows(server: WebSocketServer, client: RawClient): boolean {
  for (const fd of server.connections) {
    const info = server.getClientInfo(fd);
    if (info !== false && info.remote_port === client.socket.localPort) return true;
  }
  return false;
}

/** Waits until the server has read what was sent to it. */
async function arrived(server: WebSocketServer, count: number): Promise<void> {
  const start = Date.now();
  while (server.stats().total_recv_bytes < count && Date.now() < start + PATIENCE) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** What a promise resolves to, or `otherwise` when it takes too long. */
async function patiently<T>(promise: Promise<T>, otherwise: T): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<T>((resolve) => timer = setTimeout(() => resolve(otherwise), PATIENCE));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
