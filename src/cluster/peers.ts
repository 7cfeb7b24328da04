/**
 * The other processes of the server, for the methods of a server: what they have, calls for their connections, and news for them.
 *
 * @module
 */

import { EMPTY } from "../transport/bytes.ts";
import {
  SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW,
  SWOOLE_ERROR_SESSION_NOT_EXIST,
  SWOOLE_ERROR_WEBSOCKET_UNCONNECTED,
} from "../errors.ts";
import type { Excepted } from "../topics/topic_broker.ts";
import type { Outgoing } from "../websocket/outgoing.ts";
import { utf8Encoder } from "../values.ts";
import {
  type KnownConnection,
  writeBound,
  writeClosed,
  writeEstablished,
  writeKnown,
  writeOpened,
  writeTopic,
} from "./directory.ts";
import { frameOf, type Link } from "./link.ts";
import type { Mesh } from "./mesh.ts";
import { type OwnConnections, Peer, readMessage } from "./peer.ts";
import { slotOf, SLOTS } from "./slots.ts";
import { BIND, BodyReader, BodyWriter, CLOSE, KEEP, NEWS, PUBLISH, PUSH, PUSH_KEPT, RELEASE, SEND, TOPIC_NEWS } from "./wire.ts";

/** What a process has, for the others. */
export interface OwnProcess extends OwnConnections {
  /** Returns all connections. */
  known(): Iterable<KnownConnection>;
  /** Returns all topics that have subscribers. */
  topics(): Iterable<string>;
  /** Returns the number of subscribers of a topic. */
  subscriberCount(topic: string): number;
  /**
   * Sends a message to the subscribers of a topic, or to all WebSockets.
   *
   * @param topic The topic; empty for all WebSockets.
   * @param message The message. Its payload is lent for the length of the call.
   * @param except The fds to leave out.
   */
  deliver(topic: string, message: Outgoing, except: Excepted): void;
  /** Called when a call of another process has failed. */
  onFailure(code: number): void;
}

/** So many bytes of news are sent at once. */
const NEWS_SIZE = 16 * 1024;

/** The other processes. */
export class Peers {
  readonly #mesh: Mesh;
  readonly #own: OwnProcess;
  readonly #peers: (Peer | undefined)[] = new Array(SLOTS).fill(undefined);
  readonly #news: BodyWriter = new BodyWriter();
  readonly #topics: Set<string> = new Set(); // whose number of subscribers has changed
  #hasNews = false;
  readonly #settle = () => this.settle();

