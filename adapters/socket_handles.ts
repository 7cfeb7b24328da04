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
import type { BunListener, BunSocket } from "./bun_api.ts";

/** What is inside a socket or server of `node:net` in Node and Deno. */
export interface NetHandle {
  close(): void;
}

/** A socket of `node:net` that is sent, or has arrived. */
interface NetObject {
  _handle: unknown;
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
  readonly #close: () => void;

  /** @param close Closes it here. Copies in other processes stay. */
  constructor(native: Native, isListening: boolean, close: () => void) {
    this.native = native;
    this.isListening = isListening;
    this.#close = close;
  }

  close(): void {
    this.#close();
  }
}

/** A listening socket of Bun that accepts. Connections are held until somebody uses it. */
export class HoldingListener extends NativeHandle<BunListener> {
  readonly #held: Set<BunSocket>;

  constructor(native: BunListener) {
    const held: Set<BunSocket> = new Set();
    super(native, true, () => {
      native.stop(false);
      for (const socket of this.takeHeld()) socket.close();
    });
    this.#held = held;
    native.reload({
      socket: {
        open(socket: BunSocket) {
          socket.pause();
          held.add(socket);
        },
        close: (socket: BunSocket) => void held.delete(socket),
        data: ignore,
        drain: ignore,
        error: ignore,
        end: ignore,
      },
    });
  }

  /** Returns the sockets that it has accepted; they are the caller's. */
  takeHeld(): BunSocket[] {
    const held = [...this.#held];
    this.#held.clear();
    return held;
  }
}

function ignore(): void {}

/** Returns what has to be passed to `send()` of a channel for a socket. */
export function toSend({ native, isListening }: NativeHandle, toParent: boolean): unknown {
  if (!inBun) return native;
  const { Server, Socket } = (process as unknown as Builtins).getBuiltinModule("node:net");
  const envelope = isListening && !toParent ? new Server() : new Socket();
  (envelope as unknown as NetObject)._handle = native;
  return envelope;
}

/** Returns the socket that has arrived with a message, if there is one. */
export function received(arrived: unknown, isListening: boolean, fromParent: boolean): SocketHandle | undefined {
  if (arrived === undefined || arrived === null) return undefined;
  if (!inBun) return new NativeHandle(arrived, isListening, () => (arrived as NetHandle).close());
  const { _handle: native } = arrived as NetObject;
  if (native === null || native === undefined) return undefined; // it has been reset on its way
  if (isListening && fromParent) return new HoldingListener(native as BunListener);
  const socket = native as BunSocket;
  socket.pause();
  (arrived as net.Socket).pause().on("error", ignore);
  return new NativeHandle(socket, isListening, () => socket.close());
}
