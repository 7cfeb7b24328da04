/**
 * The connections of this process, for the other processes of the server: their list, and the calls for them.
 *
 * @module
 */

import type { KnownConnection } from "../cluster/directory.ts";
import { BrokerHub } from "../cluster/broker_hub.ts";
import type { Mesh } from "../cluster/mesh.ts";
import { MeshBroker } from "../cluster/mesh_broker.ts";
import { MeshPresence } from "../cluster/mesh_presence.ts";
import { type OwnProcess, Peers } from "../cluster/peers.ts";
import type { Requests } from "../cluster/requests.ts";
import { WEBSOCKET_OPCODE_CLOSE, WEBSOCKET_OPCODE_TEXT } from "../constants.ts";
import {
  SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW,
  SWOOLE_ERROR_SESSION_CLOSING,
  SWOOLE_ERROR_SESSION_NOT_EXIST,
  SWOOLE_ERROR_WEBSOCKET_PACK_FAILED,
  SWOOLE_ERROR_WEBSOCKET_UNCONNECTED,
} from "../errors.ts";
import type { Connection } from "../transport/connection.ts";
import { viewBytes } from "../transport/bytes.ts";
import { WebSocketSession } from "../websocket/connection/websocket_session.ts";
import type { Outgoing } from "../websocket/outgoing.ts";
import { portOf } from "./port_core.ts";
import { ipOf } from "./refusals.ts";
import type { ServerContext } from "./server_context.ts";

/** Describes a connection for the other processes. */
export function knownOf(context: ServerContext, connection: Connection): KnownConnection {
  const { fd, protocol, connectTime } = connection;
  const address = context.addressOf(connection);
  return {
    fd,
    port: portOf(connection).index,
    address: ipOf(address),
    remotePort: address?.port ?? 0,
    connectTime: context.table!.dateOf(connectTime),
    isWebSocket: protocol instanceof WebSocketSession,
    uid: context.uids.get(fd),
  };
}

/**
 * Lets a server use the connections of the other processes, and them use its own.
 *
 * @param mesh The links to them, none of which has been made yet.
 */
export function usePeers(context: ServerContext, mesh: Mesh): void {
  const peers = context.peers = new Peers(mesh, new ServerProcess(context));
  if (context.topics !== undefined) context.topics.onSubscribers = peers.onSubscribers;
}

/**
 * Lets the processes of a server share who is in which topic and what topics keep, unless they have a broker that connects processes
 * as it connects servers.
 *
 * @param mesh The links to them, none of which has been made yet.
 */
export function shareTopics(context: ServerContext, mesh: Mesh, requests: Requests): void {
  const { broker, worker_buffer_size } = context.settings;
  if (broker !== null && broker.isLocal !== true) return;
  context.presenceNet = new MeshPresence(mesh, () => context.openPresence?.());
  if (broker === null) return;
  const isMaster = mesh.self.slot === 0;
  context.broker = new (isMaster ? BrokerHub : MeshBroker)(mesh, requests, broker, worker_buffer_size);
}

/** Closes a connection without a Close frame: see `ServerConnections.close()`. */
export function closeConnection(connection: Connection, reset: boolean): void {
  const { protocol } = connection;
  if (reset) connection.abort(true);
  else if (protocol instanceof WebSocketSession) protocol.closeWithoutFrame();
  else connection.end(true);
}

/** What other processes know of this one, and can do with its connections. */
class ServerProcess implements OwnProcess {
  readonly #context: ServerContext;

  constructor(context: ServerContext) {
    this.#context = context;
  }

  *known(): Iterable<KnownConnection> {
    const { table } = this.#context;
    if (table === undefined) return;
    for (const connection of table.connections()) yield knownOf(this.#context, connection);
  }

  topics(): Iterable<string> {
    return this.#context.topics?.names() ?? [];
  }

  subscriberCount(topic: string): number {
    return this.#context.topics?.subscriberCount(topic) ?? 0;
  }

  deliver(topic: string, message: Outgoing, except: ReadonlySet<number> | undefined): void {
    this.#context.deliver?.(topic, message, except);
  }

  onFailure(code: number): void {
    const { remoteFailures } = this.#context.counters;
    remoteFailures.set(code, (remoteFailures.get(code) ?? 0) + 1);
  }

  push(fd: number, frame: Outgoing): number {
    const session = this.#context.table?.get(fd)?.protocol;
    if (!(session instanceof WebSocketSession) || !session.endpoint.canSend) return this.#codeOf(fd);
    const { opcode, payload, start, end } = frame;
    const hasRoom = opcode === WEBSOCKET_OPCODE_CLOSE || this.#hasRoom(session, payload, end - start);
    if (!hasRoom) return SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW;
    if (!session.send(frame)) return SWOOLE_ERROR_WEBSOCKET_PACK_FAILED;
    this.#context.counters.sent[opcode]++;
    return 0;
  }

  pushText(fd: number, text: string): number {
    const session = this.#context.table?.get(fd)?.protocol;
    if (!(session instanceof WebSocketSession) || !session.endpoint.canSend) return this.#codeOf(fd);
    if (!this.#hasRoom(session, text, text.length)) return SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW;
    if (!session.sendText(text)) return SWOOLE_ERROR_WEBSOCKET_PACK_FAILED;
    this.#context.counters.sent[WEBSOCKET_OPCODE_TEXT]++;
    return 0;
  }

  /** Returns why a WebSocket cannot be pushed to. */
  #codeOf(fd: number): number {
    const connection = this.#context.table?.get(fd);
    if (connection === undefined) return SWOOLE_ERROR_SESSION_NOT_EXIST;
    return connection.protocol instanceof WebSocketSession ? SWOOLE_ERROR_SESSION_CLOSING : SWOOLE_ERROR_WEBSOCKET_UNCONNECTED;
  }

  #hasRoom({ connection, queuedBytes }: WebSocketSession, payload: string | Uint8Array, size: number): boolean {
    return this.#quietly(() => portOf(connection).hasRoom(queuedBytes, payload, size));
  }

  /** Does something that may set the last-error code, which belongs to the calls of this process. */
  #quietly<T>(work: () => T): T {
    const { lastError } = this.#context;
    const result = work();
    this.#context.lastError = lastError;
    return result;
  }

  send(fd: number, bytes: Uint8Array, start: number, end: number): number {
    const connection = this.#context.table?.get(fd);
    if (connection === undefined) return SWOOLE_ERROR_SESSION_NOT_EXIST;
    const data = viewBytes(bytes, start, end);
    const hasRoom = this.#quietly(() => portOf(connection).hasRoom(connection.queuedBytes, data, data.length));
    if (!hasRoom) return SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW;
    connection.appendCopy(data);
    this.#context.counters.responses++;
    return 0;
  }

  close(fd: number, reset: boolean): number {
    const connection = this.#context.table?.get(fd);
    if (connection === undefined) return SWOOLE_ERROR_SESSION_NOT_EXIST;
    closeConnection(connection, reset);
    return 0;
  }

  bind(fd: number, uid: number): number {
    const { table, uids, peers } = this.#context;
    if (table?.get(fd) === undefined) return SWOOLE_ERROR_SESSION_NOT_EXIST;
    if (!uids.has(fd)) uids.set(fd, uid);
    peers?.bound(fd, uids.get(fd)!); // the first one holds, also where another one was set in the meantime
    return 0;
  }
}
