/**
 * The options and figures of the program under attack.
 *
 * @module
 */

import type { ServerSettings, SlowReaderPolicy } from "../../mod.ts";

/** The options, passed as JSON in its argument. */
export interface Options {
  /** The name of a lane of tests/support/lanes.ts; by default the first one. */
  lane?: string;
  /** Settings for all servers, overriding those of each server. */
  settings?: ServerSettings;
  /** Whether `event` and `coroutine` use TLS. */
  tls?: boolean;
  /** The size in bytes of the file that is sent; 64 MiB by default. */
  fileSize?: number;
}

/** The servers, in the order in which their ports are printed. */
export const SERVERS = ["event", "stream", "form", "coroutine", "raw"] as const;

/** The name of a server. */
export type ServerName = typeof SERVERS[number];

/** The figures reported by the program. */
export interface Figures {
  /** The number of open descriptors that are sockets; 0 without /proc. */
  sockets: number;
  /** The number of open connections, from `connection_num`. */
  connections: number;
  /** The peak growth of resident memory since "mark", in bytes. */
  grown: number;
  /** The processor time since "mark", in milliseconds. */
  cpu: number;
  /** The number of files in its directory; one is its own. */
  files: number;
  /** The number of finished handlers that had to wait for "release". */
  handled: number;
  /** The number of topics of `event`. */
  topics: number;
  /** The number of subscriptions to them. */
  subscriptions: number;
  /** Slow readers of `event`, as in `stats()`. */
  slowReaders: Record<SlowReaderPolicy, number>;
  /** Unhandled rejections, uncaught exceptions, and errors passed to the servers' `error` handlers. */
  faults: string[];
}
