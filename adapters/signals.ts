/**
 * Signals and the end of the process, by `node:process`, which all three runtimes have. Listeners there do not keep a program alive.
 *
 * @module
 */

import process from "node:process";
import type { SignalControl } from "../src/runtime.ts";

/** How many listeners were removed in this turn, by signal. */
const removed: Map<string, number> = new Map();

/** The signals of the process. */
export const signals: SignalControl = {
  listen(name, listener) {
    // A listener of the program's that is there for one time only is gone when ours is called behind it. Ours is the first one, but
    // Deno calls them in the order of time.
    const onRemove = (event: string | symbol, other: unknown) => {
      if (event !== name || other === listener) return;
      removed.set(name, (removed.get(name) ?? 0) + 1);
      queueMicrotask(() => removed.delete(name));
    };
    try {
      process.prependListener(name, listener);
    } catch {
      return () => {}; // a system without this signal
    }
    process.on("removeListener", onRemove);
    return () => {
      process.off("removeListener", onRemove);
      process.off(name, listener);
    };
  },
  count: (name) => process.listenerCount(name) + (removed.get(name) ?? 0),
  failWith(code) {
    process.exitCode ??= code;
  },
  exit(code) {
    if (code === undefined) process.exit(); // an argument, be it `undefined`, would replace the code that was chosen
    process.exit(code);
  },
};
