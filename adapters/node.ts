/**
 * The adapter for Node: `node:net` and `node:tls`. It also runs in Deno and Bun.
 *
 * @module
 */

import { existsSync } from "node:fs";
import net from "node:net";
import { dirname } from "node:path";
import process from "node:process";
import tls from "node:tls";
import { copyBytes } from "../src/bytes.ts";
import { LONGEST_DELAY } from "../src/delay.ts";
import { LanePipe } from "../src/lane_streams.ts";
import type {
  Address,
  BytePipe,
  ConnectOptions,
  Lane,
  LaneSink,
  Listener,
  ListenOptions,
  ProxyHandshake,
  Runtime,
  TlsOptions,
} from "../src/runtime.ts";
import { decompressor } from "./content_decoder.ts";
import { encoder } from "./content_encoder.ts";
import { connectionLimit, outOfDescriptors } from "./descriptors.ts";
import { listenDatagram } from "./datagrams.ts";
import { NEVER, secureWith, transportOver } from "./deno_transport.ts";
import { files } from "./files.ts";
import { signals } from "./signals.ts";
import { certificateOf, ClientJudge, clientOptions, failure, judgeServer, serverOptions } from "./node_tls.ts";
import { zlibEngine } from "./zlib.ts";

/** Where a socket keeps its lane, so that all sockets share their listeners. */
const LANE: unique symbol = Symbol("lane");

type LaneSocket = net.Socket & { [LANE]?: NodeLane };

/** Node makes the memory of a chunk for this chunk; what stands for a socket in Deno may take it from a pool. */
const GIVES_CHUNKS = !("Deno" in globalThis);

class NodeLane implements Lane {
  readonly canReset: boolean;
  readonly #socket: net.Socket;
  readonly #source: net.Socket;
  sink!: LaneSink;
  error: unknown = undefined;

  /** With the socket that is to be paused, if that is another one. */
  constructor(socket: net.Socket, source: net.Socket) {
    this.#socket = socket;
    this.#source = source;
    this.canReset = !(socket instanceof tls.TLSSocket);
    (socket as LaneSocket)[LANE] = this;
    socket.on("error", onError);
  }

  start(sink: LaneSink): void {
    this.sink = sink;
    const socket = this.#socket;
    if (socket.destroyed) return this.#startLate();
    socket.on("close", onClose);
    if (socket.readableEnded) setImmediate(() => socket.destroyed || sink.onEnd()); // an end alone does not wait for readers
    else socket.on("end", onEnd);
    socket.on("drain", onDrain);
    socket.on("data", onData);
    this.#source.resume();
  }

  /** A connection that broke before anybody looked: what it brought, then its end. */
  #startLate(): void {
    const socket = this.#socket;
    setImmediate(() => {
      const rest: Uint8Array | null = socket.read();
      if (rest !== null) this.sink.onData(rest, false);
      if (socket.closed) onClose.call(socket);
      else socket.on("close", onClose);
    });
  }

  write(bytes: Uint8Array, start: number, end: number, owned: boolean): boolean {
    const socket = this.#socket;
    const chunk = owned ? bytes.subarray(start, end) : copyBytes(bytes, start, end);
    if (this.#source === socket) return socket.write(chunk);
    socket.write(chunk, (error) => void (error ?? onDrain.call(socket))); // it has no high water mark that is reached
    return false;
  }

  pause(): void {
    this.#source.pause();
  }

  resume(): void {
    this.#source.resume();
  }

  end(): void {
    this.#socket.end();
  }

  abort(): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    // When our FIN is out, what the kernel still holds of our output is not taken back.
    if (!this.canReset || socket.writableFinished) socket.destroy();
    else socket.resetAndDestroy();
  }
}

function onData(this: LaneSocket, chunk: Uint8Array): void {
  this[LANE]!.sink.onData(chunk, GIVES_CHUNKS);
}

function onEnd(this: LaneSocket): void {
  if (!this.destroyed) this[LANE]!.sink.onEnd();
}

function onDrain(this: LaneSocket): void {
  this[LANE]!.sink.onDrain();
}

function onError(this: LaneSocket, error: unknown): void {
  this[LANE]!.error = error;
  this.destroy(); // TLS that is broken leaves that to us
}

function onClose(this: LaneSocket): void {
  this[LANE]!.sink.onClose(this[LANE]!.error);
}

/** A pipe over a socket. */
class NodePipe extends LanePipe {
  readonly #socket: net.Socket;
  readonly #source: net.Socket;
  /** Kept, since a socket that was reset does not know it any more, and `close` handlers ask. */
  readonly remoteAddress: Address;
  #certificate: string | undefined = undefined;

