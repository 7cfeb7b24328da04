// Programs that keep, change and transfer every buffer they receive. This must have no effect on others: no connection may lose
// or mix up data, or end, and no buffer may show bytes of another.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import {
  CloseFrame,
  type HttpRequest,
  HttpServer,
  type Runtime,
  Server,
  SWOOLE_BASE,
  SWOOLE_SOCK_UDP,
  WebSocketServer,
} from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { DatagramClient } from "../support/datagram_client.ts";
import { lanes, startOn } from "../support/lanes.ts";
import { bytesOf, frame, RawClient } from "../support/raw_client.ts";
import { drawing, within } from "./harness.ts";
import { MISDEEDS } from "./misdeeds.ts";

/** The senders. Each fills its messages with its letter. */
const SENDERS = ["A", "B"];

/** Joins parts. */
function join(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(
    parts.reduce((sum, { length }) => sum + length, 0),
  );
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The buffers a program has received, by sender. Each sender fills its messages with its own letter. */
class Gathered {
  readonly bySender: Map<string, number> = new Map();
  readonly wrong: string[] = [];
  readonly #kept: [bytes: Uint8Array, copy: string][] = [];
  readonly #misdeed: string;
  #wake: (() => void)[] = [];

  constructor(misdeed: string) {
    this.#misdeed = misdeed;
  }

  /** Records a buffer that the program received. */
  take(bytes: Uint8Array): void {
    const letters = SENDERS.filter((sender) => bytes.includes(sender.charCodeAt(0))); // the heads of packages contain other bytes
    if (letters.length !== 1) {
      this.wrong.push(`letters of several senders, or of none: ${letters}`);
    }
    const [sender = ""] = letters;
    this.bySender.set(sender, (this.bySender.get(sender) ?? 0) + bytes.length);
    const memory = new Uint8Array(bytes.buffer);
    for (const other of SENDERS) {
      if (other === sender || !memory.includes(other.charCodeAt(0))) continue;
      this.wrong.push(
        `bytes of ${other} are in the memory that ${sender}'s came in`,
      );
    }
    if (this.#misdeed === "keeps") {
      this.#kept.push([bytes, new TextDecoder("latin1").decode(bytes)]);
    }
    try {
      MISDEEDS[this.#misdeed](bytes);
    } catch (error) {
      this.wrong.push(`${error}`);
    }
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** Waits until `count` bytes of a sender have arrived. */
  async until(sender: string, count: number): Promise<void> {
    const come = async () => {
      while ((this.bySender.get(sender) ?? 0) < count) {
        await new Promise<void>((resolve) => this.#wake.push(resolve));
      }
    };
    await within(10_000, `${count} bytes of ${sender}`, come()).catch(
      (error) => {
        throw new Error(
          `${error.message}: ${this.bySender.get(sender) ?? 0} have come`,
        );
      },
    );
  }

  check(): void {
    for (const [bytes, copy] of this.#kept) {
      if (new TextDecoder("latin1").decode(bytes) !== copy) {
        this.wrong.push("what was kept has changed");
      }
    }
    assertEquals([...new Set(this.wrong)], []);
  }
}

/** The lengths of messages: alone in a chunk, several in one chunk, one in several chunks. */
const LENGTHS = [1, 100, 100, 3000, 20_000, 100, 70_000, 300_000, 5];

/** A way in which a program receives bytes. */
interface Way {
  name: string;
  /** Creates the server. It calls `take` with each buffer. */
  make(take: (bytes: Uint8Array) => void): Server | CoroutineServer;
  /** Connects a client. */
  open?(port: number): Promise<RawClient>;
  /** Encodes the bytes a client sends for some content. */
  wrap(content: Uint8Array): Uint8Array;
  /** The number of bytes that the program receives in addition to the content. */
  extra?: number;
}

const post = (content: Uint8Array): Uint8Array =>
  join([
    bytesOf(
      `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${content.length}\r\n\r\n`,
    ),
    content,
  ]);

const chunked = (content: Uint8Array): Uint8Array => {
  const parts = [
    bytesOf("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"),
  ];
  for (let at = 0; at < content.length; at += 1000) {
    const part = content.subarray(at, at + 1000);
    parts.push(bytesOf(`${part.length.toString(16)}\r\n`), part, bytesOf("\r\n"));
  }
  parts.push(bytesOf("0\r\n\r\n"));
  return join(parts);
};

const openSocket = (port: number): Promise<RawClient> => RawClient.open(port);

function httpServer(
  stream: boolean,
  take: (bytes: Uint8Array) => void,
  read: (request: HttpRequest) => unknown,
): HttpServer {
  const server = new HttpServer("127.0.0.1", 0);
  server.set({ http_stream_body: stream });
  server.on("request", async (request, response) => {
    const given = await read(request);
    if (given instanceof Uint8Array) take(given);
    response.end("");
  });
  return server;
}

const WAYS: readonly Way[] = [{
  name: "receive data",
  make: (take) => {
    const server = new Server("127.0.0.1", 0);
    server.on("receive", (_server, _fd, _reactor, data) => take(data));
    return server;
  },
  wrap: (content) => content,
}, {
  name: "packages",
  make: (take) => {
    const server = new Server("127.0.0.1", 0);
    server.set({
      open_length_check: true,
      package_length_type: "N",
      package_body_offset: 4,
    });
    server.on("receive", (_server, _fd, _reactor, data) => take(data));
    return server;
  },
  wrap: (content) => {
    const bytes = new Uint8Array(content.length + 4);
    new DataView(bytes.buffer).setUint32(0, content.length);
    bytes.set(content, 4);
    return bytes;
  },
  extra: 4,
}, {
  name: "frame.data",
  make: (take) => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.on("message", (_server, { data }) => take(data as Uint8Array));
    return server;
  },
  open: openSocket,
  wrap: (payload) => frame({ opcode: 2, payload }),
}, {
  name: "frame.bytes of a text",
  make: (take) => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.on("message", (_server, { bytes }) => take(bytes));
    return server;
  },
  open: openSocket,
  wrap: (payload) => frame({ opcode: 1, payload }),
}, {
  name: "frame.data of a coroutine",
  make: (take) => {
    const server = new CoroutineServer("127.0.0.1", 0);
    server.handle("/", async (_request, ws) => {
      await ws.upgrade();
      while (true) {
        const frame = await ws.recv();
        if (frame === "" || frame === false || frame instanceof CloseFrame) {
          break;
        }
        take(frame.data as Uint8Array);
      }
    });
    return server;
  },
  open: openSocket,
  wrap: (payload) => frame({ opcode: 2, payload }),
}, {
  name: "request.rawContent()",
  make: (take) => httpServer(false, take, (request) => request.rawContent()),
  wrap: post,
}, {
  name: "request.rawContent() of chunks",
  make: (take) => httpServer(false, take, (request) => request.rawContent()),
  wrap: chunked,
}, {
  name: "request.bytes() as it arrives",
  make: (take) => httpServer(true, take, (request) => request.bytes()),
  wrap: chunked,
}, {
  name: "chunks of request.body",
  make: (take) =>
    httpServer(true, take, async (request) => {
      for await (const chunk of request.body) take(chunk);
    }),
  wrap: chunked,
}];

/** Two clients send in turn, so that their bytes would collide if memory were shared. */
async function giveAll(
  runtime: Runtime,
  way: Way,
  misdeed: string,
  apart: boolean,
): Promise<void> {
  const gathered = new Gathered(misdeed);
  const faults: unknown[] = [];
  const take = (bytes: Uint8Array): void => gathered.take(bytes);
  const server = way.make(take);
  // deno-lint-ignore no-explicit-any
  (server as any).on(
    "error",
    (_server: unknown, error: unknown) => void faults.push(error),
  );
  await startOn(runtime, server as Server);
  const clients: [sender: string, client: RawClient][] = [];
  try {
    const open = way.open ?? RawClient.connect;
    for (const sender of SENDERS) {
      clients.push([sender, await open(server.port)]);
    }
    const sent = new Map<string, number>();
    for (const length of LENGTHS) {
      for (const [sender, client] of clients) {
        // Several messages in one chunk if they fit: three of a size, or a long and a short one.
        for (
          const lengths of [[length, length, length], [length, 10], [length]]
        ) {
          client.send(
            join(lengths.map((length) => way.wrap(new Uint8Array(length).fill(sender.charCodeAt(0))))),
          );
          const total = lengths.reduce(
            (sum, length) => sum + length + (way.extra ?? 0),
            0,
          );
          sent.set(sender, (sent.get(sender) ?? 0) + total);
          // Each chunk alone, or all the rest at once.
          if (apart) await gathered.until(sender, sent.get(sender)!);
        }
      }
    }
    for (const [sender, count] of sent) await gathered.until(sender, count);
    gathered.check();
    assertEquals(faults, []);
    for (const [, client] of clients) {
      assert(!client.ended, "the server has ended a connection");
    }
  } finally {
    for (const [, client] of clients) client.destroy();
    server.shutdown();
    await server.finished;
  }
}

const testDrawn = drawing(lanes);

// "transfers" is last, because shared memory would be lost for all later tests.
for (const misdeed of Object.keys(MISDEEDS)) {
  for (const [lane, runtime] of lanes) {
    for (const way of WAYS) {
      testDrawn(lane, `a program that ${misdeed} what it is given as ${way.name} harms nobody (${lane})`, {}, async () => {
        await giveAll(runtime, way, misdeed, true);
        await giveAll(runtime, way, misdeed, false);
      });
    }
  }
}

for (const misdeed of Object.keys(MISDEEDS)) {
  test(`a program that ${misdeed} what it is given as a datagram harms nobody`, async () => {
    const gathered = new Gathered(misdeed);
    const server = new Server("127.0.0.1", 0, SWOOLE_BASE, SWOOLE_SOCK_UDP);
    server.on("packet", (_server, data) => gathered.take(data));
    await server.start();
    const client = await DatagramClient.open();
    try {
      for (let i = 1; i <= 20; i++) {
        for (const sender of SENDERS) {
          await client.send(sender.repeat(i * 10), server.port);
          await gathered.until(sender, 5 * i * (i + 1));
        }
      }
      gathered.check();
    } finally {
      await client.close();
      server.shutdown();
      await server.finished;
    }
  });
}
