// Node resolves the names of the import map through this hook: `node --import ./tests/offline/register.mjs --test`.
// In Node 20, which cannot run TypeScript by itself, hooks also remove the types.
import module from "node:module";
import { resolve } from "./resolve.mjs";

if (module.registerHooks !== undefined) module.registerHooks({ resolve });
else module.register("./strip_types.mjs", import.meta.url);
