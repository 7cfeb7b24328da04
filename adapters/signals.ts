/**
 * Signals and the end of the process, by `node:process`, which all three runtimes have. Listeners there do not keep a program alive.
 *
 * @module
 */

import process from "node:process";
import type { SignalControl } from "../src/runtime.ts";

/** The signals of the process. */
export const signals: SignalControl = {
  listen(name, listener) {
    try {
      // The first one, so that a listener of the program's that is there for one time only is still there when it is called.
      process.prependListener(name, listener);
    } catch {
      return () => {}; // a system without this signal
    }
    return () => void process.removeListener(name, listener);
  },
  count: (name) => process.listenerCount(name),
  failWith(code) {
    process.exitCode ??= code;
  },
  exit: (code) => process.exit(code),
};
