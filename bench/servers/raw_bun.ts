// The ceiling in Bun: bytes back as they came, through `Bun.listen()`.

import { ready } from "./support.mjs";

interface BunSocket {
  data: Uint8Array | undefined; // what the kernel did not take yet
  write(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
}

interface BunApi {
  listen(options: {
    hostname: string;
    port: number;
    socket: { data(socket: BunSocket, chunk: Uint8Array): void; drain(socket: BunSocket): void };
  }): { readonly port: number };
}

function send(socket: BunSocket, chunk: Uint8Array): void {
  const count = Math.max(0, socket.write(chunk));
  const done = count === chunk.length;
  if (!done) socket.pause();
  else if (socket.data !== undefined) socket.resume();
  socket.data = done ? undefined : chunk.subarray(count);
}

const { Bun } = globalThis as unknown as { Bun: BunApi };

const listener = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    data: send,
    drain(socket) {
      if (socket.data !== undefined) send(socket, socket.data);
    },
  },
});
ready(listener.port);
