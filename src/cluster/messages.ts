/**
 * The messages between the master and its workers. They go over the channel of the processes, are few, and arrive in order; what
 * belongs to connections goes over the mesh.
 *
 * @module
 */

import type { ProcessMessage } from "../transport/processes.ts";
import { SLOTS } from "./slots.ts";

/**
 * The version of these messages and of the frames of the mesh. A reload may start another version of the program, with another
 * version of Sluice: such a worker is refused, and the old ones stay.
 */
export const CLUSTER_FORMAT = 1;

/** The exit statuses of a worker. */
export const EXIT_STATUS = {
  /** It ended in order: it was told to, or was replaced. */
  stopped: 0,
  /** It could not start; the master has the reason. */
  failed: 1,
  /** Its master is gone. */
  orphaned: 69,
  /** It got SIGTERM for the second time, and has ended at once. */
  killed: 143,
} as const;

/** What a worker is, from its start on. */
export interface WorkerRole {
  /** The number of the worker, from 0. During a reload two processes have the same. */
  readonly id: number;
  /** The number of the process, from 1 to 255; no two living processes have the same. */
  readonly slot: number;
  /** The secret that processes of this cluster show to each other. */
  readonly token: string;
  /** The folder of the sockets of the mesh. */
  readonly folder: string;
  /** The process ID of the master. */
  readonly master: number;
}

/** Writes a role for `ProcessControl.start()`. */
export function writeRole(role: WorkerRole): string {
  return JSON.stringify({ format: CLUSTER_FORMAT, ...role });
}

/**
 * Reads a role.
 *
 * @throws {Error} If it was written by another version.
 */
export function readRole(text: string): WorkerRole {
  const role = parse(text);
  const { format, id, slot, token, folder, master } = role;
  const isRole = isCount(id) && isCount(slot) && slot >= 1 && slot < SLOTS && isCount(master) && isText(token) && isText(folder);
  if (format !== CLUSTER_FORMAT || !isRole) {
    throw new Error("Cannot start the worker: its master runs another version of Sluice; restart the master");
  }
  return { id, slot, token, folder, master };
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
  } catch {
    return {};
  }
}

/** A message from a worker to the master. */
export type WorkerMessage =
  /** The program has called `start()`, and the worker can be reached over the mesh. */
  | { readonly type: "hello"; readonly format: number; readonly ports: number }
  /** It is a member of the mesh, and its `workerStart` handler is done. It waits for `listen`. */
  | { readonly type: "prepared" }
  /** It accepts connections; the numbers of its ports. */
  | { readonly type: "ready"; readonly ports: readonly number[] }
  /** It cannot start, and ends. */
  | { readonly type: "failed"; readonly message: string; readonly code: string }
  /** It needs further fds. */
  | { readonly type: "fds" }
  /** The listening socket of a port comes along. */
  | { readonly type: "give"; readonly port: number }
  /** There are no more listening sockets to give. */
  | { readonly type: "given" }
  /** How many connections it has, and how many were passed to it so far. */
  | { readonly type: "load"; readonly connections: number; readonly taken: number }
  /** It has done `max_request` requests, and wants to be replaced. */
  | { readonly type: "retire" }
  /** The program has called `stop()`. */
  | { readonly type: "stop"; readonly id: number }
  /** The program has called `reload()`. */
  | { readonly type: "reload"; readonly onlyTasks: boolean }
  /** The program has called `shutdown()`. Times are in seconds; `null` for no limit. */
  | { readonly type: "shutdown"; readonly wait: number | null; readonly tell: number | null }
  /** It has ended in order, and exits. */
  | { readonly type: "stopped"; readonly wasCutOff: boolean };

