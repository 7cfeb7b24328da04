/**
 * Broadcast in the coroutine style: a message from one WebSocket is sent to all.
 *
 * Start it with `deno run -A examples/coroutine_broadcast.ts`, `bun run examples/coroutine_broadcast.ts` or `node
 * examples/coroutine_broadcast.ts`, then connect some WebSockets.
 *
 * @module
 */

import { CloseFrame } from "../mod.ts";
import { type HttpResponse, HttpServer } from "../src/coroutine/mod.ts";
import { giveUp, HOST, PORT } from "./environment.ts";

const server = new HttpServer(HOST, PORT);
const everybody = new Set<HttpResponse>();

server.handle("/websocket", async (_request, ws) => {
  if (!await ws.upgrade()) return; // not a WebSocket handshake; already answered
  everybody.add(ws);
  while (true) {
    const frame = await ws.recv();
    if (frame === false) console.log(`errorCode: ${ws.getLastError()}`);
    if (frame === "" || frame === false || frame.data === "close" || frame instanceof CloseFrame) break;
    // These pushes are not awaited, so a slow reader delays only itself. It misses messages that do not fit into its queue.
    for (const one of everybody) one.push(`Server: ${frame.data}`);
  }
  everybody.delete(ws);
  ws.close();
});

await server.start().catch(giveUp);
console.log(`Everybody meets at ws://localhost:${server.port}/websocket`);
