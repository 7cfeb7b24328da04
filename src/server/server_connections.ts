/**
 * The methods of a server that concern connections.
 *
 * @module
 */

import { type ConnectionData, timedOut } from "../transport/connection_end.ts";
import { SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_NO_PAYLOAD, SWOOLE_ERROR_SESSION_NOT_EXIST } from "../errors.ts";
import { ServerCore } from "./core.ts";
import { type ClientInfo, fdsAfter, remoteInfo } from "./connection_list.ts";
import type { ServerContext } from "./server_context.ts";
import { closeConnection } from "./own_process.ts";
import { portOf } from "./port_core.ts";
import { RawSession } from "./raw/raw_session.ts";
import { sentBytes, transferred } from "../values.ts";
import type { Connection } from "../transport/connection.ts";
import { copyFile, type FileSource } from "../transport/file_pieces.ts";
import { loadRuntime } from "../transport/current_runtime.ts";
import { EIO, systemCode } from "../transport/system_codes.ts";

/** Returns the core of a server. No entry point exports this function. */
export function coreOf<Data extends ConnectionData>(server: ServerConnections<Data>): ServerCore {
  return ServerConnections["coreOf"](server);
}

/** The methods of a `Server` that concern connections, on any port. `Data` is the type of `data(fd)`. */
export abstract class ServerConnections<Data extends ConnectionData = ConnectionData> {
  /** Makes `instanceof` narrow to the class as it is without a type parameter; TypeScript would fill in `any`. */
  declare static readonly [Symbol.hasInstance]: <T>(this: abstract new (...args: never) => T, value: unknown) => value is T;

  readonly #core: ServerCore = new ServerCore(this);
  readonly #context: ServerContext = this.#core.context;

  /** See the function `coreOf()`: it calls this, which `private` keeps out of the public types. */
  private static coreOf<Data extends ConnectionData>(server: ServerConnections<Data>): ServerCore {
    return server.#core;
  }

  /**
   * Sends bytes without any framing.
   *
   * @param fd The connection.
   * @param data Text, a number, which is sent as text, or bytes, which may be changed as soon as this returns.
   * @returns `false` with 550 for empty data, 1005 for an unknown fd, 1009 if the send queue is full.
   */
  send(fd: number, data: string | number | Uint8Array): boolean {
    const bytes = sentBytes(data);
    if (bytes.length === 0) return this.#context.failed(SWOOLE_ERROR_NO_PAYLOAD);
    const connection = this.#context.connection(fd);
    if (connection === undefined) return this.#context.remotely(fd, (peers, fd) => peers.send(fd, bytes));
    if (!portOf(connection).hasRoom(connection.queuedBytes, bytes, bytes.length)) return false;
    connection.appendCopy(bytes);
    this.#context.counters.responses++;
    return true;
  }

  /**
   * Sends bytes without any framing, and waits until the peer, or the system for it, has taken them. It never fails because of a
   * full queue.
   *
   * @param fd The connection.
   * @param data Text, a number, or bytes that are not changed until the promise has settled.
   * @returns `false` with 550 for empty data, 1005 for an unknown fd or a connection that ends meanwhile.
   */
  async sendwait(fd: number, data: string | number | Uint8Array): Promise<boolean> {
    const bytes = sentBytes(data);
    if (bytes.length === 0) return this.#context.failed(SWOOLE_ERROR_NO_PAYLOAD);
    const connection = this.#context.connection(fd);
    if (connection === undefined) return this.#context.notHere(fd);
    if (!await sendAndWait(connection, bytes)) return this.#context.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    this.#context.counters.responses++;
    return true;
  }

