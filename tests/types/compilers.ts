/**
 * TypeScript as programs meet it: what the compiler says about a piece of code, and what an editor offers in it.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const require = createRequire(import.meta.url);

/** A version of TypeScript. */
export interface Compiler {
  /** Its name for people. */
  readonly name: string;
  /** Where its package is. */
  readonly folder: string;
}

/** The oldest version that a program may use, the one that this repository uses, and the newest. */
export const compilers: readonly Compiler[] = [["5.4", "ts54"], ["5.9", "typescript"], ["7", "ts7"]]
  .map(([version, name]) => ({ name: `TypeScript ${version}`, folder: join(root, "tools/node_modules", name) }));

/** Registers a test with a version of TypeScript. It is left out, in plain sight, where that is not installed. */
export function testWithCompiler(compiler: Compiler, name: string, work: (t: TestContext) => Promise<void>): void {
  if (existsSync(compiler.folder)) test(`${name} ${compiler.name}`, work);
  else test.skip(`${name} ${compiler.name} (LEFT OUT: there is no ${compiler.name})`, () => {});
}

/** What every piece of code may use. */
const PREAMBLE = `
import * as sluice from "${root}mod.ts";
import * as coroutine from "${root}src/coroutine/mod.ts";
const raw = new sluice.Server();
const http = new sluice.HttpServer();
const server = new sluice.WebSocketServer();
const [port] = server.ports;
const coroutineServer = new coroutine.HttpServer("127.0.0.1");
const client = new coroutine.HttpClient("127.0.0.1");
`;

const OPTIONS = {
  target: "esnext",
  module: "preserve",
  moduleResolution: "bundler",
  allowImportingTsExtensions: true,
  noEmit: true,
  strict: true,
  types: [], // adapters then have errors, which are not those of a program
  lib: ["esnext", "dom", "dom.iterable", "dom.asynciterable"],
};

/**
 * Compiles pieces of code, each on its own, and files of the repository.
 *
 * @returns For each piece, then for each file, its errors: the message, with a line break before each explanation that belongs to
 * it.
 */
export function errorsOf({ folder }: Compiler, pieces: readonly string[], paths: readonly string[] = []): string[][] {
  const place = mkdtempSync(join(tmpdir(), "sluice-types-"));
  try {
    const files = pieces.map((piece, index) => {
      const file = join(place, `piece${index}.ts`);
      writeFileSync(file, `${PREAMBLE}\n${piece}\n`);
      return file;
    });
    files.push(...paths.map((path) => join(root, path)));
    const config = join(place, "tsconfig.json");
    writeFileSync(config, JSON.stringify({ compilerOptions: OPTIONS, files }));
    const { stdout, stderr } = spawnSync(process.execPath, [join(folder, "bin/tsc"), "-p", config, "--pretty", "false"], {
      encoding: "utf8",
      maxBuffer: 1 << 26,
      cwd: place, // paths in the errors are relative to it
    });
    if (stderr !== "") throw new Error(stderr); // the compiler itself has failed
    const errors = new Map(files.map((file) => [file, [] as string[]]));
    let into: string[] | undefined;
    for (const line of stdout.split("\n")) {
      const [, file, message] = /^(.*)\(\d+,\d+\): error TS\d+: (.*)$/.exec(line) ?? [];
      if (file !== undefined) (into = errors.get(resolve(place, file)))?.push(message);
      else if (line.startsWith("  ")) into?.push(`${into.pop()}\n${line.trim()}`);
      else into = undefined;
    }
    return [...errors.values()];
  } finally {
    rmSync(place, { recursive: true });
  }
}

/** What a language service offers. */
interface LanguageService {
  getCompletionsAtPosition(file: string, at: number, options: object): { entries: { name: string }[] } | undefined;
  getQuickInfoAtPosition(file: string, at: number): { documentation?: { text: string }[] } | undefined;
}

/** An editor with a version of TypeScript that can be a part of one. */
export class Editor {
  readonly #file: string = join(root, "tests/types/edited.ts"); // only in memory
  readonly #service: LanguageService;
  #text = "";
  #version = 0;

  constructor({ folder }: Compiler) {
    const ts = require(folder);
    const file = this.#file;
    const read = (name: string) => name === file ? this.#text : existsSync(name) ? readFileSync(name, "utf8") : undefined;
    this.#service = ts.createLanguageService({
      getCompilationSettings: () => ts.convertCompilerOptionsFromJson(OPTIONS, root).options,
      getScriptFileNames: () => [file],
      getScriptVersion: (name: string) => name === file ? String(this.#version) : "1",
      getScriptSnapshot: (name: string) => {
        const text = read(name);
        return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text);
      },
      getCurrentDirectory: () => root,
      getDefaultLibFileName: (options: object) => ts.getDefaultLibFilePath(options),
      fileExists: (name: string) => read(name) !== undefined,
      readFile: read,
    });
  }

  #type(code: string): number {
    const text = `${PREAMBLE}\n${code}\n`;
    const at = text.indexOf("|");
    this.#text = text.slice(0, at) + text.slice(at + 1);
    this.#version++;
    return at;
  }

  /** Returns what is offered where a piece of code has a `|`. */
  completions(code: string): string[] {
    return this.#service.getCompletionsAtPosition(this.#file, this.#type(code), {})?.entries.map(({ name }) => name) ?? [];
  }

  /** Returns the documentation of the name at the `|` of a piece of code. */
  documentation(code: string): string {
    return this.#service.getQuickInfoAtPosition(this.#file, this.#type(code))?.documentation?.map(({ text }) => text).join("") ??
      "";
  }
}
