/**
 * The lanes on which bytes reach a server. Tests about sockets run once for each: the adapter of the current runtime, the adapter
 * on `node:net`, which runs everywhere, and both with their native lane withheld, so that the two web streams of each connection
 * are used. The default run has those of tests/adversary/ on one of them only, see `drawing()`.
 *
 * @module
 */

import { test } from "node:test";
import { runtime as onNodeNet } from "../../adapters/node.ts";
import { type BytePipe, type Lane, type LaneSink, type Runtime, type Server, setRuntime } from "../../mod.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";

/** Returns a runtime whose connections have no lanes, only their two streams. */
function withoutLanes(runtime: Runtime): Runtime {
  const plain = (pipe: BytePipe): BytePipe => ({
    readable: pipe.readable,
    writable: pipe.writable,
    localAddress: pipe.localAddress,
    remoteAddress: pipe.remoteAddress,
    peerCertificate: pipe.peerCertificate,
    hidesClient: pipe.hidesClient,
    abort: () => pipe.abort(),
  });
  return {
    ...runtime,
    name: `${runtime.name}, streams`,
    listen: (options, accept, failed) => runtime.listen(options, (pipe) => accept(plain(pipe)), failed),
    connect: async (options) => plain(await runtime.connect(options)),
  };
}

/** A lane that overwrites lent memory as soon as the call returns. */
class LendingLane implements Lane {
  readonly #lane: Lane;

  constructor(lane: Lane) {
    this.#lane = lane;
  }

  get canReset(): boolean {
    return this.#lane.canReset;
  }

  start(sink: LaneSink): void {
    this.#lane.start({
      onData(chunk) {
        const lent = new Uint8Array(chunk);
        sink.onData(lent, false);
        lent.fill(0xdb);
      },
      onEnd: () => sink.onEnd(),
      onDrain: () => sink.onDrain(),
      onClose: (error) => sink.onClose(error),
    });
  }

  write(bytes: Uint8Array, start: number, end: number, owned: boolean): boolean {
    return this.#lane.write(bytes, start, end, owned);
  }

  pause(): void {
    this.#lane.pause();
  }

  resume(): void {
    this.#lane.resume();
  }

  end(): void {
    this.#lane.end();
  }

  abort(): void {
    this.#lane.abort();
  }
}

/** Returns a runtime whose lanes lend every chunk and reuse the memory at once. */
function lending(runtime: Runtime): Runtime {
  const wrap = (pipe: BytePipe): BytePipe => {
    const lane = new LendingLane(pipe.lane!);
    return new Proxy(pipe, {
      get: (target, key) => key === "lane" ? lane : Reflect.get(target, key, target),
    });
  };
  return {
    ...runtime,
    listen: (options, accept, failed) => runtime.listen(options, (pipe) => accept(wrap(pipe)), failed),
    connect: async (options) => wrap(await runtime.connect(options)),
  };
}

const own = await loadRuntime();
const onNet: Runtime = { ...onNodeNet, name: "node:net" };
const named = own.name === "node" ? onNet : lending(onNet);
const runtimes = own.name === "node" ? [named] : [own, named];

/** All lanes, by name. */
export const lanes: readonly (readonly [name: string, runtime: Runtime])[] = [...runtimes, ...runtimes.map(withoutLanes)]
  .map((runtime) => [runtime.name, runtime]);

/** The lanes of this runtime's own adapter, for slow tests. */
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

/** Starts a server on a runtime, runs a test against it, and always stops it. */
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

/** Registers a test once for each lane. */
export function testLanes(name: string, work: (runtime: Runtime) => Promise<void>): void {
  for (const [lane, runtime] of lanes) test(`${name} (${lane})`, () => work(runtime));
}
