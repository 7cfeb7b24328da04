/**
 * Sockets that go from one process to another, with what each runtime makes of a descriptor that arrives.
 *
 * Node and Deno send what is inside a socket of `node:net`, and it arrives the same way: it does nothing until somebody uses it.
 * Bun sends the objects of `node:net` only, but does not look inside: a listener or socket of its own may be in there, and what
 * arrives has one of its own. There, a listening socket goes to a parent disguised as a connected one that is paused, because
 * one that arrives as it is accepts at once.
 *
 * @module
 */

import type net from "node:net";
import process from "node:process";
import type { SocketHandle } from "../src/transport/processes.ts";
import type { BunListener, BunSocket, BunSocketHandlers } from "./bun_api.ts";

/** What is inside a socket or server of `node:net` in Node and Deno. */
export interface NetHandle {
  close(): void;
}

interface Builtins {
  getBuiltinModule(name: "node:net"): typeof net;
}

const inBun = "Bun" in globalThis;

/** A socket that can be sent, with its object in the runtime. */
export class NativeHandle<Native = unknown> implements SocketHandle {
  /** The object of the runtime. */
  readonly native: Native;
  /** Whether it is a listening socket. */
  readonly isListening: boolean;
  /** The object of `node:net` that it has arrived in, in Bun. */
  readonly arrived: net.Socket | undefined;
  readonly #close: () => void;

  /** @param close Closes it here. Copies in other processes stay. */
  constructor(native: Native, isListening: boolean, close: () => void, arrived?: net.Socket) {
    this.native = native;
    this.isListening = isListening;
    this.arrived = arrived;
    this.#close = close;
  }

  close(): void {
    this.#close();
  }
}

/** A listening socket that has arrived in Bun, where it accepts at once. Connections are held until somebody uses it. */
export class ArrivedListener extends NativeHandle<BunListener> {
  /** The object of `node:net` that it has arrived in. */
  readonly server: net.Server;
  #held: net.Socket[] = [];
  readonly #hold = (socket: net.Socket) => void this.#held.push(socket.on("error", ignore));

  constructor(server: net.Server) {
    const { _handle: native } = server as unknown as { _handle: BunListener };
    super(native, true, () => {
      server.close();
      for (const socket of this.#held.splice(0)) socket.destroy();
    });
    this.server = server;
    Object.assign(server, { pauseOnConnect: true, allowHalfOpen: true });
    server.on("connection", this.#hold);
  }

  /** Uses it: calls back for each connection, which is paused. */
  use(call: (socket: net.Socket) => void): void {
    this.server.off("connection", this.#hold).on("connection", call);
    for (const socket of this.#held.splice(0)) call(socket.off("error", ignore));
  }

  /** Uses it without `node:net`: with functions for the events of Bun's sockets. */
  useNatively<Data>(handlers: BunSocketHandlers<Data>): void {
    this.server.off("connection", this.#hold);
    this.native.reload({ socket: handlers });
    for (const socket of this.#held.splice(0)) adopt(nativeOf<BunSocket<Data>>(socket), handlers);
  }
}

/** Lets functions receive the events of a socket that is paused, as if it had just been accepted. */
export function adopt<Data>(socket: BunSocket<Data> | null, handlers: BunSocketHandlers<Data>): void {
  if (socket === null) return; // it has been reset
  socket.resume();
  handlers.open?.(socket);
}

function nativeOf<Native>(object: net.Socket): Native | null {
  return (object as unknown as { _handle: Native | null })._handle;
}

function ignore(): void {}

/** Returns what has to be passed to `send()` of a channel for a socket. */
export function toSend({ native, isListening }: NativeHandle, toParent: boolean): unknown {
  if (!inBun) return native;
  const { Server, Socket } = (process as unknown as Builtins).getBuiltinModule("node:net");
  const envelope = isListening && !toParent ? new Server() : new Socket();
  return Object.assign(envelope, { _handle: native });
}

/** Returns the socket that has arrived with a message, if there is one. */
export function received(arrived: unknown, isListening: boolean, fromParent: boolean): SocketHandle | undefined {
  if (arrived === undefined || arrived === null) return undefined;
  if (!inBun) return new NativeHandle(arrived, isListening, () => (arrived as NetHandle).close());
  if (isListening && fromParent) return new ArrivedListener(arrived as net.Server);
  const socket = arrived as net.Socket;
  const native = nativeOf<BunSocket>(socket);
  if (native === null) return undefined; // it has been reset on its way
  native.pause();
  socket.pause().on("error", ignore);
  return new NativeHandle(native, isListening, () => native.close(), socket);
}
