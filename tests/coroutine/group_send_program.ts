// The server of the group send test: every message to all, without waiting for anybody. `/memory` tells what it holds.

import process from "node:process";
import { type HttpResponse, HttpServer } from "../../src/coroutine/mod.ts";

const room = new Set<HttpResponse>();
let refused = 0;

const server = new HttpServer("127.0.0.1");
server.set({ websocket_ping_interval: 0, package_max_length: 4 * 1024 * 1024 });
server.handle("/room", async (_request, ws) => {
  await ws.upgrade();
  room.add(ws);
  for await (const frame of ws) {
    for (const one of room) one.push(frame.data, frame.opcode).then((sent) => refused += sent ? 0 : 1);
  }
  room.delete(ws);
});
server.handle("/memory", async (_request, response) => {
  const { gc, Bun } = globalThis as unknown as { gc?: () => void; Bun?: { gc(force: boolean): void } };
  for (let i = 0; i < 5; i++) {
    if (Bun === undefined) gc!();
    else Bun.gc(true);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { heapUsed, external } = process.memoryUsage();
  // In Bun the memory of typed arrays is part of the heap; elsewhere it is not.
  response.end(JSON.stringify({ members: room.size, refused, held: heapUsed + (Bun === undefined ? external : 0) }));
});
await server.start();
console.log(server.port);
