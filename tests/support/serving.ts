/**
 * Starts servers for tests on free ports of 127.0.0.1 and sees to it that they stop.
 *
 * @module
 */

/** Any server, of either style. */
export interface Startable {
  /** The real port, once it has started. */
  readonly port: number;
  readonly finished: Promise<void>;
  start(): Promise<unknown>;
  shutdown(): boolean;
}

/** Starts a server, runs a test against it, and stops it, whatever happens. */
export async function serving<S extends Startable>(server: S, test: (server: S, port: number) => Promise<void>): Promise<void> {
  await server.start();
  try {
    await test(server, server.port);
  } finally {
    server.shutdown();
    await server.finished;
  }
}

/** A promise with its functions, for waiting until a handler was called. */
export function signal<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => resolve = done);
  return { promise, resolve };
}
