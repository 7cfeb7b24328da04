/**
 * Handlers that misbehave, each with the expected fate of their connection.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { HttpServer, Server, type ServerSettings, SWOOLE_SOCK_UDP, WebSocketServer } from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { DatagramClient } from "../support/datagram_client.ts";
import { closeFrame, frame, handshake, RawClient, SAMPLE_ACCEPT } from "../support/raw_client.ts";
import { closeCodeOf, textOf } from "../server/event_log.ts";

/** The misbehaviour of a handler. */
export type Misdeed = () => unknown;

/** All kinds of misbehaviour. `fails`: whether it is an error; `settles`: whether the handler ever settles. */
export const MISDEEDS: readonly { name: string; fails: boolean; settles: boolean; misdeed: Misdeed }[] = [
  {
    name: "throws",
    fails: true,
    settles: true,
    misdeed: () => {
      throw new Error("on purpose");
    },
  },
  {
    name: "throws what is no Error",
    fails: true,
    settles: true,
    misdeed: () => {
      throw undefined;
    },
  },
  { name: "rejects", fails: true, settles: true, misdeed: () => Promise.reject(new Error("on purpose")) },
  {
    name: "rejects later",
    fails: true,
    settles: true,
    misdeed: async () => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      throw new Error("on purpose");
    },
  },
  {
    name: "returns what is no promise of the language's, and throws in then()",
    fails: true,
    settles: true,
    misdeed: () => ({
      then() {
        throw new Error("on purpose");
      },
    }),
  },
  {
    name: "returns what is no promise of the language's, and calls back twice",
    fails: true,
    settles: true,
    misdeed: () => ({
      then(_done: () => void, fail: (error: unknown) => void) {
        fail(new Error("on purpose"));
        fail(new Error("once more"));
      },
    }),
  },
  { name: "never settles", fails: false, settles: false, misdeed: () => new Promise(() => {}) },
];

/** Any server. */
export type AnyServer = WebSocketServer | HttpServer | Server | CoroutineServer;

/** A handler, and the peer for which it is called. */
export interface Scene {
  /** The handler. */
  handler: string;
  /** Creates the server. `act()` is the misdeed; handlers call it only for the intended peer. */
  make(act: Misdeed): AnyServer;
  /** Triggers the handler, and checks the effect on the connection. */
  meet(port: number, fails: boolean, server: AnyServer): Promise<void>;
  /** Times that differ from those of the other scenes, in seconds. */
  times?: ServerSettings;
  /** Creates the onlooker; by default one with a WebSocket. */
  onlooker?: (port: number) => Promise<Onlooker>;
}

/** A client that has to be served before and after the handler misbehaves. */
export interface Onlooker {
  serve(): Promise<void>;
  leave(): void;
}

/** The path of the onlooker, for which handlers must not misbehave. */
const ONLOOKER = "/onlooker";

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
const text = (payload: string) => frame({ opcode: 1, payload });

/** Returns an onlooker with a WebSocket that echoes. */
export async function byWebSocket(port: number): Promise<Onlooker> {
  const client = await RawClient.open(port, ONLOOKER);
  return {
    async serve() {
      client.send(text("here"));
      assertEquals(textOf(await client.readFrame()), "here");
    },
    leave: () => client.destroy(),
  };
}

async function byHttp(port: number): Promise<Onlooker> {
  const client = await RawClient.connect(port);
  return {
    async serve() {
      client.send(get(ONLOOKER));
      assertEquals((await client.readAnswer()).body, "served");
    },
    leave: () => client.destroy(),
  };
}

async function byBytes(port: number): Promise<Onlooker> {
  const client = await RawClient.connect(port);
  return {
    async serve() {
      client.send("here");
      assertEquals(await client.read(4), new TextEncoder().encode("here"));
    },
    leave: () => client.destroy(),
  };
}

