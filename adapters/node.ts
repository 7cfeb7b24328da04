/**
 * The adapter for Node: `node:net` and `node:tls`. It also runs in Deno and Bun.
 *
 * @module
 */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync } from "node:fs";
import { appendFile, readFile } from "node:fs/promises";
import net from "node:net";
import { dirname } from "node:path";
import tls from "node:tls";
import { copyBytes } from "../src/bytes.ts";
import { LanePipe } from "../src/lane_streams.ts";
import type { Address, BytePipe, Lane, LaneSink, Listener, ListenOptions, Runtime, TlsOptions } from "../src/runtime.ts";

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

  write(bytes: Uint8Array, start: number, end: number, owned: boolean): boolean {
    return this.#socket.write(owned ? bytes.subarray(start, end) : copyBytes(bytes, start, end));
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
    // When our FIN is out, what the kernel still holds of our output is not taken back.
    if (socket instanceof tls.TLSSocket || socket.writableFinished) socket.destroy();
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

/** Deno's `node:tls` takes any certificate and fails at the first handshake: bad ones are found here instead. */
function checkTls({ cert, key }: TlsOptions): void {
  const privateKey = createPrivateKey(key);
  if (!new X509Certificate(cert).checkPrivateKey(privateKey)) {
    throw new Error("the private key does not belong to the certificate");
  }
}

/** Node says that it is not permitted to bind a path in a folder that does not exist. */
function explain(error: NodeJS.ErrnoException, options: ListenOptions): Error {
  if (options.transport === "tcp" || error.code !== "EACCES" || existsSync(dirname(options.hostname))) return error;
  return Object.assign(new Error("there is no such folder", { cause: error }), { code: "ENOENT" });
}

/** Node as a runtime for servers. */
export const runtime: Runtime = {
  name: "node",
  listen(options: ListenOptions, accept: (pipe: BytePipe) => void, failed: (error: unknown) => void): Promise<Listener> {
    return new Promise((resolve, reject) => {
      if (options.tls !== undefined) checkTls(options.tls);
      const refuse = (error: Error) => reject(explain(error, options));
      const shared = { allowHalfOpen: true, noDelay: options.noDelay && options.transport === "tcp" };
      const onConnection = (socket: net.Socket) => accept(new NodePipe(socket));
      const server = options.tls === undefined
        ? net.createServer(shared, onConnection)
        : tls.createServer({ ...shared, ...options.tls, handshakeTimeout: options.handshakeTimeout }, onConnection)
          .on("tlsClientError", (_error, socket) => socket.destroy()); // also when the handshake takes too long
      server.once("error", refuse);
      server.listen(
        options.transport === "unix"
          ? { path: options.hostname, backlog: options.backlog }
          : { host: options.hostname, port: options.port, backlog: options.backlog },
        () => {
          server.off("error", refuse);
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
