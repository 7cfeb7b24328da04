/**
 * Sockets, for adapters: their addresses, their number, and the TLS handshakes in progress on a listener.
 *
 * @module
 */

import type { Address, HandshakeGate } from "../src/transport/runtime.ts";
import { readFileSync } from "node:fs";
import type net from "node:net";

/** Returns the address of one end of a socket. Without a port, it is a unix socket. */
export function addressOf(hostname: string | undefined, port: number | undefined): Address {
  if (hostname === undefined || port === undefined) return { transport: "unix", hostname: hostname ?? "", port: 0 };
  return { transport: "tcp", hostname, port };
}

/** This many descriptors, or a tenth of all if that is more, are reserved for files and the program's own connections. */
const SPARE = 32;

/**
 * Returns the maximum number of connections for a listener, for runtimes that do not recover when the system has no descriptors
 * left; `Infinity` if the system does not report its limit.
 */
export function connectionLimit(): number {
  try {
    const found = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    const descriptors = found === null ? Infinity : Number(found[1]);
    return Math.max(1, Math.floor(Math.min(descriptors - SPARE, descriptors * 0.9)));
  } catch {
    return Infinity; // another system, or no permission
  }
}

/** Creates the error to report when the limit is reached. */
export function outOfDescriptors(limit: number): Error {
  return Object.assign(
    new Error(`Cannot accept more connections: ${limit} are open, and the process may not have many more files (ulimit -n)`),
    { code: "EMFILE" },
  );
}

/** The key of the counter in a socket. Keeping it there lets all sockets share their listener. */
const COUNTER: unique symbol = Symbol("counter");

type CountedSocket = net.Socket & { [COUNTER]?: { readonly counter: HandshakeCounter; readonly address: Address } | undefined };

/** A counter of sockets in a TLS handshake, between a listener and its gate. */
export class HandshakeCounter {
  readonly #gate: HandshakeGate | undefined;

  /** @param gate Decides which sockets are admitted. Without it, all are. */
  constructor(gate: HandshakeGate | undefined) {
    this.#gate = gate;
  }

  /** Reports whether a socket may start its handshake, and counts it until `leave()` or until it is closed. */
  enter(socket: net.Socket): boolean {
    const gate = this.#gate;
    if (gate === undefined) return true;
    const address = addressOf(socket.remoteAddress, socket.remotePort);
    if (!gate.enter(address)) return false;
    (socket as CountedSocket)[COUNTER] = { counter: this, address };
    socket.on("close", onClose);
    return true;
  }

  /** Called when the handshake of a socket is over. */
  leave(socket: net.Socket): void {
    const counted = (socket as CountedSocket)[COUNTER];
    if (counted === undefined) return;
    (socket as CountedSocket)[COUNTER] = undefined;
    socket.off("close", onClose);
    this.#gate!.leave(counted.address);
  }
}

function onClose(this: CountedSocket): void {
  this[COUNTER]?.counter.leave(this);
}
