/**
 * Environment variables and error handling shared by the examples.
 *
 * @module
 */

import { networkInterfaces } from "node:os";

// Deno, Bun and Node all have `process`. This is the part of it used here.
const { process } = globalThis as unknown as {
  process: { env: Record<string, string | undefined>; exit(code: number): never };
};

/** The port to listen on: `PORT`, by default 9501. 0 picks a free one. */
export const PORT: number = readPort(process.env.PORT || "9501");

/** The address of a Redis server, such as `redis://127.0.0.1:6379`: `REDIS`, by default none. */
export const REDIS: string = process.env.REDIS || "";

/** The number of workers: `WORKERS`, by default one for each processor. */
export const WORKERS: number | "auto" = process.env.WORKERS ? Number(process.env.WORKERS) : "auto";

/** A secret that several servers share: `SECRET`, by default a new one, which workers inherit. */
export const SECRET: string = process.env.SECRET ||= crypto.randomUUID();

/** The address to listen on or connect to: `HOST`, by default 127.0.0.1. */
export const HOST: string = readHost("127.0.0.1");

/** Returns the address to listen on: `HOST`, if it is set. */
export function readHost(byDefault: string): string {
  return process.env.HOST || byDefault;
}

/** Returns the IPv4 addresses under which other devices may reach this machine. */
export function addressesOfThisMachine(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
    .filter(({ family, internal }) => family === "IPv4" && !internal).map(({ address }) => address);
}

function readPort(text: string): number {
  return /^\d{1,5}$/.test(text) && Number(text) < 65536 ? Number(text) : giveUp(`PORT is no port number: ${text}`);
}

/** Prints an error in one line and exits. */
export function giveUp(error: unknown): never {
  console.error(error instanceof Error ? error.message : String(error));
  return process.exit(1);
}
