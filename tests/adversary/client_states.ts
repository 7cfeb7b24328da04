/**
 * The states in which a server can leave our client, and the outcome in each.
 *
 * @module
 */

import { CloseFrame } from "../../mod.ts";
import type { HttpClient } from "../../src/coroutine/mod.ts";
import { acceptFor } from "../../src/websocket/handshake.ts";
import { frame, type RawClient } from "../support/raw_client.ts";

/** A state of a conversation. */
export interface ServerState {
  /** The end of the title "a server that leaves ...". */
  name: string;
  /** Uses the client, and returns the outcome. */
  ask(client: HttpClient): Promise<string>;
  /** Plays the server until it leaves. */
  serve(guest: RawClient): Promise<void>;
  /** The outcome if the server has closed the connection or ended its side. */
  gone: string;
  /** The outcome if the server has reset the connection; by default the same. */
  reset?: string;
  /** The outcome if the server has closed a TLS connection without close_notify (RFC 9112 section 9.8); by default the same. */
  truncated?: string;
}

/** The outcome without a response because the server disconnected: `statusCode` and `errCode`. */
const RESET = "false -3 104";

const HEAD = "HTTP/1.1 200 OK\r\n";

/** Requests a page. */
export async function get(client: HttpClient): Promise<string> {
  const result = await client.get("/");
  return outcomeOf(client, result);
}

/** Formats the outcome of a method of the client. */
export function outcomeOf(client: HttpClient, result: boolean): string {
  return result ? `true ${client.statusCode} ${client.body}` : `false ${client.statusCode} ${client.errCode}`;
}

/** Receives everything until the end of a WebSocket, and returns it with the outcome of calls after the end. */
export async function receiveAll(client: HttpClient): Promise<string> {
  const all: string[] = [];
  while (true) {
    const received = await client.recv();
    if (received === "") all.push('""');
    else if (received === false) all.push(`false ${client.errCode}`);
    else if (received instanceof CloseFrame) all.push(`Close ${received.code}`);
    else all.push(String(received.data));
    if (received === "" || received === false) break;
  }
  const pushed = await client.push("too late");
  all.push(`push ${pushed} ${client.errCode}`);
  const received = await client.recv();
  all.push(`recv ${received} ${client.errCode}`);
  all.push(`connected ${client.connected}`);
  return all.join(", ");
}

/** Sends data, and waits until it has left. */
function said(guest: RawClient, data: string | Uint8Array): Promise<void> {
  return new Promise((resolve) => data.length === 0 ? resolve() : guest.socket.write(data, () => resolve()));
}

