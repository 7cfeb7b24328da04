/**
 * The adapter for Node: `node:net` and `node:tls`. It also runs in Deno and Bun.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { Buffer } from "node:buffer";
import net from "node:net";
import { dirname } from "node:path";
import process from "node:process";
import tls from "node:tls";
import { copyBytes } from "../src/transport/bytes.ts";
import { LONGEST_DELAY } from "../src/transport/deadlines.ts";
import { LanePipe } from "../src/transport/pipes.ts";
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
} from "../src/transport/runtime.ts";
import { common } from "./common.ts";
import { OutputShare } from "./process.ts";
import {
  afterPreamble,
  commonAddress,
  connectionLimit,
  HandshakeCounter,
  hidesClient,
  inheritEnds,
  localAddressOf,
  outOfDescriptors,
  remoteAddressOf,
} from "./sockets.ts";
import { NEVER, secureWith, transportOver } from "./deno_transport.ts";
import { certificateOf, clientOptions, failure, judgeServer, ServerTls } from "./node_tls.ts";

/** The key of the lane in a socket. Keeping it there lets all sockets share their listeners. */
const LANE: unique symbol = Symbol("lane");

type LaneSocket = net.Socket & { [LANE]?: NodeLane };

/** Whether each chunk has its own memory, as in Node. In Deno, a substitute for a socket may take it from a pool. */
const GIVES_CHUNKS = !("Deno" in globalThis);

/** Whether a socket says at once what the system has taken. Those of Deno and Bun are substitutes. */
const WRITES_AT_ONCE = !("Deno" in globalThis || "Bun" in globalThis);

/**
 * Memory for lent bytes on their way to the system, one piece of each size. It is used again if the system takes all of them at
 * once, as it nearly always does; otherwise it is the socket's, which holds at most a few times what is pending.
 */
const SPARE_SIZES = [512, 4 * 1024, 20 * 1024, 64 * 1024];
const spares: (Buffer | undefined)[] = [];

/** Writes lent bytes to a socket that has nothing pending. */
function writeFromSpare(socket: net.Socket, bytes: Uint8Array, start: number, end: number): boolean {
  const size = end - start;
  const level = SPARE_SIZES.findIndex((most) => size <= most);
  if (level < 0) return socket.write(copyBytes(bytes, start, end));
  const spare = spares[level] ??= Buffer.allocUnsafeSlow(SPARE_SIZES[level]);
  spare.set(bytes.subarray(start, end));
  const isReady = socket.write(spare.subarray(0, size));
  if (socket.writableLength > 0) spares[level] = undefined;
  return isReady;
}

class NodeLane implements Lane {
  readonly canReset: boolean;
  readonly #socket: net.Socket;
  readonly #source: net.Socket;
  readonly #usesSpares: boolean;
  readonly #share = new OutputShare();
  sink!: LaneSink;
  error: unknown = undefined;

  /** @param source The socket to pause, which may be different. */
  constructor(socket: net.Socket, source: net.Socket) {
    this.#socket = socket;
    this.#source = source;
    // On a unix socket, which has no address, resetAndDestroy() throws; a socket that was reset has no address either.
    const isTls = socket instanceof tls.TLSSocket;
    this.canReset = !isTls && socket.remoteAddress !== undefined;
    this.#usesSpares = !isTls && WRITES_AT_ONCE;
    (socket as LaneSocket)[LANE] = this;
    socket.on("error", onError);
  }

  start(sink: LaneSink): void {
    this.sink = sink;
    const socket = this.#socket;
    if (socket.destroyed) return this.#startLate();
    socket.on("close", onClose);
    if (socket.readableEnded) setImmediate(() => socket.destroyed || sink.onEnd()); // an end without data has passed already
    else socket.on("end", onEnd);
    socket.on("drain", onDrain);
    socket.on("data", onData);
    this.#source.resume();
  }

