/**
 * Datagrams, for all three adapters: all runtimes have `node:dgram`, which needs no flag in Deno, unlike `Deno.listenDatagram`.
 *
 * @module
 */

import dgram from "node:dgram";
import dns from "node:dns";
import net from "node:net";
import { sliceBytes } from "../src/transport/bytes.ts";
import type { DatagramOptions, DatagramSocket } from "../src/transport/runtime.ts";

class BoundSocket implements DatagramSocket {
  readonly address: DatagramSocket["address"];
  readonly #socket: dgram.Socket;
  #sending = 0;
  #idle: (() => void) | undefined = undefined; // called when no datagram is being sent any more

  constructor(socket: dgram.Socket) {
    const { address, port } = socket.address();
    this.address = { hostname: address, port };
    this.#socket = socket;
  }

  send(data: Uint8Array, hostname: string, port: number): Promise<void> {
    this.#sending++;
    return new Promise((resolve, reject) => {
      const done = (error?: unknown) => {
        if (--this.#sending === 0) this.#idle?.();
        if (error) reject(error); // null on success
        else resolve();
      };
      try {
        this.#socket.send(data, port, hostname, done);
      } catch (error) {
        done(error);
      }
    });
  }

  async close(): Promise<void> {
    this.#socket.removeAllListeners("message");
    if (this.#sending > 0) await new Promise<void>((resolve) => this.#idle = resolve);
    await new Promise<void>((resolve) => this.#socket.close(resolve));
  }
}

/** Implements `Runtime.listenDatagram()`. */
export function listenDatagram(
  { family, hostname, port, reusePort }: DatagramOptions,
  receive: (data: Uint8Array, hostname: string, port: number) => void,
  failed: (error: unknown) => void,
): Promise<DatagramSocket> {
  return new Promise((resolve, reject) => {
    const socket = dgram.createSocket({ type: family === 6 ? "udp6" : "udp4", reusePort, lookup: findAddress });
    socket.once("error", reject);
    socket.bind({ address: hostname, port }, () => {
      socket.off("error", reject).on("error", failed);
      socket.on("message", (data, { address, port }) => receive(sliceBytes(data, 0, data.length), address, port));
      resolve(new BoundSocket(socket));
    });
  });
}

/** Resolves a host name. IP addresses are returned at once: Node's own lookup would take another turn for each datagram. */
function findAddress(
  hostname: string,
  options: dns.LookupOneOptions,
  done: (error: NodeJS.ErrnoException | null, address: string, family: number) => void,
): void {
  const family = net.isIP(hostname);
  if (family === 0) dns.lookup(hostname, options, done);
  else done(null, hostname, family);
}
