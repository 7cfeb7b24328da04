/**
 * Listening with `node:net` and `node:tls`, in all runtimes.
 *
 * @module
 */

import { existsSync } from "node:fs";
import net from "node:net";
import { dirname } from "node:path";
import tls from "node:tls";
import { LONGEST_DELAY } from "../src/transport/deadlines.ts";
import type { SocketHandle } from "../src/transport/processes.ts";
import type { Address, BytePipe, Listener, ListenOptions, TlsOptions } from "../src/transport/runtime.ts";
import { secureWith } from "./deno_transport.ts";
import { NodePipe } from "./node_pipe.ts";
import { failure, ServerTls } from "./node_tls.ts";
import { sharesPorts } from "./process.ts";
import { type ArrivedListener, NativeHandle, type NetHandle } from "./socket_handles.ts";
import {
  addressOf,
  afterPreamble,
  afterWaiting,
  commonAddress,
  connectionLimit,
  HandshakeCounter,
  inheritEnds,
  outOfDescriptors,
} from "./sockets.ts";

/** Corrects the error for a path in a folder that does not exist: Node reports a missing permission. */
function explain(error: NodeJS.ErrnoException, options: ListenOptions): Error {
  if (options.transport === "tcp" || error.code !== "EACCES" || existsSync(dirname(options.hostname))) return error;
  return failure("ENOENT", "there is no such folder", error);
}

/** A server, the counters of connections that have yet to be passed on, and how it gets other certificates. */
interface Listening {
  readonly server: net.Server;
  readonly counters: readonly HandshakeCounter[];
  readonly prepareTls?: (options: TlsOptions) => () => void;
}

/** Creates a server that passes on connections once their preamble, if there is one, is complete. */
function createServer(
  { accepts, handshakeTimeout, preambles, transport }: ListenOptions,
  shared: net.ServerOpts,
  onConnection: (socket: net.Socket) => void,
): Listening {
  if (preambles === undefined) return { server: net.createServer(shared, afterWaiting(accepts, onConnection)), counters: [] };
  const counter = new HandshakeCounter(preambles);
  const begin = afterPreamble(preambles, transport === "tcp", handshakeTimeout, counter, onConnection);
  return { server: net.createServer(shared, afterWaiting(accepts, begin)), counters: [counter] };
}

/** Creates a server that passes on connections once TLS is established with an admitted peer. */
function createTlsServer(
  tlsOptions: TlsOptions,
  listening: ListenOptions,
  shared: net.ServerOpts,
  onConnection: (socket: tls.TLSSocket, source: net.Socket) => void,
): Listening {
  const { accepts, handshakeTimeout, gate, preambles } = listening;
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
  const secureNext = (socket: net.Socket) => {
    if (!counter.enter(socket)) return void socket.on("error", () => {}).destroy();
    if (begin.length > 0) socket.allowHalfOpen = false; // an end during the handshake destroys the socket; TLS would wait
    for (const each of begin) each.call(server, socket);
  };
  const isAlone = preambles === undefined && (accepts === undefined || !("Bun" in globalThis)); // Bun would begin at once
  server.removeAllListeners("connection").on("connection", isAlone ? afterWaiting(accepts, secureNext) : secureNext);
  const prepareTls = (renewed: TlsOptions) => {
    const commit = secure.prepare(renewed);
    return () => {
      commit();
      server.setSecureContext(secure.options);
    };
  };
  if (isAlone) return { server, counters: [counter], prepareTls };
  const below = createServer(listening, shared, (socket) => void server.emit("connection", socket));
  return { ...below, counters: [counter, ...below.counters], prepareTls };
}

/** A server of `node:net`, with what is inside of it. */
type ServerWithHandle = net.Server & { readonly _handle: NetHandle };