/** A message from the master to a worker. */
export type MasterMessage =
  /** The first fds, the slots of the processes to connect to, the numbers of the ports (0 for unknown), and which are passed on. */
  | {
    readonly type: "setup";
    readonly first: number;
    readonly count: number;
    readonly peers: readonly number[];
    readonly ports: readonly number[];
    readonly passed: readonly boolean[];
  }
  /** Further fds. */
  | { readonly type: "fds"; readonly first: number; readonly count: number }
  /** The process IDs of the workers by their numbers; 0 for one that does not run. */
  | { readonly type: "workers"; readonly pids: readonly number[] }
  /** The process with a slot has ended. */
  | { readonly type: "gone"; readonly slot: number }
  /** It has to send its listening sockets. */
  | { readonly type: "give" }
  /** A listening socket of the worker that it replaces comes along. */
  | { readonly type: "take"; readonly port: number }
  /** It may accept connections, on these ports. */
  | { readonly type: "listen"; readonly ports: readonly number[] }
  /** An accepted connection comes along. */
  | { readonly type: "connection"; readonly port: number }
  /** It has been replaced: its WebSockets may stay for `wait` seconds, and are closed within `drain` seconds then. */
  | { readonly type: "retire"; readonly wait: number | null; readonly drain: number }
  /** It has to end: see `ServerCore.shutdown()`. */
  | { readonly type: "shutdown"; readonly wait: number | null; readonly tell: number | null };

type Check = (value: unknown) => boolean;

const isCount = (value: unknown): value is number => typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
const isText = (value: unknown): value is string => typeof value === "string";
const isBoolean: Check = (value) => typeof value === "boolean";
const isTime: Check = (value) => typeof value === "number" && value >= 0;
const isLimit: Check = (value) => value === null || isTime(value);
const isId: Check = (value) => typeof value === "number" && Number.isSafeInteger(value);
const isCounts: Check = (value) => Array.isArray(value) && value.every(isCount);
const isBooleans: Check = (value) => Array.isArray(value) && value.every(isBoolean);

type Fields<Message extends { readonly type: string }> = {
  readonly [Type in Message["type"]]: { readonly [Field in Exclude<keyof Extract<Message, { type: Type }>, "type">]: Check };
};

const OF_WORKERS: Fields<WorkerMessage> = {
  hello: { format: isCount, ports: isCount },
  prepared: {},
  ready: { ports: isCounts },
  failed: { message: isText, code: isText },
  fds: {},
  give: { port: isCount },
  given: {},
  load: { connections: isCount, taken: isCount },
  retire: {},
  stop: { id: isId },
  reload: { onlyTasks: isBoolean },
  shutdown: { wait: isLimit, tell: isLimit },
  stopped: { wasCutOff: isBoolean },
};

const OF_MASTERS: Fields<MasterMessage> = {
  setup: { first: isCount, count: isCount, peers: isCounts, ports: isCounts, passed: isBooleans },
  fds: { first: isCount, count: isCount },
  workers: { pids: isCounts },
  gone: { slot: isCount },
  give: {},
  take: { port: isCount },
  listen: { ports: isCounts },
  connection: { port: isCount },
  retire: { wait: isLimit, drain: isTime },
  shutdown: { wait: isLimit, tell: isLimit },
};

/** Returns a message of a worker; `undefined` if it is none: another version, or the program's own. */
export function readWorkerMessage(message: ProcessMessage): WorkerMessage | undefined {
  return isOf(OF_WORKERS, message) ? message as WorkerMessage : undefined;
}

/** Returns a message of the master; `undefined` if it is none. */
export function readMasterMessage(message: ProcessMessage): MasterMessage | undefined {
  return isOf(OF_MASTERS, message) ? message as MasterMessage : undefined;
}

function isOf(kinds: Readonly<Record<string, Readonly<Record<string, Check>>>>, message: ProcessMessage): boolean {
  if (typeof message !== "object" || message === null || !Object.hasOwn(kinds, message.type)) return false;
  return Object.entries(kinds[message.type]).every(([field, check]) => check(message[field]));
}

/** Converts a time limit to one for a message. */
export function limitOf(seconds: number): number | null {
  return seconds === Infinity ? null : seconds;
}

/** Converts a time limit of a message to seconds. */
export function secondsOf(limit: number | null): number {
  return limit ?? Infinity;
}
