/**
 * Response bodies that are consumed while they arrive: written to a file, or passed to a function of the program.
 *
 * @module
 */

import { GrowingBuffer } from "../transport/bytes.ts";
import type { FileSink } from "../transport/file_pieces.ts";
import { SWOOLE_ERROR_HTTP_INVALID_PROTOCOL } from "../errors.ts";
import type { AnswerHead } from "../http/response_parser.ts";
import { loadRuntime } from "../transport/current_runtime.ts";
import { ClientFailure, fileFailure, type Taken } from "./client_failure.ts";
import { makeDecoder } from "./content_decoding.ts";

/** A consumer of a response body, piece by piece. The next piece is passed once the previous one has been consumed. */
export interface BodySink {
  /** Consumes a piece. The sink owns its memory. */
  write(piece: Uint8Array): Taken | Promise<Taken>;
  /**
   * Ends the body. Called exactly once, even after a failure.
   *
   * @param complete Whether the whole body was received.
   */
  end(complete: boolean): Taken | Promise<Taken>;
}

/** The parts of the source connection that a flow controls. */
export interface FlowControl {
  /** Stops reading. */
  pause(): void;
  /** Resumes reading. */
  resume(): void;
}

/** The number of bytes read ahead of a busy sink, so that a server that disconnects is noticed at once. */
const AHEAD = 64 * 1024;

/**
 * A response body on its way to its sink. While the sink is busy, arriving bytes are joined into one piece, however small the
 * chunks are. Once `AHEAD` bytes are pending, reading stops.
 */
export class BodyFlow {
  readonly #sink: BodySink;
  readonly #connection: FlowControl;
  readonly #onFailure: () => void;
  #pending: GrowingBuffer | undefined = undefined; // not yet passed to the sink
  #work: Promise<void> | undefined = undefined; // pending while the sink is busy
  #isPaused = false;
  #isOver = false; // nothing more is accepted
  #failure: ClientFailure | undefined = undefined;
  #fault: { readonly error: unknown } | undefined = undefined; // thrown by the program
  readonly #left: Promise<void>;
  #resolveLeft!: () => void;

  constructor(sink: BodySink, connection: FlowControl, onFailure: () => void) {
    this.#sink = sink;
    this.#connection = connection;
    this.#onFailure = onFailure;
    this.#left = new Promise((resolve) => this.#resolveLeft = resolve);
  }

  /** Whether the sink is still consuming a piece. */
  get isBusy(): boolean {
    return this.#work !== undefined;
  }

  /** Copies received bytes. `flush()` passes them on. */
  push(chunk: Uint8Array, start: number, end: number): void {
    if (!this.#isOver) (this.#pending ??= new GrowingBuffer()).append(chunk, start, end, Infinity);
  }

  /** Passes on pushed bytes if the sink is free. Called after each chunk. */
  flush(): void {
    if (this.#work === undefined) {
      const taken = this.#writePending();
      if (taken !== undefined) this.#work = this.#goOn(taken);
    }
    if (this.#pending !== undefined && this.#pending.length >= AHEAD && !this.#isPaused) {
      this.#isPaused = true;
      this.#connection.pause();
    }
  }

  /** Drops the bytes that the sink has not consumed, and all later ones. */
  drop(): void {
    this.#isOver = true;
    this.#pending = undefined;
  }

  /** Drops the rest, and lets the request finish without waiting for the sink, which may be busy indefinitely. */
  leave(): void {
    this.drop();
    this.#resolveLeft();
  }

  /**
   * Waits until the sink has consumed everything that arrived.
   *
   * @param complete Whether that is the whole body.
   * @returns The failure if the sink did not consume all of it.
   * @throws The error thrown by the program.
   */
  async finish(complete: boolean): Promise<ClientFailure | undefined> {
    await Promise.race([this.#end(complete), this.#left]);
    if (this.#fault !== undefined) throw this.#fault.error;
    return this.#failure;
  }

  async #end(complete: boolean): Promise<void> {
    await this.#work;
    try {
      const last = await this.#sink.end(complete && !this.#isOver);
      this.#failure ??= last ?? undefined;
    } catch (error) {
      this.#fault ??= { error };
    }
  }

  /** Passes the pending bytes on in memory owned by the sink. Returns a promise if the sink is asynchronous. */
  #writePending(): Promise<Taken> | undefined {
    if (this.#pending === undefined) return undefined;
    const { memory, length } = this.#pending;
    this.#pending = undefined;
    try {
      const taken = this.#sink.write(length === memory.length ? memory : memory.slice(0, length));
      if (taken instanceof Promise) return taken;
      if (taken !== undefined) this.#fail(taken);
    } catch (error) {
      this.#blame(error);
    }
    return undefined;
  }

  async #goOn(taken: Promise<Taken> | undefined): Promise<void> {
    while (true) {
      try {
        const failure = await taken;
        if (failure !== undefined) this.#fail(failure);
      } catch (error) {
        this.#blame(error);
      }
      if (this.#pending === undefined) break;
      taken = this.#writePending();
      this.#readOn();
    }
    this.#work = undefined;
    this.#readOn();
  }

  #readOn(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#connection.resume();
  }

  #fail(failure: ClientFailure): void {
    this.#failure = failure;
    this.drop();
    this.#onFailure();
  }

  #blame(error: unknown): void {
    this.#fault = { error };
    this.drop();
    this.#onFailure();
  }
}

