// Pipes that a program makes: what is wrong with them concerns their connection, and nothing else.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { type BytePipe, HttpServer, WebSocketServer } from "../../mod.ts";
import { HttpClient, HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { settle } from "../support/memory_client.ts";
import { signal } from "../support/serving.ts";

// deno-lint-ignore no-explicit-any
type Any = any;

const bytes = (text: string) => new TextEncoder().encode(text);

const GET = bytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
const HANDSHAKE = bytes(
  "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
);

/** The ways in which an `abort()` can fail. */
const ABORTS: Record<string, unknown> = {
  "throws": () => {
    throw new Error("Bad resource ID");
  },
  "rejects": () => Promise.reject(new Error("Bad resource ID")),
  "does nothing": () => {},
  "is missing": undefined,
  "is no function": "abort",
};

/** The program's side of a pipe. */
class Peer {
  readonly pipe: BytePipe;
  /** What was done to the two streams. */
  readonly seen: string[] = [];
  /** Everything that was written, as text. */
  text = "";
  input!: ReadableStreamDefaultController<Any>;

  constructor(abort: unknown = () => {}) {
    this.pipe = {
      readable: new ReadableStream({
        start: (controller) => void (this.input = controller),
        cancel: () => void this.seen.push("cancel"),
      }),
      writable: new WritableStream({
        write: (chunk) => void (this.text += String.fromCharCode(...chunk)),
        close: () => void this.seen.push("close"),
        abort: () => void this.seen.push("abort"),
      }),
      abort,
    } as BytePipe;
  }
}

/** A server of either style that echoes messages, and what it has reported. */
function echo(style: "events" | "coroutines") {
  const errors: [string, number][] = [];
  let server: WebSocketServer | CoroutineServer;
  if (style === "events") {
    server = new WebSocketServer();
    server.on("message", (it, frame) => void it.push(frame.fd, frame.data));
    server.on("request", (_request, response) => void response.end("hello"));
  } else {
    server = new CoroutineServer("localhost");
    server.handle("/", async (request, response) => {
      if (request.header.upgrade === undefined) return void response.end("hello");
      await response.upgrade();
      for await (const frame of response) await response.push(frame.data);
    });
  }
  server.set({ websocket_close_timeout: 0.05, log_file: "/dev/null" });
  (server as WebSocketServer).on("error", (_server, error, fd) => void errors.push([(error as Error).message, fd]));
  return { server, errors };
}

/** Ends the server; it hangs if a connection is never released. */
async function stop(server: WebSocketServer | CoroutineServer): Promise<void> {
  server.shutdown(0);
  await server.finished;
}

for (const style of ["events", "coroutines"] as const) {
  for (const [how, abort] of Object.entries(ABORTS)) {
    test(`${style}: a pipe that breaks is released, though its abort() ${how}`, async () => {
      const { server, errors } = echo(style);
      for (const break_ of [(peer: Peer) => peer.input.error(new Error("reset")), (peer: Peer) => peer.input.close()]) {
        const peer = new Peer(abort);
        assert(server.accept(peer.pipe) > 0);
        peer.input.enqueue(GET);
        await settle();
        assert(peer.text.endsWith("hello"));
        break_(peer);
        await settle();
      }
      const held = new Peer(abort);
      server.accept(held.pipe);
      held.input.enqueue(HANDSHAKE);
      await settle();
      await stop(server);
      assertEquals(errors, []);
    });

    test(`${style}: a pipe that is not accepted is dropped, though its abort() ${how}`, async () => {
      const { server } = echo(style);
      server.set({ max_connection: 1 });
      const first = new Peer(abort);
      assert(server.accept(first.pipe) > 0);
      const tooMany = new Peer(abort);
      assertEquals(server.accept(tooMany.pipe), 0);
      server.shutdown(0);
      const tooLate = new Peer(abort);
      assertEquals(server.accept(tooLate.pipe), 0);
      await server.finished;
      await settle();
      for (const { seen } of [tooMany, tooLate]) assertEquals(seen, ["cancel", "abort"]);
    });
  }

  const chunks: [string, unknown, string][] = [
    ["null", null, "null: a Uint8Array is needed"],
    ["nothing", undefined, "undefined: a Uint8Array is needed"],
    ["text", "GET /", "a string: a Uint8Array is needed; use new TextEncoder().encode(text)"],
    ["a number", 5, "a number: a Uint8Array is needed"],
    ["a buffer", new ArrayBuffer(5), "an object: a Uint8Array is needed; use new Uint8Array(buffer)"],
    ["other numbers", new Uint16Array(4), "an object: a Uint8Array is needed; use new Uint8Array(view.buffer, "],
    ["an object", { length: 5 }, "an object: a Uint8Array is needed"],
  ];
  for (const [what, chunk, words] of chunks) {
    test(`${style}: ${what} in place of bytes ends that connection, and is reported once`, async () => {
      const { server, errors } = echo(style);
      for (const start of [undefined, HANDSHAKE]) {
        const peer = new Peer();
        const fd = server.accept(peer.pipe);
        if (start !== undefined) peer.input.enqueue(start);
        await settle();
        peer.input.enqueue(chunk);
        peer.input.enqueue(chunk);
        await settle();
        assertEquals(errors.map(([, it]) => it), [fd]);
        const [[message]] = errors.splice(0);
        assert(message.startsWith(`Cannot read ${words}`), message);
        if (start !== undefined) assert(peer.text.endsWith("\x88\x02\x03\xf3"), "1011");
        else assert(peer.seen.includes("close"));
        peer.input.close();
      }
      await stop(server);
      assertEquals(errors, []);
    });
  }

  test(`${style}: what is no pipe, or in use already, is refused, and no connection is left`, async () => {
    const { server } = echo(style);
    for (const wrong of [undefined, null, {}, "x", { readable: new ReadableStream() }] as Any[]) {
      assertThrows(
        () => server.accept(wrong),
        TypeError,
        "Cannot accept what is no pipe: an object with a readable and a writable",
      );
    }
    for (const name of ["readable", "writable"] as const) {
      const { pipe } = new Peer();
      const user: { releaseLock(): void } = name === "readable" ? pipe.readable.getReader() : pipe.writable.getWriter();
      assertThrows(() => server.accept(pipe), TypeError, `Cannot accept a pipe whose ${name} stream is locked`);
      user.releaseLock();
      assert(server.accept(pipe) > 0); // nothing has been taken of it
    }
    await stop(server);
  });
}

test("ports accept pipes under the same conditions", async () => {
  const server = new HttpServer();
  server.on("request", () => {});
  const port = server.listen("127.0.0.1", 0);
  assertThrows(() => port.accept({} as BytePipe), TypeError, "Cannot accept what is no pipe");
  const { pipe } = new Peer();
  pipe.readable.getReader();
  assertThrows(() => port.accept(pipe), TypeError, "whose readable stream is locked");
  await Promise.resolve();
});

for (const [how, abort] of Object.entries(ABORTS)) {
  test(`a client fails in order if the pipe breaks, though its abort() ${how}`, async () => {
    const client = new HttpClient("localhost");
    const peer = new Peer(abort);
    client.use(peer.pipe);
    const answered = client.get("/");
    await settle();
    peer.input.error(new Error("reset"));
    assertEquals([await answered, client.connected], [false, false]);
    // It was closed before it was used.
    const second = new Peer(abort);
    client.use(second.pipe);
    const closed = client.get("/");
    client.close();
    assertEquals(await closed, false);
    client.close();
  });
}

test("a client says what is wrong with a pipe", async () => {
  const client = new HttpClient("localhost");
  for (const wrong of [undefined, null, {}] as Any[]) {
    assertThrows(
      () => client.use(wrong),
      TypeError,
      "Cannot use what is no pipe: an object with a readable and a writable stream",
    );
  }
  const locked = new Peer();
  locked.pipe.writable.getWriter();
  assertThrows(() => client.use(locked.pipe), TypeError, "Cannot use a pipe whose writable stream is locked");
  const late = new Peer();
  client.use(late.pipe);
  late.pipe.readable.getReader();
  const failed = signal<unknown>();
  client.get("/").catch(failed.resolve);
  assertEquals((await failed.promise as Error).message.startsWith("Cannot use a pipe whose readable stream is locked"), true);
  const peer = new Peer();
  client.use(peer.pipe);
  const answered = client.get("/");
  await settle();
  peer.input.enqueue("HTTP/1.1 200 OK\r\n\r\n");
  assertEquals([await answered, client.errCode], [false, 104]);
  assert(client.errMsg.includes("Cannot read a string: a Uint8Array is needed"), client.errMsg);
});