  constructor(socket: net.Socket, source = socket) {
    super(new NodeLane(socket, source));
    this.#socket = socket;
    this.#source = source;
    this.remoteAddress = addressOf(source.remoteAddress, source.remotePort);
  }

  get peerCertificate(): string | undefined {
    return this.#certificate ??= this.#socket instanceof tls.TLSSocket ? certificateOf(this.#socket) : undefined;
  }

  get localAddress(): Address | undefined {
    return addressOf(this.#source.localAddress, this.#source.localPort);
  }
}

function addressOf(hostname: string | undefined, port: number | undefined): Address {
  if (hostname === undefined || port === undefined) return { transport: "unix", hostname: hostname ?? "", port: 0 };
  return { transport: "tcp", hostname, port };
}

/** Node says that it is not permitted to bind a path in a folder that does not exist. */
function explain(error: NodeJS.ErrnoException, options: ListenOptions): Error {
  if (options.transport === "tcp" || error.code !== "EACCES" || existsSync(dirname(options.hostname))) return error;
  return failure("ENOENT", "there is no such folder", error);
}

/**
 * Keeps a socket open when a write fails until what the peer sent before it went has been read: a stream that knows of an error takes
 * nothing more. What broke the connection, or its end, comes behind it.
 */
function readBeforeFailing(socket: net.Socket): net.Socket {
  const { _write: write, _writev: writev } = socket;
  type Callback = (error?: Error | null) => void;
  const late = (done: Callback): Callback => (error) => {
    if (!error || socket.destroyed || socket.readableEnded || socket.isPaused()) return done(error);
    socket.prependOnceListener("end", () => done(error)).once("pause", () => done(error));
  };
  socket._write = (chunk, encoding, done) => write.call(socket, chunk, encoding, late(done));
  if (writev) socket._writev = (chunks, done) => writev.call(socket, chunks, late(done));
  return socket;
}

/** A socket, and the one that its octets come from. */
type Sockets = [socket: net.Socket, source: net.Socket];

/** Begins to connect, or to secure a connection that is there. */
function dial(options: ConnectOptions, there: net.Socket | undefined): Sockets {
  const { hostname, port, localHostname: localAddress, localPort, tls: secure } = options;
  const target = {
    ...(options.transport === "unix" ? { path: hostname } : { host: hostname, port, localAddress, localPort }),
    allowHalfOpen: true,
  };
  if (secure === undefined) {
    const socket = there ?? readBeforeFailing(net.connect(target as net.NetConnectOpts));
    return [socket, socket];
  }
  const choices = clientOptions(secure);
  const source = there ?? ("Deno" in globalThis ? net.connect(target as net.NetConnectOpts) : undefined);
  const socket = tls.connect(
    {
      ...choices,
      ...(source === undefined ? target : { socket: transportOver(source), allowHalfOpen: true, highWaterMark: NEVER }),
      ...(net.isIP(secure.serverName) === 0 ? { servername: secure.serverName } : {}), // RFC 6066 section 3: no addresses
    } as tls.ConnectionOptions,
  );
  there?.resume();
  return [source === undefined ? readBeforeFailing(socket) : socket, source ?? socket];
}

async function connect(options: ConnectOptions): Promise<BytePipe> {
  const { proxy, signal, tls: secure } = options;
  if (proxy === undefined) return new NodePipe(...await establish(options));
  const [source] = await establish({ ...options, tls: undefined });
  await persuade(source, proxy, signal);
  if (secure === undefined) return new NodePipe(source);
  try {
    return new NodePipe(...await establish(options, source));
  } catch (error) {
    source.destroy(); // also when it is our own certificate that is wrong
    throw error;
  }
}

/** Connects, or secures a connection that is there. */
function establish(options: ConnectOptions, there?: net.Socket): Promise<Sockets> {
  const { signal, tls: secure } = options;
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const [socket, source] = dial(options, there);
    const settle = () => {
      signal.removeEventListener("abort", giveUp);
      for (const each of [socket, source]) each.off("error", refuse).off("close", lose);
    };
    const drop = (reason: unknown) => {
      settle();
      for (const each of [socket, source]) each.on("error", () => {}).destroy(); // nobody is left to hear of errors
      reject(reason);
    };
    const giveUp = () => drop(signal.reason);
    // Node has several errors in one, and no message, when a name has several addresses.
    const refuse = (error: NodeJS.ErrnoException & { errors?: Error[] }) =>
      drop(
        error.errors === undefined ? error : failure(error.code!, error.errors.map(({ message }) => message).join(", "), error),
      );
    const lose = () => drop(failure("ECONNRESET", "the connection was closed before it was established"));
    signal.addEventListener("abort", giveUp);
    for (const each of [socket, source]) each.on("error", refuse).on("close", lose);
    socket.once(secure === undefined ? "connect" : "secureConnect", () => {
      const fault = secure?.verifyPeer ? judgeServer(socket as tls.TLSSocket, secure) : undefined;
      if (fault !== undefined) return drop(fault);
      settle();
      if (options.noDelay && options.transport === "tcp") source.setNoDelay(true);
      if (source !== socket) source.pause(); // until the lane is started
      resolve([socket, source]);
    });
  });
}

