/**
 * Runs servers for tests, on free ports of 127.0.0.1 or in memory, and makes sure that they stop.
 *
 * @module
 */

import { type HttpRequest, type HttpResponse, HttpServer, type ServerSettings } from "../../mod.ts";
import { type Accepting, MemoryClient } from "./memory_client.ts";

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

/** Lets a client in memory talk to a server, which need not have been started, and always ends both. */
export async function servingInMemory<S extends Accepting & Pick<Startable, "finished" | "shutdown">>(
  server: S,
  test: (client: MemoryClient, server: S) => Promise<void>,
): Promise<void> {
  const client = new MemoryClient(server);
  try {
    await test(client, server);
  } finally {
    client.drop();
    server.shutdown();
    await server.finished;
  }
}

/** What a server does with a request. */
export type Handler = (request: HttpRequest, response: HttpResponse, server: HttpServer) => unknown;

/** Lets a client in memory talk to an `HttpServer` with this handler; `errors` is what its `error` handler has got. */
export function servingHandler(
  handler: Handler,
  test: (client: MemoryClient, errors: unknown[], server: HttpServer) => Promise<void>,
  settings: ServerSettings = {},
): Promise<void> {
  const server = new HttpServer();
  const errors: unknown[] = [];
  server.on("request", (request, response) => handler(request, response, server));
  server.on("error", (_server, error) => void errors.push(error));
  server.set({ websocket_close_timeout: 0.3, ...settings });
  return servingInMemory(server, (client) => test(client, errors, server));
}

/** Returns a promise with its `resolve` function, to wait until a handler is called. */
export function signal<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => resolve = done);
  return { promise, resolve };
}
