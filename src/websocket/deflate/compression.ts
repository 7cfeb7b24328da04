/**
 * Compression on the connections of one server or client: what was agreed, put to work.
 *
 * @module
 */

import { sliceBytes } from "../../bytes.ts";
import type { DeflateEngine, Deflater, DeflaterOptions, InflateFailure, Inflater } from "./engine.ts";
import { partsOf, type PreparedMessage } from "../prepared_message.ts";
import type { DeflateAgreement, DirectionAgreement } from "./negotiation.ts";

const encoder = new TextEncoder();

/** What `RFC 7692` section 7.2.1 takes off a message's end; it stays at the end of a fragment that others follow. */
const TAIL = new Uint8Array([0x00, 0x00, 0xff, 0xff]);

/** How long the last text is remembered, in milliseconds, in case it is sent to others too. */
const MEMORY = 100;

/** A payload that is ready to be sent. */
export class Packed {
  /** The payload. */
  readonly bytes: Uint8Array;
  /** Whether it is compressed: then RSV1 is set. */
  readonly compressed: boolean;
  /** The whole frame, once it has been sent twice. */
  frame: Uint8Array | undefined = undefined;
  /** How often it was sent. */
  uses = 0;

  constructor(bytes: Uint8Array, compressed: boolean) {
    this.bytes = bytes;
    this.compressed = compressed;
  }
}

/** A result that may take some time. */
export type Eventually<T> = T | PromiseLike<T>;

/** Compression on one connection. */
export interface Compression {
  /**
   * Compresses a message, or a fragment of one.
   *
   * @param payload Text or bytes, which may be changed as soon as this returns.
   * @param start Index of the first octet.
   * @param end Index behind the last one.
   * @param whole Whether it is a whole message: that may stay as it is when it does not shrink.
   * @param last Whether its message ends here.
   */
  deflate(payload: string | Uint8Array, start: number, end: number, whole: boolean, last: boolean): Eventually<Packed>;
  /** Compresses a prepared message, or takes what was compressed before. */
  deflatePrepared(message: PreparedMessage): Eventually<Packed>;
  /** See `Inflater.inflate()`. */
  inflate(payload: Uint8Array, limit: number): Eventually<Uint8Array | InflateFailure>;
  /** The connection is over. */
  close(): void;
}

/** Tells a result that is there from one that is to come. */
export function isThere<T>(result: Eventually<T>): result is T {
  return typeof result !== "object" || !("then" in (result as object));
}

/** Makes the compression of connections. What needs no memory of its own is shared by all of them. */
export class Compressor {
  readonly #engine: DeflateEngine;
  readonly #options: DeflaterOptions;
  readonly #deflaters: Map<number, SharedDeflater> = new Map(); // by window
  readonly #inflaters: Map<number, Inflater> = new Map();
  readonly #compressions: Map<number, Compression> = new Map(); // by both windows

  constructor(engine: DeflateEngine, options: DeflaterOptions) {
    this.#engine = engine;
    this.#options = options;
  }

  /** Makes the compression of one connection. Where nothing is remembered, it is the same for all that agreed alike. */
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

  /** No connection is left: gives back what they shared. Runtimes do not collect it by themselves. */
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

  deflatePrepared(message: PreparedMessage): Eventually<Packed> {
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

/** Compresses with memory of earlier messages, so that each has to be sent compressed and once. */
class OwnDeflater implements Packer {
  readonly #make: () => Deflater;
  readonly #shared: () => SharedDeflater;
  #deflater: Deflater | undefined = undefined;

  /**
   * @param make Makes a deflater without a memory of anything.
   * @param shared Gives what compresses for all connections.
   */
  constructor(make: () => Deflater, shared: () => SharedDeflater) {
    this.#make = make;
    this.#shared = shared;
  }

  deflate(payload: string | Uint8Array, start: number, end: number, _whole: boolean, last: boolean): Eventually<Packed> {
    return pack(this.#deflater ??= this.#make(), toBytes(payload, start, end), false, last);
  }

  /** The peer's window has what was prepared in it, and this deflater does not know it: the next message refers to nothing. */
  deflatePrepared(message: PreparedMessage): Eventually<Packed> {
    this.close();
    return this.#shared().deflatePrepared(message);
  }

  close(): void {
    this.#deflater?.close();
    this.#deflater = undefined;
  }
}

/** Compresses each message by itself, for all connections. A text that is sent to many is compressed once. */
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
    // Bytes are not recognised: the program may have changed them since.
    if (!whole || typeof payload !== "string") return pack(this.#deflater, toBytes(payload, start, end), whole, last);
    if (payload === this.#text) return this.#packed!;
    this.#text = payload;
    if (this.#timer === undefined) {
      this.#timer = setTimeout(() => this.forget(), MEMORY);
      (this.#timer as unknown as { unref?(): void }).unref?.();
    }
    return this.#packed = pack(this.#deflater, toBytes(payload, start, end), true, true);
  }

  deflatePrepared(message: PreparedMessage): Eventually<Packed> {
    const { packed, payload } = partsOf(message);
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
  return typeof payload === "string" ? encoder.encode(payload) : sliceBytes(payload, start, end);
}
