/**
 * Starts separate programs in the runtime that runs the tests.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** A running program. */
export class Program {
  /** The process. */
  readonly process: ChildProcess;
  /** Resolves to the exit code; `null` if a signal ended the program. */
  readonly exited: Promise<number | null>;
  /** The text written to standard error. */
  errors = "";
  #lines: string[] = [];
  #rest = "";
  #wake: (() => void)[] = [];
  #over = false;

  /**
   * @param command The program with its arguments.
   * @param env Environment variables in addition to those of the tests.
   * @param takesInput Whether `tell()` is used.
   * @param cwd The working directory, if it is another one.
   */
  constructor(command: readonly string[], env: Record<string, string> = {}, takesInput = false, cwd?: string) {
    this.process = spawn(command[0], command.slice(1), {
      stdio: [takesInput ? "pipe" : "ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", ...env },
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.process.on("error", (error) => this.errors += `${error}`);
    this.process.stdout!.setEncoding("utf8").on("data", (text: string) => {
      const lines = (this.#rest + text).split("\n");
      this.#rest = lines.pop()!;
      this.#lines.push(...lines);
      this.#notify();
    });
    this.process.stderr!.setEncoding("utf8").on("data", (text: string) => this.errors += text);
    this.exited = new Promise((resolve) =>
      this.process.on("close", (code) => {
        this.#over = true;
        this.#notify();
        resolve(code);
      })
    );
  }

  /** Returns the next line of output. */
  async line(): Promise<string> {
    while (this.#lines.length === 0) {
      if (this.#over) throw new Error(`The program ended: ${this.errors}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
    return this.#lines.shift()!;
  }

  /** Sends a line to the program. */
  tell(line: string): void {
    this.process.stdin!.write(`${line}\n`);
  }

  /** Kills the program, and waits until it is gone. */
  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.exited;
  }

  /** Returns the lines of output that have not been read yet. */
  printed(): string[] {
    return this.#lines.splice(0);
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** Runs a program for a test, and always kills it. */
export async function running(
  command: readonly string[],
  test: (program: Program) => Promise<void>,
  env: Record<string, string> = {},
): Promise<void> {
  const program = new Program(command, env);
  try {
    await test(program);
  } finally {
    await program.kill();
  }
}

const tool = (path: string) => fileURLToPath(new URL(`../../tools/node_modules/${path}`, import.meta.url));

/** The command of each runtime installed by `npm ci --prefix tools`. */
export const runners: readonly (readonly [name: string, ...command: string[]])[] = [
  ["Deno", tool(".bin/deno"), "run", "-A"],
  ["Bun", tool(".bin/bun"), "run"],
  ["Node 22", tool("n22/bin/node")],
  ["Node 24", tool("n24/bin/node")],
  ["Node 26", tool("n26/bin/node")],
];

/** Returns the command that runs a TypeScript file in the current runtime. */
export function inThisRuntime(file: URL, ...args: string[]): string[] {
  const flags = "Deno" in globalThis ? ["run", "-A"] : "Bun" in globalThis ? ["run"] : [];
  return [process.execPath, ...flags, fileURLToPath(file), ...args];
}
