// What the servers under test share: how they tell their port, and how the benchmark asks them to collect garbage.

import process from "node:process";

/** Tells the benchmark where the server listens. */
export function ready(port) {
  console.log(`PORT ${port}`);
}

// The benchmark sets this only where it measures memory, and sends the signal to ask for a full collection.
if (process.env.BENCH_GC === "1") {
  process.on("SIGUSR2", () => {
    const { gc, Bun } = globalThis;
    if (Bun) Bun.gc(true);
    else if (gc) gc();
    console.log(gc || Bun ? "GC done" : "GC missing");
  });
}
