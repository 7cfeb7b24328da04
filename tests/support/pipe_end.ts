/**
 * One end of a pipe, for tests that use an adapter without a server. It sends, and collects received bytes.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import net from "node:net";
import tls from "node:tls";
import type { BytePipe, Lane, LaneSink, ListenOptions, Runtime } from "../../src/transport/runtime.ts";
import { StreamLane } from "../../src/transport/pipes.ts";

/** Reads and writes a pipe. Reading starts on construction. */
export class PipeEnd implements LaneSink {
  readonly pipe: BytePipe;
  readonly lane: Lane;
  /** Whether the peer has ended its side. */
  ended = false;
  /** Whether the connection is closed. */
  closed = false;
  /** The error that broke the connection, if any. */
  error: unknown = undefined;
  /** The number of bytes received. */
  received = 0;
  /** Called with each chunk instead of collecting it. */
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
    if (this.take !== undefined) this.take(new Uint8Array(chunk)); // the chunk is only lent
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

  /** Sends data, and waits until the lane has accepted it. */
  async send(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    if (!this.lane.write(bytes, 0, bytes.length, true)) await new Promise<void>((resolve) => this.#drained = resolve);
  }

  /** Reads `count` bytes as text, or fewer if the peer ends first. */
  async read(count: number): Promise<string> {
    await this.until(() => this.#text.length >= count || this.ended || this.closed);
    const text = this.#text.slice(0, count);
    this.#text = this.#text.slice(count);
    return text;
  }

  /** Reads until the peer has ended its side, or the connection has closed. */
  async readAll(): Promise<string> {
    await this.until(() => this.ended || this.closed);
    return await this.read(this.#text.length);
  }

  /** Waits until a condition is true. It is checked after every event. */
  async until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** Says something and sees that it comes back, then ends. */
export async function checkEcho(pipe: BytePipe): Promise<void> {
  const end = new PipeEnd(pipe);
  await end.send("over ");
  assertEquals(await end.read(5), "over ");
  await end.send("and back");
  end.lane.end();
  assertEquals(await end.readAll(), "and back");
  await end.until(() => end.closed);
  assertEquals(end.error, undefined);
}

/** Sends everything back, and ends when the peer ends. */
export function echo(pipe: BytePipe): void {
  let sending = Promise.resolve();
  const end = new PipeEnd(pipe, (chunk) => {
    end.lane.pause();
    sending = sending.then(() => end.send(chunk)).then(() => end.lane.resume());
  });
  end.until(() => end.ended || end.closed).then(() => sending).then(() => end.closed || end.lane.end());
}

/** The address of a listener, as needed by a client. */
export type Place = { readonly transport: "tcp" | "unix"; readonly hostname: string; readonly port: number };

/** Listens while a test runs. */
export async function listening(
  runtime: Runtime,
  options: Partial<ListenOptions>,
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

/** Listens without an adapter while a test runs, for what the listener of an adapter would not do. */
export async function listeningWithoutAdapter(
  options: { tls?: tls.TlsOptions },
  accept: (socket: net.Socket) => void,
  work: (place: Place) => Promise<void>,
): Promise<void> {
  const take = (socket: net.Socket) => {
    socket.on("error", () => {});
    accept(socket);
  };
  const server = options.tls === undefined
    ? net.createServer({ allowHalfOpen: true }, take)
    : tls.createServer({ allowHalfOpen: true, ...options.tls } as tls.TlsOptions, take).on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await work({ transport: "tcp", hostname: "127.0.0.1", port: (server.address() as net.AddressInfo).port });
  } finally {
    server.close();
  }
}