/** Returns a server that echoes messages and answers requests. */
function echoing(): WebSocketServer {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", (server, frame) => void server.push(frame.fd, frame));
  server.on("request", (_request, response) => void response.end("served"));
  return server;
}

/** The fd of the peer for which handlers misbehave. The onlooker connects first. */
const MARK = 2;

async function expectClose(client: RawClient, code: number): Promise<void> {
  assertEquals(closeCodeOf(await client.readFrame()), code);
  assertEquals(await client.readFrame(), null);
  client.destroy();
}

async function expectStatus(client: RawClient, status: number): Promise<void> {
  const answer = await client.readAnswer();
  assertEquals(answer.status, status);
  if (/^Connection: close\r$/m.test(answer.head)) await client.readAll();
  client.destroy();
}

async function expectEcho(client: RawClient): Promise<void> {
  client.send(text("hello"));
  assertEquals(textOf(await client.readFrame()), "hello");
  client.destroy();
}

const WEBSOCKETS: readonly Scene[] = [
  {
    handler: "connect",
    make(act) {
      const server = echoing();
      server.on("connect", (_server, fd) => fd === MARK ? act() : undefined);
      return server;
    },
    async meet(port, fails) {
      // The system may report the reset before the connection is established.
      const client = await RawClient.connect(port).catch(() => undefined);
      if (!fails) {
        client!.send(handshake());
        await client!.readHead();
        return await expectEcho(client!);
      }
      await client?.whenEnded();
      client?.destroy();
    },
  },
  {
    handler: "handshake",
    make(act) {
      const server = echoing();
      server.on("handshake", (request, response) => {
        if (request.fd === MARK) return act();
        response.header("Upgrade", "websocket");
        response.header("Connection", "Upgrade");
        response.header("Sec-WebSocket-Accept", SAMPLE_ACCEPT);
        response.status(101);
        response.end();
      });
      return server;
    },
    async meet(port, fails) {
      const client = await RawClient.connect(port);
      client.send(handshake());
      await expectStatus(client, fails ? 500 : 503);
    },
  },
  {
    handler: "authenticate",
    make(act) {
      const server = echoing();
      server.on("authenticate", ({ fd }) => fd === MARK ? act() as boolean : true);
      return server;
    },
    async meet(port, fails) {
      const client = await RawClient.connect(port);
      client.send(handshake());
      await expectStatus(client, fails ? 500 : 503);
    },
  },
  {
    handler: "beforeHandshakeResponse",
    make(act) {
      const server = echoing();
      server.on("beforeHandshakeResponse", ({ fd }) => fd === MARK ? act() : undefined);
      return server;
    },
    async meet(port, fails) {
      const client = await RawClient.connect(port);
      client.send(handshake());
      await expectStatus(client, fails ? 500 : 503);
    },
  },
  {
    handler: "open",
    make(act) {
      const server = echoing();
      server.on("open", (_server, { fd }) => fd === MARK ? act() : undefined);
      return server;
    },
    async meet(port, fails) {
      const client = await RawClient.open(port);
      await (fails ? expectClose(client, 1011) : expectEcho(client));
    },
  },
  {
    handler: "message",
    make(act) {
      const server = echoing();
      server.on("message", (server, frame) => frame.data === "act" ? act() : server.push(frame.fd, frame));
      return server;
    },
    async meet(port, fails) {
      const client = await RawClient.open(port);
      client.send(text("act"));
      await (fails ? expectClose(client, 1011) : expectEcho(client));
    },
  },
  {
    handler: "message, called for a Close,",
    make(act) {
      const server = echoing();
      server.set({ open_websocket_close_frame: true });
      server.on(
        "message",
        (server, frame) => frame.opcode === 8 ? (frame.fd === MARK ? act() : undefined) : server.push(frame.fd, frame),
      );
      return server;
    },
    async meet(port, fails) {
      const client = await RawClient.open(port);
      client.send(closeFrame(1000));
      // A handler that fails, or takes longer than `websocket_close_timeout`, leaves the Close to the server.
      const code = closeCodeOf(await client.readFrame());
      assert(code === 1000 || (fails && code === 1011), `the code is ${code}`);
      assertEquals(await client.readFrame(), null);
      client.destroy();
    },
  },
  ...(["close", "disconnect"] as const).map((event): Scene => ({
    handler: event,
    make(act) {
      const server = echoing();
      server.on(event, (_server: unknown, fd: number) => fd === MARK ? act() : undefined);
      return server;
    },
    async meet(port) {
      const client = event === "close" ? await RawClient.open(port) : await RawClient.connect(port);
      client.end();
      await client.whenEnded();
      client.destroy();
    },
  })),
  ...(["bufferFull", "bufferEmpty", "drain"] as const).map((event): Scene => ({
    handler: event,
    times: { websocket_close_timeout: 30 }, // output being sent when the handler fails is still sent
    make(act) {
      const server = echoing();
      server.set({ socket_buffer_size: 1 << 20 });
      server.on("message", (server, frame) => {
        if (frame.data === "much") server.push(frame.fd, new Uint8Array(16 << 20), 2);
        else server.push(frame.fd, frame);
      });
      server.on(event, (_server: unknown, fd: number) => fd === MARK ? act() : undefined);
      return server;
    },
    async meet(port, fails) {
      const client = await RawClient.open(port);
      client.send(text("much"));
      assertEquals((await client.readFrame())?.payload.length, 16 << 20);
      await (fails ? expectClose(client, 1011) : expectEcho(client));
    },
  })),
  ...(["start", "workerStart", "beforeShutdown", "workerStop", "shutdown"] as const).map((event): Scene => ({
    handler: event,
    make(act) {
      const server = echoing();
      server.on(event, act);
      return server;
    },
    async meet(port) {
      await expectEcho(await RawClient.open(port));
    },
  })),
  ...(["after", "tick", "defer"] as const).map((timer): Scene => ({
    handler: `a timer of ${timer}()`,
    make(act) {
      const server = echoing();
      server.on("message", (server, frame) => {
        if (frame.data === "act") {
          if (timer === "defer") server.defer(act);
          else if (timer === "after") server.after(1, act);
          else {
            const id = server.tick(1, () => {
              server.clearTimer(id);
              return act();
            });
          }
        }
        server.push(frame.fd, frame);
      });
      return server;
    },
    async meet(port) {
      const client = await RawClient.open(port);
      client.send(text("act"));
      assertEquals(textOf(await client.readFrame()), "act");
      await expectEcho(client);
    },
  })),
];

