/**
 * The tables of docs/api.md: what they say of each name, and which test proves it.
 *
 * @module
 */

/** The states that a row may have; rows of what Swoole has not are `beyond Swoole`. */
export const STATES: readonly string[] = ["works", "works differently", "not here"];

/** The states of what is there. */
export const HERE: readonly string[] = ["works", "works differently", "beyond Swoole"];

/** What a table says of a name. */
export interface Row {
  /** One of `STATES`, or `beyond Swoole`. */
  readonly state: string;
  /** What is said beside it. */
  readonly notes: string;
  /** The value of a constant. */
  readonly value: string | undefined;
}

/** The rows of each section, by the names in their first column; methods and functions with "()". */
export type Tables = ReadonlyMap<string, ReadonlyMap<string, Row>>;

/** Reads the tables; throws for a row that does not say what it has to. */
export function readTables(markdown: string): Tables {
  const sections = new Map<string, Map<string, Row>>();
  for (const part of markdown.split(/^## /m).slice(1)) {
    const title = part.slice(0, part.indexOf("\n"));
    const rows = new Map<string, Row>();
    let columns: string[] = [];
    for (const line of part.split("\n")) {
      if (!line.startsWith("|")) {
        columns = [];
        continue;
      }
      const cells = line.split("|").slice(1, -1).map((cell) => cell.trim());
      if (columns.length === 0) columns = cells;
      if (columns === cells || /^-+$/.test(cells[0])) continue;
      const cell = (name: string) => cells[columns.indexOf(name)];
      const state = columns[0] === "beyond Swoole" ? columns[0] : cell("state");
      const fault = (what: string) => new Error(`${title}: ${cells[0]} ${what}`);
      if (state !== "beyond Swoole" && !STATES.includes(state)) throw fault("has no state");
      if (!HERE.includes(state) && cell("notes") === "") throw fault("has no reason");
      if (state === "works differently" && cell("notes") === "") throw fault("does not tell what differs");
      for (const [, name] of cells[0].matchAll(/`([^`]+)`/g)) {
        if (rows.has(name)) throw fault(`has ${name}, which is there twice`);
        rows.set(name, { state, notes: cell("notes"), value: cell("value") });
      }
    }
    sections.set(title, rows);
  }
  return sections;
}

/** The test that fails when what a row tells of is broken, as tests/api_proofs.json has it. */
export interface Proof {
  /** The file, from the root of the repository on. */
  readonly file: string;
  /** The title of the test. */
  readonly test: string;
  /** What a method that does nothing returned to be found out: see tools/mutants.ts. */
  readonly says?: string;
}

/** The proofs by section and name. */
export type Proofs = Record<string, Record<string, Proof>>;

/** Whether a test says a name somewhere; for a code that methods set, its number will do. */
export function mentions(source: string, section: string, name: string, row?: Row): boolean {
  if (section === "Error codes" && row !== undefined && new RegExp(`\\b${row.value}\\b`).test(source)) return true;
  const word = needle(section, name);
  return word instanceof RegExp ? word.test(source) : source.includes(word);
}

function needle(section: string, name: string): string | RegExp {
  if (name === "__construct()") return new RegExp(`new (\\w+\\.)?${section.split(" ")[0]}\\b`);
  if (name === "[Symbol.iterator]()") return " of ";
  if (name === "[Symbol.asyncIterator]()") return "for await";
  // Constants with a common prefix may be told without it.
  const bare = name.replace("()", "").replace(/^(SWOOLE_)?(WEBSOCKET_|ERROR_)?/, "");
  const exact = section === "Constants" || section === "Error codes" ? `(?:\\b|_)${bare}\\b` : `\\b${bare}\\b`;
  return new RegExp(exact, section === "Events" ? "i" : "");
}

/** The titles of the tests in a file, without a lane, as patterns: what is made up while it runs may be anything. */
export function titlesOf(source: string): RegExp[] {
  const quoted = [...source.matchAll(/\btest\w*\(\s*(["'`])((?:\\.|(?!\1)[^\\])*)\1/g)];
  return quoted.map(([, , title]) => {
    const parts = title.replace(" (${lane})", "").replace(/\\(.)/g, "$1").split(/\$\{[^}]*\}/);
    return new RegExp(`^${parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".*")}$`, "s");
  });
}
