/**
 * Starts programs of their own in the runtime that the tests are in.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** A program that runs. */
export class Program {
  /** The process. */
  readonly process: ChildProcess;
  /** The exit code; `null` when a signal ended it. */
  readonly exited: Promise<number | null>;
  /** What it wrote to standard error. */
  errors = "";
  #lines: string[] = [];
  #rest = "";
  #wake: (() => void)[] = [];
  #over = false;

  /** @param command The program with its arguments. */
  constructor(command: readonly string[]) {
    this.process = spawn(command[0], command.slice(1), {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    });
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

  /** The next line that it prints. */
  async line(): Promise<string> {
    while (this.#lines.length === 0) {
      if (this.#over) throw new Error(`The program ended: ${this.errors}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
    return this.#lines.shift()!;
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** The command that runs a TypeScript file in the runtime that the tests are in. */
export function inThisRuntime(file: URL, ...args: string[]): string[] {
  const flags = "Deno" in globalThis ? ["run", "-A"] : "Bun" in globalThis ? ["run"] : [];
  return [process.execPath, ...flags, fileURLToPath(file), ...args];
}
