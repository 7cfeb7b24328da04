import { assert, assertEquals } from "@std/assert";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { WebSocketServer } from "../../mod.ts";
import { inFolder } from "../support/folder.ts";
import { closeFrame, frame, handshake, RawClient, SAMPLE_ACCEPT } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { closeCodeOf, EventLog, textOf } from "./event_log.ts";

/** A handler that fails, at once or later. */
type Fail = () => unknown;

const WAYS: [name: string, fail: Fail][] = [
  ["throws", () => {
    throw new Error("boom");
  }],
  ["rejects", () => Promise.reject(new Error("boom"))],
];

/** What a client of a handler that fails sees. */
interface Victim {
  /** The event whose handler fails for fd 2. */
  event: string;
  /** Registers the handler that fails. */
  register(server: WebSocketServer, fail: Fail): void;
  /** Makes it fail and checks what the client gets. */
  meet(client: RawClient, server: WebSocketServer): Promise<void>;
  /** Whether it was a WebSocket. */
  webSocket: boolean;
}

async function expect500(client: RawClient): Promise<void> {
  const { status, head, body } = await client.readAnswer();
  assertEquals([status, body], [500, ""]);
  assert(/^Connection: close\r$/m.test(head), head);
  assertEquals((await client.readAll()).length, 0);
}

async function expect1011(client: RawClient): Promise<void> {
  assertEquals(closeCodeOf(await client.readFrame()), 1011);
  assertEquals(await client.readFrame(), null);
}

async function open(client: RawClient): Promise<void> {
  client.send(handshake());
  assert((await client.readHead()).startsWith("HTTP/1.1 101 "));
}

const VICTIMS: Victim[] = [
  {
    event: "handshake",
    webSocket: false,
    register: (server, fail) =>
      server.on("handshake", (request, response) => {
        if (request.fd === 2) return fail();
        response.header("Upgrade", "websocket");
        response.header("Connection", "Upgrade");
        response.header("Sec-WebSocket-Accept", SAMPLE_ACCEPT);
        response.status(101);
        response.end();
      }),
    async meet(client) {
      client.send(handshake());
      await expect500(client);
    },
  },
  {
    event: "beforeHandshakeResponse",
    webSocket: false,
    register: (server, fail) => server.on("beforeHandshakeResponse", ({ fd }) => fd === 2 ? fail() : undefined),
    async meet(client) {
      client.send(handshake());
      await expect500(client);
    },
  },
  {
    event: "open",
    webSocket: true,
    register: (server, fail) => server.on("open", (_server, { fd }) => fd === 2 ? fail() : undefined),
    async meet(client) {
      await open(client);
      await expect1011(client);
    },
  },
  {
    event: "message",
    webSocket: true,
    register: (server, fail) => server.on("message", (server, frame) => frame.fd === 2 ? fail() : server.push(frame.fd, frame)),
    async meet(client) {
      await open(client);
      client.send(frame({ opcode: 1, payload: "hello" }));
      await expect1011(client);
    },
  },
  {
    event: "request",
    webSocket: false,
    register: (server, fail) => server.on("request", fail),
    async meet(client) {
      client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await expect500(client);
    },
  },
  {
    event: "request, when the answer has begun,",
    webSocket: false,
    register: (server, fail) =>
      server.on("request", (_request, response) => {
        response.write("begun");
        return fail();
      }),
    async meet(client) {
      client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      const answer = new TextDecoder().decode(await client.readAll());
      assert(!answer.endsWith("0\r\n\r\n"), answer); // cut off, not ended
    },
  },
  {
    event: "close",
    webSocket: true,
    register: (server, fail) => server.on("close", (_server, fd) => fd === 2 ? fail() : undefined),
    async meet(client) {
      await open(client);
      client.send(closeFrame(1000));
      assertEquals(closeCodeOf(await client.readFrame()), 1000);
      assertEquals(await client.readFrame(), null);
    },
  },
  {
    event: "disconnect",
    webSocket: false,
    register: (server, fail) => server.on("disconnect", fail),
    async meet(client) {
      client.end();
      await client.whenEnded();
    },
  },
  ...["bufferFull", "bufferEmpty", "drain"].map((event): Victim => ({
    event,
    webSocket: true,
    register(server, fail) {
      server.set({ socket_buffer_size: 1 << 20 });
      server.on(event as "drain", (_server, fd) => fd === 2 ? fail() : undefined);
    },
    async meet(client, server) {
      await open(client);
      server.push(2, new Uint8Array(16 << 20), 2);
      assertEquals((await client.readFrame())?.payload.length, 16 << 20);
      await expect1011(client);
    },
  })),
];

