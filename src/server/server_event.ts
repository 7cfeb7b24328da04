/**
 * What handlers get in one object with the setting `event_object`.
 *
 * @module
 */

/** What happened on a connection: see the setting `event_object` (Swoole's `Swoole\\Server\\Event`). */
export class ServerEvent {
  /** 0, or -1 when the server ended the connection. */
  readonly reactor_id: number;
  /** The number of the connection. */
  readonly fd: number;
  /** When, in seconds since 1970. */
  readonly dispatch_time: number;
  /** What arrived; in `receive` only. */
  readonly data?: Uint8Array | undefined;

  /** Made by the server. */
  constructor(fd: number, reactorId: number, data?: Uint8Array) {
    this.reactor_id = reactorId;
    this.fd = fd;
    this.dispatch_time = Date.now() / 1000;
    this.data = data;
  }
}

/** Where a datagram came from, and where it came in: the last argument of `packet`. */
export interface PacketInfo {
  /** The port that it came in by, as its number in `ports`; `sendto()` takes it. */
  readonly server_socket: number;
  /** The port that it came in by. */
  readonly server_port: number;
  /** When, in seconds since 1970. */
  readonly dispatch_time: number;
  /** The sender's IP address. */
  readonly address: string;
  /** The sender's port. */
  readonly port: number;
}

/** A datagram: what `packet` gets with the setting `event_object` (Swoole's `Swoole\\Server\\Packet`). */
export class Packet implements PacketInfo {
  /** The port that it came in by, as its number in `ports`; `sendto()` takes it. */
  readonly server_socket: number;
  /** The port that it came in by. */
  readonly server_port: number;
  /** When, in seconds since 1970. */
  readonly dispatch_time: number;
  /** The sender's IP address. */
  readonly address: string;
  /** The sender's port. */
  readonly port: number;
  /** What was sent. */
  readonly data: Uint8Array;

  /** Made by the server. */
  constructor(data: Uint8Array, { server_socket, server_port, dispatch_time, address, port }: PacketInfo) {
    this.server_socket = server_socket;
    this.server_port = server_port;
    this.dispatch_time = dispatch_time;
    this.address = address;
    this.port = port;
    this.data = data;
  }
}