  /** @param mesh The links, none of which has been made yet. */
  constructor(mesh: Mesh, own: OwnProcess) {
    this.#mesh = mesh;
    this.#own = own;
    mesh.watch({ onJoined: (link) => this.#onJoined(link), onLeft: (link) => this.#onLeft(link) });
    mesh.handle(NEWS, (link, bytes, start, end) => this.#peerOf(link).directory.read(new BodyReader(bytes, start, end)));
    mesh.handle(TOPIC_NEWS, (link, bytes, start, end) => {
      this.#peerOf(link).directory.readTopics(new BodyReader(bytes, start, end));
    });
    mesh.handle(PUBLISH, (_link, bytes, start, end) => this.#onPublish(new BodyReader(bytes, start, end)));
    for (const kind of [PUSH, KEEP, PUSH_KEPT, RELEASE, SEND, CLOSE, BIND]) {
      mesh.handle(kind, (link, bytes, start, end) => {
        const code = this.#peerOf(link).receive(kind, bytes, start, end, own);
        if (code !== 0) own.onFailure(code);
      });
    }
  }

  /** The slot of this process. */
  get slot(): number {
    return this.#mesh.self.slot;
  }

  #peerOf(link: Link): Peer {
    return this.#peers[link.peer!.slot]!;
  }

  #joined(): Peer[] {
    return this.#peers.filter((peer) => peer !== undefined);
  }

  #onJoined(link: Link): void {
    this.#peers[link.peer!.slot] = new Peer(link);
    const news = new BodyWriter();
    for (const connection of this.#own.known()) {
      writeKnown(news, connection);
      if (news.length >= NEWS_SIZE) link.tell(NEWS, news.take());
    }
    if (news.length > 0) link.tell(NEWS, news.take());
    for (const topic of this.#own.topics()) {
      writeTopic(news, topic, this.#own.subscriberCount(topic));
      if (news.length >= NEWS_SIZE) link.tell(TOPIC_NEWS, news.take());
    }
    if (news.length > 0) link.tell(TOPIC_NEWS, news.take());
  }

  #onLeft(link: Link): void {
    const { slot } = link.peer!;
    if (this.#peers[slot]?.link === link) this.#peers[slot] = undefined;
  }

  // ---- what the others have -----------------------------------------------------------------------------------------

  /** Returns a connection of another process. */
  get(fd: number): KnownConnection | undefined {
    return this.#peers[slotOf(fd)]?.directory.get(fd);
  }

  /** The number of connections of the others. */
  get size(): number {
    return this.#joined().reduce((sum, { directory }) => sum + directory.size, 0);
  }

  /** Returns the connections of the process with a slot, oldest first. */
  connectionsOf(slot: number): Iterable<KnownConnection> {
    return this.#peers[slot]?.directory.connections() ?? [];
  }

  /** Returns the number of the worker that a connection belongs to; -1 for the master. */
  workerOf(fd: number): number {
    return this.#peers[slotOf(fd)]?.link.peer?.id ?? -1;
  }

  /** Returns the number of subscribers of a topic in the other processes. */
  subscriberCount(topic: string): number {
    let sum = 0;
    for (const peer of this.#peers) if (peer !== undefined) sum += peer.directory.subscriberCount(topic);
    return sum;
  }

  // ---- calls for connections of others: 0 if the link has taken it, or the code for `getLastError()` --------------------

  /** Sends a whole text message. */
  pushText(fd: number, text: string): number {
    const peer = this.#peers[slotOf(fd)];
    const code = codeFor(peer, fd, true);
    return code !== 0 ? code : resultOf(peer!.pushText(fd, text));
  }

  /** Sends a frame. */
  push(fd: number, frame: Outgoing): number {
    const peer = this.#peers[slotOf(fd)];
    const code = codeFor(peer, fd, true);
    return code !== 0 ? code : resultOf(peer!.push(fd, frame));
  }

  /** Reports whether a WebSocket of another process can be pushed to: 0, or the code. */
  codeOf(fd: number): number {
    return codeFor(this.#peers[slotOf(fd)], fd, true);
  }

  /** Sends bytes without framing. */
  send(fd: number, bytes: Uint8Array): number {
    const peer = this.#peers[slotOf(fd)];
    const code = codeFor(peer, fd, false);
    return code !== 0 ? code : resultOf(peer!.send(fd, bytes));
  }

  /** See `Server.close()`. */
  close(fd: number, reset: boolean): number {
    const peer = this.#peers[slotOf(fd)];
    const code = codeFor(peer, fd, false);
    return code !== 0 ? code : resultOf(peer!.close(fd, reset));
  }

  /** Assigns a number to a connection that has none. */
  bind(fd: number, uid: number): number {
    const peer = this.#peers[slotOf(fd)];
    const code = codeFor(peer, fd, false);
    if (code !== 0) return code;
    if (!peer!.bind(fd, uid)) return SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW;
    peer!.directory.get(fd)!.uid = uid; // until the other process says so, too
    return 0;
  }

  /**
   * Sends a message to the subscribers of a topic in other processes.
   *
   * @param topic The topic; empty for all WebSockets.
   * @returns How many they are, as far as is known here.
   */
  publish(topic: string, message: Outgoing, except: Excepted): number {
    let frame: Uint8Array | undefined; // the same for all processes none of whose connections is left out
    const sharing = { waits: 0 };
    let count = 0;
    for (const peer of this.#peers) {
      if (peer === undefined) continue;
      const { directory, link } = peer;
      const receivers = topic === "" ? directory.webSocketCount : directory.subscriberCount(topic);
      if (receivers === 0) continue;
      const excepted = except === undefined ? [] : [...except].filter((fd) => directory.get(fd)?.isWebSocket);
      const isTaken = excepted.length === 0
        ? link.sendShared(frame ??= publication(topic, message, excepted), sharing)
        : link.sendShared(publication(topic, message, excepted), { waits: 0 });
      if (!isTaken) this.#own.onFailure(SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW);
      else count += topic === "" ? receivers - excepted.length : receivers;
    }
    return count;
  }

  #onPublish(body: BodyReader): void {
    const topic = body.text();
    const count = body.uint32();
    const except = count === 0 ? undefined : new Set<number>();
    for (let i = 0; i < count; i++) except!.add(body.fd());
    this.#own.deliver(topic, readMessage(body), except);
  }

  // ---- news for the others, sent once per turn, before anything else ----------------------------------------------------

  /** Tells that a connection was accepted. */
  opened(connection: KnownConnection): void {
    writeOpened(this.#news, connection);
    this.#onNews();
  }

  /** Tells that a connection has become a WebSocket. */
  established(fd: number, address: string, remotePort: number): void {
    writeEstablished(this.#news, fd, address, remotePort);
    this.#onNews();
  }

  /** Tells that a connection is over. */
  closed(fd: number): void {
    writeClosed(this.#news, fd);
    this.#onNews();
  }

  /** Tells the number of a connection. */
  bound(fd: number, uid: number): void {
    writeBound(this.#news, fd, uid);
    this.#onNews();
  }

  /** Tells that the number of subscribers of a topic has changed. */
  readonly onSubscribers = (topic: string): void => {
    this.#topics.add(topic);
    this.#onNews();
  };

  #onNews(): void {
    if (this.#news.length >= NEWS_SIZE) return this.settle();
    if (this.#hasNews) return;
    this.#hasNews = true;
    this.#mesh.news = this.#settle;
    queueMicrotask(this.#settle);
  }

  /** Sends the news that there are. */
  settle(): void {
    if (!this.#hasNews && this.#news.length === 0) return;
    this.#hasNews = false;
    this.#mesh.news = undefined;
    const topics = new BodyWriter();
    for (const topic of this.#topics) writeTopic(topics, topic, this.#own.subscriberCount(topic));
    this.#topics.clear();
    this.#tellAll(NEWS, this.#news);
    this.#tellAll(TOPIC_NEWS, topics);
  }

  #tellAll(kind: number, news: BodyWriter): void {
    if (news.length === 0) return;
    const body = news.take();
    for (const peer of this.#peers) peer?.link.tell(kind, body);
  }
}

/** Returns why nothing can be sent to a connection of another process; 0 if it can. */
function codeFor(peer: Peer | undefined, fd: number, isPush: boolean): number {
  const connection = peer?.directory.get(fd);
  if (connection === undefined) return SWOOLE_ERROR_SESSION_NOT_EXIST;
  return isPush && !connection.isWebSocket ? SWOOLE_ERROR_WEBSOCKET_UNCONNECTED : 0;
}

function resultOf(isTaken: boolean): number {
  return isTaken ? 0 : SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW;
}

/** Makes the frame of a publication. */
function publication(topic: string, { opcode, flags, payload, start, end }: Outgoing, except: readonly number[]): Uint8Array {
  const head = new BodyWriter().text(topic).uint32(except.length);
  for (const fd of except) head.fd(fd);
  head.uint8(opcode).uint8(flags & 0xff);
  const bytes = typeof payload === "string" ? utf8Encoder.encode(payload) : payload.subarray(start, end);
  return frameOf(PUBLISH, head.take(), bytes.length === 0 ? EMPTY : bytes);
}