const REFUSALS: readonly Scene[] = [{
  handler: "refuse",
  make(act) {
    const server = echoing();
    server.set({ websocket_origins: "same-origin" });
    server.on("refuse", act);
    return server;
  },
  async meet(port) {
    const client = await RawClient.connect(port);
    client.send(handshake("/", { Origin: "https://elsewhere.example" }));
    await expectStatus(client, 403);
  },
}];

const REQUESTS: readonly Scene[] = (["event", "coroutine"] as const).flatMap((style) => {
  const make = (act: Misdeed, begins: boolean): AnyServer => {
    const handle = async (request: { server: { request_uri: string } }, response: {
      write(text: string): unknown;
      end(text: string): unknown;
    }) => {
      if (request.server.request_uri === ONLOOKER) return void await response.end("served");
      if (begins) await response.write("begun");
      return await (act() as Promise<unknown>);
    };
    const server = style === "event" ? new HttpServer("127.0.0.1", 0) : new CoroutineServer("127.0.0.1", 0);
    server.set({ http_handler_timeout: 0.5 });
    if (server instanceof CoroutineServer) server.handle("/", handle);
    else server.on("request", handle);
    return server;
  };
  return [{
    handler: `request (${style} style)`,
    make: (act: Misdeed) => make(act, false),
    onlooker: byHttp,
    async meet(port: number, fails: boolean) {
      const client = await RawClient.connect(port);
      client.send(get("/"));
      await expectStatus(client, fails ? 500 : 503);
    },
  }, {
    handler: `request, when the response has begun (${style} style)`,
    make: (act: Misdeed) => make(act, true),
    onlooker: byHttp,
    async meet(port: number) {
      const client = await RawClient.connect(port);
      client.send(get("/"));
      const all = new TextDecoder().decode(await client.readAll());
      assert(all.includes("begun") && !all.endsWith("0\r\n\r\n"), all); // cut off, not ended
      client.destroy();
    },
  }];
});