for (const [way, fail] of WAYS) {
  for (const victim of VICTIMS) {
    test(`a handler of ${victim.event} that ${way} ends its own connection only, and error tells of it once`, async () => {
      const log = new EventLog();
      const server = new WebSocketServer("127.0.0.1", 0);
      server.on("message", (server, frame) => server.push(frame.fd, frame));
      server.on("error", (it, error, fd) => log.add(`error ${it === server} ${(error as Error).message} ${fd}`));
      const ended = (event: string) => (_server: unknown, fd: number) => log.add(`${event} ${fd}`);
      server.on("close", ended("close"));
      server.on("disconnect", ended("disconnect"));
      victim.register(server, fail);

      await serving(server, async (server, port) => {
        const bystander = await RawClient.open(port);
        const client = await RawClient.connect(port);
        await victim.meet(client, server);
        client.end();
        await client.whenEnded();
        const own = victim.event === "close" || victim.event === "disconnect"; // the end was reported to the handler that failed
        await log.count(own ? 1 : 2);
        bystander.send(frame({ opcode: 1, payload: "still here" }));
        assertEquals(textOf(await bystander.readFrame()), "still here");
        assertEquals(log.lines.sort(), [
          ...(own ? [] : [victim.webSocket ? "close 2" : "disconnect 2"]),
          "error true boom 2",
        ]);
        bystander.destroy();
      });
      assertEquals(log.lines.filter((line) => line.startsWith("error")).length, 1);
    });
  }

  test(`a handler of connect that ${way} ends its own connection only, and error tells of it once`, async () => {
    const log = new EventLog();
    const server = new WebSocketServer("127.0.0.1", 0);
    server.on("connect", (_server, fd) => fd === 2 ? fail() : undefined);
    server.on("message", (server, frame) => server.push(frame.fd, frame));
    server.on("error", (_server, error, fd) => log.add(`error ${(error as Error).message} ${fd}`));
    server.on("disconnect", (_server, fd) => log.add(`disconnect ${fd}`));
    await serving(server, async (_server, port) => {
      const bystander = await RawClient.open(port);
      // The system may tell of the reset before it tells that the connection was made.
      const client = await RawClient.connect(port).catch(() => undefined);
      await client?.whenEnded();
      assertEquals(client?.pending.length ?? 0, 0);
      client?.destroy();
      await log.count(2);
      bystander.send(frame({ opcode: 1, payload: "still here" }));
      assertEquals(textOf(await bystander.readFrame()), "still here");
      bystander.destroy();
    });
    assertEquals(log.lines, ["disconnect 2", "error boom 2"]);
  });

  test(`handlers of the life of a server that ${way} are reported, the server goes on`, async () => {
    const log = new EventLog();
    const server = new WebSocketServer("127.0.0.1", 0);
    server.on("message", (server, frame) => server.push(frame.fd, frame));
    server.on("error", (_server, error, fd) => log.add(`error ${(error as Error).message} ${fd}`));
    for (const event of ["start", "workerStart", "beforeShutdown", "workerStop", "shutdown"] as const) server.on(event, fail);
    await serving(server, async (_server, port) => {
      await log.count(2);
      const client = await RawClient.open(port);
      client.send(frame({ opcode: 1, payload: "hello" }));
      assertEquals(textOf(await client.readFrame()), "hello");
      client.send(closeFrame(1000));
      await client.whenEnded();
      client.end();
    });
    await log.count(5);
    assertEquals(log.lines, Array(5).fill("error boom 0"));
  });

  test(`a handler of error that ${way} does no harm`, async () => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set({ log_file: "/dev/null" });
    server.on("error", fail);
    server.on("message", (_server, frame) => {
      throw new Error(`no ${frame.data}`);
    });
    await serving(server, async (_server, port) => {
      for (let i = 0; i < 2; i++) {
        const client = await RawClient.open(port);
        client.send(frame({ opcode: 1, payload: "hello" }));
        await expect1011(client);
        client.end();
      }
    });
  });
}

test("a handler that fails after its connection has gone is reported", async () => {
  const log = new EventLog();
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("error", (_server, error, fd) => log.add(`error ${(error as Error).message} ${fd}`));
  server.on("close", () => log.add("close"));
  server.on("message", async () => {
    await log.until("close");
    throw new Error("too late");
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(frame({ opcode: 1, payload: "hello" }));
    client.send(closeFrame(1000));
    await log.count(2);
    assertEquals(closeCodeOf(await client.readFrame()), 1000);
    client.end();
  });
  assertEquals(log.lines, ["close", "error too late 1"]);
});

test("without a handler of error, faults are written to log_file", () =>
  inFolder(async (folder) => {
    const path = join(folder, "server.log");
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set({ log_file: path });
    server.on("message", (_server, frame) => {
      throw new Error(`cannot handle ${frame.data}`);
    });
    await serving(server, async (_server, port) => {
      const client = await RawClient.open(port);
      client.send(frame({ opcode: 1, payload: "hello" }));
      await expect1011(client);
      client.end();
    });
    let text = "";
    while (!text.includes("\n")) { // the server does not wait for the file, and nothing tells when it is written
      text = await readFile(path, "utf8").catch(() => "");
      await wait(1);
    }
    assert(/^\d{4}-\d\d-\d\dT[\d:.]+Z fd 1: WebSocket "\/": Error: cannot handle hello\n/.test(text), text);
  }));
