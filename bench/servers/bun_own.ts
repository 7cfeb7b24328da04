// Bun's own server; the broadcast is its `publish()`.

import { bunOptions } from "./compression.mjs";
import { ready } from "./support.mjs";

interface BunWebSocket {
  readonly data: { readonly broadcast: boolean };
  send(message: string | Uint8Array, compress: boolean): number;
  subscribe(topic: string): void;
}

interface BunServer {
  readonly port: number;
  publish(topic: string, message: string | Uint8Array, compress: boolean): number;
  upgrade(request: Request, options: { data: BunWebSocket["data"] }): boolean;
}

interface BunApi {
  serve(options: {
    hostname: string;
    port: number;
    fetch(request: Request, server: BunServer): Response | undefined;
    websocket: {
      perMessageDeflate: false | { compress: string; decompress: string };
      open(socket: BunWebSocket): void;
      message(socket: BunWebSocket, message: string | Uint8Array): void;
    };
  }): BunServer;
}

const { Bun } = globalThis as unknown as { Bun: BunApi };

const compress = bunOptions !== false;
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    if (server.upgrade(request, { data: { broadcast: request.url.endsWith("/broadcast") } })) return;
    return new Response("WebSocket only", { status: 426 });
  },
  websocket: {
    perMessageDeflate: bunOptions,
    open(socket) {
      if (socket.data.broadcast) socket.subscribe("room");
    },
    message(socket, message) {
      if (socket.data.broadcast) server.publish("room", message, compress);
      else socket.send(message, compress);
    },
  },
});
ready(server.port);
