// The server of the group send test: every message to all, without waiting for anybody. `/memory` tells what it holds.

import { type HttpResponse, HttpServer } from "../../src/coroutine/mod.ts";
import { heldBytes } from "../support/garbage.ts";

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
  response.end(JSON.stringify({ members: room.size, refused, held: await heldBytes() }));
});
await server.start();
console.log(server.port);
