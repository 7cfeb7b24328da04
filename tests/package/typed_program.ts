// An application in TypeScript. It is compiled only; a line with "@ts-expect-error" has to be an error.

import { type CloseInfo, fromFetch, type HttpRequest, type HttpResponse, WebSocketServer } from "@sluice/server";
import { HttpClient, HttpServer } from "@sluice/server/coroutine";
import { runtime as bun } from "@sluice/server/bun";
import { runtime as deno } from "@sluice/server/deno";
import { runtime as node } from "@sluice/server/node";

const server = new WebSocketServer("127.0.0.1", 9501);
server.set({ package_max_length: 1024, websocket_origins: ["https://example.com"] });
server.on("open", (server, request) => {
  const fd: number = request.fd;
  server.push(fd, new Uint8Array(1));
});
server.on("message", (server, frame) => {
  const data: string | Uint8Array = frame.data;
  const pushed: boolean = server.push(frame.fd, data);
  return pushed;
});
server.on("request", (request: HttpRequest, response: HttpResponse) => {
  response.end(request.getMethod());
});
server.on("request", fromFetch(() => new Response("hello")));
server.on("close", (_server, _fd, _reactorId, info: CloseInfo) => console.log(info.code));

const started: Promise<unknown> = server.start();
const names: string[] = [bun.name, deno.name, node.name];

// @ts-expect-error The setting has another name.
server.set({ packageMaxLength: 1024 });
// @ts-expect-error The setting is a number.
server.set({ package_max_length: "1024" });
// @ts-expect-error There is no such event.
server.on("messages", () => {});

const coroutines = new HttpServer("127.0.0.1");
coroutines.handle("/", async (_request, ws) => {
  if (!await ws.upgrade()) return;
  const frame = await ws.recv();
  if (frame) await ws.push(frame);
});

export async function ask(): Promise<string> {
  const client = new HttpClient("127.0.0.1", 80);
  await client.get("/");
  return client.body + names.join(" ") + String(await started);
}
