// Builds the package for npm: `npm run build`. Needs Node 20 or later and npm.
//
//   node tools/build.mjs [FOLDER]     FOLDER/package/ and the tarball of it; FOLDER is dist/ by default
//
// Each source becomes one module of JavaScript with its types, under the same name, so that the stack trace of an error names the
// same files as the documentation of the architecture. The package contains the sources, too, where the source maps and the maps
// of the types point. Nothing is type-checked here: `npm test` does that.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, posix, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { npm } from "./check/install.mjs";
import { sources } from "./check/import_graph.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const readJson = (path) => JSON.parse(readFileSync(join(root, path), "utf8"));

/** The oldest versions that the tests run the package in. In these versions of Node, `require()` takes it, too. */
const ENGINES = { node: "^20.19.0 || >=22.12.0", bun: ">=1.4.0", deno: ">=2.9.0" };

/** The modules with effects of their own: they choose the adapter. A bundler must not leave them out. */
const EFFECTS = ["adapters/auto.ts", "mod.ts", "src/coroutine/mod.ts"];

/** Runs npm; ends the program if npm fails. */
function runNpm(args, cwd) {
  const [program, ...before] = npm();
  const { status, stdout } = spawnSync(program, [...before, ...args], {
    cwd,
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`npm ${args.join(" ")} failed`);
  return stdout;
}

/** Loads TypeScript: the one of the tests or, where these are not installed, the same version from npm. */
async function loadTypeScript() {
  const name = "node_modules/typescript/lib/typescript.js";
  const load = async (path) => (await import(pathToFileURL(path))).default;
  if (existsSync(join(root, "tools", name))) return await load(join(root, "tools", name));
  const { version } = readJson("tools/package-lock.json").packages["node_modules/typescript"];
  const folder = mkdtempSync(join(tmpdir(), "sluice-build-"));
  try {
    runNpm(["install", "--prefix", folder, "--no-save", "--no-audit", "--no-fund", `typescript@${version}`], folder);
    return await load(join(folder, name));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const compiled = (file, ending) => `dist/${file.replace(/\.ts$/, ending)}`;

/** The package.json of the package. */
function manifest() {
  const { name, version, license, exports } = readJson("deno.json");
  const entries = Object.entries(exports).map(([entry, path]) => {
    const file = posix.normalize(path);
    return [entry, { types: `./${compiled(file, ".d.ts")}`, default: `./${compiled(file, ".js")}` }];
  });
  return {
    name,
    version,
    description: "A WebSocket and HTTP server for Deno, Bun and Node, with the API of Swoole, on Web Streams",
    keywords: ["websocket", "server", "http", "swoole", "deno", "bun", "node", "permessage-deflate"],
    license,
    type: "module",
    engines: ENGINES,
    sideEffects: EFFECTS.map((file) => `./${compiled(file, ".js")}`),
    exports: { ...Object.fromEntries(entries), "./package.json": "./package.json" },
    main: entries[0][1].default, // for tools that know no `exports`
    types: entries[0][1].types,
  };
}

/** Throws the first of the faults that TypeScript has found, if any. */
function check(ts, faults) {
  if (faults.length > 0) {
    throw new Error(ts.formatDiagnostics(faults.slice(0, 1), {
      getCurrentDirectory: () => root,
      getNewLine: () => "\n",
      getCanonicalFileName: (name) => name,
    }));
  }
}

/** Compiles the files: calls `write` with each module, its types, and the maps of both. */
function compile(ts, files, write) {
  const shared = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
    rewriteRelativeImportExtensions: true,
  };
  /** A map, with the path of its source in the package. */
  const mapOf = (file, map) =>
    JSON.stringify({ ...JSON.parse(map), sourceRoot: "", sources: [posix.relative(posix.dirname(compiled(file, "")), file)] });
  for (const file of files) {
    const compilerOptions = { ...shared, sourceMap: true, removeComments: true };
    const { outputText, sourceMapText, diagnostics } = ts.transpileModule(readFileSync(join(root, file), "utf8"), {
      fileName: file,
      compilerOptions,
      reportDiagnostics: true,
    });
    check(ts, diagnostics);
    write(compiled(file, ".js"), outputText);
    write(compiled(file, ".js.map"), mapOf(file, sourceMapText));
  }
  // For the types, TypeScript reads all files: it has to know what a name such as `[Symbol.iterator]` stands for.
  const program = ts.createProgram(files.map((file) => join(root, file)), {
    ...shared,
    lib: ["lib.esnext.d.ts", "lib.dom.d.ts"],
    types: [],
    noCheck: true,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    isolatedDeclarations: true,
    declaration: true,
    declarationMap: true,
    emitDeclarationOnly: true,
  });
  const { diagnostics } = program.emit(undefined, (_path, text, _mark, _error, [{ fileName }], { sourceMapUrlPos } = {}) => {
    const file = posix.relative(root, fileName);
    // TypeScript 5.4 has to read the name of the module that runs, not that of its source.
    if (sourceMapUrlPos !== undefined) {
      write(compiled(file, ".d.ts"), text.replace(/\b(from |import |import\()"(\.[^"]+)\.ts"/g, '$1"$2.js"'));
    } else write(compiled(file, ".d.ts.map"), mapOf(file, text));
  });
  check(ts, diagnostics);
}

/**
 * Builds the package, and packs it.
 *
 * @param {string} folder Where to: `package/` in it is made anew.
 * @returns {Promise<string>} The path of the tarball.
 */
export async function build(folder) {
  const target = join(folder, "package");
  rmSync(target, { recursive: true, force: true });
  const write = (path, text) => {
    mkdirSync(dirname(join(target, path)), { recursive: true });
    writeFileSync(join(target, path), text);
  };
  const ts = await loadTypeScript();
  const files = sources(root, "mod.ts", "src", "adapters");
  for (const file of [...files, "README.md", "LICENSE", "CHANGELOG.md"]) write(file, readFileSync(join(root, file)));
  compile(ts, files, write);
  write("package.json", `${JSON.stringify(manifest(), null, 2)}\n`);
  const [{ filename }] = Object.values(JSON.parse(runNpm(["pack", "--json", "--pack-destination", folder], target)));
  return join(folder, filename);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(await build(resolve(process.argv[2] ?? join(root, "dist"))));
}
