/**
 * Datagrams: the event `packet`, and `sendto()`.
 *
 * @module
 */

import { sliceBytes } from "../transport/bytes.ts";
import { SWOOLE_SOCK_UDP, SWOOLE_SOCK_UDP6 } from "../constants.ts";
import { EBADF, SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_NO_PAYLOAD } from "../errors.ts";
import { EIO, systemCode } from "../transport/system_codes.ts";
import type { PortCore } from "./port_core.ts";
import { Packet, type PacketInfo } from "./server_event.ts";

/** Passes a datagram to the `packet` handler. */
export function receiveDatagram(port: PortCore, data: Uint8Array, address: string, remotePort: number): void {
  const { context } = port;
  const { counters, server } = context;
  if (!context.isRunning) return;
  if (port.packetHandlers >= port.settings.max_packet_handlers) return void counters.droppedPackets++; // no peer to notify
  counters.requests++;
  counters.receivedBytes += data.length;
  const info: PacketInfo = {
    server_socket: port.index,
    server_port: port.boundPort,
    dispatch_time: Date.now() / 1000,
    address,
    port: remotePort,
  };
  const handler = port.config.handler("packet")!;
  const done = context.settings.event_object
    ? context.run(undefined, "packet", () => handler(server, new Packet(data, info)))
    : context.run(undefined, "packet", () => handler(server, data, info));
  if (done === undefined) return;
  port.packetHandlers++;
  done.then(() => port.packetHandlers--);
}

/** See `Server.sendto()`. The promise never rejects, whatever it is given. */
export async function sendDatagram(
  ports: readonly PortCore[],
  ip: string,
  remotePort: number,
  data: Uint8Array,
  serverSocket: number,
): Promise<boolean> {
  const { context } = ports[0];
  if (data.length === 0) return context.failed(SWOOLE_ERROR_NO_PAYLOAD);
  if (!isAddress(ip) || !Number.isInteger(remotePort) || remotePort < 1 || remotePort > 65535) {
    return context.failed(SWOOLE_ERROR_INVALID_PARAMS);
  }
  const type = ip.includes(":") ? SWOOLE_SOCK_UDP6 : SWOOLE_SOCK_UDP;
  const port = typeof serverSocket === "number" && serverSocket < 0
    ? ports.find(({ place }) => place?.type === type)
    : ports[serverSocket];
  const socket = port?.datagrams;
  if (port === undefined || socket === undefined) return context.failed(EBADF);
  if (!port.hasRoom(port.queuedBytes, data, data.length)) return false;
  port.queuedBytes += data.length;
  try {
    await socket.send(sliceBytes(data, 0, data.length), ip, remotePort);
  } catch (error) {
    return context.failed(systemCode(error) ?? EIO);
  } finally {
    port.queuedBytes -= data.length;
  }
  context.counters.responses++;
  context.counters.sentBytes += data.length;
  return true;
}

/** Reports whether a value is an IP address: names are not resolved. */
function isAddress(ip: unknown): boolean {
  if (typeof ip !== "string") return false;
  if (ip.includes(":")) return /^[0-9a-f:.]+(%\w+)?$/i.test(ip) && URL.canParse(`http://[${ip.replace(/%.*/, "")}]/`);
  const parts = ip.split(".");
  return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256);
}
