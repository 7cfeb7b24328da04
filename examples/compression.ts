/**
 * A server that sends compressed messages.
 *
 * Start it with `deno run -A examples/compression.ts`, `bun run examples/compression.ts` or `node examples/compression.ts`;
 * `examples/client_compression.ts` is a client for it.
 *
 * @module
 */

import { SWOOLE_WEBSOCKET_FLAG_COMPRESS, SWOOLE_WEBSOCKET_FLAG_FIN, WEBSOCKET_OPCODE_TEXT, WebSocketServer } from "../mod.ts";
import { giveUp, HOST, PORT } from "./environment.ts";

const server = new WebSocketServer(HOST, PORT);
server.set({ websocket_compression: true });

const text = "Hello Swoole ".repeat(10); // a text that would not shrink is sent uncompressed

server.on("message", (server, frame) => {
  server.push(frame.fd, text, WEBSOCKET_OPCODE_TEXT, SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_COMPRESS);
  server.push(frame.fd, frame); // a frame that arrived compressed is sent compressed
});

await server.start().catch(giveUp);
console.log(`The server is at ws://localhost:${server.port}/`);
