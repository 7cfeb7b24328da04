/**
 * The package for npm, as its users get it: built, packed, installed into empty projects of each runtime, run, type-checked,
 * bundled and compiled. Run once, by Node 24: `node tools/check.mjs installation`.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "../../tools/build.mjs";
import { lastingPort } from "../browser/start_example.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { adapted, snippetAt } from "../support/snippets.ts";
import { inProject, Project } from "./project.ts";
import { type Manifest, Registry } from "./registry.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const tool = (path: string) => `${root}tools/node_modules/${path}`;
const deno = tool(".bin/deno");
const bun = tool(".bin/bun");
const nodes = ["n20", "n22", "n24", "n26"].map((name) => tool(`${name}/bin/node`));

const readme = readFileSync(`${root}README.md`, "utf8");
/** README's section on the installation. */
const [, installation] = /^## Install\n(.*?)^## /ms.exec(readme)!;
/** The program that a command of README names. */
const programs: Readonly<Record<string, string>> = { npm: "npm", bun, deno };

const ECHOED = "event style: compressed\ncoroutine style: compressed\nfetch: page /x\ndone\n";

let folder: string;
let tarball: string;
let manifest: Manifest;
let registry: Registry;
/** A project into which npm has installed the package, for what changes nothing of it. */
let installed: Project;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-package-"));
  tarball = await build(folder);
  manifest = JSON.parse(readFileSync(join(folder, "package/package.json"), "utf8"));
  registry = await Registry.serve(tarball, manifest);
  const programs = ["echo_program.mjs", "require_program.cjs", "adapters_program.mjs", "stack_program.mjs", "typed_program.ts"];
  installed = await Project.create(registry.url, ...programs);
  await installed.write("package.json", { private: true, type: "module" });
  await installed.succeed(...published("npm"));
});

