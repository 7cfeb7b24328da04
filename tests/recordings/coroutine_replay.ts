/**
 * Replays recordings of Swoole's coroutine server, and of its client against a server that only says what is in the recording.
 *
 * Beside what `normalise.ts` does, the numbers of descriptors are the same in all of them. In those of the client the key of the
 * handshake and its accept value, the port, and the masking keys are not compared, nor is `br`, which no runtime can undo; and
 * `statusCode`, which Swoole sets to -3 when `recv()` fails, is told of answers only. Nor is it compared which connection a request
 * comes on: what has become a WebSocket cannot be asked anything, so that ours connects anew.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import net from "node:net";
import { type HttpRequest, type ServerSettings, swooleStrerror } from "../../mod.ts";
import { HttpClient, type HttpResponse, HttpServer, type Received } from "../../src/coroutine/mod.ts";
import { acceptFor } from "../../src/websocket/handshake.ts";
import { RawClient, SAMPLE_ACCEPT, SAMPLE_KEY } from "../support/raw_client.ts";
import { describe, q } from "./describe.ts";
import { fromLatin1, ourAnswer, theirAnswer } from "./normalise.ts";

/** What came of a conversation, step by step; see `replay.ts`. `sent` is what our side sent, `closed` how it ended. */
export interface Outcome {
  sent: string[];
  closed: string[];
  events: string[];
}

/** A conversation with Swoole 6.2.2. */
export interface Recording extends Outcome {
  id: string;
  title: string;
  server_options: Record<string, unknown>;
  /** The connection that each step belongs to. */
  connection: number[];
  /** What the other side sent. */
  received: string[];
}

/** What a program has to work with. */
export interface Stage {
  log(text: string): void;
  /** Resolves when the other side has left. */
  left: Promise<void>;
}

/** The handlers of a server by their patterns. */
export type ServerProgram = (stage: Stage) => Record<string, (request: HttpRequest, ws: HttpResponse) => unknown>;

/** A client's program; the client is made and closed around it. */
export type ClientProgram = (client: HttpClient, log: (text: string) => void) => Promise<void>;

/** How long to wait for what never comes. */
const PATIENCE = 10_000;

const isClients = (id: string) => id.startsWith("cl-");

/** All recordings of the server (`co-`), or of the client (`cl-`). */
export function recordings(prefix: "co-" | "cl-"): Recording[] {
  type Stored = Omit<Recording, "sent" | "received"> & { client: string[]; server: string[] };
  const file: Stored[] = JSON.parse(readFileSync(new URL("./coroutine.json", import.meta.url), "utf8"));
  return file.filter(({ id }) => id.startsWith(prefix)).map(({ client, server, ...recording }) => ({
    ...recording,
    server_options: recording.server_options ?? {},
    connection: recording.connection ?? client.map(() => 0),
    sent: isClients(recording.id) ? client.map(theirRequest) : server.map(theirAnswer),
    received: isClients(recording.id) ? server : client,
    events: recording.events.map(anyEvent),
  }));
}

/** What `recv()` gave, as the recordings' log has it. */
export function describeReceived(received: Received): string {
  return typeof received === "object" ? describe(received) : q(received);
}

/** What a failed `recv()` is logged with. */
export function errorOf(end: { getLastError(): number }): string {
  return ` err=${end.getLastError()} ${swooleStrerror(end.getLastError())}`;
}

/** What the recordings' log says about the state of a client. */
export function stateOf(client: HttpClient): string {
  return `errCode=${client.errCode} errMsg=${q(client.errMsg)} statusCode=${client.statusCode} connected=${client.connected}`;
}

function anyEvent(event: string): string {
  return event.replace(/fd=\d+/, "fd=1").replace("statusCode=-3 connected=true", "statusCode=101 connected=true")
    .replace(/^(recv=.* statusCode=)-3/, "$1101");
}

function theirRequest(text: string): string {
  return text.startsWith("GET") ? text : unmasked(text);
}

function ourRequest(text: string, port: number): string {
  if (!text.startsWith("GET")) return unmasked(text);
  return text.replace(/(\r\nSec-WebSocket-Key: )\S{24}\r\n/, `$1${SAMPLE_KEY}\r\n`).replace(
    `127.0.0.1:${port}`,
    "127.0.0.1:9501",
  );
}