/** Implements `Runtime.listen()`. */
export async function listen(
  options: ListenOptions,
  accept: (pipe: BytePipe) => void,
  failed: (error: unknown) => void,
): Promise<Listener> {
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
  const limit = connectionLimit();
  if (limit < Infinity) {
    server.maxConnections = limit;
    server.on("drop", () => failed(outOfDescriptors(limit)));
  }
  const known = (address: Address): Address => {
    listenAddress = commonAddress(address);
    return address;
  };
  const { kind, handle } = options.shared ?? {};
  /** Returns the listener, of a source of connections that can be stopped. */
  const listener = (address: Address, stop: () => void, more: Partial<Listener>): Listener => ({
    address: known(address),
    close() {
      stop();
      for (const counter of counters) counter.close();
      options.accepts?.flush();
    },
    ...(kind !== undefined && {
      async release() {
        stop();
        options.accepts?.flush();
        for (const counter of [...counters].reverse()) await counter.settled(); // a preamble is followed by a handshake
      },
    }),
    ...(prepareTls && { prepareTls }),
    ...more,
  });
  if (kind === "passed") {
    const injected = new Injected(server, options, limit, failed);
    const address = addressOf(options.hostname, options.transport === "unix" ? undefined : options.port);
    return listener(address, () => injected.close(), { take: (socket) => injected.take(socket) });
  }
  if (kind === "transferable" && options.transport === "unix") {
    throw new Error("Cannot listen: a unix socket is not transferable");
  }
  if (handle !== undefined && "Bun" in globalThis) {
    // What has arrived is a server that accepts; Bun cannot make another one of it.
    const arrived = handle as ArrivedListener;
    const injected = new Injected(server, options, limit, failed);
    const address = boundTo(arrived.server, options);
    arrived.use((socket) => injected.add(socket));
    return listener(address, () => handle.close(), { handle });
  }
  await bind(server, options, handle as NativeHandle<NetHandle> | undefined);
  server.on("error", failed);
  const stop = () => void server.close();
  const { _handle: native } = server as ServerWithHandle;
  const more = kind === "transferable" ? { handle: new NativeHandle(native, true, stop) } : {};
  return listener(boundTo(server, options), stop, more);
}

/** Binds a server to its address, or lets it accept from a socket that is bound. */
function bind(server: net.Server, options: ListenOptions, handle: NativeHandle<NetHandle> | undefined): Promise<void> {
  const { transport, hostname, port, backlog, shared } = options;
  const reusePort = (options.reusePort ?? false) || (shared !== undefined && sharesPorts);
  return new Promise((resolve, reject) => {
    const refuse = (error: Error) => reject(explain(error, options));
    server.once("error", refuse);
    const listening = () => {
      server.off("error", refuse);
      resolve();
    };
    if (handle !== undefined) server.listen(handle.native, backlog, listening);
    else {server.listen(
        transport === "unix" ? { path: hostname, backlog } : { host: hostname, port, backlog, reusePort },
        listening,
      );}
  });
}

/** Returns the address of a server that listens. */
function boundTo(server: net.Server, options: ListenOptions): Address {
  const place = server.address();
  if (place === null || typeof place === "string") return addressOf(place ?? options.hostname, undefined);
  return addressOf(place.address, place.port);
}

/** Connections of a server that it has not accepted itself. */
class Injected {
  readonly #server: net.Server;
  readonly #options: ListenOptions;
  readonly #limit: number;
  readonly #failed: (error: unknown) => void;
  #open = 0;
  #isClosed = false;

  constructor(server: net.Server, options: ListenOptions, limit: number, failed: (error: unknown) => void) {
    this.#server = server;
    this.#options = options;
    this.#limit = limit;
    this.#failed = failed;
  }

  /** Adds a socket that came from another process. */
  take(handle: SocketHandle): void {
    if (this.#isClosed) return handle.close();
    const { native, arrived } = handle as NativeHandle;
    const socket = arrived ?? new net.Socket({ handle: native, readable: true, writable: true } as net.SocketConstructorOpts);
    this.add(socket as net.Socket);
  }

  /** Adds a socket. */
  add(socket: net.Socket): void {
    if (this.#open >= this.#limit) {
      socket.on("error", () => {}).destroy();
      return this.#failed(outOfDescriptors(this.#limit));
    }
    this.#open++;
    socket.on("close", () => this.#open--);
    const { noDelay, transport, preambles, tls } = this.#options;
    socket.allowHalfOpen = true;
    if (transport === "tcp") socket.setNoDelay(noDelay);
    this.#server.emit("connection", socket);
    // Sockets that have arrived in Bun are paused. Those without a preamble or TLS stay so until their lane is started.
    if (preambles !== undefined || tls !== undefined) socket.resume();
  }

  /** Takes no more sockets. */
  close(): void {
    this.#isClosed = true;
  }
}
