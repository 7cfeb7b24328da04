/**
 * Runs tests that wait for a clock at the same time.
 *
 * @module
 */

/**
 * Starts all works when the first one is requested, so that they wait at the same time.
 *
 * @returns A function that returns the outcome of the work with the given index.
 */
export function together(works: readonly (() => Promise<void>)[]): (index: number) => Promise<void> {
  let running: Promise<void>[] | undefined;
  return (index) => {
    running ??= works.map((work) => {
      const result = work();
      result.catch(() => {}); // reported when its own test runs
      return result;
    });
    return running[index];
  };
}
