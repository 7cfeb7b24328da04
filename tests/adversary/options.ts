/**
 * What the program of the adversary is told and tells.
 *
 * @module
 */

import type { ServerSettings } from "../../mod.ts";

/** What its argument says, as JSON. */
export interface Options {
  /** The name of a lane of tests/support/lanes.ts; the first one unless given. */
  lane?: string;
  /** For all servers, above what each has by itself. */
  settings?: ServerSettings;
  /** How many bytes the file has that is sent; 64 MiB unless given. */
  fileSize?: number;
}

/** Its servers, in the order in which it prints their ports. */
export const SERVERS = ["event", "stream", "form", "coroutine", "raw"] as const;

/** One of them. */
export type ServerName = typeof SERVERS[number];

/** What it says of itself. */
export interface Figures {
  /** Open descriptors that are sockets; 0 where there is no /proc. */
  sockets: number;
  /** Open connections, by `connection_num`. */
  connections: number;
  /** The most resident memory since "mark", above what it was then, in bytes. */
  grown: number;
  /** Processor time since "mark", in milliseconds. */
  cpu: number;
  /** How many files are in its folder; one is its own. */
  files: number;
  /** Unhandled rejections, uncaught exceptions, and what the servers' `error` handlers got. */
  faults: string[];
}
