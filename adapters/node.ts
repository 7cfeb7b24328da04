/**
 * The adapter for Node: `node:net` and `node:tls`. It also runs in Deno and Bun.
 *
 * @module
 */

import net from "node:net";
import process from "node:process";
import tls from "node:tls";
import type { BytePipe, ConnectOptions, ProxyHandshake, Runtime } from "../src/transport/runtime.ts";
import { common } from "./common.ts";
import { NEVER, transportOver } from "./deno_transport.ts";
import { listen } from "./node_listener.ts";
import { NodePipe } from "./node_pipe.ts";
import { clientOptions, failure, judgeServer } from "./node_tls.ts";

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

/** The adapter for Node. */
export const runtime: Runtime = {
  name: "node",
  pid: process.pid,
  listen,
  connect,
  ...common,
};
