// Mutation testing of docs/api.md: breaks what a row tells of, and only that, and looks whether a test fails. What is found is kept in
// tests/api_proofs.json, for each row a test that fails without it, in Deno, Bun and Node; tests/api_test.ts holds that file against
// the tables.
//
//   deno run -A tools/mutants.ts --missing          finds proofs for the rows that have none, and drops those of rows that are gone
//   deno run -A tools/mutants.ts --verify           breaks everything again, and looks whether the proofs hold, in three runtimes
//   deno run -A tools/mutants.ts --again            finds all proofs anew (an hour or two)
//   … [--jobs=N] [WORD …]                           only rows or proofs in which a word occurs ("Server: close()")
//
// A new row gets its proof so: write the test, in all three runtimes; add the row; run this with --missing. When it says that a row
// has no proof, there is no test that tells whether the thing does anything.
//
// What "broken" means: a constructor throws; a method does nothing, and returns `true` if it ever does so; a property is `undefined`;
// the handler of an event is never called; a setting is checked and then forgotten; a constant has another value; a code that methods
// set is another one; a function does nothing. It is done in a copy of the repository, in the folder for temporary files, whose
// sources hand everything through tools/mutation_switch.mjs: the copy is made once, and an environment variable says what is broken.

import { execFileSync, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { HERE, mentions, type Proof, type Proofs, readTables, type Row, titlesOf } from "../tests/support/api_tables.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const proofsFile = join(root, "tests/api_proofs.json");
const bin = (name: string) => join(root, "tools/node_modules", name);

/** What is no proof: checks of the tables themselves, and tests that need what is not everywhere. */
const NO_PROOF = /^tests\/(api_test|docs_test|examples_test|clients\/|browser\/|conformance\/)/;

/** How long a broken test and a file of them may take, in milliseconds; and as much as they like while nothing is broken. */
const TEST_TIMEOUT = 5_000;
const FILE_TIMEOUT = 30_000;
const PATIENCE = 120_000;

/** The most test files that are tried for a row, and the most tests of one that turn out to prove nothing. */
const MOST_TRIES = 10;
const MOST_DOUBTS = 5;

const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const options = new Set(process.argv.slice(2).filter((word) => word.startsWith("--")));
const jobs = Number([...options].find((option) => option.startsWith("--jobs="))?.slice(7) ?? 2);

const tables = readTables(readFileSync(join(root, "docs/api.md"), "utf8"));
const proofs: Proofs = existsSync(proofsFile) ? JSON.parse(readFileSync(proofsFile, "utf8")) : {};

interface Mutant {
  readonly section: string;
  readonly name: string;
  readonly row: Row;
}

const mutants: Mutant[] = [];
for (const [section, rows] of tables) {
  for (const [name, row] of rows) if (HERE.includes(row.state)) mutants.push({ section, name, row });
}

// ---- the instrumented copy --------------------------------------------------------------------------------------------

/** Changes a source so that what it exports goes through the switch. */
function instrument(file: string, source: string): string {
  const isCoroutine = file.startsWith("src/coroutine/");
  const side = file.endsWith("_seen.ts") ? "outside" : "inside";
  let made = source;
  made = made.replace(/^export (?:abstract )?class (\w+)[^]*?^}$/gm, (text, name) => {
    const own = `${name} of the coroutine style`;
    const section = isCoroutine && tables.has(own) ? own : name;
    if (!tables.has(section) && !tables.get("Classes")!.has(name)) return text;
    const hooks = [`static { mutation.ofClass("${section}", this); }`, `#broken = mutation.ofInstance("${section}", this);`];
    return `${text.slice(0, -1)}${hooks.join("\n")}\n}`;
  });
  made = made.replace(/^export const ([A-Z]\w*)(?:: number)? = (-?\d+);$/gm, (text, name, value) => {
    if (!tables.get("Constants")!.has(name) && !tables.get("Error codes")!.has(name)) return text;
    return `export const ${name}: number = mutation.ofConstant("${name}", ${value}, "${side}");`;
  });
  for (const name of tables.get("Functions")!.keys()) {
    const bare = name.replace("()", "");
    const isHere = new RegExp(`^export function ${bare}\\(`, "m").test(made);
    if (isHere) made += `${bare} = mutation.ofFunction("${name}", ${bare});\n`;
  }
  made = made.replace(/^export function resolve(Client)?Settings\((\w+)[^]*?\{\n/m, (text, client, given) => {
    const section = client === undefined ? "Settings of a server" : "Settings of HttpClient";
    return `${text}${given} = mutation.ofSettings("${section}", ${given});\n`;
  });
  made = made.replaceAll("= this.given;", '= mutation.ofSettings("Settings of a server", this.given);');
  made = made.replace(/^ {2}register\(event: string, handler: unknown\): void \{\n/m, (text) => {
    return `${text}handler = mutation.ofHandler(event, handler);\n`;
  });
  const up = "../".repeat(file.split("/").length - 1);
  return made === source ? source : `import * as mutation from "${up}tools/mutation_switch.mjs";\n${made}`;
}

/** The TypeScript files below a folder. */
function filesIn(base: string, folder: string): string[] {
  const names = readdirSync(join(base, folder), { recursive: true }) as string[];
  return names.filter((name) => name.endsWith(".ts")).map((name) => `${folder}/${name.replaceAll("\\", "/")}`);
}

function change(file: string, work: (source: string) => string): void {
  writeFileSync(file, work(readFileSync(file, "utf8")));
}

/** Makes the copy. */
function makeCopy(): string {
  const copy = mkdtempSync(join(tmpdir(), "sluice-mutants-"));
  const listed = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: root, encoding: "utf8" });
  for (const file of listed.trim().split("\n")) {
    const to = join(copy, file);
    if (!existsSync(join(root, file)) || file.endsWith("node_modules")) continue;
    mkdirSync(dirname(to), { recursive: true });
    cpSync(join(root, file), to);
  }
  symlinkSync(bin(""), join(copy, "tools/node_modules"));
  // Programs get the constants from files of their own, so that what they see and what methods use can differ.
  for (const name of ["constants", "errors"]) cpSync(join(copy, `src/${name}.ts`), join(copy, `src/${name}_seen.ts`));
  change(join(copy, "mod.ts"), (source) => source.replace(/"(\.\/src\/(?:constants|errors))\.ts"/g, '"$1_seen.ts"'));
  for (const file of filesIn(copy, "src")) change(join(copy, file), (source) => instrument(file, source));
  const rows: Record<string, Record<string, string>> = {};
  for (const { section, name, row } of mutants) (rows[section] ??= {})[name] = row.state;
  writeFileSync(join(copy, "tools/mutation_rows.json"), JSON.stringify(rows));
  return copy;
}

// ---- running tests ----------------------------------------------------------------------------------------------------

interface Outcome {
  readonly ok: boolean;
  readonly output: string;
}

/** A lane behind a title, which is another one in another runtime: see tests/support/lanes.ts. */
const LANE = / \((?:bun|deno|node|node:net)(?:, streams)?\)$/;

/** A pattern for the full title of a test. */
const titled = (test: string) => `${test.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")}( \\(.*\\))?$`;

const RUNTIMES: Readonly<Record<string, (file: string, test?: string) => string[]>> = {
  Bun: (file, test) => [
    bin(".bin/bun"),
    "test",
    ...test === undefined ? [] : ["-t", titled(test)],
    `./${file}`,
  ],
  Deno: (file, test) => [
    bin(".bin/deno"),
    "test",
    "-A",
    "--no-check",
    "--import-map=tests/offline/import_map.json",
    ...test === undefined ? [] : [`--filter=/^${titled(test)}/`],
    file,
  ],
  Node: (file, test) => [
    bin("n24/bin/node"),
    "--import=./tests/offline/register.mjs",
    "--test",
    ...test === undefined ? [] : [`--test-name-pattern=/^${titled(test)}/`],
    file,
  ],
};

/** Ends what runs. */
const running = new Set<() => void>();

/** Runs a command in the copy, until what it writes is enough, or the time is over. */
function run(
  command: readonly string[],
  env: Record<string, string>,
  timeout: number,
  enough: (output: string) => boolean = () => false,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(command[0], command.slice(1), {
      cwd: copy,
      env: { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let output = "";
    // The whole group: tests start programs of their own.
    const end = () => {
      try {
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        // They are gone.
      }
    };
    running.add(end);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        output += text;
        if (enough(output)) end();
      });
    }
    const timer = setTimeout(end, timeout);
    child.on("close", (status) => {
      clearTimeout(timer);
      running.delete(end);
      end();
      resolve({ ok: status === 0, output });
    });
  });
}

