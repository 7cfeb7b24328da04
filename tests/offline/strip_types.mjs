// The hooks for Node 20: see register.mjs.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export { resolve } from "./resolve.mjs";

/** The programs that tests start import the same files, which are kept without their types. */
const kept = new URL("../../tools/node_modules/.cache/stripped/", import.meta.url);

export async function load(url, context, next) {
  if (!/^file:[^?]*\.ts(\?|$)/.test(url)) return await next(url, context);
  const file = fileURLToPath(url);
  const typed = readFileSync(file, "utf8");
  const place = fileURLToPath(new URL(createHash("sha256").update(file).update(typed).digest("hex"), kept));
  return { format: "module", source: read(place) ?? await strip(typed, file, place), shortCircuit: true };
}

function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

async function strip(typed, file, place) {
  const { transformSync } = await import("../../tools/node_modules/esbuild/lib/main.js");
  const { code } = transformSync(typed, {
    loader: "ts",
    sourcefile: file,
    sourcemap: "inline",
    target: "node20",
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
  });
  mkdirSync(kept, { recursive: true });
  writeFileSync(`${place}.${process.pid}`, code);
  renameSync(`${place}.${process.pid}`, place); // others may read it
  return code;
}