  /**
   * Sends the bytes of a file without any framing, as fast as the peer takes them, with at most 128 KiB in memory. Files and data
   * of `sendwait()` are sent one after the other; any other data sent before the promise has settled is sent in between.
   *
   * @param fd The connection.
   * @param path The path of the file.
   * @param offset The offset of the first byte.
   * @param length The number of bytes; 0 for all remaining ones.
   * @returns `true` once everything has been taken. `false` with 1005 for an unknown fd, 505 if the file has no such range, 2 if
   * the file does not exist, 13 if it cannot be read, 21 or 22 if it is a folder or not a regular file, and 5 if reading fails or
   * the connection ends meanwhile.
   */
  async sendfile(fd: number, path: string, offset = 0, length = 0): Promise<boolean> {
    const connection = this.#context.connection(fd);
    if (connection === undefined) return this.#context.notHere(fd);
    for (const number of [offset, length]) {
      if (!Number.isInteger(number) || number < 0) return this.#context.failed(SWOOLE_ERROR_INVALID_PARAMS);
    }
    if (!await sendFile(this.#context, connection, path, offset, length)) return false;
    this.#context.counters.responses++;
    return true;
  }

  /**
   * Closes a connection, without a WebSocket Close frame. Queued data is still sent.
   *
   * @param fd The connection.
   * @param reset Whether to abort it at once, dropping queued data.
   * @returns `false` with 1005 for an unknown fd.
   */
  close(fd: number, reset = false): boolean {
    const connection = this.#context.connection(fd);
    if (connection === undefined) return this.#context.remotely(fd, (peers, fd) => peers.close(fd, reset));
    closeConnection(connection, reset);
    return true;
  }

  /** Reports whether a connection is open, WebSocket or not. */
  exist(fd: number): boolean {
    return this.#context.connection(fd) !== undefined || this.#context.remoteFd(fd) !== undefined;
  }

  /** An alias of `exist()`. */
  exists(fd: number): boolean {
    return this.exist(fd);
  }

  /**
   * Stops reading a connection, so that its peer has to wait. Bytes that arrive meanwhile are handled after `resume()`. Timeouts
   * for input from the peer are suspended. A WebSocket is still sent pings, which detect a peer that is gone.
   *
   * @returns `false` with 1005 for an unknown fd.
   */
  pause(fd: number): boolean {
    const connection = this.#context.connection(fd);
    if (connection === undefined) return this.#context.notHere(fd);
    connection.hold();
    return true;
  }

  /** Resumes reading after `pause()`. Returns `false` with 1005 for an unknown fd. */
  resume(fd: number): boolean {
    const connection = this.#context.connection(fd);
    if (connection === undefined) return this.#context.notHere(fd);
    connection.release();
    return true;
  }

  /**
   * Starts reading a connection, if the setting `enable_delay_receive` holds new ones back.
   *
   * @returns `false` if it is already being read; with 1005 for an unknown fd.
   */
  confirm(fd: number): boolean {
    const connection = this.#context.connection(fd);
    if (connection === undefined) return this.#context.notHere(fd);
    if (!connection.isHeld) return false;
    connection.release();
    return true;
  }

  /**
   * Exempts a connection from `heartbeat_idle_time`, or reverts that.
   *
   * @returns `false` with 1005 for an unknown fd.
   */
  protect(fd: number, on = true): boolean {
    const connection = this.#context.connection(fd);
    if (connection === undefined) return this.#context.notHere(fd);
    if (on) this.#context.protectedFds.add(connection.fd);
    else this.#context.protectedFds.delete(connection.fd);
    connection.protocol.onIdleChange?.();
    return true;
  }

  /**
   * Finds connections that sent nothing for `heartbeat_idle_time`, and closes them. This includes HTTP connections, which the
   * setting alone does not close.
   *
   * @param ifClose Whether to close them.
   * @returns Their fds; `false` if no heartbeat is set.
   */
  heartbeat(ifClose = true): number[] | false {
    const { table, protectedFds, settings } = this.#context;
    if (table === undefined || settings.heartbeat_check_interval === 0) return false;
    const now = table.time;
    const idle = [...table.connections()].filter((connection) => {
      const { heartbeat_idle_time } = portOf(connection).settings;
      if (heartbeat_idle_time === 0 || protectedFds.has(connection.fd)) return false;
      return now - connection.lastReceived >= heartbeat_idle_time * 1000;
    });
    if (ifClose) { for (const connection of idle) connection.end(true, timedOut("heartbeat_idle_time")); }
    return idle.map(({ fd }) => fd);
  }

  /**
   * Assigns a number to a connection, which `getClientInfo()` returns as `uid`.
   *
   * @returns `false` if the connection already has one; with 1005 for an unknown fd, with 505 if `uid` is not an integer.
   */
  bind(fd: number, uid: number): boolean {
    const context = this.#context;
    const connection = context.connection(fd);
    const known = connection === undefined ? context.peers?.get(Number(fd)) : undefined;
    if (connection === undefined && known === undefined) return context.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    if (!Number.isInteger(uid)) return context.failed(SWOOLE_ERROR_INVALID_PARAMS);
    if (connection === undefined) return known!.uid === undefined && context.remotely(fd, (peers, fd) => peers.bind(fd, uid));
    if (context.uids.has(connection.fd)) return false;
    context.uids.set(connection.fd, uid);
    context.peers?.bound(connection.fd, uid);
    return true;
  }

  /**
   * Returns an object for data of the program about a connection, initially empty: for example its user, or its subscriptions.
   * For a WebSocket it exists from the start of the handshake, where `request.data` is the same object; for a connection of a
   * plain `Server` or a raw port from the start. It is released when the `close` handler has returned, or its promise has
   * settled.
   *
   * Its type is that of the server, `new WebSocketServer<{ user: string }>()`, which is taken at its word: properties that are
   * not always set by the time they are read should be optional there.
   *
   * @returns `undefined` for an unknown fd, and for plain HTTP, where each request has its own `request.data`.
   *
   * @example
   * ```ts
   * import { Server } from "@sluice/server";
   *
   * const server = new Server<{ count: number }>("127.0.0.1", 0);
   * server.on("connect", (server, fd) => void (server.data(fd)!.count = 0));
   * server.on("receive", (server, fd) => server.send(fd, `${++server.data(fd)!.count}`));
   * server.on("close", (_server, fd, _reactorId, { data }) => console.log(`${fd} has sent ${data?.count} times`));
   * ```
   */
  data(fd: number): Data | undefined {
    const context = this.#context;
    const data = context.dataOf(fd) as Data | undefined;
    if (data === undefined && context.remoteFd(fd) !== undefined) context.notHere(fd);
    return data;
  }

  /** Returns information about a connection, also while its end is being handled; `false` with 1005 for an unknown fd. */
  getClientInfo(fd: number): ClientInfo | false {
    const connection = this.#context.connectionOrLeaving(fd);
    if (connection === undefined) return this.#infoElsewhere(fd);
    const { protocol, pipe: { peerCertificate } } = connection;
    const remoteAddress = this.#context.addressOf(connection);
    const { boundPort, place } = portOf(connection);
    const uid = this.#context.uids.get(connection.fd);
    const dateOf = (time: number) => this.#context.table!.dateOf(time) / 1000;
    return {
      ...(uid === undefined ? {} : { uid }),
      server_port: boundPort || place!.port,
      socket_type: place!.type!,
      remote_port: remoteAddress?.port ?? 0,
      remote_ip: remoteAddress?.hostname ?? "",
      reactor_id: 0,
      connect_time: Math.floor(dateOf(connection.connectTime)),
      last_time: Math.floor(dateOf(connection.lastReceived)),
      last_recv_time: dateOf(connection.lastReceived),
      last_send_time: dateOf(connection.lastSent),
      last_dispatch_time: dateOf(connection.lastReceived),
      close_errno: 0,
      recv_queued_bytes: protocol instanceof RawSession ? protocol.heldBytes : 0,
      send_queued_bytes: connection.queuedBytes,
      ...(peerCertificate === undefined ? {} : { ssl_client_cert: peerCertificate }),
    };
  }

  /** Returns what is known here of a connection of another process. */
  #infoElsewhere(fd: number): ClientInfo | false {
    const context = this.#context;
    const known = context.peers?.get(Number(fd));
    if (known === undefined) return context.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    return remoteInfo(known, this.#core.ports[known.port] ?? this.#core.port, context.peers!.workerOf(known.fd));
  }

  /** An alias of `getClientInfo()`. */
  connection_info(fd: number): ClientInfo | false {
    return this.getClientInfo(fd);
  }

  /**
   * Returns the fds of open connections, oldest first, one page at a time.
   *
   * @param start The fd after which to begin; 0 for the first page.
   * @param count The maximum number of fds, at most 100.
   * @returns The fds; `false` if there are no more, or with 505 if `count` is out of range.
   */
  getClientList(start = 0, count = 10): number[] | false {
    if (!Number.isInteger(count) || count < 1 || count > 100) return this.#context.failed(SWOOLE_ERROR_INVALID_PARAMS);
    const list: number[] = [];
    for (const fd of fdsAfter(this.#context, start)) if (list.push(fd) === count) break;
    return list.length > 0 && list;
  }

  /** An alias of `getClientList()`. */
  connection_list(start = 0, count = 10): number[] | false {
    return this.getClientList(start, count);
  }

  /**
   * Returns the error code of the last method that returned `false`; `swooleStrerror()` explains it. Success does not reset it.
   */
  getLastError(): number {
    return this.#context.lastError;
  }
}

/** The operations in progress on each connection, which run one after the other. */
const underWay: WeakMap<Connection, Promise<unknown>> = new WeakMap();

/** See `Server.sendfile()`. */
function sendFile(
  context: ServerContext,
  connection: Connection,
  path: string,
  offset: number,
  length: number,
): Promise<boolean> {
  return inTurn(connection, () => openAndSend(context, connection, path, offset, length));
}

/** See `Server.sendwait()`. */
function sendAndWait(connection: Connection, bytes: Uint8Array): Promise<boolean> {
  const size = bytes.length;
  return inTurn(connection, async () => {
    await connection.whenTaken();
    if (!connection.isOpen) return false;
    connection.gather(() => {
      if (bytes.length !== size) throw transferred("send");
      connection.appendCopy(bytes);
    });
    return await connection.whenTaken() && bytes.length === size;
  });
}

function inTurn(connection: Connection, work: () => Promise<boolean>): Promise<boolean> {
  const before = underWay.get(connection);
  const done = before === undefined ? work() : before.then(work);
  underWay.set(connection, done);
  return done;
}

async function openAndSend(
  context: ServerContext,
  connection: Connection,
  path: string,
  offset: number,
  length: number,
): Promise<boolean> {
  let file: FileSource;
  try {
    file = await (await loadRuntime()).openFile(path);
  } catch (error) {
    return context.failed(systemCode(error) ?? EIO);
  }
  try {
    const end = length === 0 ? file.size : offset + length;
    if (offset > file.size || end > file.size) return context.failed(SWOOLE_ERROR_INVALID_PARAMS);
    const isReady = async () => await connection.whenTaken() && connection.isOpen;
    const sent = await copyFile(file, path, offset, end, isReady, (piece) => connection.append(piece));
    return sent && await connection.whenTaken() || context.failed(EIO);
  } catch {
    return context.failed(EIO);
  } finally {
    await file.close();
  }
}
