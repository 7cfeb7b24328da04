/**
 * The interface through which a server with several workers starts processes, and sends sockets to them: the part of an adapter
 * that `src/cluster/` is built on.
 *
 * @module
 */

import type { Address } from "./address.ts";

/**
 * A listening or connected socket that can be sent to another process. What it is depends on the adapter. The part of the server
 * that has it closes it, unless it passes it to `listen()` or `take()`.
 */
export interface SocketHandle {
  /** Closes this process's copy. Copies in other processes stay. */
  close(): void;
}

/** A message between a process and its parent: a JSON value. Messages are few, and arrive in order. */
export type ProcessMessage = { readonly type: string; readonly [key: string]: unknown };

/** One end of the channel between a process and its parent. */
export interface ProcessChannel {
  /**
   * Sends a message.
   *
   * @param handle A socket to send along. This process keeps its copy, which it closes when the promise has resolved.
   * @returns Whether the system has taken it; `false` if the other process has ended. Never rejects.
   */
  send(message: ProcessMessage, handle?: SocketHandle): Promise<boolean>;
  /**
   * Sets the receiver. Messages that arrived before are passed to it at once.
   *
   * @param receive Called for each message. A listening socket that comes along does not accept connections yet.
   */
  onMessage(receive: (message: ProcessMessage, handle: SocketHandle | undefined) => void): void;
  /**
   * Calls back, once, when the channel is gone: the other process has ended, however it did. A worker that does not ask for this
   * ends by itself, with status 1.
   */
  onDisconnect(call: () => void): void;
}

/** How a process has ended. */
export interface ProcessExit {
  /** The exit status; 0 if it was ended by a signal. */
  readonly code: number;
  /** The number of the signal that ended it; 0 for none. */
  readonly signal: number;
}

/** A process that this one has started. */
export interface ChildProcess extends ProcessChannel {
  /** The process ID. */
  readonly pid: number;
  /** Resolves when it has ended. */
  readonly exited: Promise<ProcessExit>;
  /** Sends a signal. Returns whether the process existed. It can be called any number of times. */
  kill(signal: "SIGTERM" | "SIGKILL"): boolean;
}

/** What a process that was started with `ProcessControl.start()` knows at once. */
export interface WorkerIdentity {
  /** What its parent gave to `start()`. */
  readonly role: string;
  /** The channel to its parent. */
  readonly parent: ProcessChannel;
}

/** How to start a process. */
export interface ProcessOptions {
  /** What the new process finds in `WorkerIdentity.role`: any text without NUL. */
  readonly role: string;
  /** The options of the runtime, in front of the script; by default those of this process. */
  readonly execArgv?: readonly string[] | undefined;
}

/** Processes that run the same program. */
export interface ProcessControl {
  /** The number of processors that this process may use, by its affinity mask and its container; at least 1. */
  processorCount(): number;
  /** Whether the listening sockets of several processes may share a port, so that the system spreads the connections (Linux). */
  readonly sharesPorts: boolean;
  /**
   * Starts another process with the same script, arguments, options of the runtime, permissions and environment.
   *
   * @throws {Error} If there is no script to start again (a REPL, code of the command line, a test runner), or if the process would
   * not have the same permissions or options. The message says what to set.
   */
  start(options: ProcessOptions): Promise<ChildProcess>;
  /** Creates a folder that only this user can enter, with a short path. Returns its path. */
  makeFolder(): Promise<string>;
  /** Removes a folder of `makeFolder()` with its content. Never rejects. */
  removeFolder(path: string): Promise<void>;
  /**
   * Converts a value to bytes that `deserialize()` of a process of the same program takes: structured clone.
   *
   * @throws {DOMException | Error} If it cannot be cloned; the message names the value.
   */
  serialize(value: unknown): Uint8Array;
  /** Converts bytes of `serialize()` to a value. */
  deserialize(bytes: Uint8Array): unknown;
  /**
   * Accepts connections without reading from them, to pass them to other processes.
   *
   * @param options Where to listen.
   * @param accept Called for each connection.
   */
  acceptSockets(
    options: { readonly transport: "tcp" | "unix"; readonly hostname: string; readonly port: number; readonly backlog: number },
    accept: (socket: SocketHandle, remoteAddress: Address | undefined) => void,
    failed: (error: unknown) => void,
  ): Promise<{ readonly address: Address; close(): void }>;
}

/** Where the connections of a `Listener` come from, if not from a listening socket of its own alone. */
export interface SharedListening {
  /**
   * `transferable`: from a listening socket that can be sent to another process (TCP only); `handle` is one that came from there.
   * `passed`: from `take()`; the address is not bound.
   */
  readonly kind: "transferable" | "passed";
  /** The listening socket to use instead of a new one. */
  readonly handle?: SocketHandle | undefined;
}

/** What a `Listener` can do besides if it was made with `SharedListening`. */
export interface SharedListener {
  /** The listening socket, if it is `transferable`. After it has been sent, `close()` of the listener closes the copy here only. */
  readonly handle?: SocketHandle;
  /**
   * Stops accepting, because another process goes on with that. Unlike `close()`, it lets TLS handshakes and preambles that have
   * begun go on. Resolves when the last of them is over.
   */
  release?(): Promise<void>;
  /** Serves a connected socket that came from another process. One that comes after `close()` is closed. */
  take?(socket: SocketHandle): void;
}

/** Identifies this process; `undefined` in one that was not started by `ProcessControl.start()`. Known without a promise. */
let identity: WorkerIdentity | undefined;

/** Returns the identity of this process, if it is a worker. */
export function workerIdentity(): WorkerIdentity | undefined {
  return identity;
}

/** Sets the identity of this process. Called by the entry points. */
export function setWorkerIdentity(worker: WorkerIdentity | undefined): void {
  identity = worker;
}
