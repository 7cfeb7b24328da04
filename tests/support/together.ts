/**
 * Tests that wait for a clock, side by side.
 *
 * @module
 */

/**
 * Runs works at once, when the first of them is asked for, so that they wait at the same time.
 *
 * @returns A function that gives the outcome of the work with a number.
 */
export function together(works: readonly (() => Promise<void>)[]): (index: number) => Promise<void> {
  let running: Promise<void>[] | undefined;
  return (index) => {
    running ??= works.map((work) => {
      const result = work();
      result.catch(() => {}); // it is looked at when its turn comes
      return result;
    });
    return running[index];
  };
}
