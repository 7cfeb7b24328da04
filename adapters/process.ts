/**
 * The process, for all three adapters: its signals and its exit, the memory that it may use, and turns of its event loop. All runtimes
 * have `node:process`.
 *
 * @module
 */

import process from "node:process";
import type { MemoryUsage, SignalControl } from "../src/transport/runtime.ts";
import { readFileSync } from "node:fs";
import os from "node:os";

/** The number of listeners removed in this turn, by signal. */
const removed: Map<string, number> = new Map();

/** Access to the signals and the exit of the process. Listeners do not keep a program alive. */
export const signals: SignalControl = {
  listen(name, listener) {
    // Counts one-time listeners of the program that have just been removed. Our listener is the first, but Deno calls listeners
    // in order of registration, so they may be gone by the time ours is called.
    const onRemove = (event: string | symbol, other: unknown) => {
      if (event !== name || other === listener) return;
      removed.set(name, (removed.get(name) ?? 0) + 1);
      queueMicrotask(() => removed.delete(name));
    };
    try {
      process.prependListener(name, listener);
    } catch {
      return () => {}; // the system does not have this signal
    }
    process.on("removeListener", onRemove);
    return () => {
      process.off("removeListener", onRemove);
      process.off(name, listener);
    };
  },
  count: (name) => process.listenerCount(name) + (removed.get(name) ?? 0),
  failWith(code) {
    process.exitCode ??= code;
  },
  exit(code) {
    if (code === undefined) process.exit(); // an argument, even `undefined`, would replace the exit code that was set
    process.exit(code);
  },
};

/** Where limits of control groups are: the pattern of the name of the group in `/proc/self/cgroup`, the folder, and a file. */
interface GroupFile {
  readonly pattern: RegExp;
  readonly folder: string;
  readonly file: string;
}

/** The files with the limits of memory. */
const MEMORY_FILES: readonly GroupFile[] = [
  { pattern: /^0::(.*)$/m, folder: "/sys/fs/cgroup", file: "memory.max" },
  { pattern: /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m, folder: "/sys/fs/cgroup/memory", file: "memory.limit_in_bytes" },
];

/** The pattern of the groups with the limits of processor time in the first version of control groups, and their folder. */
const PROCESSOR = { pattern: /^\d+:(?:[^:]*,)?cpu(?:,[^:]*)?:(.*)$/m, folder: "/sys/fs/cgroup/cpu" };

/** Implements `Runtime.memoryLimit()`: returns the lowest of all limits. */
export function memoryLimit(): number | undefined {
  const { constrainedMemory } = process as { constrainedMemory?(): number | undefined };
  const limits: (number | undefined)[] = [];
  // Without permission, Deno would prompt the user.
  if (isPermitted({ name: "sys", kind: "systemMemoryInfo" })) limits.push(os.totalmem(), constrainedMemory?.call(process));
  limits.push(...MEMORY_FILES.flatMap(groupTexts).map((text) => Number(text || NaN))); // NaN for `max`, too
  const sensible = limits.filter(isSensible);
  return sensible.length === 0 ? undefined : Math.min(...sensible);
}

/** Implements `Runtime.memoryUsage()`. */
export function memoryUsage(): MemoryUsage {
  return process.memoryUsage();
}

/**
 * Returns the number of processors that the control groups of the process allow, which may be a fraction; `Infinity` if they set no
 * limit, or if it cannot be read.
 */
export function processorLimit(): number {
  const shares = [
    ...groupTexts({ ...MEMORY_FILES[0], file: "cpu.max" }).map((text) => text.split(" ")),
    ...zip(groupTexts({ ...PROCESSOR, file: "cpu.cfs_quota_us" }), groupTexts({ ...PROCESSOR, file: "cpu.cfs_period_us" })),
  ];
  // Without a limit, the first number is missing, `max` or -1.
  return Math.min(...shares.map(([time, period]) => Number(time || NaN) / Number(period)).filter((share) => share > 0));
}

function zip(these: readonly string[], those: readonly string[]): string[][] {
  return these.map((each, at) => [each, those[at]]);
}

/** Returns the content of a file of the process's group and all its parents. In a container, only the outermost one is visible. */
function groupTexts({ pattern, folder, file }: GroupFile): string[] {
  if (!isPermitted({ name: "read", path: "/sys/fs/cgroup" }) || !isPermitted({ name: "read", path: "/proc/self/cgroup" })) {
    return [];
  }
  const parts = (pattern.exec(readText("/proc/self/cgroup"))?.[1] ?? "").split("/").filter((part) => part !== "");
  const paths = parts.map((_, index) => `/${parts.slice(0, index + 1).join("/")}`);
  return ["", ...paths].map((path) => readText(`${folder}${path}/${file}`));
}

/** Whether the system spreads the connections of a port over several listening sockets, and the runtime can ask for it. */
export const sharesPorts: boolean = canSharePorts();

function canSharePorts(): boolean {
  if (process.platform !== "linux") return false;
  if ("Deno" in globalThis || "Bun" in globalThis) return true;
  const [major, minor] = process.versions.node.split(".").map(Number);
  return major >= 24 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12);
}

/** Reports whether this is a real limit: systems without one report `max`, nothing, 0, or a number near 2^63. */
function isSensible(limit: number | undefined): limit is number {
  return limit !== undefined && limit > 0 && limit < Number.MAX_SAFE_INTEGER;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Reports whether the program has a permission, without prompting the user. */
function isPermitted(what: { name: string; [key: string]: string }): boolean {
  const { Deno } = globalThis as { Deno?: { permissions: { querySync(what: unknown): { state: string } } } };
  return Deno === undefined || Deno.permissions.querySync(what).state === "granted";
}

/** The number of bytes that a connection sends in one turn. */
export const OUTPUT_PER_TURN: number = 2 * 1024 * 1024;

/** The number of the turn. It is counted only while connections send much, and for all of them at once. */
let turn = 0;
let isCounting = false;

/**
 * A lane that sends a limited number of bytes per turn. The system takes everything at once for a peer that reads as fast as the
 * program sends, such as a proxy on the same machine: a program that sends without end would never give others their turn.
 */
export abstract class SharingLane {
  #turn = 0;
  #remaining = OUTPUT_PER_TURN;

  /** Whether the output of this turn is used up. What waits for output to be taken must be told in a later turn then. */
  protected get isOutputUsedUp(): boolean {
    return this.#remaining <= 0 && this.#turn === turn;
  }

  /** Takes bytes from the output of this turn. */
  protected useOutput(size: number): void {
    if (this.#turn !== turn) {
      this.#turn = turn;
      this.#remaining = OUTPUT_PER_TURN;
    }
    this.#remaining -= size;
    if (isCounting || this.#remaining > OUTPUT_PER_TURN / 2) return;
    isCounting = true;
    setImmediate(() => {
      isCounting = false;
      turn++;
    });
  }
}

/** Resolves in a later turn of the event loop, after the ready sockets and timers have been handled. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
