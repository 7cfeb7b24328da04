/**
 * The connections of a server as its query methods show them: `connections` and `getClientInfo()`.
 *
 * @module
 */

import type { KnownConnection } from "../cluster/directory.ts";
import type { Peers } from "../cluster/peers.ts";
import { slotOf, SLOTS } from "../cluster/slots.ts";
import type { ConnectionTable } from "../transport/connection_table.ts";
import type { PortCore } from "./port_core.ts";

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
  /** The number of the worker that has the connection; only for connections of other processes. */
  worker_id?: number;
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
  readonly #connections: ConnectionSource;
  readonly #info: (fd: number) => ClientInfo | false;
  readonly #port: PortCore | undefined;

  /** Created by the server; `port` selects the connections of one port. */
  constructor(connections: ConnectionSource, info: (fd: number) => ClientInfo | false, port?: PortCore) {
    this.#connections = connections;
    this.#info = info;
    this.#port = port;
  }

  /** The number of connections. */
  get size(): number {
    const { table, peers } = this.#connections;
    if (this.#port === undefined) return (table?.size ?? 0) + (peers?.size ?? 0);
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
    const { table, peers } = this.#connections;
    const connection = table?.get(fd);
    const port = this.#port;
    if (connection !== undefined) return port === undefined || connection.origin === port;
    const known = peers?.get(fd);
    return known !== undefined && (port === undefined || known.port === port.index);
  }

  /** Returns the same as `server.getClientInfo(fd)`; `false` for a connection that is not in the list. */
  get(fd: number): ClientInfo | false {
    return (this.#port === undefined || this.has(fd)) && this.#info(fd);
  }

  /** Iterates over the fds. */
  [Symbol.iterator](): IterableIterator<number> {
    return fdsAfter(this.#connections, 0, this.#port);
  }
}

/** Where connections are listed: those of this process, and those of others. */
export interface ConnectionSource {
  readonly table: ConnectionTable | undefined;
  readonly peers: Peers | undefined;
}

/**
 * Returns the fds of open connections: of each process those that are open, oldest first, one process after the other, in the same
 * order in all of them.
 *
 * @param after The fd after which to begin; 0 for the beginning.
 * @param port The only port whose connections are listed, if not all are.
 */
export function fdsAfter({ table, peers }: ConnectionSource, after: number, port?: PortCore): IterableIterator<number> {
  if (peers !== undefined) return fdsOfAll(table, peers, after, port);
  if (table === undefined) return [][Symbol.iterator]();
  return after === 0 && port === undefined ? table.fds() : fdsOf(table, after, port);
}

function* fdsOf(table: ConnectionTable, after: number, port: PortCore | undefined): IterableIterator<number> {
  for (const { fd, origin } of table.connections()) {
    if (fd > after && (port === undefined || origin === port)) yield fd;
  }
}

function* fdsOfAll(table: ConnectionTable | undefined, peers: Peers, after: number, port?: PortCore): IterableIterator<number> {
  const first = after === 0 ? 0 : slotOf(after);
  for (let slot = first; slot < SLOTS; slot++) {
    const last = slot === first ? after : 0;
    if (slot === peers.slot) {
      if (table !== undefined) yield* fdsOf(table, last, port);
      continue;
    }
    for (const known of peers.connectionsOf(slot)) {
      if (known.fd > last && (port === undefined || known.port === port.index)) yield known.fd;
    }
  }
}

/** Describes a connection of another process, which has told the others no more than this. */
export function remoteInfo(known: KnownConnection, port: PortCore, workerId: number): ClientInfo {
  const { uid, remotePort, address, connectTime } = known;
  return {
    ...(uid === undefined ? {} : { uid }),
    server_port: port.boundPort || port.place!.port,
    socket_type: port.place!.type!,
    remote_port: remotePort,
    remote_ip: address,
    reactor_id: 0,
    worker_id: workerId,
    connect_time: Math.floor(connectTime / 1000),
    last_time: 0,
    last_recv_time: 0,
    last_send_time: 0,
    last_dispatch_time: 0,
    close_errno: 0,
    recv_queued_bytes: 0,
    send_queued_bytes: 0,
  };
}