  /** Starts with a socket that was destroyed before: passes on the received bytes, then the end. */
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
    this.#share.use(end - start);
    if (!this.#pass(bytes, start, end, owned)) return false;
    if (!this.#share.isUsedUp) return true;
    this.onTaken();
    return false;
  }

  /** Reports that everything was taken, in a later turn if it has been much. */
  onTaken(): void {
    if (this.#share.isUsedUp) setImmediate(() => this.sink.onDrain());
    else this.sink.onDrain();
  }

  /** Passes bytes to the socket. Returns whether it takes more at once. */
  #pass(bytes: Uint8Array, start: number, end: number, owned: boolean): boolean {
    const socket = this.#socket;
    if (!owned && this.#usesSpares && socket.writableLength === 0) return writeFromSpare(socket, bytes, start, end);
    const chunk = owned ? bytes.subarray(start, end) : copyBytes(bytes, start, end);
    if (this.#source === socket) return socket.write(chunk);
    socket.write(chunk, (error) => void (error ?? onDrain.call(socket))); // it never reaches its high water mark
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
    // After our FIN, the kernel still sends its pending output. While the FIN is under way, a reset would fail, and never close.
    if (!this.canReset || (socket.writableEnded && socket.writableLength === 0)) socket.destroy();
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
  this[LANE]!.onTaken();
}

function onError(this: LaneSocket, error: unknown): void {
  this[LANE]!.error = error;
  this.destroy(); // a broken TLS socket does not destroy itself
}

function onClose(this: LaneSocket): void {
  this[LANE]!.sink.onClose(this[LANE]!.error);
}

class NodePipe extends LanePipe {
  readonly #socket: net.Socket;
  readonly #source: net.Socket;
  /** Kept because a socket that was reset no longer knows it, and `close` handlers may need it. */
  readonly remoteAddress: Address;
  #certificate: string | undefined = undefined;

  readonly #listenAddress: Address | undefined;

  /** @param listenAddress Its local address, if that is known. */
  constructor(socket: net.Socket, source = socket, listenAddress?: Address) {
    super(new NodeLane(socket, source));
    this.#socket = socket;
    this.#source = source;
    this.#listenAddress = listenAddress;
    this.remoteAddress = remoteAddressOf(source);
  }

  get peerCertificate(): string | undefined {
    return this.#certificate ??= this.#socket instanceof tls.TLSSocket ? certificateOf(this.#socket) : undefined;
  }

  get localAddress(): Address | undefined {
    return localAddressOf(this.#source, this.#listenAddress);
  }

  get hidesClient(): boolean {
    return hidesClient(this.#source);
  }
}

/** Corrects the error for a path in a folder that does not exist: Node reports a missing permission. */
function explain(error: NodeJS.ErrnoException, options: ListenOptions): Error {
  if (options.transport === "tcp" || error.code !== "EACCES" || existsSync(dirname(options.hostname))) return error;
  return failure("ENOENT", "there is no such folder", error);
}

/**
 * Delays the error of a failed write until all bytes that the peer sent before it left have been read, because a stream with an
 * error delivers nothing more. The error, or the end, follows after these bytes.
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

/** A socket, and the socket that its bytes come from. */
type Sockets = [socket: net.Socket, source: net.Socket];

/** Starts to connect, or to secure an existing connection. */
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
    source.destroy(); // also if our own certificate is invalid
    throw error;
  }
}

/** Connects, or secures an existing connection. */
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
      for (const each of [socket, source]) each.on("error", () => {}).destroy(); // later errors have no receiver
      reject(reason);
    };
    const giveUp = () => drop(signal.reason);
    // If a host name has several addresses, Node combines their errors in one error without a message.
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

/** Talks to a proxy until the connection leads to the server. The socket is then paused. */
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

/** A server, the counters of connections that have yet to be passed on, and how it gets other certificates. */
interface Listening {
  readonly server: net.Server;
  readonly counters: readonly HandshakeCounter[];
  readonly prepareTls?: (options: TlsOptions) => () => void;
}

/** Creates a server that passes on connections once their preamble, if there is one, is complete. */
function createServer(
  { handshakeTimeout, preambles, transport }: ListenOptions,
  shared: net.ServerOpts,
  onConnection: (socket: net.Socket) => void,
): Listening {
  if (preambles === undefined) return { server: net.createServer(shared, onConnection), counters: [] };
  const counter = new HandshakeCounter(preambles);
  const begin = afterPreamble(preambles, transport === "tcp", handshakeTimeout, counter, onConnection);
  return { server: net.createServer(shared, begin), counters: [counter] };
}

/** Creates a server that passes on connections once TLS is established with an admitted peer. */
function createTlsServer(
  tlsOptions: TlsOptions,
  listening: ListenOptions,
  shared: net.ServerOpts,
  onConnection: (socket: tls.TLSSocket, source: net.Socket) => void,
): Listening {
  const { handshakeTimeout, gate, preambles } = listening;
  const secure = new ServerTls(tlsOptions);
  const onSecure = (socket: tls.TLSSocket, verdict: string, source: net.Socket = socket) => {
    if (secure.judge.admits(socket, verdict)) onConnection(socket, source);
    else socket.on("error", () => {}).destroy();
  };
  const counter = new HandshakeCounter(gate);
  if ("Deno" in globalThis) {
    const below = createServer(listening, shared, secureWith(secure, handshakeTimeout, counter, onSecure));
    return { ...below, counters: [counter, ...below.counters], prepareTls: (renewed) => secure.prepare(renewed) };
  }
  const { options } = secure;
  const server = tls.createServer(
    {
      ...shared,
      ...options,
      // A server keeps this function.
      ...(options.SNICallback && { SNICallback: (name, done) => secure.options.SNICallback!(name, done) }),
      handshakeTimeout: Math.min(handshakeTimeout || LONGEST_DELAY, LONGEST_DELAY), // in Node, 0 means its default
    },
    (socket) => {
      const below = (socket as { _parent?: net.Socket })._parent ?? socket; // Bun has only one socket
      counter.leave(below);
      inheritEnds(socket, below);
      socket.allowHalfOpen = true;
      onSecure(socket, socket.authorized ? "" : String(socket.authorizationError));
    },
  ).on("tlsClientError", (_error, socket) => socket.destroy()); // also if the handshake takes too long
  // The listeners that start the handshake: Node has one, Bun has none.
  const begin = server.listeners("connection") as ((socket: net.Socket) => void)[];
  server.removeAllListeners("connection").on("connection", (socket) => {
    if (!counter.enter(socket)) return void socket.on("error", () => {}).destroy();
    if (begin.length > 0) socket.allowHalfOpen = false; // an end during the handshake destroys the socket; TLS would wait
    for (const each of begin) each.call(server, socket);
  });
  const prepareTls = (renewed: TlsOptions) => {
    const commit = secure.prepare(renewed);
    return () => {
      commit();
      server.setSecureContext(secure.options);
    };
  };
  if (preambles === undefined) return { server, counters: [counter], prepareTls };
  const below = createServer(listening, shared, (socket) => void server.emit("connection", socket));
  return { ...below, counters: [counter, ...below.counters], prepareTls };
}

/** The adapter for Node. */
export const runtime: Runtime = {
  name: "node",
  pid: process.pid,
  listen(options: ListenOptions, accept: (pipe: BytePipe) => void, failed: (error: unknown) => void): Promise<Listener> {
    return new Promise((resolve, reject) => {
      const refuse = (error: Error) => reject(explain(error, options));
      const shared = { allowHalfOpen: true, noDelay: options.noDelay && options.transport === "tcp" };
      let listenAddress: Address | undefined;
      const onConnection = (socket: net.Socket, source = socket) => {
        if (options.keepAlive !== undefined) source.setKeepAlive(true, options.keepAlive); // the option has no effect in Deno
        const pipe = new NodePipe(socket, source, listenAddress);
        if (options.tls?.clients !== undefined) void pipe.peerCertificate; // kept: a closed socket no longer knows it
        accept(pipe);
      };
      const { server, counters, prepareTls } = options.tls === undefined
        ? createServer(options, shared, onConnection)
        : createTlsServer(options.tls, options, shared, onConnection);
      const close = () => {
        server.close();
        for (const counter of counters) counter.close();
      };
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
          const place = server.address();
          const address: Address = place === null || typeof place === "string"
            ? { transport: "unix", hostname: place ?? options.hostname, port: 0 }
            : { transport: "tcp", hostname: place.address, port: place.port };
          listenAddress = commonAddress(address);
          resolve({ address, close, ...(prepareTls && { prepareTls }) });
        },
      );
    });
  },
  connect,
  ...common,
};
