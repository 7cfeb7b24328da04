/**
 * The connections of a server as its query methods show them: `connections` and `getClientInfo()`.
 *
 * @module
 */

import type { Connection } from "../transport/connection.ts";
import type { ConnectionTable } from "../transport/connection_table.ts";

/** The result of `getClientInfo()`. Times are in seconds since 1970. */
export interface ClientInfo {
  /** The state of the WebSocket, `WEBSOCKET_STATUS_*`; only on a `WebSocketServer`, where plain HTTP has 0. */
  websocket_status?: number;
  /** The number set with `bind()`, if any. */
  uid?: number;
  /** The server's port. */
  server_port: number;
  /** The `SWOOLE_SOCK_*` type of the server's port. */
  socket_type: number;
  /** The peer's port. */
  remote_port: number;
  /** The peer's address. */
  remote_ip: string;
  /** Always 0. */
  reactor_id: number;
  /** When the connection was accepted, in whole seconds. */
  connect_time: number;
  /** When bytes last arrived, in whole seconds. */
  last_time: number;
  /** When bytes last arrived. */
  last_recv_time: number;
  /** When bytes were last sent; 0 for never. */
  last_send_time: number;
  /** Always the same as `last_recv_time`: input is handled at once. */
  last_dispatch_time: number;
  /** Always 0 on an open connection. */
  close_errno: number;
  /** The number of bytes received but not yet handled. */
  recv_queued_bytes: number;
  /** The number of bytes queued to be sent. */
  send_queued_bytes: number;
  /**
   * The client's certificate in PEM format, if one was requested (`ssl_verify_peer`, `ssl_client_cert_file`) and sent. It is
   * verified only with `ssl_verify_peer`.
   */
  ssl_client_cert?: string;
}

/**
 * The fds of all open connections of a server, or of one of its ports, oldest first.
 *
 * Connections may open and close during iteration.
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

  /** Created by the server; `belongs` selects the connections of one port. */
  constructor(
    table: () => ConnectionTable | undefined,
    info: (fd: number) => ClientInfo | false,
    belongs?: (connection: Connection) => boolean,
  ) {
    this.#table = table;
    this.#info = info;
    this.#belongs = belongs;
  }

  /** The number of connections. */
  get size(): number {
    if (this.#belongs === undefined) return this.#table()?.size ?? 0;
    let size = 0;
    for (const _fd of this) size++;
    return size;
  }

  /** Returns the number of connections, like PHP's `count($server->connections)`. */
  count(): number {
    return this.size;
  }

  /** Reports whether a connection is in the list. */
  has(fd: number): boolean {
    const connection = this.#table()?.get(fd);
    return connection !== undefined && (this.#belongs?.(connection) ?? true);
  }

  /** Returns the same as `server.getClientInfo(fd)`; `false` for a connection that is not in the list. */
  get(fd: number): ClientInfo | false {
    return (this.#belongs === undefined || this.has(fd)) && this.#info(fd);
  }

  /** Iterates over the fds. */
  [Symbol.iterator](): IterableIterator<number> {
    const table = this.#table();
    if (table === undefined) return [][Symbol.iterator]();
    return this.#belongs === undefined ? table.fds() : select(table, this.#belongs);
  }
}

function* select(table: ConnectionTable, belongs: (connection: Connection) => boolean): IterableIterator<number> {
  for (const connection of table.connections()) if (belongs(connection)) yield connection.fd;
}
