/**
 * What a server does with its connections.
 *
 * @module
 */

import { SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_NO_PAYLOAD, SWOOLE_ERROR_SESSION_NOT_EXIST } from "../errors.ts";
import { ServerCore } from "./core.ts";
import type { ClientInfo } from "./info.ts";
import { portOf } from "./port_core.ts";
import { RawSession } from "./raw/raw_session.ts";
import { sendAndWait, sendFile } from "./sending.ts";

const encoder = new TextEncoder();

/** The machinery inside. Not part of the public interface. */
export let connectionsCore: (connections: ServerConnections) => ServerCore;

/** The methods of a `Server` that concern one connection or some, of any port. */
export abstract class ServerConnections {
  readonly #core: ServerCore = new ServerCore(this);

  static {
    connectionsCore = (connections) => connections.#core;
  }

  /**
   * Sends octets as they are, without any framing.
   *
   * @param fd The connection.
   * @param data Text or bytes. They may be changed as soon as this returns.
   * @returns `false` with 550 for nothing to send, 1005 for an unknown fd, 1009 for a full queue.
   */
  send(fd: number, data: string | Uint8Array): boolean {
    const bytes = typeof data === "string" ? encoder.encode(data) : data;
    if (bytes.length === 0) return this.#core.failed(SWOOLE_ERROR_NO_PAYLOAD);
    const connection = this.#core.connection(fd);
    if (connection === undefined) return this.#core.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    if (!portOf(connection).hasRoom(connection.queuedBytes, bytes, bytes.length)) return false;
    connection.appendCopy(bytes);
    this.#core.responseCount++;
    return true;
  }

