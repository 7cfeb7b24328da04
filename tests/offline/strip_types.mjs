// The hooks for Node 20: see register.mjs.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { transformSync } from "../../tools/node_modules/esbuild/lib/main.js";

export { resolve } from "./resolve.mjs";

export async function load(url, context, next) {
  if (!/^file:[^?]*\.ts(\?|$)/.test(url)) return await next(url, context);
  const file = fileURLToPath(url);
  const { code } = transformSync(readFileSync(file, "utf8"), {
    loader: "ts",
    sourcefile: file,
    sourcemap: "inline",
    target: "node20",
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
  });
  return { format: "module", source: code, shortCircuit: true };
}
