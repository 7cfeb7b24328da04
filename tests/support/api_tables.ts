/**
 * The tables of docs/api.md.
 *
 * @module
 */

/** The states a row may have. Rows about additions to Swoole have the state `beyond Swoole`. */
export const STATES: readonly string[] = ["works", "works differently", "not here"];

/** The states of names that exist. */
export const HERE: readonly string[] = ["works", "works differently", "beyond Swoole"];

/** The row of a name. */
export interface Row {
  /** One of `STATES`, or `beyond Swoole`. */
  readonly state: string;
  /** The notes of the row. */
  readonly notes: string;
  /** The value of a constant. */
  readonly value: string | undefined;
}

/** The rows of each section, by the names in their first column. Names of methods and functions end with "()". */
export type Tables = ReadonlyMap<string, ReadonlyMap<string, Row>>;

/** Reads the tables. Throws if a row is incomplete. */
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
