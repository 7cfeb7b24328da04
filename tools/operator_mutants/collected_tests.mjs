// Takes the place of `node:test` while mutants run: the tests are collected, and run by worker.mjs, many times in one process.

/** The tests of the files that were imported since the list was last emptied. */
export const collected = [];

export function test(name, ...rest) {
  const work = rest.at(-1);
  if (rest.length < 2 || !rest[0].skip) collected.push({ name, work });
}
test.skip = () => {};
