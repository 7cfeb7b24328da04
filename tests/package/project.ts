/**
 * Empty projects: folders of their own, with a home and caches of their own, in which programs run as on a new machine.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { type ChildProcess, spawn } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** What a program printed, and its exit code. */
export interface Result {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** A folder with a project. */
export class Project {
  /** Its path. */
  readonly folder: string;
  readonly #home: string;
  readonly #registry: string;

  private constructor(folder: string, home: string, registry: string) {
    this.folder = folder;
    this.#home = home;
    this.#registry = registry;
  }

  /**
   * Makes one.
   *
   * @param registry The address of the registry of npm that its programs use.
   * @param files The names of files beside this one that it gets.
   */
  static async create(registry: string, ...files: string[]): Promise<Project> {
    const home = await mkdtemp(join(tmpdir(), "sluice-project-"));
    const folder = join(home, "project");
    await mkdir(folder);
    const project = new Project(folder, home, registry);
    for (const file of files) await copyFile(fileURLToPath(new URL(file, import.meta.url)), join(folder, basename(file)));
    return project;
  }

  /** Makes programs known by a name. */
  async provide(programs: Readonly<Record<string, string>>): Promise<void> {
    await mkdir(join(this.#home, "bin"));
    for (const [name, path] of Object.entries(programs)) await symlink(path, join(this.#home, "bin", name));
  }

  /** Writes a file. */
  async write(name: string, content: string | object): Promise<void> {
    await writeFile(join(this.folder, name), typeof content === "string" ? content : JSON.stringify(content));
  }

  /** Runs a program to its end. */
  run(...command: readonly string[]): Promise<Result> {
    return this.start(...command).ended;
  }

  /** Starts a program. */
  start(...[program, ...args]: readonly string[]): { readonly child: ChildProcess; readonly ended: Promise<Result> } {
    const home = this.#home;
    const child = spawn(program, args, {
      cwd: this.folder,
      stdio: ["ignore", "pipe", "pipe"],
      // Nothing of the tests' own environment: a variable of npm, for one, would name another registry.
      env: {
        PATH: `${join(home, "bin")}:${process.env.PATH}`,
        HOME: home,
        TMPDIR: home,
        NO_COLOR: "1",
        NO_PROXY: "127.0.0.1",
        npm_config_registry: this.#registry,
        NPM_CONFIG_REGISTRY: this.#registry,
        npm_config_cache: join(home, "npm"),
        npm_config_update_notifier: "false",
        npm_config_audit: "false",
        BUN_INSTALL_CACHE_DIR: join(home, "bun"),
        DENO_DIR: join(home, "deno"),
        DENO_NO_UPDATE_CHECK: "1",
      },
    });
    const result = { code: null as number | null, out: "", err: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => result.out += text);
    child.stderr.setEncoding("utf8").on("data", (text: string) => result.err += text);
    const ended = new Promise<Result>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code) => resolve({ ...result, code }));
    });
    return { child, ended };
  }

  /** Runs a program that has to succeed; returns what it printed. */
  async succeed(...command: readonly string[]): Promise<string> {
    const { code, out, err } = await this.run(...command);
    assertEquals(code, 0, `${command.join(" ")}: ${out}${err}`);
    return out;
  }

  /** Runs a program that has to print certain lines, no warning among them. */
  async prints(expected: string, ...command: readonly string[]): Promise<void> {
    const { code, out, err } = await this.run(...command);
    assertEquals({ code, out, err }, { code: 0, out: expected, err: "" }, command.join(" "));
  }

  /** Removes it. */
  async remove(): Promise<void> {
    await rm(this.#home, { recursive: true });
  }
}

/** Runs a test in a project, and removes it. */
export async function inProject(project: Project, test: (project: Project) => Promise<void>): Promise<void> {
  try {
    await test(project);
  } finally {
    await project.remove();
  }
}
