/**
 * HTTP and WebSocket on one port: a message received by HTTP is sent to every WebSocket.
 *
 * Start it with `deno run -A examples/broadcast.ts`, `bun run examples/broadcast.ts` or `node examples/broadcast.ts`, connect
 * some WebSockets, then: `curl "http://localhost:9501/?message=hello"`
 *
 * @module
 */

import { WebSocketServer } from "../mod.ts";
import { giveUp, HOST, PORT } from "./environment.ts";

const server = new WebSocketServer(HOST, PORT);

server.on("request", (request, response) => {
  const { message } = request.get;
  response.header("Content-Type", "text/plain; charset=utf-8");
  if (typeof message !== "string") {
    response.status(400);
    response.end("Say what: /?message=hello\n");
    return;
  }
  response.end(`Sent to ${server.broadcast(message)}\n`);
});

server.on("message", (server, frame) => server.push(frame.fd, "This server only speaks, it does not listen"));

await server.start().catch(giveUp);
console.log(`Send with http://localhost:${server.port}/?message=hello, listen at ws://localhost:${server.port}/`);
