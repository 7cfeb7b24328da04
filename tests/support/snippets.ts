/**
 * The blocks of code in the documents for users.
 *
 * @module
 */

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { tlsSettings } from "./tls_client.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** A block of code. */
export interface Snippet {
  /** Where it is: the page, the heading above it, and its number if the heading has several: `docs/http.md, Forms, 2`. */
  readonly place: string;
  /** The page. */
  readonly page: string;
  /** The language, as it is given; empty for text. */
  readonly language: string;
  /** The lines. */
  readonly code: string;
}

/** The pages that are read by users. */
export const pages: readonly string[] = [
  "README.md",
  ...readdirSync(`${root}docs`).filter((name) => name.endsWith(".md")).sort().map((name) => `docs/${name}`),
];

/** The blocks of code of a page. */
export function snippetsOf(page: string): Snippet[] {
  const found: Snippet[] = [];
  const counts = new Map<string, number>();
  let heading = "";
  const text = readFileSync(root + page, "utf8");
  for (const [, title, language, code] of text.matchAll(/^#+ (.*)$|^```(.*)\n([^]*?)^```$/gm)) {
    if (title !== undefined) {
      heading = title;
      continue;
    }
    const place = `${page}, ${heading}`;
    const count = (counts.get(place) ?? 0) + 1;
    counts.set(place, count);
    found.push({ place: count === 1 ? place : `${place}, ${count}`, page, language, code });
  }
  return found;
}

/** The block of code at a place. */
export function snippetAt(place: string): Snippet {
  const found = pages.flatMap(snippetsOf).find((snippet) => snippet.place === place);
  if (found === undefined) throw new Error(`There is no snippet at ${place}`);
  return found;
}

/** The code with a port that is free, and with the certificate of the tests. */
export function adapted(code: string, port: number): string {
  return code.replaceAll(/\b950[12]\b/g, String(port))
    .replaceAll(/\/etc\/letsencrypt\/live\/[\w.]+\/fullchain\.pem/g, tlsSettings.ssl_cert_file)
    .replaceAll(/\/etc\/letsencrypt\/live\/[\w.]+\/privkey\.pem/g, tlsSettings.ssl_key_file);
}

/** Makes a directory in which Sluice and some frameworks are installed. */
export function makeProject(): string {
  const project = mkdtempSync(join(tmpdir(), "sluice-snippets-"));
  mkdirSync(join(project, "node_modules/@sluice"), { recursive: true });
  symlinkSync(root, join(project, "node_modules/@sluice/server"));
  for (const name of ["hono", "h3", "itty-router", "redis"]) {
    symlinkSync(`${root}tools/node_modules/${name}`, join(project, "node_modules", name));
  }
  writeFileSync(join(project, "package.json"), '{ "type": "module" }');
  return project;
}

/**
 * The command that runs a program of such a directory in this runtime.
 *
 * @param permissions What it may do in Deno.
 */
export function commandOf(file: string, permissions: readonly string[] = ["-A"]): string[] {
  if ("Bun" in globalThis) return [process.execPath, "run", file];
  if (!("Deno" in globalThis)) return [process.execPath, file];
  return [process.execPath, "run", ...permissions, `--import-map=${root}tests/offline/import_map.json`, file];
}