after(async () => {
  await installed?.remove();
  registry?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The command by which README installs the package, once it is published. */
function published(program: string): string[] {
  const [, verb, name] = new RegExp(`\`${program} (\\w+) (\\S*@sluice/server)\``).exec(installation)!;
  return [programs[program], verb, name];
}

const inPackage = (path: string) => join(installed.folder, "node_modules/@sluice/server", path);

test("the package has the entry points of deno.json, its types and sources, and no dependencies", () => {
  const { name, version, license, exports } = JSON.parse(readFileSync(`${root}deno.json`, "utf8"));
  assertEquals([manifest.name, manifest.version, manifest.license], [name, version, license]);
  assertEquals(Object.keys(manifest.exports as object), [...Object.keys(exports), "./package.json"]);
  assertEquals(Object.keys(manifest).filter((key) => /dependencies|scripts/i.test(key)), []);
  const targets = Object.values(manifest.exports as object).flatMap((target) =>
    typeof target === "string" ? [target] : Object.values<string>(target)
  );
  for (const path of [...targets, ...manifest.sideEffects as string[], "README.md", "LICENSE", "CHANGELOG.md"]) {
    assert(existsSync(inPackage(path)), path);
  }
  for (const path of ["tests", "tools", "examples", "bench", "docs"]) assert(!existsSync(inPackage(path)), path);
});

test("every map of a module and of its types leads to a source in the package", () => {
  for (const path of ["mod.ts", "src/server/core.ts", "src/coroutine/mod.ts", "adapters/node.ts"]) {
    for (const ending of [".js", ".d.ts"]) {
      const file = inPackage(`dist/${path.replace(/\.ts$/, ending)}`);
      const [, name] = /\n\/\/# sourceMappingURL=(\S+)\s*$/.exec(readFileSync(file, "utf8"))!;
      const map = JSON.parse(readFileSync(join(dirname(file), name), "utf8"));
      assertEquals(map.sources.map((source: string) => join(dirname(file), source)), [inPackage(path)]);
      assertEquals(readFileSync(inPackage(path), "utf8"), readFileSync(root + path, "utf8"));
    }
  }
});

test("the stack trace of an error names the lines of the sources", async () => {
  for (const node of nodes) {
    const trace = await installed.succeed(node, "--enable-source-maps", "stack_program.mjs");
    const [, path, line] = /\/node_modules\/@sluice\/server\/((?:src|adapters)\/\S+\.ts):(\d+)/.exec(trace) ?? [];
    assertMatch(path ?? trace, /^src\//);
    assertStringIncludes(readFileSync(root + path, "utf8").split("\n")[Number(line) - 1], "throw");
  }
});

// ---- the runtimes ---------------------------------------------------------------------------------------------------

test("npm install, then every version of Node", async () => {
  for (const node of nodes) {
    await installed.prints(ECHOED, node, "echo_program.mjs");
    await installed.prints("node: by hand\n", node, "adapters_program.mjs");
    await installed.prints("required\n", node, "require_program.cjs");
  }
});

test("bun add, then Bun", async () => {
  const project = await Project.create(registry.url, "echo_program.mjs", "require_program.cjs");
  await inProject(project, async () => {
    await project.succeed(...published("bun"));
    await project.prints(ECHOED, bun, "run", "echo_program.mjs");
    await project.prints("required\n", bun, "run", "require_program.cjs");
  });
});

test("deno add, then Deno, with its type check, with no more permission than it needs", async () => {
  const project = await Project.create(registry.url, "echo_program.mjs", "typed_program.ts");
  await inProject(project, async () => {
    await project.succeed(...published("deno"));
    await project.prints(ECHOED, deno, "run", "--allow-net=127.0.0.1", "echo_program.mjs");
    await project.succeed(deno, "check", "typed_program.ts");
  });
});

test("the tarball itself: npm install, bun add; Deno takes what they have installed", async () => {
  const commands = [...installation.matchAll(/^(npm|bun) (\w+) path\/to\/(\S+\.tgz)\s/gm)];
  assertEquals(commands.map(([, program]) => program), ["npm", "bun"]);
  for (const [, program, verb, file] of commands) {
    assertEquals(file, basename(tarball));
    const project = await Project.create("http://127.0.0.1:9/", "echo_program.mjs"); // there is no registry
    await inProject(project, async () => {
      await project.write("package.json", { private: true, type: "module" });
      await project.succeed(programs[program], verb, tarball);
      await project.prints(ECHOED, nodes[0], "echo_program.mjs");
      await project.prints(ECHOED, bun, "run", "echo_program.mjs");
      await project.prints(ECHOED, deno, "run", "-A", "echo_program.mjs");
    });
  }
});

test("the registry was asked for nothing but the package", () => {
  assertEquals(registry.missed, []);
});

// ---- TypeScript -----------------------------------------------------------------------------------------------------

/** Where the types of the web come from: the library of browsers, or the types of Node of a version. */
const TYPES = { "the library dom": undefined, "the types of Node 20": "types-node20", "the types of Node 26": "@types/node" };

for (
  const [version, compiler, known] of [
    ["5.4", "ts54/bin/tsc", ["the library dom", "the types of Node 20"]],
    ["5.9", "typescript/bin/tsc", ["the types of Node 26"]],
    ["7.0", "ts7/bin/tsc", ["the library dom", "the types of Node 26"]],
  ] as const
) {
  for (const types of known) {
    test(`TypeScript ${version} checks the package's types with ${types}`, async () => {
      const project = await Project.create(registry.url, "typed_program.ts");
      await inProject(project, async () => {
        await project.write("package.json", { private: true, type: "module" });
        cpSync(join(installed.folder, "node_modules/@sluice"), join(project.folder, "node_modules/@sluice"), { recursive: true });
        const name = TYPES[types];
        if (name !== undefined) {
          mkdirSync(join(project.folder, "node_modules/@types"));
          symlinkSync(tool(name), join(project.folder, "node_modules/@types/node"));
        }
        const lib = name === undefined ? ["ESNext", "DOM", "DOM.Iterable", "DOM.AsyncIterable"] : ["ESNext"];
        for (const [module, moduleResolution] of [["nodenext", "nodenext"], ["esnext", "bundler"]]) {
          const compilerOptions = {
            module,
            moduleResolution,
            target: "es2022",
            lib,
            types: name === undefined ? [] : ["node"],
            strict: true,
            exactOptionalPropertyTypes: true,
            skipLibCheck: false,
            noEmit: true,
          };
          await project.write("tsconfig.json", { compilerOptions, files: ["typed_program.ts"] });
          await project.prints("", nodes[2], tool(compiler));
        }
      });
    });
  }
}

// ---- bundlers -------------------------------------------------------------------------------------------------------

for (const format of ["esm", "cjs"]) {
  test(`esbuild makes one file of it (${format}), which runs in all runtimes`, async () => {
    const [program, file, expected] = format === "esm"
      ? ["echo_program.mjs", "bundle.mjs", ECHOED]
      : ["require_program.cjs", "bundle.cjs", "required\n"];
    await installed.prints(
      "",
      tool(".bin/esbuild"),
      program,
      "--bundle",
      "--minify",
      "--platform=node",
      "--target=node20",
      `--format=${format}`,
      `--outfile=${file}`,
      "--log-level=warning",
    );
    const project = await Project.create(registry.url);
    await inProject(project, async () => {
      cpSync(join(installed.folder, file), join(project.folder, file));
      for (const node of nodes) await project.prints(expected, node, file);
      await project.prints(expected, bun, "run", file);
      await project.prints(expected, deno, "run", "-A", file);
    });
  });
}

test("esbuild leaves out what a program does not use, but never the choice of the adapter", async () => {
  await installed.write("small.mjs", `import { swooleStrerror } from "@sluice/server";\nconsole.log(swooleStrerror(1005));\n`);
  await installed.write("server.mjs", `import { Server } from "@sluice/server";\nawait new Server("127.0.0.1", 0).start();\n`);
  const sizes = [];
  for (const name of ["small", "server"]) {
    await installed.succeed(
      tool(".bin/esbuild"),
      `${name}.mjs`,
      "--bundle",
      "--platform=node",
      "--format=esm",
      `--outfile=${name}_bundle.mjs`,
    );
    sizes.push(readFileSync(join(installed.folder, `${name}_bundle.mjs`)).length);
  }
  const everything = readFileSync(join(installed.folder, "bundle.mjs")).length; // minified, and yet larger
  assert(sizes[0] < everything / 3, `${sizes} of ${everything}`);
  const { err } = await installed.run(nodes[2], "server_bundle.mjs");
  assertStringIncludes(err, "there is no handler for receive");
});

test("bun build makes one file of it; bun build --compile makes a program", async () => {
  const project = await Project.create(registry.url);
  await inProject(project, async () => {
    const source = join(installed.folder, "echo_program.mjs");
    await project.succeed(bun, "build", source, "--target=bun", "--outfile=bundle.mjs");
    await project.prints(ECHOED, bun, "run", "bundle.mjs");
    await project.succeed(bun, "build", source, "--compile", "--outfile=program");
    await project.prints(ECHOED, join(project.folder, "program"));
  });
});

// ---- what the documents say -----------------------------------------------------------------------------------------

/** Waits until a server listens, then says something to it by a WebSocket, and returns all that it says until that is in it. */
async function talk(port: number, said: string): Promise<string> {
  let client: RawClient | undefined;
  while (client === undefined) {
    client = await RawClient.open(port).catch(() => undefined);
    if (client === undefined) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  client.send(frame({ opcode: 1, payload: said }));
  let heard = "";
  while (!heard.includes(said)) heard += new TextDecoder().decode((await client.readFrame())!.payload);
  client.destroy();
  return heard;
}

test("docs/start.md: its commands make the chat, and start it in each runtime", { timeout: 120_000 }, async () => {
  const project = await Project.create("http://127.0.0.1:9/");
  await inProject(project, async () => {
    await project.provide({ node: nodes[0], bun, deno });
    const commands = snippetAt("docs/start.md, Install").code.replace("path/to/sluice-server-0.1.0.tgz", tarball);
    await project.succeed("sh", "-ec", commands);
    const starts = snippetAt("docs/start.md, Run it").code.trimEnd().split("\n");
    assertEquals(starts.length, 3);
    for (const command of starts) {
      const port = await lastingPort();
      await project.write("chat/chat.mjs", adapted(snippetAt("docs/start.md, The chat").code, port));
      const { child, ended } = project.start("sh", "-ec", `cd chat && exec ${command}`);
      assertMatch(await talk(port, "hello"), /Guest (\d+) has comeGuest \1: hello/);
      child.kill("SIGINT");
      assertEquals(await ended, { code: 0, out: `The chat is open at http://localhost:${port}/\n`, err: "" });
    }
  });
});

/** Whether this user may make a process that is number 1 of a PID namespace of its own. */
const mayUnshare = spawnSync("unshare", ["-pf", "--mount-proc", "true"]).status === 0;
const asProcess1 = mayUnshare ? "as process 1" : "(LEFT OUT: as process 1, unshare -pf --mount-proc is not permitted)";

test(`docs/deployment.md: the commands of the container work, ${asProcess1}`, { timeout: 120_000 }, async () => {
  const file = snippetAt("docs/deployment.md, Containers").code;
  const sources = await Project.create("http://127.0.0.1:9/");
  const image = await Project.create("http://127.0.0.1:9/");
  await inProject(sources, () =>
    inProject(image, async () => {
      const port = await lastingPort();
      await sources.write("package.json", { private: true, type: "module" });
      cpSync(tarball, join(sources.folder, basename(tarball)));
      await sources.succeed("npm", "install", `./${basename(tarball)}`);
      await sources.write("server.mjs", snippetAt("docs/deployment.md, The program").code);
      await image.provide({ node: nodes[2] });
      const variables: string[] = [];
      for (const [, instruction, rest] of file.matchAll(/^([A-Z]+) (.*)$/gm)) {
        if (instruction === "COPY") {
          for (const name of rest.split(" ").slice(0, -1)) cpSync(join(sources.folder, name), join(image.folder, name));
        } else if (instruction === "RUN") await image.succeed("sh", "-ec", rest);
        else if (instruction === "ENV") variables.push(...adapted(rest, port).split(" "));
        else if (instruction === "CMD") {
          const before = mayUnshare ? ["unshare", "-pf", "--mount-proc"] : [];
          const { child, ended } = image.start("env", ...variables, ...before, ...JSON.parse(rest));
          assertEquals(await talk(port, "hello"), "hello");
          const [program] = mayUnshare
            ? spawnSync("ps", ["-o", "pid=", "--ppid", `${child.pid}`]).stdout.toString().match(/\d+/)!
            : [child.pid];
          process.kill(Number(program), "SIGTERM");
          assertEquals(await ended, { code: 0, out: "closing the database\n", err: "" });
        }
      }
    }));
});

// ---- a copy of the repository ---------------------------------------------------------------------------------------

test("in a copy of the repository, programs import @sluice/server by its name", async () => {
  for (const command of [[deno, "run", "-A"], [bun, "run"], ...nodes.slice(1).map((node) => [node])]) {
    await installed.prints(ECHOED, ...command, `${root}tests/package/echo_program.mjs`);
  }
});
