/**
 * The adapter for Bun: `Bun.listen`, and `node:net` to connect.
 *
 * @module
 */

import process from "node:process";
import { sliceBytes } from "../src/bytes.ts";
import { LanePipe } from "../src/lane_streams.ts";
import type { Address, BytePipe, Lane, LaneSink, Listener, ListenOptions, Runtime, TlsOptions } from "../src/runtime.ts";
import { decompressor } from "./content_decoder.ts";
import { encoder } from "./content_encoder.ts";
import { connectionLimit, outOfDescriptors } from "./descriptors.ts";
import { listenDatagram } from "./datagrams.ts";
import { files } from "./files.ts";
import { signals } from "./signals.ts";
import { zlibEngine } from "./zlib.ts";

// The part of Bun that is used here, so that this file type-checks everywhere.

interface BunSocket {
  data: BunLane;
  readonly localAddress?: string;
  readonly localPort?: number;
  readonly remoteAddress?: string;
  readonly remotePort?: number;
  write(data: Uint8Array, start?: number, length?: number): number;
  shutdown(): void;
  end(): void;
  pause(): void;
  resume(): void;
  terminate(): void;
  timeout(seconds: number): void;
  setNoDelay(noDelay: boolean): void;
  setKeepAlive(enable: boolean, initialDelay: number): void;
}

interface BunSocketHandlers {
  open(socket: BunSocket): void;
  data(socket: BunSocket, chunk: Uint8Array): void;
  drain(socket: BunSocket): void;
  end(socket: BunSocket): void;
  close(socket: BunSocket, error?: unknown): void;
  error(socket: BunSocket, error: unknown): void;
  handshake?(socket: BunSocket, success: boolean): void;
  timeout(socket: BunSocket): void;
}

interface BunApi {
  listen(options: {
    hostname?: string;
    port?: number;
    reusePort?: boolean;
    unix?: string;
    allowHalfOpen: boolean;
    tls?: { cert: string; key: string };
    socket: BunSocketHandlers;
  }): { readonly port: number; readonly hostname: string; stop(closeConnections: boolean): void };
}

/** The longest timeout that a socket of Bun takes, in seconds: what is longer wraps around. 0 is none. */
const LONGEST_TIMEOUT = 4 * 3600;

/** A chunk of this size or more is one behind which there is more: Bun reads 512 KiB at a time. */
const LARGE_CHUNK = 512 * 1024;

class BunLane implements Lane {
  readonly canReset: boolean = true;
  readonly #socket: BunSocket;
  sink: LaneSink | undefined = undefined;
  #rest: Uint8Array | undefined = undefined; // what the kernel did not take yet
  #ended = false;
  #peerEnded = false;
  #closed = false;
  #aborted = false;
  #held = false;
  #isPaused = false;
  #error: unknown = undefined;

  constructor(socket: BunSocket) {
    this.#socket = socket;
  }

