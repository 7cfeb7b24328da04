/**
 * A lane controlled by a test.
 *
 * @module
 */

import type { Address, BytePipe, Lane, LaneSink } from "../../mod.ts";
import { noteActivity } from "./activity.ts";
import { LanePipe } from "../../src/transport/pipes.ts";

/** A lane that records the calls of its methods. */
export class FakeLane implements Lane {
  canReset = true;
  sink!: LaneSink;
  /** The writes, one entry per call. Lent memory is copied. */
  readonly writes: { bytes: Uint8Array; owned: boolean }[] = [];
  /** Whether writes are accepted at once. */
  takes = true;
  paused = false;
  ended = false;
  aborted = false;

  start(sink: LaneSink): void {
    this.sink = sink;
  }

  write(bytes: Uint8Array, start: number, end: number, owned: boolean): boolean {
    noteActivity();
    this.writes.push({ bytes: owned ? bytes.subarray(start, end) : bytes.slice(start, end), owned });
    return this.takes;
  }

  pause(): void {
    noteActivity();
    this.paused = true;
  }

  resume(): void {
    noteActivity();
    this.paused = false;
  }

  end(): void {
    noteActivity();
    this.ended = true;
  }

  abort(): void {
    if (this.aborted) return;
    this.aborted = true;
    this.sink?.onClose(); // a refused connection is never started
  }

  /** Everything written, as text. */
  get text(): string {
    return this.writes.map(({ bytes }) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")).join("");
  }

  /** Delivers bytes to the connection. They are lent, and overwritten afterwards. */
  receive(data: string | Uint8Array): void {
    noteActivity();
    const chunk = typeof data === "string" ? Uint8Array.from(data, (character) => character.charCodeAt(0)) : data.slice();
    this.sink.onData(chunk, false);
    chunk.fill(0xdb);
  }
}

/** A pipe around a lane. Its streams are created from the lane. */
export class FakePipe extends LanePipe {
  readonly localAddress: Address = { transport: "tcp", hostname: "127.0.0.1", port: 1 };
  readonly remoteAddress: Address = { transport: "tcp", hostname: "127.0.0.1", port: 2 };
}

/** Returns a pipe that supports nothing but its lane. */
export function laneOnly(lane: Lane): BytePipe {
  return {
    get readable(): never {
      throw new Error("The streams of this pipe are not to be used");
    },
    get writable(): never {
      throw new Error("The streams of this pipe are not to be used");
    },
    lane,
    abort: () => lane.abort(),
  };
}
