/**
 * Binding the ports of a server.
 *
 * @module
 */

import { SWOOLE_SOCK_UDP6 } from "../constants.ts";
import type { BytePipe, DatagramSocket, Listener, ListenOptions, Runtime } from "../runtime.ts";
import { receiveDatagram } from "./datagrams.ts";
import type { PortCore } from "./port_core.ts";
import { readTls } from "./settings/tls_settings.ts";
import { removeStaleSocket } from "./unix_path.ts";

/** A failure that goes on is told once, and again when there was none for so many milliseconds. */
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
 * @param accept Gets each connection.
 * @param failed Gets what goes wrong later on.
 * @throws {Error} If the address cannot be bound, the certificate cannot be used, or the folder of the files is not there; `cause` is the runtime's error.
 */
export async function listen(
  runtime: Runtime,
  core: PortCore,
  accept: (pipe: BytePipe) => void,
  failed: (error: unknown) => void,
): Promise<Listener | DatagramSocket> {
  const { settings } = core;
  const { transport, hostname, port, ssl, reusePort } = core.place!;
  const tls = ssl ? await readTls(runtime, settings) : undefined;
  try {
    if (transport === "udp") return await listenDatagram(runtime, core, failed);
    const options: ListenOptions = {
      transport,
      hostname,
      port,
      backlog: settings.backlog,
      noDelay: settings.open_tcp_nodelay,
      keepAlive: settings.open_tcp_keepalive && transport === "tcp" ? settings.tcp_keepidle * 1000 : undefined,
      reusePort: (reusePort || settings.enable_reuse_port) && transport === "tcp",
      tls,
      handshakeTimeout: settings.http_request_timeout * 1000,
    };
    const failedLater = tellOnce(failed);
    try {
      return await runtime.listen(options, accept, failedLater);
    } catch (error) {
      const isTaken = transport === "unix" && (error as { code?: unknown } | null)?.code === "EADDRINUSE";
      if (!isTaken || !await removeStaleSocket(runtime, hostname)) throw error;
      return await runtime.listen(options, accept, failedLater);
    }
  } catch (cause) {
    const where = transport === "unix" ? hostname : hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
    const code = (cause as { code?: unknown } | null)?.code;
    throw Object.assign(new Error(`Cannot listen on ${where}: ${explain(cause, code)}`, { cause }), { code });
  }
}

async function listenDatagram(runtime: Runtime, core: PortCore, failed: (error: unknown) => void): Promise<DatagramSocket> {
  const { hostname, port, type } = core.place!;
  if (runtime.listenDatagram === undefined) throw new Error(`the runtime ${runtime.name} has no UDP`);
  return await runtime.listenDatagram(
    { hostname, port, family: type === SWOOLE_SOCK_UDP6 ? 6 : 4, reusePort: core.settings.enable_reuse_port },
    (data, address, remotePort) => receiveDatagram(core, data, address, remotePort),
    failed,
  );
}

function explain(error: unknown, code?: unknown): string {
  if (code === "EADDRINUSE") return "the address is in use already";
  if (code === "EADDRNOTAVAIL") return "this machine has no such address";
  if (code === "EACCES") return "it is not permitted";
  return error instanceof Error ? error.message : String(error);
}
