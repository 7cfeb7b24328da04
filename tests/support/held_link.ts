/**
 * A slow connection for tests.
 *
 * @module
 */

import net from "node:net";

/** A connection to a server, which holds what the client sends behind the first bytes of the server. */
export class HeldLink {
  /** The port for the client. */
  port = 0;
  /** Resolves when the server has sent something. */
  readonly heard: Promise<void>;
  readonly #acceptor: net.Server;
  readonly #sockets: net.Socket[] = [];
  #held: Uint8Array[] = [];
  #isHolding = false;
  #hear = () => {};

  /** @param port The port of the server on 127.0.0.1. */
  private constructor(port: number) {
    this.heard = new Promise((resolve) => this.#hear = resolve);
    this.#acceptor = net.createServer((client) => {
      this.#acceptor.close();
      const server = net.connect(port, "127.0.0.1");
      this.#sockets.push(client, server);
      client.on("data", (chunk) => void (this.#isHolding ? this.#held.push(chunk) : server.write(chunk)));
      server.once("data", () => {
        this.#isHolding = true;
        this.#hear();
      });
      server.on("data", (chunk) => void client.write(chunk)).on("end", () => client.end());
      for (const socket of this.#sockets) socket.on("error", () => this.close());
    });
  }

  /** Makes a connection, to which one client can connect. */
  static to(port: number): Promise<HeldLink> {
    const link = new HeldLink(port);
    return new Promise((resolve) => {
      link.#acceptor.listen(0, "127.0.0.1", () => {
        link.port = (link.#acceptor.address() as net.AddressInfo).port;
        resolve(link);
      });
    });
  }

  /** Passes on everything that is held, and what comes. */
  pass(): void {
    this.#isHolding = false;
    for (const chunk of this.#held.splice(0)) this.#sockets[1].write(chunk);
  }

  /** Closes both ends. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
