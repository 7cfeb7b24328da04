/**
 * A console that remembers, so that examples can print what they print on Swoole's pages.
 *
 * @module
 */

/** Takes the place of `console` in an example. */
export class Remembering {
  /** What was printed. */
  readonly lines: string[] = [];

  log(line: string): void {
    this.lines.push(line);
  }
}

/** A frame's payload as text. */
export function textOf(frame: { payload: Uint8Array } | null): string | null {
  return frame === null ? null : new TextDecoder().decode(frame.payload);
}
