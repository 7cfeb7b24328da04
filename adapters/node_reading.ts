/**
 * Reading from sockets of Node into one memory.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import net from "node:net";

/**
 * The memory that all sockets read into, one after the other. It holds what the system's buffers of a connection usually do, so that
 * a large message is read at once.
 */
const memory = Buffer.allocUnsafeSlow(128 * 1024);

/** A socket, with what the option `onread` of `net.Socket` sets. */
type ReadingSocket = net.Socket & {
  readonly _handle?: { useUserBuffer?(memory: Uint8Array): void } | null;
  [key: symbol]: unknown;
};

/** The keys of what `onread` sets, if this Node has them. */
const keys: Keys | undefined = findKeys();

interface Keys {
  readonly buffer: symbol;
  readonly callback: symbol;
}

function findKeys(): Keys | undefined {
  if ("Deno" in globalThis || "Bun" in globalThis) return undefined; // these sockets are substitutes
  // Both are there, and null, in every socket without the option.
  const socket = new net.Socket() as ReadingSocket;
  const find = (name: string) =>
    Object.getOwnPropertySymbols(socket).find((key) => key.description === name && socket[key] === null);
  const [buffer, callback] = [find("kBuffer"), find("kBufferCb")];
  return buffer === undefined || callback === undefined ? undefined : { buffer, callback };
}

/**
 * Lets a socket read into memory that is shared, as with the option `onread`, which the sockets of a server cannot be given: for
 * each chunk, Node would allocate 64 KiB, cut them to its size, and go through a stream.
 *
 * @param onRead Called on the socket with the size of a chunk and the memory that begins with it, until it returns.
 * @returns Whether it does. Otherwise it emits `data`, as always.
 */
export function readShared(socket: net.Socket, onRead: (this: net.Socket, size: number, memory: Uint8Array) => void): boolean {
  const { _handle: handle, readableLength } = socket as ReadingSocket;
  if (keys === undefined || readableLength > 0 || typeof handle?.useUserBuffer !== "function") return false;
  (socket as ReadingSocket)[keys.buffer] = memory;
  (socket as ReadingSocket)[keys.callback] = onRead;
  handle.useUserBuffer(memory);
  // The stream now waits for a chunk for ever. Otherwise the first `resume()` would ask it for one in the next tick, and with that
  // start to read, although the socket may be paused by then.
  socket.read(0);
  return true;
}
