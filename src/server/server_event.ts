/**
 * The objects that handlers receive with the setting `event_object`.
 *
 * @module
 */

/** An event on a connection: see the setting `event_object` (Swoole's `Swoole\\Server\\Event`). */
export class ServerEvent {
  /** 0, or -1 if the server ended the connection. */
  readonly reactor_id: number;
  /** The number of the connection. */
  readonly fd: number;
  /** The time of the event, in seconds since 1970. */
  readonly dispatch_time: number;
  /** The bytes that arrived; in `receive` only. */
  readonly data?: Uint8Array | undefined;

  /** Created by the server. */
  constructor(fd: number, reactorId: number, data?: Uint8Array) {
    this.reactor_id = reactorId;
    this.fd = fd;
    this.dispatch_time = Date.now() / 1000;
    this.data = data;
  }
}

/** The end of a worker, as `workerError` receives it with the setting `event_object` (Swoole's `Swoole\\Server\\StatusInfo`). */
export class StatusInfo {
  /** The number of the worker. */
  readonly worker_id: number;
  /** Its process ID. */
  readonly worker_pid: number;
  /** The status as `wait()` of the system gives it: the exit status times 256, or the number of the signal. */
  readonly status: number;
  /** The exit status; 0 if it was ended by a signal. */
  readonly exit_code: number;
  /** The number of the signal that ended it; 0 for none. */
  readonly signal: number;

  /** Created by the server. */
  constructor(workerId: number, workerPid: number, exitCode: number, signal: number) {
    this.worker_id = workerId;
    this.worker_pid = workerPid;
    this.status = exitCode * 256 + signal;
    this.exit_code = exitCode;
    this.signal = signal;
  }
}

/** A message of another process, as `pipeMessage` receives it with the setting `event_object` (Swoole's `Swoole\\Server\\PipeMessage`). */
export class PipeMessage {
  /** The number of the worker that has sent it; -1 for the master. */
  readonly source_worker_id: number;
  /** When it arrived, in seconds since 1970. */
  readonly dispatch_time: number;
  /** A value like the one that was sent. */
  // deno-lint-ignore no-explicit-any
  readonly data: any;

  /** Created by the server. */
  constructor(workerId: number, data: unknown) {
    this.source_worker_id = workerId;
    this.dispatch_time = Date.now() / 1000;
    this.data = data;
  }
}

/** The sender of a datagram and the port that received it: the last argument of `packet`. */
export interface PacketInfo {
  /** The index in `ports` of the port that received the datagram, for `sendto()`. */
  readonly server_socket: number;
  /** The port number on which the datagram was received. */
  readonly server_port: number;
  /** The time of arrival, in seconds since 1970. */
  readonly dispatch_time: number;
  /** The sender's IP address. */
  readonly address: string;
  /** The sender's port. */
  readonly port: number;
}

/** A datagram, as `packet` receives it with the setting `event_object` (Swoole's `Swoole\\Server\\Packet`). */
export class Packet implements PacketInfo {
  /** The index in `ports` of the port that received the datagram, for `sendto()`. */
  readonly server_socket: number;
  /** The port number on which the datagram was received. */
  readonly server_port: number;
  /** The time of arrival, in seconds since 1970. */
  readonly dispatch_time: number;
  /** The sender's IP address. */
  readonly address: string;
  /** The sender's port. */
  readonly port: number;
  /** The content of the datagram. */
  readonly data: Uint8Array;

  /** Created by the server. */
  constructor(data: Uint8Array, { server_socket, server_port, dispatch_time, address, port }: PacketInfo) {
    this.server_socket = server_socket;
    this.server_port = server_port;
    this.dispatch_time = dispatch_time;
    this.address = address;
    this.port = port;
    this.data = data;
  }
}
