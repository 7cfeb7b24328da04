/**
 * Compression on the connections of one server or client, as negotiated. Keeps frames in order while one of them is being
 * compressed.
 *
 * @module
 */

import { utf8Encoder } from "../../values.ts";
import { sliceBytes } from "../../transport/bytes.ts";
import type { DeflateEngine, Deflater, DeflaterOptions, InflateFailure, Inflater } from "../../transport/codecs.ts";
import { type Eventually, isThere, Packed, type PreparedFrame } from "../outgoing.ts";
import type { DeflateAgreement, DirectionAgreement } from "./negotiation.ts";
import { TAIL } from "./compressed_payload.ts";

/** The time in milliseconds for which the last text is remembered, in case it is sent to other connections too. */
const MEMORY = 100;

/** Compression on one connection. */
export interface Compression {
  /**
   * Compresses a message, or a fragment of one.
   *
   * @param payload The text or bytes, which may be changed as soon as this returns.
   * @param start The index of the first byte.
   * @param end The index after the last byte.
   * @param whole Whether it is a complete message, which may stay uncompressed if it does not shrink.
   * @param last Whether it ends its message.
   */
  deflate(payload: string | Uint8Array, start: number, end: number, whole: boolean, last: boolean): Eventually<Packed>;
  /** Compresses a prepared message, or returns the result of an earlier call. */
  deflatePrepared(message: PreparedFrame): Eventually<Packed>;
  /** Inflates a payload; see `Inflater.inflate()`. */
  inflate(payload: Uint8Array, limit: number): Eventually<Uint8Array | InflateFailure>;
  /** Frees the memory of the connection, when it is over. */
  close(): void;
}

/** A factory for the compression of connections. Deflaters and inflaters without context are shared by all of them. */
export class Compressor {
  readonly #engine: DeflateEngine;
  readonly #options: DeflaterOptions;
  readonly #deflaters: Map<number, SharedDeflater> = new Map(); // by window bits
  readonly #inflaters: Map<number, Inflater> = new Map();
  readonly #compressions: Map<number, Compression> = new Map(); // by the window bits of both directions

  constructor(engine: DeflateEngine, options: DeflaterOptions) {
    this.#engine = engine;
    this.#options = options;
  }

  /** Returns the compression for one connection. Without context takeover, connections with the same agreement share one. */
  connect({ send, receive }: DeflateAgreement): Compression {
    if (send.takeover || receive.takeover) return this.#make(send, receive);
    return this.#shared(this.#compressions, send.windowBits * 16 + receive.windowBits, () => this.#make(send, receive));
  }

