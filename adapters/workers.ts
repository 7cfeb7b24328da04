/**
 * Processes that run the same program, for all three adapters: `node:child_process`, which all runtimes have.
 *
 * @module
 */

import type { ChildProcess as Spawned } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { ChildProcess, ProcessControl, ProcessExit, ProcessOptions } from "../src/transport/processes.ts";
import { processorLimit, sharesPorts } from "./process.ts";
import { Channel, type ChannelEnd } from "./process_channel.ts";
import { deserialize, serialize } from "./serializing.ts";
import { VARIABLE } from "./worker_identity.ts";

/** A process that was started, and the channel to it. */
class Child extends Channel implements ChildProcess {
  readonly pid: number;
  readonly exited: Promise<ProcessExit>;
  #isRunning = true;

  constructor(spawned: Spawned) {
    super(spawned as unknown as ChannelEnd, false);
    this.pid = spawned.pid!;
    this.exited = new Promise((resolve) =>
      spawned.on("exit", (code, signal) => {
        this.#isRunning = false;
        this.onEnd(); // Deno, and Node while a socket is on its way, may not tell
        closeLater(spawned);
        resolve({ code: code ?? 0, signal: signal === null ? 0 : os.constants.signals[signal] ?? 0 });
      })
    );
  }

  kill(signal: "SIGTERM" | "SIGKILL"): boolean {
    if (!this.#isRunning) return false; // its number may be that of another process by now
    try {
      return process.kill(this.pid, signal); // in Deno, kill() of the spawned process works once only
    } catch {
      return false;
    }
  }
}

/** How long the messages that a process has sent last may take to be read, in milliseconds. */
const LAST_MESSAGES = 1000;

/**
 * Closes the channel to a process that has exited, if that does not happen by itself: Deno leaves it open, with its descriptor, if the
 * process has not read all that was sent to it.
 */
function closeLater(spawned: Spawned): void {
  const timer = setTimeout(() => spawned.connected && spawned.disconnect(), LAST_MESSAGES);
  (timer as unknown as { unref?(): void }).unref?.();
}

/** Implements `ProcessControl.start()`. */
async function start({ role, execArgv }: ProcessOptions): Promise<ChildProcess> {
  // Programs without workers do not load these.
  const { workerCommand } = await import("./worker_command.ts");
  const { spawn } = await import("node:child_process");
  const { args, cwd } = workerCommand(execArgv);
  const spawned = spawn(process.execPath, args, {
    cwd,
    env: { ...process.env, [VARIABLE]: role },
    stdio: ["ignore", "inherit", "inherit", "ipc"], // the terminal's input is the first process's
  });
  // Deno adds --allow-all to what it takes for a program without any permissions.
  if ("Deno" in globalThis && spawned.spawnargs.slice(1).join("\0") !== args.join("\0")) {
    spawned.on("error", () => {}).kill("SIGKILL");
    throw new Error(`Cannot start workers: Deno would start them with other options: ${spawned.spawnargs.slice(1).join(" ")}`);
  }
  const child = new Child(spawned);
  return await new Promise((resolve, reject) => {
    spawned.on("spawn", () => resolve(child));
    spawned.on("error", reject); // later errors, of the channel, are told to those who send
  });
}

/** The longest path of a folder for which there is enough room for the path of a unix socket in it, which has 107 bytes. */
const LONGEST_FOLDER = 64;

/** Implements `ProcessControl.makeFolder()`. */
function makeFolder(): Promise<string> {
  const usual = os.tmpdir();
  return mkdtemp(join(usual.length + "/sluice-XXXXXX".length <= LONGEST_FOLDER ? usual : "/tmp", "sluice-")); // with mode 0700
}

/** Processes that run the same program. */
export const processes: ProcessControl = {
  processorCount: () => Math.max(1, Math.min(os.availableParallelism(), Math.floor(processorLimit()))),
  sharesPorts,
  start,
  makeFolder,
  removeFolder: (path) => rm(path, { recursive: true, force: true }).catch(() => {}),
  serialize,
  deserialize,
  acceptSockets: async (...accepting) => (await import("./accepting.ts")).acceptSockets(...accepting),
};
