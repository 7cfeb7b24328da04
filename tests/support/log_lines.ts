/**
 * Captures the log of servers.
 *
 * @module
 */

/** Collects the lines logged to the console while a test runs, without their timestamps. */
export async function loggedDuring(test: (lines: readonly string[]) => Promise<void>): Promise<string[]> {
  const lines: string[] = [];
  const before = console.error;
  console.error = (line: unknown) => void lines.push(String(line).replace(/^\S+ /, ""));
  try {
    await test(lines);
  } finally {
    console.error = before;
  }
  return lines;
}
