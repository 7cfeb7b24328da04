/**
 * A lane that does what a test says.
 *
 * @module
 */

import type { Address, BytePipe, Lane, LaneSink } from "../../mod.ts";
import { noteActivity } from "./activity.ts";
import { LanePipe } from "../../src/lane_streams.ts";

/** Notes what is asked of it. */
export class FakeLane implements Lane {
  readonly canReset: boolean = true;
  sink!: LaneSink;
  /** What was written, one entry for each write; copied when the memory was only lent. */
  readonly writes: { bytes: Uint8Array; owned: boolean }[] = [];
  /** Whether writes are taken at once. */
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
    this.sink?.onClose(); // a connection that is refused is never started
  }

  /** All that was written, as text. */
  get text(): string {
    return this.writes.map(({ bytes }) => Array.from(bytes, (octet) => String.fromCharCode(octet)).join("")).join("");
  }

  /** Bytes arrive. They are lent, and something else afterwards. */
  receive(data: string | Uint8Array): void {
    noteActivity();
    const chunk = typeof data === "string" ? Uint8Array.from(data, (character) => character.charCodeAt(0)) : data.slice();
    this.sink.onData(chunk, false);
    chunk.fill(0xdb);
  }
}

/** A pipe around a lane; its streams come from the lane. */
export class FakePipe extends LanePipe {
  readonly localAddress: Address = { transport: "tcp", hostname: "127.0.0.1", port: 1 };
  readonly remoteAddress: Address = { transport: "tcp", hostname: "127.0.0.1", port: 2 };
}

/** A pipe that has nothing but its lane. */
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