  #make(send: DirectionAgreement, receive: DirectionAgreement): Compression {
    const sharedDeflater = () =>
      this.#shared(this.#deflaters, send.windowBits, (bits) => {
        return new SharedDeflater(this.#engine.deflater(bits, false, this.#options), bits);
      });
    return new AgreedCompression(
      send.takeover
        ? new OwnDeflater(() => this.#engine.deflater(send.windowBits, true, this.#options), sharedDeflater)
        : sharedDeflater(),
      receive.takeover
        ? this.#engine.inflater(receive.windowBits, true)
        : this.#shared(this.#inflaters, receive.windowBits, (bits) => this.#engine.inflater(bits, false)),
      receive.takeover,
    );
  }

  #shared<T>(all: Map<number, T>, bits: number, make: (bits: number) => T): T {
    let one = all.get(bits);
    if (one === undefined) all.set(bits, one = make(bits));
    return one;
  }

  /** Frees the shared memory, after the last connection closed. Runtimes do not collect it by themselves. */
  close(): void {
    for (const deflater of this.#deflaters.values()) deflater.dispose();
    for (const inflater of this.#inflaters.values()) inflater.close();
    this.#deflaters.clear();
    this.#inflaters.clear();
    this.#compressions.clear();
  }
}

interface Packer {
  deflate: Compression["deflate"];
  deflatePrepared: Compression["deflatePrepared"];
  close(): void;
}

class AgreedCompression implements Compression {
  readonly #packer: Packer;
  readonly #inflater: Inflater;
  readonly #ownsInflater: boolean;

  constructor(packer: Packer, inflater: Inflater, ownsInflater: boolean) {
    this.#packer = packer;
    this.#inflater = inflater;
    this.#ownsInflater = ownsInflater;
  }

  deflate(payload: string | Uint8Array, start: number, end: number, whole: boolean, last: boolean): Eventually<Packed> {
    return this.#packer.deflate(payload, start, end, whole, last);
  }

  deflatePrepared(message: PreparedFrame): Eventually<Packed> {
    return this.#packer.deflatePrepared(message);
  }

  inflate(payload: Uint8Array, limit: number): Eventually<Uint8Array | InflateFailure> {
    return this.#inflater.inflate(payload, limit);
  }

  close(): void {
    this.#packer.close();
    if (this.#ownsInflater) this.#inflater.close();
  }
}

/** A deflater that remembers earlier messages, so that each message must be sent compressed, and exactly once. */
class OwnDeflater implements Packer {
  readonly #make: () => Deflater;
  readonly #shared: () => SharedDeflater;
  #deflater: Deflater | undefined = undefined;

  /**
   * @param make Creates a deflater without history.
   * @param shared Returns the deflater shared by all connections.
   */
  constructor(make: () => Deflater, shared: () => SharedDeflater) {
    this.#make = make;
    this.#shared = shared;
  }

  deflate(payload: string | Uint8Array, start: number, end: number, _whole: boolean, last: boolean): Eventually<Packed> {
    return pack(this.#deflater ??= this.#make(), toBytes(payload, start, end), false, last);
  }

  /**
   * Returns the shared result and starts anew, because the peer's window will contain this message, but this deflater's does
   * not.
   */
  deflatePrepared(message: PreparedFrame): Eventually<Packed> {
    this.close();
    return this.#shared().deflatePrepared(message);
  }

  close(): void {
    this.#deflater?.close();
    this.#deflater = undefined;
  }
}

/**
 * A deflater that compresses each message separately, for all connections. A text sent to many connections is compressed once.
 */
class SharedDeflater implements Packer {
  readonly #deflater: Deflater;
  readonly #windowBits: number;
  #text: string | undefined = undefined;
  #packed: Eventually<Packed> | undefined = undefined;
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;

  constructor(deflater: Deflater, windowBits: number) {
    this.#deflater = deflater;
    this.#windowBits = windowBits;
  }

  deflate(payload: string | Uint8Array, start: number, end: number, whole: boolean, last: boolean): Eventually<Packed> {
    // Bytes are not remembered: the program may have changed them since.
    if (!whole || typeof payload !== "string") return pack(this.#deflater, toBytes(payload, start, end), whole, last);
    if (payload === this.#text) return this.#packed!;
    this.#text = payload;
    if (this.#timer === undefined) {
      this.#timer = setTimeout(() => this.forget(), MEMORY);
      (this.#timer as unknown as { unref?(): void }).unref?.();
    }
    return this.#packed = pack(this.#deflater, toBytes(payload, start, end), true, true);
  }

  deflatePrepared(message: PreparedFrame): Eventually<Packed> {
    const { packed, payload } = message;
    let result = packed.get(this.#windowBits);
    if (result === undefined) packed.set(this.#windowBits, result = pack(this.#deflater, payload, true, true));
    return result;
  }

  forget(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#text = this.#packed = undefined;
  }

  dispose(): void {
    this.forget();
    this.#deflater.close();
  }

  close(): void {}
}

function pack(deflater: Deflater, message: Uint8Array, mayStayPlain: boolean, last: boolean): Eventually<Packed> {
  const done = (deflated: Uint8Array): Packed => {
    if (mayStayPlain && deflated.length >= message.length) return new Packed(message, false);
    if (last) return new Packed(deflated, true);
    const bytes = new Uint8Array(deflated.length + TAIL.length);
    bytes.set(deflated);
    bytes.set(TAIL, deflated.length);
    return new Packed(bytes, true);
  };
  const deflated = deflater.deflate(message);
  return isThere(deflated) ? done(deflated) : deflated.then(done);
}

function toBytes(payload: string | Uint8Array, start: number, end: number): Uint8Array {
  return typeof payload === "string" ? utf8Encoder.encode(payload) : sliceBytes(payload, start, end);
}

interface Job {
  readonly size: number;
  readonly run: () => void | PromiseLike<void>;
}

/** A queue that runs jobs one after the other, synchronously as long as none of them takes time. */
export class SendQueue {
  /** The size in bytes of the message being compressed and of everything queued after it. */
  waitingBytes = 0;

  readonly #onIdle: () => void;
  readonly #onFailure: (error: unknown) => void;
  #jobs: Job[] | undefined = undefined;

  /**
   * @param onIdle Called when all jobs are done.
   * @param onFailure Called when an asynchronous job failed.
   */
  constructor(onIdle: () => void, onFailure: (error: unknown) => void) {
    this.#onIdle = onIdle;
    this.#onFailure = onFailure;
  }

  /** Whether a message is being compressed. */
  get isBusy(): boolean {
    return this.#jobs !== undefined;
  }

  /**
   * Runs a job now, or after all earlier ones.
   *
   * @param size The number of bytes that wait for the job.
   * @param run Runs the job. Returns a promise if it takes time.
   */
  do(size: number, run: Job["run"]): void {
    if (this.#jobs !== undefined) {
      this.waitingBytes += size;
      this.#jobs.push({ size, run });
      return;
    }
    const pending = run();
    if (pending === undefined) return;
    this.waitingBytes = size;
    this.#follow(pending, size, this.#jobs = []);
  }

  /** Drops all unfinished jobs. */
  drop(): void {
    this.#jobs = undefined;
    this.waitingBytes = 0;
  }

  #follow(pending: PromiseLike<void>, size: number, jobs: Job[]): void {
    pending.then(() => {
      if (jobs !== this.#jobs) return;
      this.waitingBytes -= size;
      this.#goOn(jobs);
    }, (error) => jobs === this.#jobs && this.#onFailure(error));
  }

  #goOn(jobs: Job[]): void {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
      const pending = job.run();
      if (jobs !== this.#jobs) return; // the job has dropped the rest
      if (pending !== undefined) return this.#follow(pending, job.size, jobs);
      this.waitingBytes -= job.size;
    }
    this.#jobs = undefined;
    this.#onIdle();
  }
}