const OTHERS: readonly Scene[] = [{
  handler: "receive",
  onlooker: byBytes,
  make(act) {
    const server = new Server("127.0.0.1", 0);
    server.on("receive", (server, fd, _reactor, data) => String.fromCharCode(data[0]) === "a" ? act() : server.send(fd, data));
    return server;
  },
  async meet(port, fails) {
    const client = await RawClient.connect(port);
    client.send("a");
    if (fails) await client.readAll();
    else {
      await new Promise((resolve) => setTimeout(resolve, 50)); // so that it arrives as a separate chunk
      client.send("here");
      assertEquals(await client.read(4), new TextEncoder().encode("here"));
    }
    client.destroy();
  },
}, {
  handler: "packet",
  make(act) {
    const server = echoing();
    const datagrams = server.listen("127.0.0.1", 0, SWOOLE_SOCK_UDP);
    datagrams.on("packet", (server, data, { address, port }) => {
      return String.fromCharCode(data[0]) === "a" ? act() : (server as WebSocketServer).sendto(address, port, data);
    });
    return server;
  },
  async meet(_port, _fails, server) {
    const client = await DatagramClient.open();
    const { port } = (server as WebSocketServer).ports[1];
    await client.send("act", port);
    await client.send("here", port);
    assertEquals((await client.receive()).text, "here");
    await client.close();
  },
}, {
  handler: "a coroutine, behind upgrade(),",
  make: (act) => coroutine(act),
  async meet(port, fails) {
    const client = await RawClient.open(port);
    client.send(text("act"));
    if (fails) return await expectClose(client, 1011);
    client.send(frame({ opcode: 9, payload: "alive?" })); // answered whatever the handler does
    assertEquals((await client.readFrame())?.opcode, 10);
    client.send(closeFrame(1000));
    await client.whenEnded(); // after `websocket_close_timeout`
    client.destroy();
  },
}, {
  handler: "a coroutine, while others push to its peer,",
  make: (act) => coroutine(act, "pushed"),
  async meet(port, fails) {
    const client = await RawClient.open(port);
    client.send(text("act"));
    assertEquals(textOf(await client.readFrame()), "pushed");
    if (fails) return await expectClose(client, 1011);
    client.destroy();
  },
}];

function coroutine(act: Misdeed, before?: string): CoroutineServer {
  const server = new CoroutineServer("127.0.0.1", 0);
  server.handle("/", async (_request, ws) => {
    await ws.upgrade();
    for await (const frame of ws) {
      if (frame.data !== "act") {
        await ws.push(frame);
        continue;
      }
      if (before !== undefined) ws.push(before);
      await (act() as Promise<unknown>);
    }
  });
  return server;
}

/** Handlers of `error` that misbehave, too. */
const ERRORS: readonly Scene[] = [{
  handler: "error",
  make(act) {
    const server = echoing();
    server.set({ log_file: "/dev/null" });
    server.on("error", act);
    server.on("message", (server, frame) => {
      if (frame.data === "act") throw new Error("for the handler of error");
      server.push(frame.fd, frame);
    });
    return server;
  },
  async meet(port) {
    const client = await RawClient.open(port);
    client.send(text("act"));
    await expectClose(client, 1011);
  },
}];

/** All scenes. */
export const SCENES: readonly Scene[] = [...WEBSOCKETS, ...REFUSALS, ...REQUESTS, ...OTHERS, ...ERRORS];
