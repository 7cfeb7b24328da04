/**
 * A connection without a network: two pairs of streams.
 *
 * @module
 */

import type { BytePipe } from "../../mod.ts";

/** Returns the two ends of a connection in memory. Bytes written to one are read from the other. */
export function memoryPipes(): [server: BytePipe, client: BytePipe] {
  const up = new TransformStream<Uint8Array, Uint8Array>();
  const down = new TransformStream<Uint8Array, Uint8Array>();
  const ends: BytePipe[] = [
    { readable: up.readable, writable: down.writable, abort: () => {} },
    { readable: down.readable, writable: up.writable, abort: () => {} },
  ];
  return [ends[0], ends[1]];
}
