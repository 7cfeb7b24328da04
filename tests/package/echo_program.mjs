// A server and a client in both styles, as an application that has installed the package.

import {
  fromFetch,
  SWOOLE_WEBSOCKET_FLAG_COMPRESS,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  WEBSOCKET_OPCODE_TEXT,
  WebSocketServer,
} from "@sluice/server";
import { HttpClient, HttpServer } from "@sluice/server/coroutine";

const text = "Hello ".repeat(100);

/** Sends a compressed message, and returns how it comes back. */
async function ask(port, path) {
  const client = new HttpClient("127.0.0.1", port);
  client.set({ websocket_compression: true });
  if (!await client.upgrade(path)) throw new Error(client.errMsg);
  await client.push(text, WEBSOCKET_OPCODE_TEXT, SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_COMPRESS);
  const frame = await client.recv(10);
  client.disconnect();
  if (!frame || frame.data !== text) throw new Error(`${client.errMsg}${frame.data}`);
  return frame.flags & SWOOLE_WEBSOCKET_FLAG_COMPRESS ? "compressed" : "not compressed";
}

const events = new WebSocketServer("127.0.0.1", 0);
events.set({ websocket_compression: true });
events.on("message", (server, frame) => server.push(frame.fd, frame));
events.on("request", fromFetch((request) => new Response(`page ${new URL(request.url).pathname}`)));
await events.start();

const coroutines = new HttpServer("127.0.0.1", 0);
coroutines.set({ websocket_compression: true });
coroutines.handle("/echo", async (_request, ws) => {
  await ws.upgrade();
  for (let frame = await ws.recv(); frame && frame.opcode !== 8; frame = await ws.recv()) await ws.push(frame);
});
await coroutines.start();

console.log(`event style: ${await ask(events.port, "/")}`);
console.log(`coroutine style: ${await ask(coroutines.port, "/echo")}`);
console.log(`fetch: ${await (await fetch(`http://127.0.0.1:${events.port}/x`)).text()}`);

events.shutdown();
coroutines.shutdown();
await Promise.all([events.finished, coroutines.finished]);
console.log("done");
