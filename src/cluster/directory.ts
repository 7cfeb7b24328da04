/**
 * The directory: the connections and the subscriptions of another process, as that has told them.
 *
 * @module
 */

import { slotOf } from "./slots.ts";
import { type BodyReader, type BodyWriter, MalformedFrame } from "./wire.ts";

/** A connection, as other processes know it. */
export interface KnownConnection {
  /** The number of the connection. */
  readonly fd: number;
  /** The index of its port. */
  readonly port: number;
  /** The IP address of the client; empty on a unix socket. */
  address: string;
  /** The port of the client. */
  remotePort: number;
  /** When it was accepted, in milliseconds since 1970. */
  readonly connectTime: number;
  /** Whether it is an open WebSocket. */
  isWebSocket: boolean;
  /** The number set with `bind()`, if any. */
  uid: number | undefined;
}

// What news begin with.
const OPENED = 1;
const ESTABLISHED = 2;
const CLOSED = 3;
const BOUND = 4;

/** Writes that a connection was accepted. */
export function writeOpened(news: BodyWriter, { fd, port, address, remotePort, connectTime }: KnownConnection): void {
  news.uint8(OPENED).fd(fd).uint16(port).uint16(remotePort).float64(connectTime).text(address);
}

/** Writes that a connection has become a WebSocket, with the address of its client, which a proxy may have told in the meantime. */
export function writeEstablished(news: BodyWriter, fd: number, address: string, remotePort: number): void {
  news.uint8(ESTABLISHED).fd(fd).uint16(remotePort).text(address);
}

/** Writes that a connection is over. */
export function writeClosed(news: BodyWriter, fd: number): void {
  news.uint8(CLOSED).fd(fd);
}

/** Writes the number of a connection. */
export function writeBound(news: BodyWriter, fd: number, uid: number): void {
  news.uint8(BOUND).fd(fd).float64(uid);
}

/** Writes everything about a connection. */
export function writeKnown(news: BodyWriter, connection: KnownConnection): void {
  const { fd, address, remotePort, isWebSocket, uid } = connection;
  writeOpened(news, connection);
  if (isWebSocket) writeEstablished(news, fd, address, remotePort);
  if (uid !== undefined) writeBound(news, fd, uid);
}

/** Writes the number of subscribers of a topic. */
export function writeTopic(news: BodyWriter, topic: string, count: number): void {
  news.text(topic).uint32(count);
}

/** What one process has told. */
export class Directory {
  /** The number of WebSockets. */
  webSocketCount = 0;

  readonly #slot: number;
  readonly #connections: Map<number, KnownConnection> = new Map();
  readonly #topics: Map<string, number> = new Map();

  /** @param slot The slot of that process. */
  constructor(slot: number) {
    this.#slot = slot;
  }

  /** The number of connections. */
  get size(): number {
    return this.#connections.size;
  }

  /** Returns a connection. */
  get(fd: number): KnownConnection | undefined {
    return this.#connections.get(fd);
  }

  /** Returns all connections, oldest first. */
  connections(): IterableIterator<KnownConnection> {
    return this.#connections.values();
  }

  /** Returns the number of subscribers of a topic. */
  subscriberCount(topic: string): number {
    return this.#topics.get(topic) ?? 0;
  }

  /** Reads news about connections. */
  read(body: BodyReader): void {
    while (!body.isOver) {
      const kind = body.uint8();
      const fd = body.fd();
      if (slotOf(fd) !== this.#slot) throw new MalformedFrame(`fd ${fd} is not one of its own`);
      if (kind === OPENED) this.#open(fd, body);
      else if (kind === ESTABLISHED) this.#establish(fd, body.uint16(), body.text());
      else if (kind === CLOSED) this.#close(fd);
      else if (kind === BOUND) this.#bind(fd, body.float64());
      else throw new MalformedFrame(`news of kind ${kind} are unknown`);
    }
  }

  #open(fd: number, body: BodyReader): void {
    const port = body.uint16();
    const remotePort = body.uint16();
    const connectTime = body.float64();
    const address = body.text();
    const before = this.#connections.get(fd);
    if (before?.isWebSocket) this.webSocketCount--; // told for a second time, because the process has just been joined
    this.#connections.set(fd, { fd, port, address, remotePort, connectTime, isWebSocket: false, uid: before?.uid });
  }

  #establish(fd: number, remotePort: number, address: string): void {
    const connection = this.#connections.get(fd);
    if (connection === undefined) return;
    if (!connection.isWebSocket) this.webSocketCount++;
    connection.isWebSocket = true;
    connection.address = address;
    connection.remotePort = remotePort;
  }

  #close(fd: number): void {
    if (this.#connections.get(fd)?.isWebSocket) this.webSocketCount--;
    this.#connections.delete(fd);
  }

  #bind(fd: number, uid: number): void {
    const connection = this.#connections.get(fd);
    if (connection !== undefined) connection.uid = uid;
  }

  /** Reads the numbers of subscribers of topics. */
  readTopics(body: BodyReader): void {
    while (!body.isOver) {
      const topic = body.text();
      const count = body.uint32();
      if (count === 0) this.#topics.delete(topic);
      else this.#topics.set(topic, count);
    }
  }
}
