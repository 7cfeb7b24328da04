/**
 * `server.connections`.
 *
 * @module
 */

import type { Connection } from "../connection.ts";
import type { ConnectionTable } from "./connection_table.ts";
import type { ClientInfo } from "./info.ts";

/**
 * The fds of all open connections of a server, or of one of its ports, oldest first.
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

  readonly #belongs: ((connection: Connection) => boolean) | undefined;

  /** Made by the server; with a test, if not all are meant. */
  constructor(
    table: () => ConnectionTable | undefined,
    info: (fd: number) => ClientInfo | false,
    belongs?: (connection: Connection) => boolean,
  ) {
    this.#table = table;
    this.#info = info;
    this.#belongs = belongs;
  }

  /** How many there are. */
  get size(): number {
    if (this.#belongs === undefined) return this.#table()?.size ?? 0;
    let size = 0;
    for (const _fd of this) size++;
    return size;
  }

  /** How many there are, as PHP's `count($server->connections)`. */
  count(): number {
    return this.size;
  }

  /** Whether a connection is among them. */
  has(fd: number): boolean {
    const connection = this.#table()?.get(fd);
    return connection !== undefined && (this.#belongs?.(connection) ?? true);
  }

  /** The same as `server.getClientInfo(fd)`. */
  get(fd: number): ClientInfo | false {
    return (this.#belongs === undefined || this.has(fd)) && this.#info(fd);
  }

  /** The fds. */
  [Symbol.iterator](): IterableIterator<number> {
    const table = this.#table();
    if (table === undefined) return [][Symbol.iterator]();
    return this.#belongs === undefined ? table.fds() : select(table, this.#belongs);
  }
}

function* select(table: ConnectionTable, belongs: (connection: Connection) => boolean): IterableIterator<number> {
  for (const connection of table.connections()) if (belongs(connection)) yield connection.fd;
}
