/**
 * Detects activity in memory. The test doubles between two ends report every chunk and call that passes through them.
 *
 * @module
 */

import { setImmediate } from "node:timers/promises";

let moves = 0;

/** Reports activity. */
export function noteActivity(): void {
  moves++;
}

/** The number of idle turns of the event loop that count as quiet. */
const QUIET = 10;

/** Waits until all activity in memory has stopped, however many turns that takes. */
export async function settle(): Promise<void> {
  for (let quiet = 0; quiet < QUIET; quiet++) {
    const before = moves;
    await setImmediate();
    if (moves !== before) quiet = -1;
  }
}

/** Polls for a condition that no event reports. */
export async function until(what: string, isTrue: () => boolean): Promise<void> {
  for (const end = performance.now() + 20_000; !isTrue(); await setImmediate()) {
    if (performance.now() > end) throw new Error(`Not within 20 s: ${what}`);
  }
}
