/**
 * Sockets, for adapters: their addresses, their number, the TLS handshakes in progress on a listener, and the preambles of proxies.
 *
 * @module
 */

import { LONGEST_DELAY } from "../src/transport/deadlines.ts";
import type { AcceptGate, Address, HandshakeGate, PreambleGate } from "../src/transport/runtime.ts";
import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import type net from "node:net";

/** Returns the address of one end of a socket. Without a port, it is a unix socket. */
export function addressOf(hostname: string | undefined, port: number | undefined): Address {
  if (hostname === undefined || port === undefined) return { transport: "unix", hostname: hostname ?? "", port: 0 };
  return { transport: "tcp", hostname, port };
}

/**
 * Returns the address of a listener if it is that of all its connections, so that they need not be asked, which takes a system call.
 */
export function commonAddress(address: Address): Address | undefined {
  return isIPv4(address.hostname) && address.hostname !== "0.0.0.0" ? address : undefined;
}

/** The addresses of a connection that a proxy passes on. */
interface ProxiedEnds {
  readonly remote: Address | undefined;
  readonly local: Address | undefined;
}

/** The key of these addresses in a socket. */
const ENDS: unique symbol = Symbol("ends");

type ProxiedSocket = net.Socket & { [ENDS]?: ProxiedEnds | undefined };

/** Returns the address of the peer of a socket, or of its client if a proxy has told it. */
export function remoteAddressOf(socket: net.Socket): Address {
  return (socket as ProxiedSocket)[ENDS]?.remote ?? addressOf(socket.remoteAddress, socket.remotePort);
}

/** Returns the local address of a socket, if it is not known, or the one that the client of a proxy has connected to. */
export function localAddressOf(socket: net.Socket, known?: Address): Address {
  return (socket as ProxiedSocket)[ENDS]?.local ?? known ?? addressOf(socket.localAddress, socket.localPort);
}

/** Reports whether the peer of a socket is a proxy that has not told an IP address of its client. */
export function hidesClient(socket: net.Socket): boolean {
  const ends = (socket as ProxiedSocket)[ENDS];
  return ends !== undefined && ends.remote?.transport !== "tcp";
}

/** Gives a TLS socket the addresses of the socket below it. */
export function inheritEnds(socket: net.Socket, below: net.Socket): void {
  const ends = (below as ProxiedSocket)[ENDS];
  if (ends !== undefined) (socket as ProxiedSocket)[ENDS] = ends;
}

/**
 * Returns a function that reads the preamble of an accepted socket. Sockets that are refused, end or take too long are destroyed.
 *
 * @param isTcp Whether the sockets are those of TCP, which have an address.
 * @param timeout The maximum duration of a preamble, in milliseconds; 0 means no limit.
 * @param counter Counts the sockets with the gate.
 * @param next Called with the socket, which is paused, when its preamble is complete.
 */
export function afterPreamble(
  gate: PreambleGate,
  isTcp: boolean,
  timeout: number,
  counter: HandshakeCounter,
  next: (socket: net.Socket) => void,
): (socket: net.Socket) => void {
  return (socket) => {
    socket.on("error", ignore);
    const hasGone = isTcp && socket.remoteAddress === undefined; // it was reset before it was accepted, as by the check of a proxy
    if (hasGone || !counter.enter(socket)) return void socket.destroy();
    const preamble = gate.begin(remoteAddressOf(socket));
    const settle = () => {
      clearTimeout(timer);
      socket.off("data", hear).off("end", lose).off("close", lose);
    };
    const lose = () => {
      settle();
      socket.destroy();
      if (!counter.isClosed) preamble.onMissing(false);
    };
    const expire = () => {
      settle();
      socket.destroy();
      preamble.onMissing(true);
    };
    const hear = (chunk: Uint8Array) => {
      const taken = preamble.receive(chunk);
      if (taken === -1) return;
      settle();
      if (taken === undefined) return void socket.destroy();
      socket.off("error", ignore).pause();
      if (taken < chunk.length) socket.unshift(chunk.subarray(taken));
      (socket as ProxiedSocket)[ENDS] = { remote: preamble.remoteAddress, local: preamble.localAddress };
      counter.leave(socket);
      next(socket);
    };
    const timer = timeout > 0 ? setTimeout(expire, Math.min(timeout, LONGEST_DELAY)) : undefined;
    socket.on("data", hear).on("end", lose).on("close", lose);
  };
}

/**
 * Returns a function that lets an accepted socket wait for its turn. Those that are refused are destroyed.
 *
 * @param next Called with the socket when it is its turn, unless it is destroyed.
 */
export function afterWaiting(gate: AcceptGate | undefined, next: (socket: net.Socket) => void): (socket: net.Socket) => void {
  if (gate === undefined) return next;
  return (socket) => {
    socket.on("error", ignore);
    const begin = () => {
      socket.off("error", ignore);
      if (!socket.destroyed) next(socket);
      return !socket.destroyed;
    };
    if (!gate.enter(remoteAddressOf(socket), begin)) socket.destroy();
  };
}

function ignore(): void {}

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

/** The sockets of a listener that are in a TLS handshake, or whose preamble has yet to come: counted by its gate. */
export class HandshakeCounter {
  readonly #gate: HandshakeGate | undefined;
  readonly #sockets: Set<net.Socket> = new Set();
  #waiting: (() => void)[] = [];
  /** Whether the listener is closed. */
  isClosed = false;

  /** @param gate Decides which sockets are admitted. Without it, all are. */
  constructor(gate: HandshakeGate | undefined) {
    this.#gate = gate;
  }

  /** Reports whether a socket may start its handshake, and counts it until `leave()` or until it is closed. */
  enter(socket: net.Socket): boolean {
    const address = remoteAddressOf(socket);
    if (this.isClosed || this.#gate?.enter(address) === false) return false;
    (socket as CountedSocket)[COUNTER] = { counter: this, address };
    this.#sockets.add(socket);
    socket.on("close", onClose);
    return true;
  }

  /** Called when the handshake of a socket is over. */
  leave(socket: net.Socket): void {
    const counted = (socket as CountedSocket)[COUNTER];
    if (counted === undefined) return;
    (socket as CountedSocket)[COUNTER] = undefined;
    this.#sockets.delete(socket);
    socket.off("close", onClose);
    this.#gate?.leave(counted.address);
    if (this.#sockets.size === 0) { for (const resolve of this.#waiting.splice(0)) resolve(); }
  }

  /** Resolves when there are no such sockets. */
  settled(): Promise<void> {
    return this.#sockets.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Destroys all sockets, because the listener is closed: nobody accepts them any more. */
  close(): void {
    this.isClosed = true;
    for (const socket of this.#sockets) socket.destroy();
  }
}

function onClose(this: CountedSocket): void {
  this[COUNTER]?.counter.leave(this);
}
