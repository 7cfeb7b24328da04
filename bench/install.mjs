// Brings the runtimes and packages that are measured, where they are not there yet.

import { spawnSync } from "node:child_process";
import { installation, isInstalled } from "../tools/check/install.mjs";
import { root } from "./rows.mjs";

if (!isInstalled(root)) {
  const [command, ...args] = installation();
  if (spawnSync(command, args, { cwd: root, stdio: "inherit" }).status !== 0) throw new Error("Cannot install the runtimes");
}
