/**
 * A chat with rooms: whoever has a token may enter, and hears who comes, goes and speaks.
 *
 * Start it with `deno run -A examples/rooms.ts`, `bun run examples/rooms.ts` or `node examples/rooms.ts`. Then, in the console of
 * a browser at http://localhost:9501/?name=Ada, which shows a token:
 * `ws = new WebSocket("/tea", ["rooms", document.body.innerText]); ws.onmessage = (event) => console.log(event.data)`, and
 * `ws.send("hello")`.
 *
 * @module
 */

import { WebSocketServer } from "../mod.ts";
import { giveUp, HOST, PORT } from "./environment.ts";

const server = new WebSocketServer<{ name: string }>(HOST, PORT);
server.set({ websocket_subprotocol: "rooms", package_max_length: 4096 });

const key = await crypto.subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
const encoder = new TextEncoder();

// Everybody gets a token here; your program asks for a password first.
server.on("request", async (request, response) => {
  const { name } = request.get;
  response.header("Content-Type", "text/plain");
  if (typeof name !== "string" || !/^\w{1,20}$/.test(name)) return response.status(400), response.end("Who are you? /?name=Ada");
  const signature = new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(name)));
  response.end(`${name}.${Array.from(signature, (byte) => byte.toString(16).padStart(2, "0")).join("")}`);
});

// A browser can send the token only as a second subprotocol, or in the URL, which is logged.
server.on("authenticate", async (request, _response, server) => {
  const [, name = "", hex = ""] = /^rooms, *(\w+)\.(\w+)$/.exec(request.header["sec-websocket-protocol"] ?? "") ?? [];
  const signature = Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
  if (!await crypto.subtle.verify("HMAC", key, signature, encoder.encode(name))) return false;
  request.data.name = name;
  return server.subscribe(request.fd, request.server.path_info); // the path is the room; a topic has at most 255 bytes
});

server.on("open", (server, request) => {
  const [room] = server.topics(request.fd);
  const here = [...server.connections].filter((fd) => server.topics(fd).includes(room));
  server.push(request.fd, JSON.stringify({ room, here: here.map((fd) => server.data(fd)?.name) }));
  server.publish(room, JSON.stringify({ joined: request.data.name }), { except: request.fd });
});

server.on("message", (server, frame) => {
  const news = JSON.stringify({ from: server.data(frame.fd)?.name, text: frame.text() });
  for (const room of server.topics(frame.fd)) server.publish(room, news);
});

server.on("close", (server, fd, _reactorId, { data }) => {
  for (const room of server.topics(fd)) server.publish(room, JSON.stringify({ left: data?.name }));
});

await server.start().catch(giveUp);
console.log(`Get a token at http://localhost:${server.port}/?name=Ada, then enter a room: ws://localhost:${server.port}/tea`);
