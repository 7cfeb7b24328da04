/**
 * What a process that `workers.ts` has started knows of itself as soon as it is imported: its role, and the channel to its parent.
 *
 * @module
 */

import process from "node:process";
import { clearInterval, setInterval } from "node:timers";
import { setWorkerIdentity } from "../src/transport/processes.ts";
import { Channel, type ChannelEnd } from "./process_channel.ts";

/** The environment variable that tells a process its identity. */
export const VARIABLE = "SLUICE_WORKER";

/** How often a worker in Deno looks whether its parent runs, in milliseconds. */
const PARENT_INTERVAL = 500;

/** The exit status of a worker that an error outside of all handlers has ended, as in the other runtimes. */
const CRASHED = 1;

/** The exit status of a worker whose parent has gone before the worker watched it. */
const ORPHANED = 1;

/** The folder that the program was started in, which it may leave; `undefined` if there is none any more. */
export const startFolder: string | undefined = folder();

function folder(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}

/** The part of Deno that is used here. */
interface DenoPermissions {
  readonly permissions: { querySync(what: { name: "env"; variable: string }): { state: string } };
}

/** Takes the variable out of the environment, so that programs that this one starts do not find it. */
function takeVariable(): string | undefined {
  const { Deno } = globalThis as { Deno?: DenoPermissions };
  // To ask for what is not allowed would prompt the user. A worker is never started without this permission.
  if (Deno !== undefined && Deno.permissions.querySync({ name: "env", variable: VARIABLE }).state !== "granted") return undefined;
  const value = process.env[VARIABLE];
  delete process.env[VARIABLE];
  return value;
}

/** The channel from a worker to its parent. A worker whose parent has gone ends, unless somebody else sees to that. */
class ParentChannel extends Channel {
  constructor() {
    super(process as unknown as ChannelEnd, true);
    process.channel?.unref?.(); // until somebody listens, the channel does not keep the program alive
    if ("Deno" in globalThis) this.#watchParent(); // the end of the channel may not be told
  }

  /** Notices the end of the parent: another process is the parent of its children then. */
  #watchParent(): void {
    const { ppid } = process;
    const timer = setInterval(() => {
      if (process.ppid === ppid) return;
      clearInterval(timer);
      this.onEnd();
    }, PARENT_INTERVAL);
    timer.unref();
  }

  override onMessage(receive: Parameters<Channel["onMessage"]>[0]): void {
    process.channel?.ref?.();
    super.onMessage(receive);
  }

  override onUnwatchedEnd(): void {
    process.exit(ORPHANED);
  }
}

/** Ends the process at an error that nothing catches. Bun shows it and goes on. A listener of the program decides instead. */
function endAtErrors(): void {
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (error: unknown) => {
      if (process.listenerCount(event) > 1) return;
      console.error(error);
      process.exit(CRASHED);
    });
  }
}

/** Finds out whether this process is a worker, and sets its identity. */
export function findIdentity(): void {
  const value = takeVariable();
  if (value === undefined) return;
  if (process.send === undefined || !process.connected) {
    // A worker without a parent must not go on as if it were the first process of the program.
    console.error(`${VARIABLE} is set, and there is no channel to the process that has set it`);
    process.exit(ORPHANED);
  }
  if ("Bun" in globalThis) endAtErrors();
  setWorkerIdentity({ role: value, parent: new ParentChannel() });
}
