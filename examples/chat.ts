/**
 * A chat room. One port serves its page over HTTP and carries the conversation over WebSockets.
 *
 * ```sh
 * deno run -A examples/chat.ts
 * bun run examples/chat.ts
 * node examples/chat.ts
 * ```
 *
 * Open the first printed address in two windows, or another one on a phone in the same network. Set `PORT` to use another port than
 * 9501; 0 picks a free one. `HOST` is the address to listen on, by default all of this machine. Ctrl+C closes the chat.
 *
 * The parts: `chat/protocol.ts` defines the messages between page and server, `chat/room.ts` is the room, and `chat/page.ts`
 * assembles the page.
 *
 * @module
 */

import { WebSocketServer } from "../mod.ts";
import { makePage } from "./chat/page.ts";
import { problem, readMessage } from "./chat/protocol.ts";
import { RateLimit } from "./chat/rate_limit.ts";
import { Room } from "./chat/room.ts";
import { addressesOfThisMachine, giveUp, PORT, readHost } from "./environment.ts";

const HOST = readHost("0.0.0.0");
const server = new WebSocketServer(HOST, PORT);
const room = new Room(server);
const page = await makePage();
const rateLimits: Map<number, RateLimit> = new Map();

// The longest message of this chat fits easily. A client that sends a longer one is disconnected before all of it has arrived.
server.set({ package_max_length: 16 * 1024 });

// ---- HTTP: the page -------------------------------------------------------------------------------------------------

server.on("request", (request, response) => {
  const method = request.getMethod();
  if (request.server.path_info !== "/") {
    response.status(404);
    response.header("Content-Type", "text/plain; charset=utf-8");
    response.end("There is only one page here: /\n");
  } else if (method !== "GET" && method !== "HEAD") {
    response.status(405);
    response.header("Allow", "GET, HEAD");
    response.end();
  } else {
    for (const [name, value] of Object.entries(page.headers)) response.header(name, value);
    response.end(page.html); // for HEAD only the head is sent
  }
});

// ---- WebSocket: the conversation ------------------------------------------------------------------------------------

server.on("open", (_server, request) => {
  rateLimits.set(request.fd, new RateLimit());
});

server.on("message", (server, frame) => {
  const { fd } = frame;
  const rateLimit = rateLimits.get(fd)!;
  const message = readMessage(frame.data);
  const retryAfter = rateLimit.take(Date.now());

  if (rateLimit.isExhausted) {
    server.disconnect(fd, 1008, "too many messages"); // 1008: policy violation
  } else if (retryAfter > 0) {
    const id = message.type === "say" ? message.id : undefined;
    room.tell(fd, { ...problem("too_fast", "Slow down a little"), id, retryAfter });
  } else if (message.type === "error") {
    room.tell(fd, message);
  } else {
    room.handle(fd, message);
  }
});

// Called once for every connection, whichever side closed it. The server's own pings (the setting `websocket_ping_interval`) find
// dead connections, which end up here too.
server.on("close", (_server, fd) => {
  rateLimits.delete(fd);
  room.leave(fd);
});

// ---- start ----------------------------------------------------------------------------------------------------------

await server.start().catch(giveUp);
const others = HOST === "0.0.0.0" ? addressesOfThisMachine() : [];
const places = [
  `at http://localhost:${server.port}/`,
  ...others.map((address) => `for your phone at http://${address}:${server.port}/`),
];
console.log(`The chat is open ${places.join("\n  and ")}`);
