/**
 * What the examples need from around them.
 *
 * @module
 */

// Deno, Bun and Node all have `process`; this is the part of it that is used here.
const { process } = globalThis as unknown as {
  process: { env: Record<string, string | undefined>; exit(code: number): never };
};

/** The port to listen on: 9501, or what `PORT` says. With 0 the system picks a free one. */
export const PORT: number = readPort(process.env.PORT || "9501");

/** The address to listen on, or to connect to: 127.0.0.1, or what `HOST` says. */
export const HOST: string = process.env.HOST || "127.0.0.1";

function readPort(text: string): number {
  return /^\d{1,5}$/.test(text) && Number(text) < 65536 ? Number(text) : giveUp(`PORT is no port number: ${text}`);
}

/** Ends the program with one line that says why. */
export function giveUp(error: unknown): never {
  console.error(error instanceof Error ? error.message : String(error));
  return process.exit(1);
}
