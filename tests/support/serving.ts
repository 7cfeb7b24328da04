/**
 * Starts servers for tests on free ports of 127.0.0.1, and makes sure that they stop.
 *
 * @module
 */

/** Any server, of either style. */
export interface Startable {
  /** The actual port, after `start()`. */
  readonly port: number;
  readonly finished: Promise<void>;
  start(): Promise<unknown>;
  shutdown(): boolean;
}

/** Starts a server, runs a test against it, and always stops it. */
export async function serving<S extends Startable>(server: S, test: (server: S, port: number) => Promise<void>): Promise<void> {
  await server.start();
  try {
    await test(server, server.port);
  } finally {
    server.shutdown();
    await server.finished;
  }
}

/** Returns a promise with its `resolve` function, to wait until a handler is called. */
export function signal<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => resolve = done);
  return { promise, resolve };
}
