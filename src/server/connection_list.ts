/**
 * `server.connections`.
 *
 * @module
 */

import type { ConnectionTable } from "./connection_table.ts";
import type { ClientInfo } from "./info.ts";

/**
 * The fds of all open connections of a server, oldest first.
 *
 * Connections may come and go while it is iterated.
 *
 * @example
 * ```ts
 * import { WebSocketServer } from "@sluice/server";
 *
 * const server = new WebSocketServer("127.0.0.1", 0);
 * for (const fd of server.connections) {
 *   if (server.isEstablished(fd)) server.push(fd, "to everybody");
 * }
 * ```
 */
export class ConnectionList implements Iterable<number> {
  readonly #table: () => ConnectionTable | undefined;
  readonly #info: (fd: number) => ClientInfo | false;

  /** Made by the server. */
  constructor(table: () => ConnectionTable | undefined, info: (fd: number) => ClientInfo | false) {
    this.#table = table;
    this.#info = info;
  }

  /** How many there are. */
  get size(): number {
    return this.#table()?.size ?? 0;
  }

  /** How many there are, as PHP's `count($server->connections)`. */
  count(): number {
    return this.size;
  }

  /** Whether a connection is among them. */
  has(fd: number): boolean {
    return this.#table()?.get(fd) !== undefined;
  }

  /** The same as `server.getClientInfo(fd)`. */
  get(fd: number): ClientInfo | false {
    return this.#info(fd);
  }

  /** The fds. */
  [Symbol.iterator](): IterableIterator<number> {
    return this.#table()?.fds() ?? [][Symbol.iterator]();
  }
}
