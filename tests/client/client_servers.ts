/**
 * Servers over real sockets that misbehave as a test of `HttpClient` tells them to.
 *
 * @module
 */

import net from "node:net";

/**
 * Runs a server while a test uses it.
 *
 * @param onConnection Handles each connection; errors of its socket are ignored.
 * @param work The test.
 */
export async function serverFor(
  onConnection: (socket: net.Socket, index: number) => void,
  work: (port: number, connections: () => number) => Promise<void>,
): Promise<void> {
  const sockets: net.Socket[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket.on("error", () => {}));
    onConnection(socket, sockets.length - 1);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await work((server.address() as net.AddressInfo).port, () => sockets.length);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Runs a server that sends the same response to each request without a body; `requests()` is everything that it has received. */
export async function answering(
  response: string | Uint8Array,
  work: (port: number, requests: () => string) => Promise<void>,
): Promise<void> {
  let received = "";
  await serverFor((socket) => {
    let pending = "";
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      pending += chunk.toString("latin1");
      for (let end = pending.indexOf("\r\n\r\n"); end >= 0; end = pending.indexOf("\r\n\r\n")) {
        pending = pending.slice(end + 4);
        socket.write(response);
      }
    });
    socket.on("end", () => socket.end());
  }, (port) => work(port, () => received));
}