/** A sink that writes a body to a file. */
class DownloadSink implements BodySink {
  readonly #opening: Promise<FileSink | ClientFailure>;
  readonly #status: number;

  /**
   * @param opening The file being opened.
   * @param status The status of the response.
   */
  constructor(opening: Promise<FileSink>, status: number) {
    this.#opening = opening.catch((error) => fileFailure(status, error));
    this.#status = status;
  }

  write(piece: Uint8Array): Promise<Taken> {
    return this.#use((file) => file.write(piece));
  }

  end(): Promise<Taken> {
    return this.#use((file) => file.close());
  }

  async #use(work: (file: FileSink) => Promise<void>): Promise<Taken> {
    const file = await this.#opening;
    if (file instanceof ClientFailure) return file;
    try {
      await work(file);
    } catch (error) {
      return fileFailure(this.#status, error);
    }
  }
}

/** A sink that passes a body to a function of the program. */
class CallbackSink implements BodySink {
  readonly #call: (piece: Uint8Array) => unknown;

  constructor(call: (piece: Uint8Array) => unknown) {
    this.#call = call;
  }

  write(piece: Uint8Array): Taken | Promise<Taken> {
    const result = this.#call(piece);
    if (result instanceof Promise) return result.then(() => {});
  }

  end(): void {}
}

/** Wraps a sink so that a content coding is decoded first. Returns the sink itself if there is no coding or it is unknown. */
function decodingSink(coding: string | undefined, status: number, sink: BodySink): BodySink {
  const decoder = makeDecoder(coding, status, (piece) => sink.write(piece));
  if (decoder === undefined) return sink;
  return {
    write: (piece) => decoder.write(piece),
    async end(complete) {
      let failure: Taken = undefined;
      try {
        failure = await decoder.end(complete);
      } finally {
        failure = await sink.end(complete && failure === undefined) ?? failure;
      }
      return failure;
    },
  };
}

/** A file to which a response is written. */
export interface Download {
  /** The path. */
  readonly file: string;
  /** The number of bytes already in the file. */
  readonly offset: number;
  /** Whether the client added the Range field, rather than the program. */
  readonly asked: boolean;
}

/**
 * Returns the header fields that request the rest of a file. Ranges count coded bytes (RFC 9110 section 14.1), so the body must
 * not be coded.
 */
export function rangeFields(offset: number): [name: string, value: string][] {
  return offset === 0 ? [] : [["Range", `bytes=${offset}-`], ["Accept-Encoding", "identity"]];
}

/**
 * Creates the sink that writes a response to a file.
 *
 * @param head The head of the response.
 * @param download The file.
 * @param decompress Whether to decode a content coding.
 * @returns The sink; `undefined` if the response is not successful; a failure if the range does not match.
 */
export function downloadSink(
  head: AnswerHead,
  { file, offset, asked }: Download,
  decompress: boolean,
): BodySink | ClientFailure | undefined {
  const { status, header } = head;
  if (status < 200 || status > 299) return undefined;
  const isPart = status === 206 && offset > 0;
  const coding = decompress ? header["content-encoding"] : undefined;
  if (isPart && asked) {
    const [, first] = /^bytes ([0-9]+)-/i.exec(header["content-range"] ?? "") ?? [];
    const fault = Number(first) !== offset
      ? "the server sent another part than the one that was asked for"
      : coding !== undefined && coding.trim().toLowerCase() !== "identity"
      ? "the server sent a part of a compressed body"
      : undefined;
    if (fault !== undefined) return new ClientFailure(status, SWOOLE_ERROR_HTTP_INVALID_PROTOCOL, fault);
  }
  const opening = loadRuntime().then((runtime) => runtime.openForWriting(file, { offset: isPart ? offset : 0 }));
  return decodingSink(isPart ? undefined : coding, status, new DownloadSink(opening, status));
}

/**
 * Creates the sink that passes a response to a function of the program.
 *
 * @param head The head of the response.
 * @param call The function.
 * @param decompress Whether to decode a content coding.
 */
export function callbackSink(head: AnswerHead, call: (piece: Uint8Array) => unknown, decompress: boolean): BodySink {
  return decodingSink(decompress ? head.header["content-encoding"] : undefined, head.status, new CallbackSink(call));
}
