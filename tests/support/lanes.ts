/**
 * The ways by which octets reach a server. Tests about sockets run once for each: the adapter of the runtime that the tests are
 * in, the one on `node:net`, which runs everywhere, and both with their native lane withheld, so that the two web streams of
 * each connection carry everything.
 *
 * @module
 */

import { test } from "node:test";
import { runtime as onNodeNet } from "../../adapters/node.ts";
import { type BytePipe, type Runtime, type Server, setRuntime } from "../../mod.ts";
import { loadRuntime } from "../../src/runtime.ts";

/** A runtime whose connections offer nothing but their two streams. */
function withoutLanes(runtime: Runtime): Runtime {
  const plain = (pipe: BytePipe): BytePipe => ({
    readable: pipe.readable,
    writable: pipe.writable,
    localAddress: pipe.localAddress,
    remoteAddress: pipe.remoteAddress,
    peerCertificate: pipe.peerCertificate,
    abort: () => pipe.abort(),
  });
  return {
    ...runtime,
    name: `${runtime.name}, streams`,
    listen: (options, accept, failed) => runtime.listen(options, (pipe) => accept(plain(pipe)), failed),
    connect: async (options) => plain(await runtime.connect(options)),
  };
}

const own = await loadRuntime();
const named: Runtime = { ...onNodeNet, name: "node:net" };
const runtimes = own.name === "node" ? [named] : [own, named];

/** Each way with its name. */
export const lanes: readonly (readonly [name: string, runtime: Runtime])[] = [...runtimes, ...runtimes.map(withoutLanes)]
  .map((runtime) => [runtime.name, runtime]);

/** The ways of this runtime's own adapter, for tests that take their time. */
export const ownLanes: readonly (readonly [name: string, runtime: Runtime])[] = lanes.filter(([name]) =>
  own.name === "node" || name.startsWith(own.name)
);

/** Starts a server on a runtime. */
export async function startOn(runtime: Runtime, server: Server): Promise<void> {
  setRuntime(runtime);
  try {
    await server.start();
  } finally {
    setRuntime(undefined);
  }
}

/** Starts a server on a runtime, runs a test against it, and stops it, whatever happens. */
export async function servingOn<S extends Server>(
  runtime: Runtime,
  server: S,
  work: (server: S, port: number) => Promise<void>,
): Promise<void> {
  await startOn(runtime, server);
  try {
    await work(server, server.port);
  } finally {
    server.shutdown();
    await server.finished;
  }
}

/** Registers a test once for each way. */
export function testLanes(name: string, work: (runtime: Runtime) => Promise<void>): void {
  for (const [lane, runtime] of lanes) test(`${name} (${lane})`, () => work(runtime));
}
