/**
 * The mesh: the links of a process to all others of its server.
 *
 * @module
 */

import type { Connection } from "../transport/connection.ts";
import { ConnectionTable } from "../transport/connection_table.ts";
import { delayOf } from "../transport/deadlines.ts";
import { dropPipe } from "../transport/pipes.ts";
import type { BytePipe, Listener, Runtime } from "../transport/runtime.ts";
import { type FrameHandler, Link, type LinkContext, type Member } from "./link.ts";
import { SLOTS } from "./slots.ts";
import { KINDS, READY } from "./wire.ts";

/** What a process needs to be in a mesh. */
export interface MeshOptions {
  /** This process. */
  readonly self: Member;
  /** The secret of the processes of one server: at most 255 bytes. */
  readonly token: string;
  /** The number of bytes that may wait to be sent over one link: `worker_buffer_size`. */
  readonly bufferSize: number;
  /** Reports, in words, what is wrong with a link. */
  readonly warn: (message: string) => void;
  /** Reports an error of ours. */
  readonly fault: (error: unknown) => void;
  /** The version of the format, for tests. */
  readonly version?: number;
  /** The clock, for tests. */
  readonly clock?: () => number;
  /** How long `join()` waits for a process, in milliseconds. Default: 10,000. */
  readonly joinTimeout?: number | undefined;
}

/** The functions of a part of the server that is told which processes are joined. */
export interface MeshWatcher {
  /** Called when a process is joined. What is sent over the link now arrives before everything else. */
  onJoined?(link: Link): void;
  /** Called when the link of a process has ended, once. Another one may have replaced it. */
  onLeft?(link: Link): void;
  /** Called about four times a second. */
  onTick?(now: number): void;
}

/** Where a process accepts links. */
export interface MeshPlace {
  /** The slot of the process. */
  readonly slot: number;
  /** The path of its socket. */
  readonly path: string;
}

/**
 * How long `join()` waits for a process, in milliseconds. A process whose event loop is blocked does not know of this one, and so
 * what it sends to all clients would not reach those that connect here meanwhile.
 */
const JOIN_TIMEOUT = 10_000;

/** The first and the longest wait before another attempt to connect, in milliseconds. */
const FIRST_RETRY = 10;
const LONGEST_RETRY = 1000;

/** How many links may be in their handshake. */
const MOST_UNKNOWN_LINKS = 512;

/** How long the other end of a link may take to end it too, in milliseconds. */
const LINGER = 1000;

/** A process that this one connects to. */
interface Destination extends MeshPlace {
  /** Whether it was joined before. */
  wasJoined: boolean;
  /** Cancels all attempts. */
  readonly aborter: AbortController;
  /** Tells that it is there, or will not be. */
  settle(): void;
}

/** The links of one process. */
export class Mesh {
  /** This process. */
  readonly self: Member;
  /** Returns the process ID of the worker with a number that serves; 0 or `undefined` if there is none, or it is not known. */
  pidOf: (id: number) => number | undefined = () => undefined;

  readonly #options: MeshOptions;
  readonly #table: ConnectionTable;
  readonly #context: LinkContext;
  readonly #links: (Link | undefined)[] = new Array(SLOTS).fill(undefined);
  readonly #workers: Map<number, Link> = new Map(); // by number: the link that was made last
  readonly #handlers: (FrameHandler | undefined)[] = new Array(KINDS).fill(undefined);
  readonly #watchers: MeshWatcher[] = [];
  readonly #targets: Map<number, Destination> = new Map();
  #listener: Listener | undefined = undefined;
  #isClosed = false;

