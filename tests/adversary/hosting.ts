/**
 * Servers controlled by tests of the client, over TCP and TLS.
 *
 * @module
 */

import net from "node:net";
import tls from "node:tls";
import { RawClient } from "../support/raw_client.ts";
import { certificate } from "../support/tls_client.ts";

/** The ways an end may leave: it closes its socket, resets it, or ends its side (over TLS with a close_notify). */
export type Leaving = "closes" | "resets" | "ends";

/** All ways to leave. */
export const LEAVINGS: readonly Leaving[] = ["closes", "resets", "ends"];

/** A listener. */
export interface Host {
  readonly port: number;
  close(): Promise<void>;
}

/** Listens on a free port of 127.0.0.1. */
async function listening(server: net.Server): Promise<Host> {
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/**
 * Relays connections to another port. TLS sockets cannot be reset, so their connections are reset here.
 *
 * @param meet Receives both sockets of each connection: the accepted one, and the one to the other port.
 */
export async function relaying(to: number, meet: (front: net.Socket, back: net.Socket) => void): Promise<Host> {
  const behind = new Set<net.Socket>();
  const host = await listening(net.createServer({ allowHalfOpen: true }, (front) => {
    const back = net.connect({ host: "127.0.0.1", port: to, allowHalfOpen: true });
    behind.add(back);
    front.setNoDelay(true);
    back.setNoDelay(true);
    back.on("error", () => front.destroy());
    front.on("error", () => back.destroy());
    front.on("close", () => back.destroy());
    back.on("close", () => {
      behind.delete(back);
      front.destroy();
    });
    front.pipe(back);
    back.pipe(front);
    meet(front, back);
  }));
  return {
    port: host.port,
    async close() {
      for (const socket of behind) socket.destroy();
      await host.close();
    },
  };
}

/**
 * Serves clients.
 *
 * @param ssl Whether to use TLS.
 * @param meet Receives each client, and a function that makes this end leave.
 */
export async function hosting(
  ssl: boolean,
  meet: (guest: RawClient, leave: (how: Leaving) => void) => Promise<void>,
): Promise<Host> {
  if (!ssl) {
    return await listening(net.createServer({ allowHalfOpen: true }, (socket) => {
      socket.setNoDelay(true);
      meet(new RawClient(socket), leavingBy(socket, socket)).catch(() => {}); // the client has disconnected
    }));
  }
  const fronts: net.Socket[] = [];
  const inner = await listening(tls.createServer({ ...certificate("cert"), allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    meet(new RawClient(socket), leavingBy(socket, fronts.shift()!)).catch(() => {});
  }));
  const outer = await relaying(inner.port, (front) => void fronts.push(front));
  return {
    port: outer.port,
    async close() {
      await outer.close();
      await inner.close();
    },
  };
}

function leavingBy(socket: net.Socket, front: net.Socket): (how: Leaving) => void {
  return (how) => {
    if (how === "ends") socket.end();
    else if (how === "closes") front.destroy();
    else front.resetAndDestroy();
  };
}
