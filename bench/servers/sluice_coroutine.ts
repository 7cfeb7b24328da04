// The same program in the coroutine style: it waits for every message, and for every echo to be on its way.

import { CloseFrame } from "../../mod.ts";
import { type HttpResponse, HttpServer } from "../../src/coroutine/mod.ts";
import { compressionSettings } from "./compression.mjs";
import { ready } from "./support.mjs";

const room = new Set<HttpResponse>();
const server = new HttpServer("127.0.0.1", 0);
server.set(compressionSettings);
server.handle("/", async (_request, ws) => {
  await ws.upgrade();
  while (true) {
    const frame = await ws.recv();
    if (frame === "" || frame === false || frame instanceof CloseFrame) break;
    await ws.push(frame.data, frame.opcode);
  }
});
server.handle("/broadcast", async (_request, ws) => {
  await ws.upgrade();
  room.add(ws);
  while (true) {
    const frame = await ws.recv();
    if (frame === "" || frame === false || frame instanceof CloseFrame) break;
    for (const one of room) one.push(frame.data, frame.opcode);
  }
  room.delete(ws);
});
await server.start();
ready(server.port);
