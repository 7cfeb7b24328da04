/**
 * A timer that is set often and rings seldom.
 *
 * @module
 */

/**
 * Calls back at a time. Who waits again and again does not pay for a timer each time: one that is set already is left alone,
 * and when it rings, its owner looks at what is due and sets it for what is not.
 */
export class Alarm {
  readonly #ring: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;
  #time = 0;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /**
   * Rings at this time or before.
   *
   * @param time In milliseconds since 1970.
   */
  at(time: number): void {
    if (this.#timer !== undefined && this.#time <= time) return;
    this.clear();
    this.#time = time;
    // Longer delays overflow in every runtime; who waits so long is asked again on the way.
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#ring();
    }, Math.min(Math.max(time - Date.now(), 0) + 1, 0x7fffffff));
  }

  /** Does not ring. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
