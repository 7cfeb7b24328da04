// A peer that reads slowly is no peer that is gone: as long as it takes something, deadlines do not cut it off.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { HttpServer, type Runtime, Server, type ServerSettings, WebSocketServer } from "../../mod.ts";
import { ownLanes, servingOn } from "../support/lanes.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { together } from "../support/together.ts";

const MIB = 1024 * 1024;
const SIZE = 40 * MIB; // the kernel keeps some of it, the rest waits in the server for longer than the deadlines
const STEP = MIB;

/** Deadlines that are over long before the reader is done. */
const settings: ServerSettings = {
  http_keepalive_timeout: 0.3,
  http_send_timeout: 4,
  websocket_close_timeout: 4,
  websocket_ping_interval: 0.3,
  websocket_ping_timeout: 4,
  socket_buffer_size: 2 * SIZE,
};

/** Reads to the end, a step at a time with a pause behind each, and tells how many bytes came. */
function readSlowly({ socket }: RawClient, last: number): Promise<number> {
  socket.removeAllListeners("data");
  socket.pause();
  return new Promise((resolve) => {
    let count = 0;
    let step = 0;
    socket.on("data", (part: Uint8Array) => {
      count += part.length;
      step += part.length;
      if (count >= last) resolve(count);
      if (step < STEP) return;
      step = 0;
      socket.pause();
      setTimeout(() => socket.resume(), 160);
    });
    socket.on("close", () => resolve(count));
    socket.on("end", () => resolve(count));
    socket.resume();
  });
}

type Check = (runtime: Runtime, parts: readonly Uint8Array[]) => Promise<void>;

const checks: [name: string, check: Check][] = [
  ["gets the whole answer", async (runtime, parts) => {
    const server = new HttpServer("127.0.0.1", 0);
    server.set(settings);
    server.on("request", (_request, response) => {
      for (const part of parts.slice(1)) response.write(part);
      response.end(parts[0]);
    });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.send("GET / HTTP/1.0\r\n\r\n");
      await client.readHead();
      const pending = client.pending.length;
      assertEquals(await readSlowly(client, SIZE - pending) + pending, SIZE);
      client.destroy();
    });
  }],
  ["may ask again when it has got the whole answer", async (runtime, parts) => {
    const server = new HttpServer("127.0.0.1", 0);
    server.set({ ...settings, http_keepalive_timeout: 4 }); // less than it reads for, more than for what the kernel keeps
    server.on("request", (request, response) => {
      if (request.server.request_uri === "/again") return response.end("again");
      for (const part of parts.slice(1)) response.write(part);
      response.end(parts[0]);
    });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      const head = await client.readHead();
      const framing = parts.length === 1 ? 0 : parts.length * "100000\r\n\r\n".length + "0\r\n\r\n".length;
      assert(/chunked/.test(head) === framing > 0, head);
      const pending = client.pending.length;
      assertEquals(await readSlowly(client, SIZE + framing - pending) + pending, SIZE + framing);
      client.send("GET /again HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      const rest: Uint8Array[] = [];
      client.socket.removeAllListeners("data");
      client.socket.on("data", (part: Uint8Array) => rest.push(part));
      await new Promise((resolve) => client.socket.once("end", resolve));
      assert(rest.map((part) => new TextDecoder().decode(part)).join("").endsWith("\r\n\r\nagain"));
      client.destroy();
    });
  }],
  ["gets everything that was sent before close()", async (runtime, parts) => {
    const server = new Server("127.0.0.1", 0);
    server.set(settings);
    server.on("receive", (server, fd) => {
      for (const part of parts) server.send(fd, part);
      server.close(fd);
    });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.send("now");
      assertEquals(await readSlowly(client, SIZE), SIZE);
      client.destroy();
    });
  }],
  ["is not taken for dead while pings wait behind its messages", async (runtime, parts) => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set(settings);
    server.on("message", (server, { fd }) => {
      for (const part of parts) server.push(fd, part, 2);
    });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.open(port);
      client.send(frame({ opcode: 1, payload: "now" }));
      const all = SIZE + 10 * parts.length;
      assert(await readSlowly(client, all) >= all); // pings may come behind
      client.destroy();
    });
  }],
];

const ways = [["in one piece", [new Uint8Array(SIZE)]], ["in many pieces", Array(SIZE / MIB).fill(new Uint8Array(MIB))]] as const;

for (const [lane, runtime] of ownLanes) {
  const all = checks.flatMap(([name, check]) =>
    ways.map(([way, parts]) => ({ title: `a slow reader ${name}, ${way} (${lane})`, work: () => check(runtime, parts) }))
  );
  const run = together(all.map(({ work }) => work));
  for (const [index, { title }] of all.entries()) test(title, () => run(index));
}
