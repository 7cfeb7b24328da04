/**
 * The smallest WebSocket server: it sends every message back.
 *
 * Start it with `deno run -A examples/echo.ts`, `bun run examples/echo.ts` or `node examples/echo.ts`.
 *
 * @module
 */

import { WebSocketServer } from "../mod.ts";
import { giveUp, HOST, PORT } from "./environment.ts";

const server = new WebSocketServer(HOST, PORT);

server.on("message", (server, frame) => {
  server.push(frame.fd, frame); // a received frame is sent unchanged, text or binary
});

await server.start().catch(giveUp);
console.log(`The echo is at ws://localhost:${server.port}/`);