  /**
   * Sends octets as they are, and waits until the peer has taken them, or the system for it. Never fails for a full queue.
   *
   * @param fd The connection.
   * @param data Text, or bytes that nobody changes until the promise has settled.
   * @returns `false` with 550 for nothing to send, 1005 for an unknown fd, and one that goes meanwhile.
   */
  async sendwait(fd: number, data: string | Uint8Array): Promise<boolean> {
    const bytes = typeof data === "string" ? encoder.encode(data) : data;
    if (bytes.length === 0) return this.#core.failed(SWOOLE_ERROR_NO_PAYLOAD);
    const connection = this.#core.connection(fd);
    if (connection === undefined || !await sendAndWait(connection, bytes)) {
      return this.#core.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    }
    this.#core.responseCount++;
    return true;
  }

  /**
   * Sends the octets of a file as they are, as fast as the peer takes them; no more than 128 KiB are in memory. Files and what
   * `sendwait()` sends go one behind the other; what is sent otherwise before the promise has settled comes in between.
   *
   * @param fd The connection.
   * @param path The file.
   * @param offset Where in the file to begin.
   * @param length How many octets; 0 for all that follow.
   * @returns `true` once all has been taken. `false` with 1005 for an unknown fd, 505 when the file has no such range, 2, 13, 21
   * or 22 when there is no such file, it may not be read, or is a folder or no file at all, and 5 when reading fails or the
   * connection ends meanwhile.
   */
  async sendfile(fd: number, path: string, offset = 0, length = 0): Promise<boolean> {
    const connection = this.#core.connection(fd);
    if (connection === undefined) return this.#core.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    for (const number of [offset, length]) {
      if (!Number.isInteger(number) || number < 0) return this.#core.failed(SWOOLE_ERROR_INVALID_PARAMS);
    }
    if (!await sendFile(this.#core, connection, path, offset, length)) return false;
    this.#core.responseCount++;
    return true;
  }

  /**
   * Ends a connection, without a WebSocket Close frame. What is queued is still sent.
   *
   * @param fd The connection.
   * @param reset Drop it at once instead, with what is queued.
   * @returns `false` with 1005 for an unknown fd.
   */
  close(fd: number, reset = false): boolean {
    const connection = this.#core.connection(fd);
    if (connection === undefined) return this.#core.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    if (reset) connection.abort(true);
    else connection.end(true);
    return true;
  }

  /** Tells whether a connection is there, WebSocket or not. */
  exist(fd: number): boolean {
    return this.#core.connection(fd) !== undefined;
  }

  /** The same as `exist()`. */
  exists(fd: number): boolean {
    return this.exist(fd);
  }

  /**
   * Stops reading a connection, so that its peer feels it. What has arrived meanwhile is handled after `resume()`. Timeouts for
   * what the peer has to send stand still meanwhile; a WebSocket is still sent pings, and one that has gone is found by that.
   *
   * @returns `false` with 1005 for an unknown fd.
   */
  pause(fd: number): boolean {
    const connection = this.#core.connection(fd);
    if (connection === undefined) return this.#core.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    connection.hold();
    return true;
  }

  /** Reads a connection again after `pause()`. Returns `false` with 1005 for an unknown fd. */
  resume(fd: number): boolean {
    const connection = this.#core.connection(fd);
    if (connection === undefined) return this.#core.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    connection.release();
    return true;
  }

  /**
   * Begins to read a connection, where the setting `enable_delay_receive` holds new ones back.
   *
   * @returns `false` when it is read already; with 1005 for an unknown fd.
   */
  confirm(fd: number): boolean {
    const connection = this.#core.connection(fd);
    if (connection === undefined) return this.#core.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    if (!connection.isHeld) return false;
    connection.release();
    return true;
  }

  /**
   * Exempts a connection from `heartbeat_idle_time`, or takes that back.
   *
   * @returns `false` with 1005 for an unknown fd.
   */
  protect(fd: number, on = true): boolean {
    const connection = this.#core.connection(fd);
    if (connection === undefined) return this.#core.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    if (on) this.#core.protectedFds.add(fd);
    else this.#core.protectedFds.delete(fd);
    connection.protocol.onIdleChange?.();
    return true;
  }

  /**
   * Finds connections that sent nothing for `heartbeat_idle_time`, and ends them; HTTP connections too, which are not ended by
   * that setting alone.
   *
   * @param ifClose Whether to end them.
   * @returns Their fds; `false` where no heartbeat is set.
   */
  heartbeat(ifClose = true): number[] | false {
    const { table, protectedFds, settings } = this.#core;
    if (table === undefined || settings.heartbeat_check_interval === 0) return false;
    const now = table.time;
    const idle = [...table.connections()].filter((connection) => {
      const { heartbeat_idle_time } = portOf(connection).settings;
      if (heartbeat_idle_time === 0 || protectedFds.has(connection.fd)) return false;
      return now - connection.lastReceived >= heartbeat_idle_time * 1000;
    });
    if (ifClose) { for (const connection of idle) connection.end(true); }
    return idle.map(({ fd }) => fd);
  }

  /**
   * Notes a number of the program's for a connection, which is then in `getClientInfo()` as `uid`.
   *
   * @returns `false` when it has one; with 1005 for an unknown fd, with 505 for what is no whole number.
   */
  bind(fd: number, uid: number): boolean {
    if (this.#core.connection(fd) === undefined) return this.#core.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    if (!Number.isInteger(uid)) return this.#core.failed(SWOOLE_ERROR_INVALID_PARAMS);
    if (this.#core.uids.has(fd)) return false;
    this.#core.uids.set(fd, uid);
    return true;
  }

  /** What is known of a connection, also while its end is being handled; `false` with 1005 for an unknown fd. */
  getClientInfo(fd: number): ClientInfo | false {
    const connection = this.#core.connectionOrLeaving(fd);
    if (connection === undefined) return this.#core.failed(SWOOLE_ERROR_SESSION_NOT_EXIST);
    const { remoteAddress, peerCertificate, protocol } = connection;
    const { boundPort, place } = portOf(connection);
    const uid = this.#core.uids.get(fd);
    const dateOf = (time: number) => this.#core.table!.dateOf(time) / 1000;
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

  /** The same as `getClientInfo()`. */
  connection_info(fd: number): ClientInfo | false {
    return this.getClientInfo(fd);
  }

  /**
   * The fds of open connections, oldest first, a page at a time.
   *
   * @param start The fd behind which to begin; 0 for the beginning.
   * @param count How many, 100 at most.
   * @returns The fds; `false` when there are none, or with 505 when `count` is out of range.
   */
  getClientList(start = 0, count = 10): number[] | false {
    if (!Number.isInteger(count) || count < 1 || count > 100) return this.#core.failed(SWOOLE_ERROR_INVALID_PARAMS);
    const list: number[] = [];
    for (const fd of this.#core.table?.fds() ?? []) {
      if (fd > start && list.push(fd) === count) break;
    }
    return list.length > 0 && list;
  }

  /** The same as `getClientList()`. */
  connection_list(start = 0, count = 10): number[] | false {
    return this.getClientList(start, count);
  }

  /** Why the last method that returned `false` did so; `swooleStrerror()` puts it in words. Success does not reset it. */
  getLastError(): number {
    return this.#core.shared.lastError;
  }
}
