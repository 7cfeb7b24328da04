/**
 * What `node:tls` runs over in Deno: there, a TLS socket that is paused goes on reading from the network without limit, and
 * forgets the end when that arrives meanwhile. So the TLS socket is never paused, but the socket below it is, and since Deno
 * would read that one natively, past its `pause()`, this stands between the two.
 *
 * @module
 */

import type net from "node:net";
import { Duplex } from "node:stream";

/** The octets of a socket, as they come, for as long as the socket is not paused. */
export function transportOver(socket: net.Socket): Duplex {
  const transport = new Duplex({
    allowHalfOpen: true,
    read() {}, // whoever pauses, pauses the socket
    write: (chunk, encoding, done) => void socket.write(chunk, encoding, done),
    final: (done) => void socket.end(done),
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  socket.on("data", (chunk) => transport.push(chunk)).on("end", () => transport.push(null));
  socket.on("error", (error) => transport.destroy(error)).on("close", () => transport.destroy());
  return transport;
}