  start(sink: LaneSink): void {
    this.sink = sink;
    if (this.#closed) setImmediate(() => sink.onClose(this.#error)); // it broke before anybody looked
    else if (this.#held) this.#socket.resume();
  }

  /** Reads nothing until the lane is started. */
  hold(): void {
    if (this.sink !== undefined || this.#closed) return;
    this.#held = true;
    this.#socket.pause();
  }

  write(bytes: Uint8Array, start: number, end: number, owned: boolean): boolean {
    if (this.#closed) return false;
    const taken = this.#socket.write(bytes, start, end - start);
    if (taken < 0) return this.#lose();
    const at = start + taken;
    if (at === end) return true;
    this.#rest = owned ? bytes.subarray(at, end) : sliceBytes(bytes, at, end);
    return false;
  }

  /** The socket is closed. Bun calls `close` by itself, but not while the socket is paused. */
  #lose(): false {
    setImmediate(() => {
      if (!this.#closed) this.#socket.terminate(); // not in this turn: write() may not call onClose()
    });
    return false;
  }

  onDrain(): void {
    const rest = this.#rest;
    if (rest === undefined) return;
    const count = this.#socket.write(rest);
    if (count < 0) {
      this.#lose();
    } else if (count < rest.length) {
      this.#rest = rest.subarray(count);
    } else {
      this.#rest = undefined;
      this.sink?.onDrain();
    }
  }

  onData(chunk: Uint8Array): void {
    this.sink?.onData(chunk, true);
    if (chunk.length < LARGE_CHUNK || this.#isPaused || this.#closed) return;
    // There is more, which Bun would read in this turn: the others have theirs first.
    this.#socket.pause();
    setImmediate(() => {
      if (!this.#isPaused && !this.#closed) this.#socket.resume();
    });
  }

  pause(): void {
    this.#isPaused = true;
    if (!this.#closed) this.#socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (!this.#closed) this.#socket.resume();
  }

  end(): void {
    if (this.#ended || this.#closed) return;
    this.#ended = true;
    this.#socket.shutdown(); // end() would close both directions, and reset a peer that still sends
  }

  abort(): void {
    if (this.#closed) return;
    this.#aborted = true;
    if (this.#ended) this.#socket.end(); // our FIN is out: what the kernel still holds of our output is not taken back
    else this.#socket.terminate();
  }

  onEnd(): void {
    if (this.#peerEnded) return;
    this.#peerEnded = true;
    this.sink?.onEnd();
  }

  onError(error: unknown): void {
    this.#error = error;
  }

  onClose(error?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    error ??= this.#error;
    this.#error = error;
    if (error === undefined && !this.#aborted) this.onEnd(); // Bun leaves `end` out when our own FIN came first
    this.sink?.onClose(error);
  }
}

/** A pipe over a socket. */
class BunPipe extends LanePipe {
  readonly #socket: BunSocket;
  /** Kept, since a socket that was reset does not know it any more, and `close` handlers ask. */
  readonly remoteAddress: Address;

  constructor(socket: BunSocket, lane: BunLane) {
    super(lane);
    this.#socket = socket;
    this.remoteAddress = addressOf(socket.remoteAddress, socket.remotePort);
  }

  get localAddress(): Address | undefined {
    return addressOf(this.#socket.localAddress, this.#socket.localPort);
  }
}

function addressOf(hostname: string | undefined, port: number | undefined): Address {
  if (hostname === undefined || port === undefined) return { transport: "unix", hostname: hostname ?? "", port: 0 };
  return { transport: "tcp", hostname, port };
}

/** How many sockets are open that were accepted, of all listeners. */
let openSockets = 0;

function handlers(
  options: ListenOptions,
  accept: (pipe: BytePipe) => void,
  failed: (error: unknown) => void,
): BunSocketHandlers {
  const limit = connectionLimit();
  /** Counts a socket, and gives it its lane; without descriptors Bun would ask for connections again and again. */
  const admit = (socket: BunSocket): boolean => {
    openSockets++;
    socket.data = new BunLane(socket);
    if (openSockets <= limit) return true;
    failed(outOfDescriptors(limit));
    socket.terminate();
    return false;
  };
  const begin = (socket: BunSocket) => {
    if (options.keepAlive !== undefined) socket.setKeepAlive(true, options.keepAlive);
    accept(new BunPipe(socket, socket.data));
    socket.data.hold();
  };
  const shared: BunSocketHandlers = {
    open(socket) {
      if (!admit(socket)) return;
      socket.timeout(0); // Bun.listen() sets 120 s by itself, which traffic does not renew
      if (options.transport === "tcp" && !options.noDelay) socket.setNoDelay(false); // Bun's default is on
      begin(socket);
    },
    data: (socket, chunk) => socket.data.onData(chunk),
    drain: (socket) => socket.data.onDrain(),
    end: (socket) => socket.data.onEnd(),
    close(socket, error) {
      openSockets--;
      socket.data.onClose(error);
    },
    error: (socket, error) => socket.data.onError(error),
    timeout: (socket) => socket.terminate(),
  };
  if (options.tls === undefined) return shared;
  // With a `handshake` handler `open` comes before the TLS handshake: the connection is shown once that is done.
  return {
    ...shared,
    open(socket) {
      if (!admit(socket)) return;
      const seconds = Math.ceil(options.handshakeTimeout / 1000);
      socket.timeout(seconds > LONGEST_TIMEOUT ? 0 : seconds); // one that never shakes hands is told of by `timeout`
    },
    handshake(socket, success) {
      if (!success) return socket.terminate();
      socket.timeout(0);
      begin(socket);
    },
  };
}

/** Whether TLS needs nothing but a certificate and its key. */
function isPlain({ cert: _cert, key: _key, ...rest }: TlsOptions): boolean {
  return Object.values(rest).every((value) => value === undefined);
}

/** Bun as a runtime for servers and clients. */
export const runtime: Runtime = {
  name: "bun",
  pid: process.pid,
  async listen(options, accept, failed): Promise<Listener> {
    const { Bun } = globalThis as unknown as { Bun: BunApi };
    if (options.tls !== undefined && !isPlain(options.tls)) {
      // Of what else there is to TLS, Bun.listen ignores half; node:tls does as it is told, on the same sockets of Bun.
      return (await import("./node.ts")).runtime.listen(options, accept, failed);
    }
    const unix = options.transport === "unix";
    const listener = Bun.listen({
      ...(unix
        ? { unix: options.hostname }
        : { hostname: options.hostname, port: options.port, reusePort: options.reusePort ?? false }),
      ...(options.tls === undefined ? {} : { tls: { cert: options.tls.cert, key: options.tls.key } }),
      allowHalfOpen: true,
      socket: handlers(options, accept, failed),
    });
    return {
      address: unix
        ? { transport: "unix", hostname: options.hostname, port: 0 }
        : { transport: "tcp", hostname: options.hostname, port: listener.port },
      close: () => listener.stop(false),
    };
  },
  // `Bun.connect` cannot be given up, so that a peer that does not answer keeps the socket and the program for minutes, nor can
  // it bind an address. Through node:net both work, on the same sockets of Bun.
  connect: async (options) => (await import("./node.ts")).runtime.connect(options),
  listenDatagram,
  nextTurn: (work) => void setImmediate(work),
  deflate: zlibEngine,
  encoder,
  decompressor,
  signals,
  ...files,
};
