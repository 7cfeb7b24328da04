/**
 * The bodies of answers that are taken while they arrive: into a file, or by a function of the program.
 *
 * @module
 */

import { GrowingBuffer } from "../../bytes.ts";
import type { FileSink } from "../../runtime.ts";
import { ClientFailure, fileFailure } from "./client_failure.ts";
import { makeDecoder } from "./content_coding.ts";

/** Why a body is not taken any more, if it is not. */
export type Taken = ClientFailure | undefined | void;

/** Takes the body of an answer piece by piece. The next piece comes when the last one was taken. */
export interface BodySink {
  /** Takes a piece; its memory is the sink's. */
  write(piece: Uint8Array): Taken | Promise<Taken>;
  /**
   * There is no more. Called once, whatever happened before.
   *
   * @param complete Whether the whole body was there.
   */
  end(complete: boolean): Taken | Promise<Taken>;
}

/** What a flow asks of the connection that the body comes from. */
export interface FlowControl {
  /** Stops reading. */
  pause(): void;
  /** Reads again. */
  resume(): void;
}

/** This much is read ahead of a sink that is busy, so that it is noticed at once when the server goes. */
const AHEAD = 64 * 1024;

/**
 * A body on its way to its sink. While the sink is busy, what arrives is joined to one piece, however small its parts are, and at some
 * point the server has to wait.
 */
export class BodyFlow {
  readonly #sink: BodySink;
  readonly #connection: FlowControl;
  readonly #onFailure: () => void;
  #pending: GrowingBuffer | undefined = undefined; // what the sink has not been given yet
  #work: Promise<void> | undefined = undefined; // while the sink is busy
  #isPaused = false;
  #isOver = false; // nothing more is taken
  #failure: ClientFailure | undefined = undefined;
  #fault: { readonly error: unknown } | undefined = undefined; // what the program threw

  constructor(sink: BodySink, connection: FlowControl, onFailure: () => void) {
    this.#sink = sink;
    this.#connection = connection;
    this.#onFailure = onFailure;
  }

  /** Whether the sink has not taken yet what it was given. */
  get isBusy(): boolean {
    return this.#work !== undefined;
  }

  /** Copies bytes that arrived. `flush()` hands them on. */
  push(chunk: Uint8Array, start: number, end: number): void {
    if (!this.#isOver) (this.#pending ??= new GrowingBuffer()).append(chunk, start, end, Infinity);
  }

  /** Hands on what was pushed, if the sink is free. Called behind each chunk. */
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

  /** Drops what the sink has not taken yet, and what may still come. */
  drop(): void {
    this.#isOver = true;
    this.#pending = undefined;
  }

  /**
   * Waits until the sink has taken all that arrived.
   *
   * @param complete Whether that is the whole body.
   * @returns Why it did not take all of it, if so.
   * @throws What the program threw.
   */
  async finish(complete: boolean): Promise<ClientFailure | undefined> {
    await this.#work;
    try {
      const last = await this.#sink.end(complete && !this.#isOver);
      this.#failure ??= last ?? undefined;
    } catch (error) {
      this.#fault ??= { error };
    }
    if (this.#fault !== undefined) throw this.#fault.error;
    return this.#failure;
  }

  /** Hands on what is pending, in memory that is the sink's; a promise when that takes time. */
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

/** A file that a body is written to. */
export class DownloadSink implements BodySink {
  readonly #opening: Promise<FileSink | ClientFailure>;
  readonly #status: number;

  /**
   * @param opening The file.
   * @param status The status of the answer.
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

/** A function of the program that is given a body. */
export class CallbackSink implements BodySink {
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

/** Undoes a content coding in front of another sink, if there is one. */
export function decodingSink(coding: string | undefined, status: number, sink: BodySink): BodySink {
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
