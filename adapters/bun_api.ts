/**
 * The part of Bun's API that the adapters use, so that they type-check everywhere.
 *
 * @module
 */

import type { ServerTls } from "./node_tls.ts";

/** A socket. */
export interface BunSocket<Data = unknown> {
  data: Data;
  readonly localAddress?: string;
  readonly localPort?: number;
  readonly remoteAddress?: string;
  readonly remotePort?: number;
  write(data: Uint8Array, start?: number, length?: number): number;
  shutdown(): void;
  end(): void;
  /** Closes the descriptor, without a reset, and without an end for copies in other processes. */
  close(): void;
  pause(): void;
  resume(): void;
  /** Replaces the functions that receive the events. */
  reload(options: { socket: BunSocketHandlers<Data> }): void;
  terminate(): void;
  timeout(seconds: number): void;
  upgradeTLS(options: {
    data: undefined;
    tls: ServerTls["options"];
    isServer: true;
    socket: BunSocketHandlers<Data>;
  }): [raw: BunSocket<Data>, secure: BunSocket<Data>];
  setNoDelay(noDelay: boolean): void;
  setKeepAlive(enable: boolean, initialDelay: number): void;
}

/** The functions that receive the events of sockets. */
export interface BunSocketHandlers<Data = unknown> {
  open?(socket: BunSocket<Data>): void;
  data?(socket: BunSocket<Data>, chunk: Uint8Array): void;
  drain?(socket: BunSocket<Data>): void;
  end?(socket: BunSocket<Data>): void;
  close?(socket: BunSocket<Data>, error?: unknown): void;
  error?(socket: BunSocket<Data>, error: unknown): void;
  handshake?(socket: BunSocket<Data>, success: boolean): void;
  timeout?(socket: BunSocket<Data>): void;
}

/** A listening socket. */
export interface BunListener {
  readonly fd: number;
  readonly port: number;
  readonly hostname: string;
  getsockname(address: { address?: string; port?: number }): void;
  /** Replaces the functions that receive the events of its sockets. */
  reload<Data>(options: { socket: BunSocketHandlers<Data> }): void;
  stop(closeConnections: boolean): void;
}

/** What `Bun` is. */
export interface BunApi {
  listen<Data>(options: {
    hostname?: string;
    port?: number;
    reusePort?: boolean;
    unix?: string;
    allowHalfOpen: boolean;
    socket: BunSocketHandlers<Data>;
  }): BunListener;
}
