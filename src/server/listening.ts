/**
 * Binding the ports of a server. The file of a unix socket whose server was killed is removed.
 *
 * @module
 */

import { SWOOLE_SOCK_UDP6 } from "../constants.ts";
import type { Address } from "../transport/address.ts";
import type { SharedListening, SocketHandle } from "../transport/processes.ts";
import type { BytePipe, DatagramSocket, Listener, ListenOptions, Runtime } from "../transport/runtime.ts";
import { receiveDatagram } from "./datagrams.ts";
import type { PortCore } from "./port_core.ts";
import { readTls } from "./settings/tls_settings.ts";

/** A continuing error is reported once, and again after a pause of this length, in milliseconds. */
const QUIET = 60_000;

function tellOnce(failed: (error: unknown) => void): (error: unknown) => void {
  let last = -Infinity;
  return (error) => {
    const now = performance.now();
    if (now - last >= QUIET) failed(error);
    last = now;
  };
}

/**
 * Binds one port.
 *
 * @param accept Receives each connection.
 * @param failed Receives later errors.
 * @param shared Where connections come from in a worker, if not from a listening socket of this process alone.
 * @throws {Error} If the address cannot be bound, or the certificate cannot be used; `cause` is the runtime's error.
 */
export async function listen(
  runtime: Runtime,
  port: PortCore,
  accept: (pipe: BytePipe) => void,
  failed: (error: unknown) => void,
  shared?: SharedListening,
): Promise<Listener | DatagramSocket> {
  const { settings } = port;
  if (settings.proxy_protocol && !port.isUdp && !runtime.readsPreambles) {
    throw new Error(`Cannot start the server: the adapter ${runtime.name} does not support proxy_protocol`);
  }
  const { transport, hostname, port: number, ssl, reusePort } = port.place!;
  const tls = ssl ? await readTls(runtime, settings) : undefined;
  return await explained(port, async () => {
    if (transport === "udp") return await listenDatagram(runtime, port, failed);
    const options: ListenOptions = {
      transport,
      hostname,
      port: number,
      backlog: settings.backlog,
      noDelay: settings.open_tcp_nodelay,
      keepAlive: settings.open_tcp_keepalive && transport === "tcp" ? settings.tcp_keepidle * 1000 : undefined,
      reusePort: (reusePort || settings.enable_reuse_port || shared?.kind === "transferable") && transport === "tcp",
      tls,
      accepts: port.context.admission?.acceptsOf(port),
      gate: port.context.admission?.gateOf(port),
      preambles: settings.proxy_protocol ? port.context.admission?.preamblesOf(port) : undefined,
      handshakeTimeout: settings.http_request_timeout * 1000,
      shared,
    };
    const failedLater = tellOnce(failed);
    return await insteadOfStale(runtime, port, () => runtime.listen(options, accept, failedLater));
  });
}

/** Binds a port. If it is a unix socket of a server that was killed, removes that first. */
async function insteadOfStale<T>(runtime: Runtime, { place }: PortCore, bind: () => Promise<T>): Promise<T> {
  try {
    return await bind();
  } catch (error) {
    const { transport, hostname } = place!;
    const isTaken = transport === "unix" && (error as { code?: unknown } | null)?.code === "EADDRINUSE";
    if (!isTaken || !await removeStaleSocket(runtime, hostname)) throw error;
    return await bind();
  }
}

/** Binds a port. An error says which one. */
async function explained<T>({ place }: PortCore, bind: () => Promise<T>): Promise<T> {
  try {
    return await bind();
  } catch (cause) {
    const { transport, hostname, port: number } = place!;
    const where = transport === "unix" ? hostname : hostname.includes(":") ? `[${hostname}]:${number}` : `${hostname}:${number}`;
    const code = (cause as { code?: unknown } | null)?.code;
    throw Object.assign(new Error(`Cannot listen on ${where}: ${explain(cause, code)}`, { cause }), { code });
  }
}

/**
 * Accepts the connections of a port for other processes.
 *
 * @param accept Receives each connection.
 * @param failed Receives later errors.
 * @throws {Error} If the address cannot be bound; `cause` is the runtime's error.
 */
export function acceptFor(
  runtime: Runtime,
  port: PortCore,
  accept: (socket: SocketHandle, remoteAddress: Address | undefined) => void,
  failed: (error: unknown) => void,
): Promise<{ readonly address: Address; close(): void }> {
  const { transport, hostname, port: number } = port.place!;
  const options = { transport: transport as "tcp" | "unix", hostname, port: number, backlog: port.settings.backlog };
  const failedLater = tellOnce(failed);
  return explained(
    port,
    () => insteadOfStale(runtime, port, () => runtime.processes!.acceptSockets(options, accept, failedLater)),
  );
}