  constructor(options: MeshOptions) {
    const { self, token, bufferSize, warn } = options;
    this.#options = options;
    this.self = self;
    const table: ConnectionTable = this.#table = new ConnectionTable({
      maxConnections: SLOTS + MOST_UNKNOWN_LINKS,
      lingerTimeout: LINGER,
      highWatermark: Infinity, // a link limits its queue
      lowWatermark: 0,
    }, {
      makeProtocol: (connection) => new Link(connection, this.#context, undefined, options.version),
      onAccepted() {},
      onClosed: ({ protocol }) => this.#onClosed(protocol as Link),
      onTick: () => this.#watchers.forEach((watcher) => watcher.onTick?.(table.now)),
      onBufferFull() {},
      onBufferEmpty() {},
      onFault: (connection, error) => {
        options.fault(error);
        connection.protocol.onFault(error);
      },
    }, options.clock);
    this.#context = {
      self,
      token,
      bufferSize,
      settle: undefined,
      get now() {
        return table.now;
      },
      handlerOf: (kind) => this.#handlers[kind],
      onEstablished: (link) => this.#onEstablished(link),
      onEnded: (link) => this.#onEnded(link),
      onSilent: ({ peer }) => warn(`${nameOf(peer!)} has said nothing for half a minute: it is busy, or does not run`),
    };
    this.handle(READY, (link) => this.#onReady(link));
  }

  /** The coarse clock: monotonic milliseconds. */
  get now(): number {
    return this.#table.now;
  }

  /** The size of the largest frame that a link takes. */
  get bufferSize(): number {
    return this.#options.bufferSize;
  }

  /** Does what the timer does four times a second, for tests. */
  tick(): void {
    this.#table.tick();
    for (const watcher of this.#watchers) watcher.onTick?.(this.now);
  }

  // ---- links ---------------------------------------------------------------------------------------------------------

  /** All links, by slot. */
  get links(): Link[] {
    return this.#links.filter((link) => link !== undefined);
  }

  /** Returns the link to the process with a slot, if it is joined. */
  linkOf(slot: number): Link | undefined {
    return this.#links[slot];
  }

  /**
   * Returns the link to the worker with a number. While one process replaces another, that is the one that serves, see `pidOf`; if
   * that is not known, the one that was joined last.
   */
  linkOfWorker(id: number): Link | undefined {
    const last = this.#workers.get(id);
    const pid = this.pidOf(id);
    if (last === undefined || pid === undefined || pid === 0 || last.peer!.pid === pid) return last;
    return this.links.find(({ peer }) => peer!.id === id && peer!.pid === pid) ?? last;
  }

  /** Adds functions that are called from now on. */
  watch(watcher: MeshWatcher): void {
    this.#watchers.push(watcher);
  }

  /** Sets the receiver of the frames of one kind. */
  handle(kind: number, handler: FrameHandler): void {
    if (this.#handlers[kind] !== undefined) throw new Error(`Cannot handle frames of kind ${kind}: they have a receiver`);
    this.#handlers[kind] = handler;
  }

  /** Sets the function that sends the news that are pending, and is called before any other frame; `undefined` for none. */
  set news(settle: (() => void) | undefined) {
    this.#context.settle = settle;
  }

  // ---- joining ------------------------------------------------------------------------------------------------------

  /** Accepts links at a path. */
  async listen(runtime: Pick<Runtime, "listen">, path: string): Promise<void> {
    this.#listener = await runtime.listen(
      { transport: "unix", hostname: path, port: 0, backlog: 511, noDelay: false, handshakeTimeout: 0 },
      (pipe) => this.accept(pipe),
      this.#options.fault,
    );
    if (this.#isClosed) await this.#listener.close();
  }

  /**
   * Connects to processes. A link that breaks later is made again, unless nobody listens at that path any more.
   *
   * @param places Where they listen, or soon will. Of two processes, the one that was started later is told of the other.
   * @returns Resolves when each of them is joined and has sent all its news, was forgotten, or has not answered in time. One whose
   * event loop is blocked is joined later.
   */
  async join(runtime: Pick<Runtime, "connect">, places: readonly MeshPlace[]): Promise<void> {
    await Promise.all(places.map((place) => this.#join(runtime, place)));
  }

  #join(runtime: Pick<Runtime, "connect">, { slot, path }: MeshPlace): Promise<void> {
    return new Promise((resolve) => {
      const target: Destination = { slot, path, wasJoined: false, aborter: new AbortController(), settle: resolve };
      this.forget(slot);
      this.#targets.set(slot, target);
      const { joinTimeout = JOIN_TIMEOUT } = this.#options;
      const timer = setTimeout(() => {
        this.#options.warn(`the process in slot ${slot} has not answered for ${joinTimeout / 1000} s; it is joined when it does`);
        resolve();
      }, delayOf(joinTimeout / 1000));
      target.settle = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#connect(runtime, target);
    });
  }

  async #connect(runtime: Pick<Runtime, "connect">, target: Destination): Promise<void> {
    const { slot, path, aborter: { signal } } = target;
    for (let wait = FIRST_RETRY; !signal.aborted; wait = Math.min(wait * 2, LONGEST_RETRY)) {
      try {
        const pipe = await runtime.connect({ transport: "unix", hostname: path, port: 0, noDelay: false, signal });
        if (signal.aborted) return dropPipe(pipe);
        const link = this.#adopt(pipe, slot);
        await whenOver(link);
        if (link.isReady) wait = FIRST_RETRY;
        target.wasJoined ||= link.isReady;
      } catch {
        if (target.wasJoined && !signal.aborted) return this.forget(slot); // nobody listens there: the process has ended
      }
      await new Promise<void>((resolve) => setTimeout(resolve, wait));
    }
  }

  /** Serves a pipe on which another process introduces itself. */
  accept(pipe: BytePipe): void {
    if (this.#isClosed || !this.#table.hasRoom()) return dropPipe(pipe);
    this.#table.accept(pipe);
  }

  /** Uses a pipe that leads to the process with a slot. */
  connect(pipe: BytePipe, slot: number): void {
    this.#adopt(pipe, slot);
  }

  #adopt(pipe: BytePipe, slot: number): Link {
    const make = (connection: Connection) => new Link(connection, this.#context, slot, this.#options.version);
    const link = this.#table.accept(pipe, make)!.protocol as Link;
    link.connection.gather(() => link.sayHello());
    return link;
  }

  /** Stops connecting to the process with a slot, because it has ended. Its link ends by itself. */
  forget(slot: number): void {
    const target = this.#targets.get(slot);
    if (target === undefined) return;
    this.#targets.delete(slot);
    target.aborter.abort();
    target.settle();
  }

  /** Reports whether this process connects, or is connected, to the one with a slot. */
  isJoining(slot: number): boolean {
    return this.#targets.has(slot);
  }

  /** Ends all links, after what is queued. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const slot of [...this.#targets.keys()]) this.forget(slot);
    const closed = this.#listener?.close();
    for (const connection of [...this.#table.connections()]) (connection.protocol as Link).end("this process stops");
    await Promise.all([closed, this.#table.whenEmpty()]);
  }

  // ---- LinkContext --------------------------------------------------------------------------------------------------

  #onEstablished(link: Link): void {
    const { slot, id } = link.peer!;
    if (this.#isClosed) return link.end("this process stops");
    this.#links[slot]?.fail("the process has made another link");
    this.#links[slot] = link;
    this.#workers.set(id, link);
    for (const watcher of this.#watchers) watcher.onJoined?.(link);
    link.tell(READY);
  }

  #onReady(link: Link): void {
    link.isReady = true;
    const target = this.#targets.get(link.peer!.slot);
    if (target === undefined) return;
    target.wasJoined = true;
    target.settle();
  }

  #onEnded(link: Link): void {
    const { slot, id } = link.peer!;
    if (this.#links[slot] === link) this.#links[slot] = undefined;
    if (this.#workers.get(id) === link) {
      const other = this.links.find(({ peer }) => peer!.id === id);
      if (other === undefined) this.#workers.delete(id);
      else this.#workers.set(id, other);
    }
    for (const watcher of this.#watchers) watcher.onLeft?.(link);
  }

  #onClosed(link: Link): void {
    if (link.reason === "" || this.#isClosed) return; // the other process has ended it
    this.#options.warn(
      `the link to ${link.peer === undefined ? "another process" : nameOf(link.peer)} is closed: ${link.reason}`,
    );
  }
}

function whenOver({ connection }: Link): Promise<void> {
  return new Promise((resolve) => {
    if (connection.isOpen) connection.onOver = resolve;
    else resolve();
  });
}

/** Names a process for the log. */
function nameOf({ slot, id, pid }: Member): string {
  return slot === 0 ? `the master (process ${pid})` : `worker ${id} (process ${pid})`;
}
