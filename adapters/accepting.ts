/**
 * Accepting connections for other processes, for all three adapters. Nothing is read from them.
 *
 * @module
 */

import net from "node:net";
import type { ProcessControl } from "../src/transport/processes.ts";
import type { BunApi } from "./bun_api.ts";
import { NativeHandle, type NetHandle } from "./socket_handles.ts";
import { addressOf, connectionLimit, outOfDescriptors, remoteAddressOf } from "./sockets.ts";

type Accepting = Parameters<ProcessControl["acceptSockets"]>;

/** Implements `ProcessControl.acceptSockets()`. */
export function acceptSockets(...accepting: Accepting): ReturnType<ProcessControl["acceptSockets"]> {
  return "Bun" in globalThis ? acceptInBun(...accepting) : acceptInNode(...accepting);
}

function acceptInNode(...[options, accept, failed]: Accepting): ReturnType<ProcessControl["acceptSockets"]> {
  const { transport, hostname, port, backlog } = options;
  return new Promise((resolve, reject) => {
    const server = net.createServer({ pauseOnConnect: true }, (socket) => {
      socket.on("error", () => {});
      const { _handle: native } = socket as unknown as { _handle: NetHandle | null };
      // What has been reset has no address, or nothing inside.
      if (native === null || (transport === "tcp" && socket.remoteAddress === undefined)) return void socket.destroy();
      accept(new NativeHandle(native, false, () => socket.destroy()), remoteAddressOf(socket));
    });
    const limit = connectionLimit();
    if (limit < Infinity) {
      server.maxConnections = limit;
      server.on("drop", () => failed(outOfDescriptors(limit)));
    }
    server.once("error", reject);
    server.listen(transport === "unix" ? { path: hostname, backlog } : { host: hostname, port, backlog }, () => {
      server.off("error", reject).on("error", failed);
      const bound = server.address() as net.AddressInfo;
      const address = transport === "unix" ? addressOf(hostname, undefined) : addressOf(bound.address, bound.port);
      resolve({ address, close: () => void server.close() });
    });
  });
}

// deno-lint-ignore require-await
async function acceptInBun(...[options, accept, failed]: Accepting): ReturnType<ProcessControl["acceptSockets"]> {
  const { Bun } = globalThis as unknown as { Bun: BunApi };
  const { transport, hostname, port } = options;
  const limit = connectionLimit();
  let open = 0;
  const nothing = () => {};
  const listener = Bun.listen({
    ...(transport === "unix" ? { unix: hostname } : { hostname, port }),
    allowHalfOpen: true,
    socket: {
      open(socket) {
        open++;
        socket.timeout(0);
        socket.pause();
        if (open > limit) {
          failed(outOfDescriptors(limit));
          return socket.close();
        }
        const { remoteAddress, remotePort } = socket;
        const address = addressOf(remoteAddress, remotePort);
        if (address.transport !== transport) return socket.close(); // it has been reset, and lacks one of the two
        accept(new NativeHandle(socket, false, () => socket.close()), address);
      },
      close: () => void open--,
      data: nothing,
      drain: nothing,
      end: nothing,
      error: nothing,
    },
  });
  const address = transport === "unix" ? addressOf(hostname, undefined) : addressOf(hostname, listener.port);
  return { address, close: () => listener.stop(false) };
}