/** Talks to a proxy until it lets the connection through; the socket is paused then. */
function persuade(socket: net.Socket, proxy: ProxyHandshake, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      signal.removeEventListener("abort", giveUp);
      socket.off("data", hear).off("end", lose).off("error", drop).off("close", lose).pause();
    };
    const drop = (reason: unknown) => {
      settle();
      socket.on("error", () => {}).destroy();
      reject(reason);
    };
    const giveUp = () => drop(signal.reason);
    const lose = () => drop(failure("ECONNRESET", "the proxy closed the connection"));
    const hear = (chunk: Uint8Array) => {
      const said = proxy.receive(chunk);
      if (said instanceof Error) return drop(said);
      if (said !== true) return void (said.length > 0 && socket.write(said));
      settle();
      resolve();
    };
    signal.addEventListener("abort", giveUp);
    socket.on("data", hear).on("end", lose).on("error", drop).on("close", lose);
    socket.write(proxy.begin());
  });
}

/** A server whose connections are shown once TLS is established with a peer that may come in. */
function createTlsServer(
  options: TlsOptions,
  handshakeTimeout: number,
  shared: net.ServerOpts,
  onConnection: (socket: tls.TLSSocket, source: net.Socket) => void,
): net.Server {
  const judge = new ClientJudge(options.clients);
  const onSecure = (socket: tls.TLSSocket, verdict: string, source: net.Socket = socket) => {
    if (judge.admits(socket, verdict)) onConnection(socket, source);
    else socket.on("error", () => {}).destroy();
  };
  const choices = serverOptions(options);
  if ("Deno" in globalThis) return net.createServer(shared, secureWith(choices, handshakeTimeout, onSecure));
  return tls.createServer(
    // For Node 0 is its own default.
    { ...shared, ...choices, handshakeTimeout: Math.min(handshakeTimeout || LONGEST_DELAY, LONGEST_DELAY) },
    (socket) => onSecure(socket, socket.authorized ? "" : String(socket.authorizationError)),
  ).on("tlsClientError", (_error, socket) => socket.destroy()); // also when the handshake takes too long
}

/** Node as a runtime for servers and clients. */
export const runtime: Runtime = {
  name: "node",
  pid: process.pid,
  listen(options: ListenOptions, accept: (pipe: BytePipe) => void, failed: (error: unknown) => void): Promise<Listener> {
    return new Promise((resolve, reject) => {
      const refuse = (error: Error) => reject(explain(error, options));
      const shared = { allowHalfOpen: true, noDelay: options.noDelay && options.transport === "tcp" };
      const onConnection = (socket: net.Socket, source = socket) => {
        if (options.keepAlive !== undefined) source.setKeepAlive(true, options.keepAlive); // as an option it does nothing in Deno
        const pipe = new NodePipe(socket, source);
        if (options.tls?.clients !== undefined) void pipe.peerCertificate; // kept: a socket that is gone does not know it any more
        accept(pipe);
      };
      const server = options.tls === undefined
        ? net.createServer(shared, onConnection)
        : createTlsServer(options.tls, options.handshakeTimeout, shared, onConnection);
      const limit = connectionLimit();
      if (limit < Infinity) {
        server.maxConnections = limit;
        server.on("drop", () => failed(outOfDescriptors(limit)));
      }
      server.once("error", refuse);
      server.listen(
        options.transport === "unix"
          ? { path: options.hostname, backlog: options.backlog }
          : { host: options.hostname, port: options.port, backlog: options.backlog, reusePort: options.reusePort ?? false },
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
  connect,
  listenDatagram,
  nextTurn: (work) => void setImmediate(work),
  deflate: zlibEngine,
  encoder,
  decompressor,
  signals,
  ...files,
};
