/**
 * A worker as its master sees it: a process, how far it is, and how busy.
 *
 * @module
 */

import type { ChildProcess, ProcessMessage, SocketHandle } from "../transport/processes.ts";
import type { MasterMessage } from "./messages.ts";

/** How far a process is, in this order. A process may be `gone` at any time. */
const STAGES = ["loading", "joining", "prepared", "listening", "ready", "leaving", "gone"] as const;

/** How far a process is. */
export type Stage = typeof STAGES[number];

/** A process that dies within this time after it was ready, in seconds, has died young. */
export const YOUNG = 1;

/** One process that is a worker, was one, or is about to become one. */
export class WorkerProcess {
  /** The number of the worker. */
  readonly id: number;
  /** The number of the process. */
  readonly slot: number;
  /** When it was started, by the clock of the master. */
  readonly startedAt: number;
  /** When it was ready; 0 before. */
  readyAt = 0;
  /** Whether it was told to end. */
  isAsked = false;
  /** The process that replaces it, while the listening sockets go there. */
  heir: WorkerProcess | undefined = undefined;
  /** The number of its connections, as it has told. */
  #connections = 0;
  /** The number of connections that were passed to it. */
  #passed = 0;
  /** The number of those that it had taken when it told. */
  #taken = 0;

  readonly #child: ChildProcess;
  readonly #waiting: { readonly stage: Stage; readonly resolve: (isReached: boolean) => void }[] = [];
  #stage: Stage = "loading";
  #given: (() => void) | undefined = undefined;

  constructor(id: number, slot: number, child: ChildProcess, now: number) {
    this.id = id;
    this.slot = slot;
    this.startedAt = now;
    this.#child = child;
  }

  /** The process ID. */
  get pid(): number {
    return this.#child.pid;
  }

  /** How far it is. */
  get stage(): Stage {
    return this.#stage;
  }

  /** Whether connections may be passed to it. */
  get isReady(): boolean {
    return this.#stage === "ready";
  }

  /** Whether it belongs to the mesh. */
  get isMember(): boolean {
    return this.#stage !== "loading" && this.#stage !== "gone";
  }

  /** How many connections it has, with those that are on their way to it. */
  get load(): number {
    return this.#connections + this.#passed - this.#taken;
  }

  /** Notes how many connections it has, and how many of those that were passed to it it has taken. */
  setLoad(connections: number, taken: number): void {
    this.#connections = connections;
    this.#taken = taken;
  }

  /** Passes a connection to it. Resolves to whether it has been reached. */
  pass(port: number, socket: SocketHandle): Promise<boolean> {
    this.#passed++;
    return this.send({ type: "connection", port }, socket);
  }

  /** Notes how far it is. A process does not go back. */
  advance(stage: Stage): void {
    if (!this.#isBefore(stage)) return;
    this.#stage = stage;
    for (const waiting of this.#waiting.splice(0)) {
      if (stage === "gone") waiting.resolve(false);
      else if (this.#isBefore(waiting.stage)) this.#waiting.push(waiting);
      else waiting.resolve(true);
    }
    if (stage === "gone") this.endGiving();
  }

  #isBefore(stage: Stage): boolean {
    return STAGES.indexOf(this.#stage) < STAGES.indexOf(stage);
  }

  /** Resolves to whether it is that far, as soon as it is, or it is gone. */
  reached(stage: Stage): Promise<boolean> {
    if (this.#stage === "gone") return Promise.resolve(false);
    if (!this.#isBefore(stage)) return Promise.resolve(true);
    return new Promise((resolve) => this.#waiting.push({ stage, resolve }));
  }

  /** Resolves when `endGiving()` is called: it has no more listening sockets to give. */
  whenGiven(): Promise<void> {
    return new Promise((resolve) => this.#given = resolve);
  }

  /** Gives a listening socket to its heir. If that cannot have it, it goes on with its copy. */
  async give(port: number, socket: SocketHandle | undefined): Promise<void> {
    const { heir } = this;
    if (heir?.stage === "prepared" && socket !== undefined) await heir.send({ type: "take", port }, socket);
    socket?.close();
  }

  /** Ends the handover of the listening sockets. */
  endGiving(): void {
    this.#given?.();
    this.#given = undefined;
    this.heir = undefined;
  }

  /** Sends a message. Resolves to whether it has been reached. */
  send(message: MasterMessage, socket?: SocketHandle): Promise<boolean> {
    return this.#child.send(message as ProcessMessage, socket);
  }

  /** Sends a signal. */
  kill(signal: "SIGTERM" | "SIGKILL"): void {
    this.#child.kill(signal);
  }
}

/** A place for one worker. */
export interface Post {
  readonly id: number;
  /** The process that is the worker; `undefined` while it has none. */
  current: WorkerProcess | undefined;
  /** Settles when the process has been replaced, or could not be; `undefined` if it is not being replaced. */
  replacing: Promise<boolean> | undefined;
  /** Whether a process is being started because there is none. */
  isFilling: boolean;
  /** How many of its processes have died young, one after the other. */
  deaths: number;
  /** Cancels the start of another process. */
  cancel: (() => void) | undefined;
}
