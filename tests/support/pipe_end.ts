/**
 * One end of a pipe for tests that use an adapter without a server: sends, and gathers what arrives.
 *
 * @module
 */

import type { BytePipe, Lane, LaneSink, Runtime } from "../../src/runtime.ts";
import { StreamLane } from "../../src/stream_lane.ts";

/** Reads and writes a pipe. It reads from the moment it is made. */
export class PipeEnd implements LaneSink {
  readonly pipe: BytePipe;
  readonly lane: Lane;
  /** Whether the peer has ended its side. */
  ended = false;
  /** Whether the connection is gone. */
  closed = false;
  /** What broke it, if something did. */
  error: unknown = undefined;
  /** How many octets have arrived. */
  received = 0;
  /** Called with each chunk instead of keeping it. */
  take: ((chunk: Uint8Array) => void) | undefined;
  #text = "";
  #drained: (() => void) | undefined;
  #wake: (() => void)[] = [];

  constructor(pipe: BytePipe, take?: (chunk: Uint8Array) => void) {
    this.pipe = pipe;
    this.take = take;
    this.lane = pipe.lane ?? new StreamLane(pipe);
    this.lane.start(this);
  }

  onData(chunk: Uint8Array): void {
    this.received += chunk.length;
    if (this.take !== undefined) this.take(new Uint8Array(chunk)); // it is only lent
    else this.#text += new TextDecoder("latin1").decode(chunk);
    this.#notify();
  }

  onEnd(): void {
    this.ended = true;
    this.#notify();
  }

  onDrain(): void {
    this.#drained?.();
    this.#drained = undefined;
  }

  onClose(error?: unknown): void {
    if (this.closed) throw new Error("onClose() was called twice");
    this.closed = true;
    this.error = error;
    this.onDrain();
    this.#notify();
  }

  /** Sends, and waits until it has been taken. */
  async send(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    if (!this.lane.write(bytes, 0, bytes.length, true)) await new Promise<void>((resolve) => this.#drained = resolve);
  }

  /** Reads so many octets as text; less if the peer ends before. */
  async read(count: number): Promise<string> {
    await this.until(() => this.#text.length >= count || this.ended || this.closed);
    const text = this.#text.slice(0, count);
    this.#text = this.#text.slice(count);
    return text;
  }

  /** Reads up to the end of the peer's side, or of the connection. */
  async readAll(): Promise<string> {
    await this.until(() => this.ended || this.closed);
    return await this.read(this.#text.length);
  }

  /** Waits until something is so; looked at whenever something has happened. */
  async until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** Sends back what arrives, and ends when the peer ends. */
export function echo(pipe: BytePipe): void {
  let sending = Promise.resolve();
  const end = new PipeEnd(pipe, (chunk) => {
    end.lane.pause();
    sending = sending.then(() => end.send(chunk)).then(() => end.lane.resume());
  });
  end.until(() => end.ended || end.closed).then(() => sending).then(() => end.closed || end.lane.end());
}

/** Where something listens, as far as a client has to know. */
export type Place = { readonly transport: "tcp" | "unix"; readonly hostname: string; readonly port: number };

/** Listens while a test runs. */
export async function listening(
  runtime: Runtime,
  options: { hostname?: string; transport?: "tcp" | "unix"; tls?: { cert: string; key: string }; handshakeTimeout?: number },
  accept: (pipe: BytePipe) => void,
  work: (place: Place) => Promise<void>,
): Promise<void> {
  const errors: unknown[] = [];
  const listener = await runtime.listen(
    { transport: "tcp", hostname: "127.0.0.1", port: 0, backlog: 100, noDelay: true, handshakeTimeout: 60_000, ...options },
    accept,
    (error) => errors.push(error),
  );
  try {
    await work(listener.address);
  } finally {
    await listener.close();
  }
  if (errors.length > 0) throw errors[0];
}
