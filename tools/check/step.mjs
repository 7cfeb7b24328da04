// Runs one step of the checks: a program in a process group of its own, so that nothing of it outlives it.

import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { stripVTControlCharacters } from "node:util";

/** Steps that run. */
const running = new Set();

/** Ends the programs of all steps, with what they have started. */
export function killAll() {
  for (const step of running) step.kill();
}

/** A step while it runs and when it has ended. */
export class Step {
  /** "ok", or "FAILED". */
  outcome = "";
  /** Why, if the reason is not in what it printed. */
  reason = "";
  /** What it printed. */
  output = "";
  /** The last line of it that says something. */
  lastLine = "";
  /** How long it took, in seconds. */
  seconds = 0;
  #child;
  #begun = performance.now();
  #heard = performance.now();

  constructor({ name, command, env = {} }) {
    this.name = name;
    this.command = command;
    this.env = env;
  }

  /** How long it has been running, in seconds. */
  get age() {
    return (performance.now() - this.#begun) / 1000;
  }

  /** For how long it has printed nothing, in seconds. */
  get silence() {
    return (performance.now() - this.#heard) / 1000;
  }

  /** Ends its process group at once. */
  kill(reason = "") {
    this.reason ||= reason;
    try {
      process.kill(-this.#child.pid, "SIGKILL");
    } catch {
      // Nothing of it is left.
    }
  }

  /**
   * Runs it to its end.
   *
   * @param {{ root: string, env: object, log: string, silence: number }} options Where, with which variables, which file gets what it
   * prints, and after how many seconds without a word it is taken for stuck.
   */
  run({ root, env, log, silence }) {
    this.#begun = this.#heard = performance.now();
    return new Promise((resolve) => {
      const [program, ...args] = this.command;
      const file = createWriteStream(log);
      const child = this.#child = spawn(program, args, {
        cwd: root,
        env: { ...env, ...this.env },
        stdio: ["ignore", "pipe", "pipe"],
        detached: true, // a process group of its own
      });
      running.add(this);
      const hear = (text) => {
        this.#heard = performance.now();
        this.output += text;
        file.write(text);
        const lines = text.split("\n").map((line) => line.trim()).filter((
          line,
        ) => line !== "");
        if (lines.length > 0) this.lastLine = lines.at(-1);
      };
      const watch = setInterval(() => {
        if (this.silence > silence) {
          this.kill(`it printed nothing for ${silence} seconds`);
        }
      }, 1000);
      const end = (status, signal) => {
        if (this.outcome !== "") return;
        clearInterval(watch);
        this.kill(); // whoever it has left behind
        running.delete(this);
        file.end();
        this.seconds = this.age;
        this.outcome = status === 0 && this.reason === "" ? "ok" : "FAILED";
        if (signal !== null) this.reason ||= `it was ended by ${signal}`;
        else if (status !== 0) this.reason ||= `exit code ${status}`;
        resolve(this);
      };
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding("utf8").on("data", hear);
      }
      child.on("error", (error) => {
        hear(`${error.message}\n`);
        end(1, null);
      });
      // A child that was left behind may hold the pipes open: they end with the group.
      child.on("exit", () => setTimeout(() => this.kill(), 2000).unref());
      child.on("close", end);
    });
  }
}

/** What a step printed about its failures: the part that names them, at most so many lines. */
export function failuresOf(output, most = 120) {
  const lines = stripVTControlCharacters(output).split("\n");
  const from = [
    (line) => /^✖ failing tests:/.test(line), // Node
    (line) => /^ ERRORS\s*$/.test(line), // Deno
  ].map((isStart) => lines.findLastIndex(isStart)).find((index) => index >= 0);
  if (from !== undefined) return lines.slice(from, from + most);
  // Bun prints what went wrong above the name of the test.
  const failed = lines.flatMap((line, index) => line.startsWith("(fail)") ? [index] : []);
  if (failed.length > 0) {
    const shown = failed.flatMap((index, i) =>
      lines.slice(
        Math.max(index - 20, i > 0 ? failed[i - 1] + 1 : 0),
        index + 1,
      )
    );
    return shown.slice(0, most);
  }
  return lines.slice(-40);
}

/** The tests that a step says it left out. */
export function leftOutOf(output) {
  return new Set(
    Array.from(output.matchAll(/LEFT OUT: ([^)\n]*)/g), (match) => match[1]),
  );
}
