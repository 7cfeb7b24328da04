/**
 * The command that starts this program once more: the same script, with the same options of the runtime and the same arguments.
 *
 * @module
 */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { startFolder } from "./worker_identity.ts";

/** A command, and the folder to start it in. */
export interface WorkerCommand {
  readonly args: readonly string[];
  readonly cwd: string | undefined;
}

// The parts of the runtimes that are used here, so that this file type-checks everywhere.

interface DenoApi {
  readonly args: readonly string[];
  readonly mainModule: string;
  readonly build: { readonly standalone: boolean };
  readonly permissions: { querySync(what: { name: string; command?: string }): { state: string; partial?: boolean } };
}

interface EvaluatingProcess {
  /** The code of the command line or of the standard input that is run, in Node and Bun. */
  readonly _eval?: string;
  /** The modules that Node has loaded. */
  readonly moduleLoadList?: readonly string[];
  getBuiltinModule?(name: string): { isSea?(): boolean } | undefined;
}

const { Deno, Bun } = globalThis as { Deno?: DenoApi; Bun?: { readonly main: string } };
const { _eval: evaluated } = process as EvaluatingProcess;

/** Options that are for one process only: those that open a debugger, start again after a change, run tests, or change the folder. */
const SINGLE = /^--(inspect|debug-port|watch|hot|no-clear-screen|test|reload|cwd)\b/;

/** Those of them whose value may be the argument behind them. */
const WITH_VALUE = /^--(inspect-port|debug-port|inspect-publish-uid|watch-path|watch-kill-signal|test-[a-z-]+|cwd)$/;

/**
 * Returns the command.
 *
 * @param execArgv The options of the runtime; by default those that this process was started with.
 * @throws {Error} If there is no script that could be started again, or if Deno does not let this program read its options, start
 * itself, or pass on its environment.
 */
export function workerCommand(execArgv?: readonly string[]): WorkerCommand {
  if (Deno !== undefined) return { args: denoArguments(Deno, execArgv), cwd: startFolder };
  return { args: [...nodeArguments(execArgv)], cwd: startFolder };
}

/** Creates the error for a program that cannot be started again. */
function cannot(why: string): Error {
  return new Error(`Cannot start workers: ${why}`);
}

function noScript(what: string): Error {
  return cannot(`there is no script that they could run, because this is ${what}. Put the program into a file, and run that`);
}

/** The command line in front of the script's own arguments, without the runtime; `undefined` on other systems than Linux. */
function commandLine(own: readonly string[]): string[] | undefined {
  try {
    // Deno itself reads this file only for programs that may do everything; they may start programs that read it.
    const text = Deno === undefined
      ? readFileSync("/proc/self/cmdline", "utf8")
      : execFileSync("cat", [`/proc/${process.pid}/cmdline`], { encoding: "utf8" });
    const all = text.split("\0").slice(1, -1);
    return all.slice(0, all.length - own.length);
  } catch {
    return undefined;
  }
}

/** Leaves out the options that are for one process only. */
function forMany(options: readonly string[]): string[] {
  return options.filter((option, at) => !SINGLE.test(option) && !(at > 0 && WITH_VALUE.test(options[at - 1])));
}

// ---- Node and Bun ---------------------------------------------------------------------------------------------------------

function nodeArguments(execArgv: readonly string[] | undefined): string[] {
  const [, script, ...own] = process.argv;
  if (isOneFile()) return own; // the program is its own runtime; its options are part of it
  if (evaluated !== undefined || (Bun !== undefined && /\/\[(eval|stdin)\]$/.test(Bun.main))) {
    throw noScript("code of the command line or of the standard input");
  }
  if (isTestRunner(own)) throw noScript("a test runner");
  if (script === undefined || script === "-") throw noScript("a prompt, or code of the command line or of the standard input");
  return [...execArgv ?? forMany(process.execArgv), script, ...own];
}

