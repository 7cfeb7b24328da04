/**
 * Starts an example as a program of its own, as its reader would.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The command line that runs a TypeScript file in the runtime of this test. */
export const THIS_RUNTIME: readonly string[] = [
  process.execPath,
  ...("Deno" in globalThis ? ["run", "-A"] : "Bun" in globalThis ? ["run"] : []),
];

/** What a program printed until it ended. */
export interface Ended {
  code: number | null;
  out: string;
  err: string;
}

/** An example that runs. */
export interface Example {
  /** The port that it printed. */
  readonly port: number;
  /** What it has printed so far. */
  readonly output: Ended;
  /** Kills it and waits until it is gone. */
  kill(): Promise<void>;
  /** Sends it the signal of Ctrl+C. */
  interrupt(): void;
  /** Resolves when it has ended. */
  readonly ended: Promise<Ended>;
}

const running: Set<ChildProcess> = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

function launch(
  name: string,
  port: string,
  command: readonly string[],
  env: Record<string, string> = {},
): { child: ChildProcess; output: Ended; ended: Promise<Ended> } {
  const file = fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));
  const [program, ...args] = command;
  // The working directory is none that an example could know.
  const child = spawn(program, [...args, file], { cwd: tmpdir(), env: { ...process.env, NO_COLOR: "1", PORT: port, ...env } });
  running.add(child);
  const output: Ended = { code: null, out: "", err: "" };
  child.stdout!.on("data", (chunk: Uint8Array) => output.out += new TextDecoder().decode(chunk));
  child.stderr!.on("data", (chunk: Uint8Array) => output.err += new TextDecoder().decode(chunk));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      running.delete(child);
      output.code = code;
      resolve(output);
    });
  });
  return { child, output, ended };
}

/**
 * A free port to which a server can come back after it was killed: below those that the system gives to clients, one of which
 * could have taken it meanwhile.
 */
export async function lastingPort(): Promise<number> {
  while (true) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const free = await new Promise<boolean>((resolve) => {
      const probe = createServer();
      probe.once("error", () => resolve(false));
      probe.listen(port, "0.0.0.0", () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

/** Starts an example and waits until it has printed its address. */
export function startExample(
  name: string,
  port = 0,
  command: readonly string[] = THIS_RUNTIME,
  env: Record<string, string> = {},
): Promise<Example> {
  const { child, output, ended } = launch(name, String(port), command, env);
  return new Promise((resolve, reject) => {
    child.stdout!.on("data", () => {
      const printed = /:\/\/localhost:(\d+)\//.exec(output.out);
      if (printed === null) return;
      const kill = async () => {
        child.kill("SIGKILL");
        await ended;
      };
      // By its number: Deno would take a child that was signalled with `kill()` for one that has ended.
      const interrupt = () => void process.kill(child.pid!, "SIGINT");
      resolve({ port: Number(printed[1]), output, kill, interrupt, ended });
    });
    ended.then(({ code, out, err }) => reject(new Error(`${name} ended with code ${code}: ${out}${err}`)), reject);
  });
}

/** Runs an example to its end, which it is expected to come to by itself. */
export function runExample(name: string, port: string): Promise<Ended> {
  return launch(name, port, THIS_RUNTIME).ended;
}
