/**
 * A chat with rooms. Clients with a token may enter, and are told who comes and goes, and what is said. A client that was away for a
 * while gets what was said meanwhile. It uses all cores; with Redis, any number of these servers are one chat.
 *
 * Start it with `deno run -A examples/rooms.ts`, `bun run examples/rooms.ts` or `node examples/rooms.ts`. Then, in the console of
 * a browser at http://localhost:9501/?name=Ada, which shows a token:
 * `ws = new WebSocket("/tea", ["rooms", document.body.innerText]); ws.onmessage = (event) => console.log(event.data)`, and
 * `ws.send("hello")`. To come back, add the position of the last message: `"/tea?offset=7&epoch=…"`.
 *
 * Set `WORKERS` to have another number of processes than there are processors. The master keeps the messages for all of them: kill a
 * worker, and no client that comes back misses a line.
 *
 * For several servers, install the package `redis`, and start each with another `PORT`, the same `SECRET`, and
 * `REDIS=redis://127.0.0.1:6379`.
 *
 * @module
 */

import { type Broker, memoryBroker, SWOOLE_PROCESS, WebSocketServer } from "../mod.ts";
import { redisBroker } from "../adapters/redis.ts";
import { giveUp, HOST, PORT, REDIS, SECRET, WORKERS } from "./environment.ts";

const server = new WebSocketServer<{ name: string }>(HOST, PORT, SWOOLE_PROCESS);
server.set({
  worker_num: WORKERS,
  websocket_subprotocol: "rooms",
  package_max_length: 4096,
  broker: await makeBroker(),
  // Everybody is told the position of each message, to come back with it.
  topic_envelope: (news, { offset, epoch }) => JSON.stringify({ ...JSON.parse(String(news)), offset, epoch }),
});

async function makeBroker(): Promise<Broker> {
  const kept = { "/*": { size: 100, ttl: 3600 } }; // a room is a path
  if (REDIS === "") return memoryBroker({ kept });
  const { createClient } = await import("redis");
  return redisBroker(createClient({ url: REDIS, ...redisBroker.options }), { kept });
}

const encoder = new TextEncoder();
const key = await crypto.subtle.importKey("raw", encoder.encode(SECRET), { name: "HMAC", hash: "SHA-256" }, false, [
  "sign",
  "verify",
]);

// Everybody gets a token here; your program asks for a password first.
server.on("request", async (request, response) => {
  const { name } = request.get;
  response.header("Content-Type", "text/plain");
  if (typeof name !== "string" || !/^\w{1,20}$/.test(name)) return response.status(400), response.end("Who are you? /?name=Ada");
  const signature = new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(name)));
  response.end(`${name}.${Array.from(signature, (byte) => byte.toString(16).padStart(2, "0")).join("")}`);
});

// A browser can send the token only as a second subprotocol, or in the URL, which is logged.
server.on("authenticate", async (request) => {
  const [, name = "", hex = ""] = /^rooms, *(\w+)\.(\w+)$/.exec(request.header["sec-websocket-protocol"] ?? "") ?? [];
  const signature = Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
  if (!await crypto.subtle.verify("HMAC", key, signature, encoder.encode(name))) return false;
  request.data.name = name;
  return encoder.encode(request.server.path_info).length <= 255; // a topic is not longer
});

server.on("open", async (server, request) => {
  const { fd, get: { offset, epoch }, server: { path_info: room }, data: { name } } = request;
  const since = typeof epoch === "string" ? { offset: Number(offset), epoch } : undefined;
  const begun = await server.subscribe(fd, room, { since });
  if (begun.status === "refused") return server.disconnect(fd, 1013, "try again later");
  server.show(fd, room, name);
  const here = server.members(room).members.map(({ key }) => key);
  server.push(fd, JSON.stringify({ room, here, ...begun }));
});

// Tells everybody in a room who comes and goes, at any of the servers.
server.on("presence", (server, { fds, joined, left }) => {
  const names = (members: typeof joined) => members.map(({ key }) => key);
  for (const fd of fds) server.push(fd, JSON.stringify({ joined: names(joined), left: names(left) }));
});

server.on("message", (server, frame) => {
  const news = JSON.stringify({ from: server.data(frame.fd)?.name, text: frame.text() });
  for (const room of server.topics(frame.fd)) server.publish(room, news);
});

// A client that has missed something is told so.
server.on("topicGap", (server, { fds, reason, offset, epoch }) => {
  for (const fd of fds) server.push(fd, JSON.stringify({ gap: reason, offset, epoch }));
});

await server.start().catch(giveUp);
console.log(`Get a token at http://localhost:${server.port}/?name=Ada, then enter a room: ws://localhost:${server.port}/tea`);
