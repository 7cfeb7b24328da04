// Bytes back as they came, through what `node:net` documents. Sluice reads from the same sockets without a stream.

import net from "node:net";
import { ready } from "./support.mjs";

function echo(this: net.Socket, chunk: Uint8Array): void {
  this.write(chunk);
}

const server = net.createServer({ noDelay: true }, (socket) => {
  socket.on("data", echo);
  socket.on("error", () => {});
});
server.listen(0, "127.0.0.1", () => ready((server.address() as net.AddressInfo).port));