/** Reports whether the program and its runtime are one file, made by `bun build --compile` or as one of Node's executables. */
function isOneFile(): boolean {
  if (Bun !== undefined) return /^(\/\$bunfs\/|[A-Z]:[\\/]~BUN[\\/])/.test(Bun.main);
  return (process as EvaluatingProcess).getBuiltinModule?.("node:sea")?.isSea?.() ?? false;
}

/**
 * Reports whether this process runs tests. A program that a test has started is not meant, although Node has given it the
 * environment of the test.
 */
function isTestRunner(own: readonly string[]): boolean {
  const { execArgv, env } = process;
  if (Bun !== undefined) return commandLine(own)?.filter((each) => !execArgv.includes(each)).includes("test") ?? false;
  const { moduleLoadList } = process as EvaluatingProcess;
  return execArgv.includes("--test") ||
    (env.NODE_TEST_CONTEXT !== undefined && (moduleLoadList?.includes("NativeModule test") ?? false));
}

// ---- Deno -----------------------------------------------------------------------------------------------------------------

/** The subcommands of Deno that run a program. */
const SUBCOMMANDS = ["run", "serve", "test", "bench", "eval", "repl", "task", "watch", "x"];

function denoArguments(deno: DenoApi, execArgv: readonly string[] | undefined): string[] {
  const isAllowed = (what: { name: string; command?: string }) => {
    const { state, partial } = deno.permissions.querySync(what);
    return state === "granted" && partial !== true;
  };
  if (!isAllowed({ name: "run", command: process.execPath })) {
    throw cannot(`Deno does not let this program start itself. Add --allow-run=${process.execPath}`);
  }
  if (!isAllowed({ name: "env" })) {
    throw cannot("Deno does not let this program pass on its environment. Add --allow-env, without names");
  }
  if (deno.build.standalone) return [...deno.args];
  if (/\/\$deno\$(eval|stdin|repl)\b[^/]*$/.test(deno.mainModule)) {
    throw noScript("a prompt, or code of the command line or of the standard input");
  }
  const line = isAllowed({ name: "run" }) ? commandLine(deno.args) : undefined;
  const given = line === undefined ? undefined : parseDenoLine(line);
  if (given !== undefined && given.subcommand !== "run") throw noScript(`deno ${given.subcommand}`);
  const options = execArgv ?? given?.options;
  if (options === undefined) {
    throw cannot(
      "Deno tells only programs with --allow-all or --allow-run, without names, with which options they were started. " +
        "Set worker_exec_argv to the options of this program, such as ['--allow-net', '--allow-env', '--allow-run=deno']",
    );
  }
  // A worker that may not read its environment would not know that it is one.
  const needsEnvironment = !options.some((option) => /^(--allow-(all|env)(=|$)|-[A-Za-z]*[AE])/.test(option));
  return ["run", ...needsEnvironment ? ["--allow-env"] : [], ...options, scriptOf(deno, given?.script), ...deno.args];
}

/** Splits a command line of Deno; the script is its last part. Without a subcommand it means `deno run`. */
function parseDenoLine(line: readonly string[]): { subcommand: string; options: string[]; script: string } {
  const options = line.slice(0, -1);
  const at = options.findIndex((each) => SUBCOMMANDS.includes(each));
  // What stands in front of a subcommand are options, possibly with their values, such as `-L debug`.
  const [subcommand] = at < 0 ? ["run"] : options.splice(at, 1);
  return { subcommand, options: forMany(options).filter((each) => each !== "-r"), script: line[line.length - 1] };
}

/** Returns the script as it was given, if it can still be found by that name, or else where it is. */
function scriptOf({ mainModule }: DenoApi, given: string | undefined): string {
  if (!mainModule.startsWith("file:")) return given ?? mainModule;
  const path = fileURLToPath(mainModule);
  if (given === undefined || /^[a-z]{2,}:/.test(given)) return given ?? path;
  return isAbsolute(given) || (startFolder !== undefined && resolve(startFolder, given) === path) ? given : path;
}
