/**
 * Lines over plain TCP: every line is sent to everybody else who is connected.
 *
 * Start it with `deno run -A examples/lines.ts`, `bun run examples/lines.ts` or `node examples/lines.ts`, and connect with
 * `nc localhost 9501` in two terminals. `HOST` is the address to listen on.
 *
 * @module
 */

import { Server } from "../mod.ts";
import { giveUp, HOST, PORT } from "./environment.ts";

const server = new Server(HOST, PORT);
// `receive` gets one line at a time; a client that sends a longer one is disconnected.
server.set({ open_eof_split: true, package_eof: "\n", package_max_length: 4096 });

server.on("receive", (server, fd, _reactorId, line) => {
  for (const other of server.connections) if (other !== fd) server.send(other, line);
});

await server.start().catch(giveUp);
console.log(`Lines are passed on at tcp://localhost:${server.port}/`);
