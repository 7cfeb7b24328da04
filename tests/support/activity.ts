/**
 * Whether anything moves in memory. What tests put between two ends tells of each thing that passes.
 *
 * @module
 */

import { setImmediate } from "node:timers/promises";

let moves = 0;

/** Tells that something has moved. */
export function noteActivity(): void {
  moves++;
}

/** How many turns of the event loop have to pass without anything. */
const QUIET = 10;

/** Lets everything that is under way in memory come to rest: however many turns it takes until nothing has moved for some. */
export async function settle(): Promise<void> {
  for (let quiet = 0; quiet < QUIET; quiet++) {
    const before = moves;
    await setImmediate();
    if (moves !== before) quiet = -1;
  }
}

/** Waits for something that nobody tells of. */
export async function until(what: string, isTrue: () => boolean): Promise<void> {
  for (const end = performance.now() + 20_000; !isTrue(); await setImmediate()) {
    if (performance.now() > end) throw new Error(`Not within 20 s: ${what}`);
  }
}
