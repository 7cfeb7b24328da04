/**
 * Servers that send too much or too little, and the limits with which our client responds.
 *
 * @module
 */

import { gzipSync } from "node:zlib";
import { Frame } from "../../mod.ts";
import type { HttpClient, HttpClientSettings } from "../../src/coroutine/mod.ts";
import { bytesOf, frame, type RawClient } from "../support/raw_client.ts";
import { get, open, outcomeOf, receiveAll } from "./client_states.ts";

const MIB = 2 ** 20;

/** A server that misbehaves. */
export interface Misbehaviour {
  /** The end of the title "a server that ...". */
  name: string;
  /** Settings of the client. */
  settings?: HttpClientSettings;
  /** Uses the client, and returns the outcome. */
  ask(client: HttpClient): Promise<string>;
  /** Plays the server. */
  serve(guest: RawClient): Promise<void>;
  /** The expected outcome of the client. */
  told: string;
}

/** Writes the same bytes repeatedly, as fast as the client accepts them, until the client disconnects. */
async function flood(guest: RawClient, one: string | Uint8Array): Promise<void> {
  const bytes = bytesOf(one);
  const count = Math.max(1, Math.floor(64 * 1024 / bytes.length));
  const many = new Uint8Array(count * bytes.length);
  for (let i = 0; i < count; i++) many.set(bytes, i * bytes.length);
  while (!guest.ended) {
    await Promise.race([new Promise<void>((resolve) => guest.socket.write(many, () => resolve())), guest.whenEnded()]);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** Sends one byte at a time. */
async function drip(guest: RawClient, data: string | Uint8Array, milliseconds = 0): Promise<void> {
  for (const byte of bytesOf(data)) {
    if (guest.ended) return;
    await new Promise<void>((resolve) => guest.socket.write(Uint8Array.of(byte), () => resolve()));
    if (milliseconds > 0) await new Promise((resolve) => setTimeout(resolve, milliseconds));
    else await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

const HEAD = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`;
const sent = (opcode: number, payload: string | Uint8Array = "", fin = true) => frame({ opcode, payload, fin, mask: false });
const BOMB = gzipSync(new Uint8Array(64 * MIB));

/** Returns a server that misbehaves after the head of a request. */
function http(
  name: string,
  serve: (guest: RawClient) => Promise<void> | void,
  told: string,
  settings?: HttpClientSettings,
  ask: Misbehaviour["ask"] = get,
): Misbehaviour {
  return {
    name,
    settings,
    ask,
    async serve(guest) {
      await guest.readHead();
      await serve(guest);
    },
    told,
  };
}

/** Returns a server that misbehaves in an open WebSocket. */
function webSocket(
  name: string,
  serve: (guest: RawClient) => Promise<void> | void,
  told: string,
  ask: (client: HttpClient) => Promise<string>,
  settings?: HttpClientSettings,
): Misbehaviour {
  return {
    name: `${name}, in a WebSocket`,
    settings,
    async ask(client) {
      return await client.upgrade("/") ? await ask(client) : outcomeOf(client, false);
    },
    async serve(guest) {
      await open(guest);
      await serve(guest);
    },
    told,
  };
}

const END = "push false 5001, recv false 5001, connected false";
const LATE = "false -2 110";
const BROKEN = "false -3 7102";
const TOO_LARGE = "false -3 1201";
const SOON: HttpClientSettings = { read_timeout: 1 };

/** Reads nothing for a second, then receives one message. */
async function receiveLate(client: HttpClient): Promise<string> {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const received = await client.recv(10);
  client.close();
  return received instanceof Frame ? `${received.opcode} ${received.bytes.length}` : `${received} ${client.errCode}`;
}

/** All misbehaving servers. */
export const MISBEHAVIOURS: readonly Misbehaviour[] = [
  // ---- too little
  { name: "never says anything", settings: SOON, ask: get, serve: () => Promise.resolve(), told: LATE },
  http("never ends a head", (guest) => guest.send(`${HEAD}A: `), LATE, SOON),
  http("never ends a body of known length", (guest) => guest.send(`${HEAD}Content-Length: 10\r\n\r\nhalf`), LATE, SOON),
  http("never ends a chunked body", (guest) => guest.send(`${CHUNKED}4\r\nhalf\r\n`), LATE, SOON),
  http("never ends a body that ends where the connection does", (guest) => guest.send(`${HEAD}\r\nhalf`), LATE, SOON),
  http("says nothing more of a body that is handed on", (guest) => guest.send(`${CHUNKED}4\r\nhalf\r\n`), LATE, {
    ...SOON,
    write_func: () => {},
  }),
  http("says one byte at a time", (guest) => drip(guest, `${HEAD}Content-Length: 5\r\n\r\nwhole`), "true 200 whole"),
  http(
    "says one byte at a time, and is late with it",
    (guest) => drip(guest, CHUNKED + "1\r\nx\r\n".repeat(100), 100),
    LATE,
    SOON,
  ),
  { name: "does not answer a handshake", settings: SOON, ask: upgrade, serve: () => Promise.resolve(), told: LATE },
  http(
    "answers a handshake one byte at a time, and is late",
    (guest) => drip(guest, `${HEAD}A: ${"x".repeat(1000)}`, 100),
    LATE,
    SOON,
    upgrade,
  ),
  {
    name: "does not read a request",
    settings: SOON,
    ask: async (client) => outcomeOf(client, await client.post("/", new Uint8Array(64 * MIB))),
    serve: (guest) => Promise.resolve(void guest.socket.pause()),
    told: LATE,
  },
  webSocket("says nothing", () => {}, "false 110", async (client) => `${await client.recv(0.3)} ${client.errCode}`),
  webSocket(
    "says one byte at a time",
    (guest) => drip(guest, sent(1, "whole")),
    "whole",
    async (client) => String((await client.recv(20) as { data: string }).data),
  ),
  webSocket("never ends a message", (guest) => guest.send(sent(1, "half", false)), `false 8506, ${END}`, receiveAll, {
    websocket_message_timeout: 0.5,
  }),
  webSocket("does not answer a Close", () => {}, `"", ${END}`, async (client) => {
    client.disconnect();
    return await receiveAll(client);
  }, { websocket_close_timeout: 0.5 }),
  webSocket("does not answer pings", () => {}, `"", ${END}`, receiveAll, {
    websocket_ping_interval: 0.3,
    websocket_ping_timeout: 0.3,
  }),
  webSocket("does not read messages", (guest) => void guest.socket.pause(), "false 110", async (client) => {
    const part = new Uint8Array(MIB);
    let pushed = true;
    for (let i = 0; i < 100 && pushed; i++) pushed = await client.push(part, 2);
    return `${pushed} ${client.errCode}`;
  }, { write_timeout: 0.5 }),
  // ---- too much
  http("sends interim responses for ever", (guest) => flood(guest, "HTTP/1.1 100 Continue\r\n\r\n"), BROKEN),
  http("sends header fields for ever", (guest) => flood(guest, "A: b\r\n"), BROKEN),
  http("sends a header field for ever", async (guest) => {
    guest.send(`${HEAD}A: `);
    await flood(guest, "x");
  }, BROKEN),
  http("sends a status line for ever", async (guest) => {
    guest.send("HTTP/1.1 200 ");
    await flood(guest, "x");
  }, BROKEN),
  http("announces a body that is too large", (guest) => guest.send(`${HEAD}Content-Length: 99999999999\r\n\r\n`), TOO_LARGE),
  http("sends chunks for ever", async (guest) => {
    guest.send(CHUNKED);
    await flood(guest, `1000\r\n${"x".repeat(4096)}\r\n`);
  }, TOO_LARGE),
  http("sends chunks of one byte for ever", async (guest) => {
    guest.send(CHUNKED);
    await flood(guest, "1\r\nx\r\n");
  }, TOO_LARGE),
  http("sends trailer fields for ever", async (guest) => {
    guest.send(`${CHUNKED}0\r\n`);
    await flood(guest, "A: b\r\n");
  }, BROKEN),
  http("sends a body up to the end of the connection, which does not come", async (guest) => {
    guest.send(`${HEAD}\r\n`);
    await flood(guest, "x".repeat(4096));
  }, TOO_LARGE),
  http("sends a small body that becomes a large one", (guest) => {
    guest.send(`${HEAD}Content-Encoding: gzip\r\nContent-Length: ${BOMB.length}\r\n\r\n`);
    guest.send(BOMB);
  }, "false 200 1201"),
  http(
    "sends for ever, to a program that takes its time",
    async (guest) => {
      guest.send(CHUNKED);
      await flood(guest, `1000\r\n${"x".repeat(4096)}\r\n`);
    },
    "false -1 5001",
    { write_func: () => new Promise(() => {}) },
    async (client) => {
      setTimeout(() => client.close(), 1000);
      return outcomeOf(client, await client.get("/"));
    },
  ),
  http(
    "sends more behind a response",
    async (guest) => {
      guest.send(`${HEAD}Content-Length: 5\r\n\r\nwhole`);
      await flood(guest, "x".repeat(4096));
    },
    "true 200 whole, connected false",
    undefined,
    async (client) => {
      const outcome = await get(client);
      while (client.connected) await new Promise((resolve) => setTimeout(resolve, 20));
      return `${outcome}, connected false`;
    },
  ),
  webSocket("sends messages that nobody receives", (guest) => flood(guest, sent(2, new Uint8Array(1000))), "2 1000", receiveLate),
  webSocket("sends empty messages that nobody receives", (guest) => flood(guest, sent(2)), "2 0", receiveLate),
  webSocket("sends pongs that nobody receives", (guest) => flood(guest, sent(10, "pong")), "10 4", receiveLate),
  webSocket("sends pings for ever", (guest) => flood(guest, sent(9, "ping")), "false 110", receiveNothing),
  webSocket(
    "sends pings for ever, and does not read the pongs",
    async (guest) => {
      guest.socket.pause();
      await flood(guest, sent(9, "x".repeat(125)));
    },
    "false 110",
    receiveNothing,
  ),
  webSocket(
    "sends fragments of one byte for ever",
    async (guest) => {
      guest.send(sent(1, "x", false));
      await flood(guest, sent(0, "x", false));
    },
    `false 1201, ${END}`,
    receiveAll,
    { package_max_length: 64 * 1024 },
  ),
  webSocket(
    "sends empty fragments for ever",
    async (guest) => {
      guest.send(sent(1, "x", false));
      await flood(guest, sent(0, "", false));
    },
    `false 8506, ${END}`,
    receiveAll,
    { websocket_message_timeout: 1 },
  ),
  webSocket(
    "sends a message that is too large",
    async (guest) => {
      guest.send(new Uint8Array([0x82, 127, 0, 0, 0, 255, 0, 0, 0, 0]));
      await flood(guest, "x".repeat(4096));
    },
    `false 1201, ${END}`,
    receiveAll,
  ),
];

/** Waits a second for a message that never arrives. */
async function receiveNothing(client: HttpClient): Promise<string> {
  const received = await client.recv(1);
  const { errCode } = client;
  client.close();
  return `${received} ${errCode}`;
}

async function upgrade(client: HttpClient): Promise<string> {
  return outcomeOf(client, await client.upgrade("/"));
}