/** Masked frames with the key 0, so that payloads can be read. */
function unmasked(text: string): string {
  const bytes = fromLatin1(text);
  for (let at = 0; at + 1 < bytes.length;) {
    let size = bytes[at + 1] & 0x7f;
    at += 2;
    if (size === 126) size = bytes[at++] * 256 + bytes[at++];
    const key = bytes.slice(at, at + 4);
    bytes.fill(0, at, at + 4);
    at += 4;
    for (let i = 0; i < size; i++) bytes[at + i] ^= key[i & 3];
    at += size;
  }
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** Something to wait for. */
class Events {
  readonly lines: string[] = [];
  #wake: (() => void)[] = [];

  add(line: string): void {
    this.lines.push(anyEvent(line));
    for (const wake of this.#wake.splice(0)) wake();
  }

  async count(count: number): Promise<void> {
    const until = Date.now() + PATIENCE;
    while (this.lines.length < count && Date.now() < until) {
      await soon(new Promise<void>((resolve) => this.#wake.push(resolve)));
    }
  }
}

/** Waits for a promise, but not for ever. */
async function soon<T>(promise: Promise<T>): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => timer = setTimeout(() => resolve(undefined), PATIENCE));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function receive(peer: RawClient, count: number): Promise<string> {
  let text = "";
  while (text.length < count) {
    const chunk = await soon(peer.readSome());
    if (chunk === null || chunk === undefined) break;
    for (const byte of chunk) text += String.fromCharCode(byte);
  }
  return text;
}

/** Sends what a recording's clients sent to a server of ours. */
export async function replayServer(recording: Recording, program: ServerProgram, expected: Outcome): Promise<Outcome> {
  const events = new Events();
  let leave!: () => void;
  const left = new Promise<void>((resolve) => leave = resolve);
  const server = new HttpServer("127.0.0.1");
  server.set(recording.server_options as ServerSettings);
  server.on("error", (_server, error) => events.add(`error(${error})`));
  const handlers = program({ log: (text) => events.add(text), left });
  for (const [pattern, handler] of Object.entries(handlers)) server.handle(pattern, handler);
  await server.start();
  const clients: RawClient[] = [];
  const outcome: Outcome = { sent: [], closed: [], events: events.lines };
  try {
    for (const [step, text] of recording.received.entries()) {
      const client = clients[recording.connection[step]] ??= await RawClient.connect(server.port);
      if (text !== "") client.send(fromLatin1(text));
      let answer = await receive(client, expected.sent[step].length);
      if (expected.closed[step] !== "") answer += await receive(client, Infinity);
      outcome.sent.push(answer);
      outcome.closed.push(client.ended ? "FIN" : "");
    }
    for (const [index, client] of clients.entries()) {
      if (recording.id === "co-tcp-rst") client.socket.resetAndDestroy();
      else client.end();
      const rest = await receive(client, Infinity);
      if (rest !== "") outcome.sent[recording.connection.lastIndexOf(index)] += rest;
    }
    leave();
    await events.count(expected.events.length);
  } finally {
    for (const client of clients) client.destroy();
    server.shutdown(0);
    await soon(server.finished);
  }
  outcome.sent = outcome.sent.map(ourAnswer);
  return outcome;
}

/** Runs a client of ours against what a recording's server sent. */
export async function replayClient(recording: Recording, program: ClientProgram, expected: Outcome): Promise<Outcome> {
  const events = new Events();
  const accepted: RawClient[] = [];
  let arrived!: () => void;
  let arrival = new Promise<void>((resolve) => arrived = resolve);
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(new RawClient(socket));
    arrived();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  const client = new HttpClient("127.0.0.1", port);
  const running = program(client, (text) => events.add(text)).catch((error) => events.add(`error(${error})`))
    .then(() => void client.close());

  const outcome: Outcome = { sent: [], closed: [], events: events.lines };
  try {
    let accept = SAMPLE_ACCEPT;
    let used = 0;
    for (const [step, text] of recording.received.entries()) {
      const [awaited, end] = [expected.sent[step], expected.closed[step]];
      if (step > 1) await events.count(1); // it has seen the 101
      if (text !== "") accepted[used - 1].send(fromLatin1(text.replace(SAMPLE_ACCEPT, accept)));
      if (awaited.startsWith("GET")) { // it connects, once more
        if (accepted.length === used) await soon(arrival);
        arrival = new Promise<void>((resolve) => arrived = resolve);
        used++;
      }
      const peer = accepted[used - 1];
      if (end.startsWith("SERVER-")) {
        if (end === "SERVER-RST") peer.socket.resetAndDestroy();
        else peer.end();
      }
      let sent = await receive(peer, awaited.length);
      if (end === "FIN") sent += await receive(peer, Infinity);
      const key = /\r\nSec-WebSocket-Key: (\S+)\r\n/.exec(sent)?.[1];
      if (key !== undefined) accept = acceptFor(key);
      outcome.sent.push(ourRequest(sent, port));
      outcome.closed.push(end.startsWith("SERVER-") ? end : peer.ended ? "FIN" : "");
    }
    await soon(running);
    await events.count(expected.events.length);
  } finally {
    for (const peer of accepted) peer.destroy();
    client.close();
    await new Promise((resolve) => server.close(resolve));
  }
  return outcome;
}