/** A command of Bun with the time that each test has, which is 5 s otherwise; in the others it is without end. */
function timed(command: readonly string[], timeout: number): readonly string[] {
  return command[0].endsWith("bun") ? [...command, `--timeout=${timeout}`] : command;
}

/** Remembers what a function gave for a key. */
function once<T>(work: (key: string) => Promise<T>): (key: string) => Promise<T> {
  const known = new Map<string, Promise<T>>();
  return (key) => {
    if (!known.has(key)) known.set(key, work(key));
    return known.get(key)!;
  };
}

// ---- finding and checking proofs --------------------------------------------------------------------------------------

const copy = makeCopy();
process.on("exit", () => {
  for (const end of running) end();
  rmSync(copy, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));

const sources = new Map<string, string>();
for (const file of filesIn(root, "tests")) {
  if (file.endsWith("_test.ts") && !NO_PROOF.test(file)) sources.set(file, readFileSync(join(root, file), "utf8"));
}

/** What a test file comes by, with what methods return; nothing when it fails as it is. */
const touchedBy = once(async (file: string): Promise<ReadonlyMap<string, ReadonlySet<string>>> => {
  const to = join(copy, `touched-${file.replaceAll("/", "-")}.txt`);
  const touched = new Map<string, Set<string>>();
  const work = () => run(timed(RUNTIMES.Bun(file), PATIENCE), { SLUICE_TOUCHED: to }, PATIENCE);
  let { ok, output } = await work();
  if (!ok) ({ ok, output } = await work()); // it may have been the machine
  if (!ok) console.log(`${file} fails as it is, and proves nothing\n${output.slice(-2000)}`);
  if (!ok || !existsSync(to)) return touched;
  for (const line of readFileSync(to, "utf8").trim().split("\n")) {
    const [section, name, shape] = line.split("|");
    const key = `${section}|${name}`;
    touched.set(key, (touched.get(key) ?? new Set()).add(shape));
  }
  return touched;
});

/** How long a test takes by itself while nothing is broken, in milliseconds; `undefined` when it fails. The key is the command. */
const timeOf = once(async (command: string): Promise<number | undefined> => {
  const start = Date.now();
  const { ok } = await run(timed(JSON.parse(command), PATIENCE), {}, PATIENCE);
  return ok ? Date.now() - start : undefined;
});

/** Whether a mutant leaves traces in a record. */
function isTraced({ section }: Mutant): boolean {
  return section !== "Constants" && section !== "Error codes";
}

/** The test files that say the name of a mutant, best first: those with it in a title, those that use it, then the short ones. */
function candidates({ section, name, row }: Mutant): string[] {
  const bare = name.replace("()", "");
  const used = [`.${bare}`, `"${bare}"`, `${bare}: `];
  const rank = (file: string, source: string) => {
    const titled = titlesOf(source).some((title) => mentions(title.source, section, name, row));
    const isUsed = used.some((text) => source.includes(text));
    return source.length + (titled ? 0 : 1e6) + (isUsed ? 0 : 1e7) +
      (file.startsWith("tests/recordings/") ? 1e8 : 0);
  };
  return [...sources].filter(([, source]) => mentions(source, section, name, row))
    .sort(([a, ofA], [b, ofB]) => rank(a, ofA) - rank(b, ofB)).map(([file]) => file);
}

/** A test that failed in Bun; the lower the rank, the more it has to do with the mutant. */
interface Failed {
  readonly title: string;
  readonly rank: number;
}

/** The tests that failed, best first: who says the name in the title, then in the test, then the others; then who hung. */
function failedTests(
  { section, name, row }: Mutant,
  file: string,
  output: string,
): Failed[] {
  const source = sources.get(file)!;
  const rank = (title: string, hung: boolean) => {
    const at = source.indexOf(title);
    const end = source.indexOf("\n});", at);
    const body = at < 0 ? "" : source.slice(at, end < 0 ? undefined : end);
    return (mentions(title, section, name, row) ? 0 : mentions(body, section, name, row) ? 1 : 2) + (hung ? 10 : 0);
  };
  const found = [...output.matchAll(/^\(fail\) (.*?)(?: \[([\d.]+)ms\])?$/gm)].map(([, title, time]) => {
    return { title, rank: rank(title, Number(time ?? 0) >= TEST_TIMEOUT) };
  });
  return found.sort((a, b) => a.rank - b.rank);
}

/** The title of a test without its lane, if the file spells it. */
function spelled(file: string, title: string): string | undefined {
  const bare = title.replace(LANE, "");
  return titlesOf(sources.get(file) ?? "").some((pattern) => pattern.test(bare)) ? bare : undefined;
}

const brokenBy = ({ section, name }: Mutant, says: string | undefined) => ({
  SLUICE_BROKEN: `${section}|${name}`,
  ...says === undefined ? {} : { SLUICE_SAYS: says },
});

/** The runtimes in which a test does not tell that something is broken; "" where it does everywhere. */
async function doubt(mutant: Mutant, { file, test, says }: Proof): Promise<string> {
  for (const [runtime, commandFor] of Object.entries(RUNTIMES)) {
    const command = commandFor(file, test);
    const usual = await timeOf(JSON.stringify(command));
    if (usual === undefined) return `fails in ${runtime} anyway`;
    // One that takes its time is not one that fails.
    const timeout = TEST_TIMEOUT + 3 * usual;
    const { ok } = await run(timed(command, timeout), brokenBy(mutant, says), timeout + TEST_TIMEOUT);
    if (ok) return `passes in ${runtime} without it`;
  }
  return "";
}

/** What a broken method says: that it worked, if it ever says so. */
function sayingOf(shapes: ReadonlySet<string>): string | undefined {
  return ["promise of true", "promise", "true"].find((shape) => shapes.has(shape));
}

async function find(mutant: Mutant): Promise<Proof | string> {
  const why: string[] = [];
  let tries = 0;
  for (const file of candidates(mutant)) {
    if (tries === MOST_TRIES) break;
    const shapes = (await touchedBy(file)).get(`${mutant.section}|${mutant.name}`);
    if (isTraced(mutant) && shapes === undefined) continue;
    tries++;
    const says = shapes === undefined ? undefined : sayingOf(shapes);
    const doubted = new Set<string>();
    const failed = (output: string) => failedTests(mutant, file, output).filter(({ title }) => !doubted.has(title));
    while (doubted.size <= MOST_DOUBTS) {
      const command = timed(RUNTIMES.Bun(file), TEST_TIMEOUT);
      const { ok, output } = await run(command, brokenBy(mutant, says), FILE_TIMEOUT, (output) => failed(output)[0]?.rank <= 1);
      const [first] = failed(output);
      if (first === undefined) {
        if (doubted.size === 0) {
          why.push(ok ? `${file} passes without it` : `${file} ended without a result: ${output.slice(-300)}`);
        }
        break;
      }
      const { title } = first;
      const test = spelled(file, title);
      const proof = test === undefined ? undefined : { file, test, ...says === undefined ? {} : { says } };
      const fault = proof === undefined ? "is a title that the file does not spell" : await doubt(mutant, proof);
      if (fault === "") return proof!;
      why.push(`${file}: "${title}" ${fault}`);
      doubted.add(title);
    }
  }
  return why.length === 0 ? "no test comes by it and says its name" : why.join("; ");
}

// ---- the command ------------------------------------------------------------------------------------------------------

const label = ({ section, name }: Mutant) => `${section}: ${name}`;

/** The proof of a row, unless its test is gone. */
function proofOf({ section, name, row }: Mutant): Proof | undefined {
  const proof = proofs[section]?.[name];
  if (proof === undefined) return undefined;
  const source = sources.get(proof.file) ?? "";
  return spelled(proof.file, proof.test) !== undefined && mentions(source, section, name, row) ? proof : undefined;
}

/** Writes the proofs in the order of the tables, without those of rows that are gone. */
function write(): void {
  const ordered: Proofs = {};
  for (const mutant of mutants) {
    const proof = proofOf(mutant);
    if (proof !== undefined) (ordered[mutant.section] ??= {})[mutant.name] = proof;
  }
  const lines = Object.entries(ordered).map(([section, rows]) => {
    const inside = Object.entries(rows).map(([name, proof]) => `    ${JSON.stringify(name)}: ${JSON.stringify(proof)}`);
    return `  ${JSON.stringify(section)}: {\n${inside.join(",\n")}\n  }`;
  });
  writeFileSync(proofsFile, `{\n${lines.join(",\n")}\n}\n`);
}

const verifying = options.has("--verify");
if (!verifying && !options.has("--missing") && !options.has("--again")) {
  console.error("--missing, --verify or --again");
  process.exit(2);
}
const chosen = mutants.filter((mutant) => {
  if (words.length > 0 && !words.some((word) => label(mutant).includes(word))) return false;
  return options.has("--again") || (proofOf(mutant) === undefined) !== verifying;
});
const faults: string[] = [];
let next = 0;
let done = 0;

async function work(): Promise<void> {
  while (next < chosen.length) {
    const mutant = chosen[next++];
    let said = "";
    if (verifying) {
      const fault = await doubt(mutant, proofOf(mutant)!);
      if (fault !== "") faults.push(`${label(mutant)}: ${proofOf(mutant)!.file} ${fault}`);
      said = fault || "holds";
    } else {
      const proof = await find(mutant);
      if (typeof proof === "string") faults.push(`${label(mutant)}: ${proof}`);
      else {
        (proofs[mutant.section] ??= {})[mutant.name] = proof;
        write();
      }
      said = typeof proof === "string" ? `NO PROOF: ${proof}` : `${proof.file}: ${proof.test}`;
    }
    console.log(`${++done}/${chosen.length} ${label(mutant)}: ${said}`);
  }
}

await Promise.all(Array.from({ length: jobs }, work));
if (!verifying) write();
console.log(`\n${chosen.length - faults.length} of ${chosen.length} are proved${faults.length > 0 ? "; not:" : ""}`);
for (const fault of faults) console.log(fault);
process.exitCode = faults.length === 0 ? 0 : 1;
process.exit();
