/**
 * Closing in the coroutine style: `close()` only ends the connection; a Close frame before it gives the client the reason.
 *
 * Start it with `deno run -A examples/coroutine_close.ts`, `bun run examples/coroutine_close.ts` or `node
 * examples/coroutine_close.ts`, then connect a WebSocket and send something.
 *
 * @module
 */

import { CloseFrame } from "../mod.ts";
import { HttpServer } from "../src/coroutine/mod.ts";
import { giveUp, HOST, PORT } from "./environment.ts";

const server = new HttpServer(HOST, PORT);

server.handle("/websocket", async (_request, ws) => {
  if (!await ws.upgrade()) return; // not a WebSocket handshake; already answered
  await ws.recv();
  const frame = new CloseFrame();
  frame.reason = "close";
  await ws.push(frame);
  ws.close(); // ends at once; disconnect(1000, "close") would send the same frame and wait for the client's Close
});

await server.start().catch(giveUp);
console.log(`One message to ws://localhost:${server.port}/websocket closes it`);
