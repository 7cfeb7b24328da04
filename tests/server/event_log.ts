/**
 * What tests of the server share: a log of events that can be waited for, and short ways to look at frames.
 *
 * @module
 */

import type { RawFrame } from "../support/raw_client.ts";

/** How long to wait for a line that never comes, in milliseconds. */
const PATIENCE = 10_000;

/** Lines in the order in which they happened. */
export class EventLog {
  readonly lines: string[] = [];
  #waiting: (() => void)[] = [];

  add(line: string): void {
    this.lines.push(line);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves once a line is there. */
  until(line: string): Promise<void> {
    return this.#when(() => this.lines.includes(line), line);
  }

  /** Resolves once there are that many lines. */
  count(lines: number): Promise<void> {
    return this.#when(() => this.lines.length >= lines, `${lines} lines`);
  }

  async #when(done: () => boolean, what: string): Promise<void> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      for (const wake of this.#waiting.splice(0)) wake();
    }, PATIENCE);
    try {
      while (!done()) {
        if (late) throw new Error(`There is no ${what} in ${JSON.stringify(this.lines)}`);
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A frame's payload as text. */
export function textOf(frame: RawFrame | null): string | null {
  return frame === null ? null : new TextDecoder().decode(frame.payload);
}

/** A Close frame's code; `undefined` for anything else. */
export function closeCodeOf(frame: RawFrame | null): number | undefined {
  if (frame?.opcode !== 8 || frame.payload.length < 2) return undefined;
  return (frame.payload[0] << 8) | frame.payload[1];
}