/**
 * Checks that no other program listens on a port. With SO_REUSEPORT, which workers use, the system would not tell of one that uses
 * it too, and would give it a part of the connections.
 *
 * @throws {Error} If one does.
 */
export async function checkFree(runtime: Runtime, port: PortCore): Promise<void> {
  const { transport, hostname, port: number, reusePort } = port.place!;
  if (transport !== "tcp" || number === 0 || reusePort || port.settings.enable_reuse_port) return;
  const host = hostname === "0.0.0.0" ? "127.0.0.1" : hostname === "::" ? "::1" : hostname;
  const signal = AbortSignal.timeout(CONNECT_PATIENCE);
  try {
    (await runtime.connect({ transport, hostname: host, port: number, noDelay: true, signal })).abort();
  } catch {
    return; // none does, or a worker will find out
  }
  const taken = Object.assign(new Error("another program accepts connections"), { code: "EADDRINUSE" });
  await explained(port, () => Promise.reject(taken));
}

/**
 * Reads the certificates of ports again, and uses them for connections from then on. If one of them cannot be used, all ports go
 * on with those that they have.
 *
 * @throws {Error} If a file cannot be read or used, or none of the ports speaks TLS.
 */
export async function renewTls(runtime: Runtime | undefined, ports: readonly PortCore[]): Promise<void> {
  const secure = ports.filter(({ listener, place }) => listener !== undefined && place!.ssl);
  if (runtime === undefined || secure.length === 0) throw new Error("the server listens on no port with TLS");
  const commits: [listener: Listener, commit: () => void][] = [];
  for (const port of secure) {
    const listener = port.listener as Listener;
    if (listener.prepareTls === undefined) throw new Error(`the adapter ${runtime.name} cannot renew them`);
    commits.push([listener, listener.prepareTls(await readTls(runtime, port.settings))]);
  }
  const isListening = ([listener]: readonly [Listener, unknown]) => secure.some((port) => port.listener === listener);
  if (!commits.every(isListening)) throw new Error("the server has stopped meanwhile");
  for (const [, commit] of commits) commit();
}

async function listenDatagram(runtime: Runtime, port: PortCore, failed: (error: unknown) => void): Promise<DatagramSocket> {
  const { hostname, port: number, type } = port.place!;
  if (runtime.listenDatagram === undefined) throw new Error(`the runtime ${runtime.name} has no UDP`);
  return await runtime.listenDatagram(
    { hostname, port: number, family: type === SWOOLE_SOCK_UDP6 ? 6 : 4, reusePort: port.settings.enable_reuse_port },
    (data, address, remotePort) => receiveDatagram(port, data, address, remotePort),
    failed,
  );
}

function explain(error: unknown, code?: unknown): string {
  if (code === "EADDRINUSE") return "the address is in use already";
  if (code === "EADDRNOTAVAIL") return "this machine has no such address";
  if (code === "EACCES") return "it is not permitted";
  return error instanceof Error ? error.message : String(error);
}

/** The time to wait for a connection, in milliseconds. A server that does not accept within it counts as running. */
const CONNECT_PATIENCE = 2000;

/**
 * Removes the socket of a server that was killed. A socket with a listener stays, as does any other kind of file.
 *
 * @returns Whether the path is now free.
 */
async function removeStaleSocket(runtime: Runtime, path: string): Promise<boolean> {
  if (!await isSocket(runtime, path) || !await isRefused(runtime, path)) return false;
  try {
    await runtime.removeFile(path);
    return true;
  } catch {
    return false; // it belongs to another user
  }
}

/**
 * Reports whether a path is a socket: opening it fails with ENXIO. A refused connection proves nothing, since regular files
 * refuse it too.
 */
async function isSocket(runtime: Runtime, path: string): Promise<boolean> {
  try {
    await (await runtime.openFile(path)).close();
    return false;
  } catch (error) {
    return (error as { code?: unknown }).code === "ENXIO";
  }
}

async function isRefused(runtime: Runtime, path: string): Promise<boolean> {
  const signal = AbortSignal.timeout(CONNECT_PATIENCE);
  try {
    const pipe = await runtime.connect({ transport: "unix", hostname: path, port: 0, noDelay: true, signal });
    pipe.abort();
    return false;
  } catch (error) {
    return (error as { code?: unknown }).code === "ECONNREFUSED";
  }
}
