/**
 * The adapter for Node: `node:net` and `node:tls`. It also runs in Deno and Bun.
 *
 * @module
 */

import { appendFile, readFile } from "node:fs/promises";
import net from "node:net";
import tls from "node:tls";
import { LanePipe } from "../src/lane_streams.ts";
import type { Address, BytePipe, Lane, LaneSink, Listener, ListenOptions, Runtime } from "../src/runtime.ts";

/** Where a socket keeps its lane, so that all sockets share their listeners. */
const LANE: unique symbol = Symbol("lane");

type LaneSocket = net.Socket & { [LANE]?: NodeLane };

class NodeLane implements Lane {
  readonly #socket: net.Socket;
  sink!: LaneSink;
  error: unknown = undefined;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    (socket as LaneSocket)[LANE] = this;
    socket.on("error", onError);
  }

  start(sink: LaneSink): void {
    this.sink = sink;
    const socket = this.#socket;
    socket.on("close", onClose);
    if (socket.destroyed) return;
    socket.on("end", onEnd);
    socket.on("drain", onDrain);
    socket.on("data", onData);
  }

  write(chunk: Uint8Array, owned: boolean): boolean {
    return this.#socket.write(owned ? chunk : chunk.slice());
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  abort(): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    if (socket instanceof tls.TLSSocket) socket.destroy();
    else socket.resetAndDestroy();
  }
}

function onData(this: LaneSocket, chunk: Uint8Array): void {
  this[LANE]!.sink.onData(chunk);
}

function onEnd(this: LaneSocket): void {
  this[LANE]!.sink.onEnd();
}

function onDrain(this: LaneSocket): void {
  this[LANE]!.sink.onDrain();
}

function onError(this: LaneSocket, error: unknown): void {
  this[LANE]!.error = error;
}

function onClose(this: LaneSocket): void {
  this[LANE]!.sink.onClose(this[LANE]!.error);
}

/** A pipe whose addresses are made when somebody asks for them. */
class NodePipe extends LanePipe {
  readonly #socket: net.Socket;

  constructor(socket: net.Socket) {
    super(new NodeLane(socket));
    this.#socket = socket;
  }

  get localAddress(): Address | undefined {
    return addressOf(this.#socket.localAddress, this.#socket.localPort);
  }

  get remoteAddress(): Address | undefined {
    return addressOf(this.#socket.remoteAddress, this.#socket.remotePort);
  }
}

function addressOf(hostname: string | undefined, port: number | undefined): Address {
  if (hostname === undefined || port === undefined) return { transport: "unix", hostname: hostname ?? "", port: 0 };
  return { transport: "tcp", hostname, port };
}

/** Node as a runtime for servers. */
export const runtime: Runtime = {
  name: "node",
  listen(options: ListenOptions, accept: (pipe: BytePipe) => void, failed: (error: unknown) => void): Promise<Listener> {
    return new Promise((resolve, reject) => {
      const shared = { allowHalfOpen: true, noDelay: options.noDelay && options.transport === "tcp" };
      const onConnection = (socket: net.Socket) => accept(new NodePipe(socket));
      const server = options.tls === undefined
        ? net.createServer(shared, onConnection)
        : tls.createServer({ ...shared, ...options.tls, handshakeTimeout: options.handshakeTimeout }, onConnection);
      server.once("error", reject);
      server.listen(
        options.transport === "unix"
          ? { path: options.hostname, backlog: options.backlog }
          : { host: options.hostname, port: options.port, backlog: options.backlog },
        () => {
          server.off("error", reject);
          server.on("error", failed);
          const address = server.address();
          resolve({
            address: address === null || typeof address === "string"
              ? { transport: "unix", hostname: address ?? options.hostname, port: 0 }
              : { transport: "tcp", hostname: address.address, port: address.port },
            close: () => void server.close(),
          });
        },
      );
    });
  },
  readTextFile: (path) => readFile(path, "utf8"),
  appendTextFile: (path, text) => appendFile(path, text),
};