/** Accepts a handshake. */
export async function open(guest: RawClient, behind: string | Uint8Array = ""): Promise<void> {
  const head = await guest.readHead();
  const key = /\r\nSec-WebSocket-Key: (.*)\r\n/.exec(head)![1];
  await said(
    guest,
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${
      acceptFor(key)
    }\r\n\r\n`,
  );
  if (behind.length > 0) await said(guest, behind);
}

/** Returns a state after the head of a request, with part of a response sent. */
function http(name: string, says: string, gone: string = RESET): ServerState {
  return {
    name,
    ask: get,
    async serve(guest) {
      await guest.readHead();
      await said(guest, says);
    },
    gone,
    reset: RESET,
    truncated: RESET,
  };
}

const CLOSED = '"", push false 5001, recv false 5001, connected false';
const DROPPED = "false 104, push false 5001, recv false 5001, connected false";

/** Returns a state in an open WebSocket, with some bytes sent. */
function webSocket(name: string, says: Uint8Array | undefined, gone: string = CLOSED, reset: string = DROPPED): ServerState {
  return {
    name: `in a WebSocket, ${name}`,
    async ask(client) {
      if (!await client.upgrade("/")) return outcomeOf(client, false);
      await client.push("ready"); // a reset may discard data that was not read before
      return await receiveAll(client);
    },
    async serve(guest) {
      await open(guest);
      await guest.readFrame();
      if (says !== undefined) await said(guest, says);
    },
    gone,
    reset,
  };
}

const sent = (opcode: number, payload: string, fin = true) => frame({ opcode, payload, fin, mask: false });

/** All states. */
export const SERVER_STATES: readonly ServerState[] = [
  {
    name: "before it has read anything",
    ask: async (client) => (await get(client)).replace("-1", "-3"), // the server may leave before the client counts as connected
    serve: () => Promise.resolve(),
    gone: RESET,
  },
  http("before it has said anything", ""),
  http("in the status line", "HTTP/1.1 20"),
  http("in the header fields", `${HEAD}Content-Le`),
  http("behind an interim response", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
  http("behind the head", `${HEAD}Content-Length: 10\r\n\r\n`),
  http("in a body of known length", `${HEAD}Content-Length: 10\r\n\r\nhalf`),
  http("in the size of a chunk", `${HEAD}Transfer-Encoding: chunked\r\n\r\n1`),
  http("in a chunk", `${HEAD}Transfer-Encoding: chunked\r\n\r\n10\r\nhalf`),
  http("between two chunks", `${HEAD}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n`),
  http("in the trailer fields", `${HEAD}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nA: `),
  http("in a body that ends where the connection does", `${HEAD}\r\nall`, "true 200 all"),
  {
    name: "behind a whole response",
    async ask(client) {
      const first = await get(client);
      const again = await client.post("/", "more"); // must not be repeated
      return `${first}, ${outcomeOf(client, again)}`;
    },
    async serve(guest) {
      await guest.readHead();
      await said(guest, `${HEAD}Content-Length: 5\r\n\r\nwhole`);
      await guest.readHead(); // makes sure that the response has been read
    },
    gone: `true 200 whole, ${RESET}`,
  },
  {
    name: "while it is being sent a body",
    async ask(client) {
      return outcomeOf(client, await client.post("/", new Uint8Array(32 << 20)));
    },
    async serve(guest) {
      await guest.readHead();
      guest.socket.pause();
    },
    gone: RESET,
  },
  {
    name: "while its response is handed on",
    async ask(client) {
      let body = "";
      client.set({ write_func: (_client, data) => void (body += new TextDecoder().decode(data)) });
      const result = await client.get("/");
      return `${outcomeOf(client, result)} ${body.startsWith("half") || body === ""}`;
    },
    async serve(guest) {
      await guest.readHead();
      await said(guest, `${HEAD}Content-Length: 10\r\n\r\nhalf`);
    },
    gone: `${RESET} true`,
  },
  {
    name: "while its response is awaited by recv()",
    async ask(client) {
      client.setDefer();
      const result = await client.get("/");
      if (!result) return outcomeOf(client, false);
      return outcomeOf(client, await client.recvResponse());
    },
    async serve(guest) {
      await guest.readHead();
      await said(guest, HEAD);
    },
    gone: RESET,
  },
  ...["", "HTTP/1.1 101 Switching Protocols\r\nUpgr"].map((says): ServerState => ({
    name: says === "" ? "before it has answered a handshake" : "in the answer to a handshake",
    async ask(client) {
      return outcomeOf(client, await client.upgrade("/"));
    },
    async serve(guest) {
      await guest.readHead();
      await said(guest, says);
    },
    gone: RESET,
  })),
  webSocket("when it is idle", undefined),
  webSocket("in the head of a frame", new Uint8Array([0x82])),
  webSocket("in the payload of a frame", sent(2, "x".repeat(100)).subarray(0, 50)),
  webSocket("between two fragments", sent(1, "first", false)),
  webSocket("behind a ping", sent(9, "there?")),
  {
    name: "in a WebSocket, behind its Close",
    async ask(client) {
      if (!await client.upgrade("/")) return outcomeOf(client, false);
      await client.push("ready");
      const close = await client.recv();
      await client.push("seen"); // `false` after a Close; the reply to the Close has been sent
      return `Close ${(close as CloseFrame).code}, ${await receiveAll(client)}`;
    },
    async serve(guest) {
      await open(guest);
      await guest.readFrame();
      await said(guest, frame({ opcode: 8, payload: [3, 232], mask: false }));
      await guest.readFrame(); // the reply
    },
    gone: `Close 1000, ${CLOSED}`,
    reset: `Close 1000, ${DROPPED}`,
  },
  {
    name: "in a WebSocket, behind the client's Close",
    async ask(client) {
      if (!await client.upgrade("/")) return outcomeOf(client, false);
      client.disconnect();
      return await receiveAll(client);
    },
    async serve(guest) {
      await open(guest);
      await guest.readFrame();
    },
    gone: CLOSED,
    reset: DROPPED,
  },
  {
    name: "in a WebSocket, while it is being sent what it does not read",
    async ask(client) {
      if (!await client.upgrade("/")) return outcomeOf(client, false);
      const part = new Uint8Array(1 << 20);
      let pushed = true;
      for (let i = 0; i < 100 && pushed; i++) pushed = await client.push(part, 2);
      return `push ${pushed} ${client.errCode}, connected ${client.connected}`;
    },
    async serve(guest) {
      await open(guest);
      await guest.readFrame(); // the first message
      guest.socket.pause();
    },
    gone: "push false 5001, connected false",
  },
];
