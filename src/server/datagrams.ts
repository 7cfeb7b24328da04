/**
 * Datagrams: the event `packet`, and `sendto()`.
 *
 * @module
 */

import { sliceBytes } from "../bytes.ts";
import { SWOOLE_SOCK_UDP, SWOOLE_SOCK_UDP6 } from "../constants.ts";
import { EBADF, SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_NO_PAYLOAD } from "../errors.ts";
import { EIO, systemCode } from "../system_codes.ts";
import type { ServerCore } from "./core.ts";
import type { PortCore } from "./port_core.ts";
import { Packet, type PacketInfo } from "./server_event.ts";

/** Hands a datagram to the handler of `packet`. */
export function receiveDatagram(port: PortCore, data: Uint8Array, address: string, remotePort: number): void {
  const { main, shared } = port;
  if (!main.isRunning) return;
  shared.requestCount++;
  shared.receivedBytes += data.length;
  const info: PacketInfo = {
    server_socket: main.ports.indexOf(port),
    server_port: port.boundPort,
    dispatch_time: Date.now() / 1000,
    address,
    port: remotePort,
  };
  const handler = port.handler("packet")!;
  if (main.settings.event_object) port.run(undefined, () => handler(main.server, new Packet(data, info)));
  else port.run(undefined, () => handler(main.server, data, info));
}

/** See `Server.sendto()`. */
export async function sendDatagram(
  core: ServerCore,
  ip: string,
  remotePort: number,
  data: Uint8Array,
  serverSocket: number,
): Promise<boolean> {
  if (data.length === 0) return core.failed(SWOOLE_ERROR_NO_PAYLOAD);
  if (!isAddress(ip) || !Number.isInteger(remotePort) || remotePort < 1 || remotePort > 65535) {
    return core.failed(SWOOLE_ERROR_INVALID_PARAMS);
  }
  const type = ip.includes(":") ? SWOOLE_SOCK_UDP6 : SWOOLE_SOCK_UDP;
  const port = serverSocket < 0 ? core.ports.find(({ place }) => place?.type === type) : core.ports[serverSocket];
  const socket = port?.datagrams;
  if (port === undefined || socket === undefined) return core.failed(EBADF);
  if (!port.hasRoom(port.queuedBytes, data, data.length)) return false;
  port.queuedBytes += data.length;
  try {
    await socket.send(sliceBytes(data, 0, data.length), ip, remotePort);
  } catch (error) {
    return core.failed(systemCode(error) ?? EIO);
  } finally {
    port.queuedBytes -= data.length;
  }
  core.shared.responseCount++;
  core.shared.sentBytes += data.length;
  return true;
}

/** Whether it may be an IP address: names are not looked up. */
function isAddress(ip: string): boolean {
  if (ip.includes(":")) return /^[0-9a-f:.]+(%\w+)?$/i.test(ip);
  const parts = ip.split(".");
  return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256);
}
