/**
 * A client at the other end of a connection in memory.
 *
 * @module
 */

import type { BytePipe } from "../../mod.ts";
import { noteActivity } from "./activity.ts";
import { memoryPipes } from "./memory_pipe.ts";

export { settle } from "./activity.ts";

/** A response as received. */
export interface Answer {
  status: number;
  head: string;
  /** The header fields; names in lower case. */
  header: Record<string, string>;
  body: string;
}

/** Any server, of either style. */
export interface Accepting {
  accept(pipe: BytePipe): number;
}

/** A client that sends given bytes and collects the replies. One character is one byte (Latin-1). */
export class MemoryClient {
  /** Whether the server has ended its side or aborted the connection. */
  ended = false;
  /** Whether the server has aborted the connection. */
  dropped = false;
  /** Received text that has not been read yet. */
  pending = "";
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #wake: (() => void)[] = [];

  /** Connects to a server, which need not have been started. */
  constructor(server: Accepting) {
    const [pipe, own] = memoryPipes();
    this.#writer = own.writable.getWriter();
    this.#reader = own.readable.getReader();
    this.#writer.closed.catch(() => {});
    server.accept(pipe);
    this.#read();
  }

  async #read(): Promise<void> {
    try {
      while (true) {
        const { done, value } = await this.#reader.read();
        if (done) break;
        for (const byte of value) this.pending += String.fromCharCode(byte);
        this.#notify();
      }
    } catch {
      this.dropped = true;
    }
    this.ended = true;
    this.#notify();
  }

  /** Sends one chunk. */
  send(data: string | Uint8Array): void {
    noteActivity();
    const chunk = typeof data === "string" ? Uint8Array.from(data, (character) => character.charCodeAt(0)) : data;
    this.#writer.write(chunk).catch(() => {});
  }

  /** Ends this side. */
  end(): void {
    this.#writer.close().catch(() => {});
  }

  /** Aborts the connection. */
  drop(): void {
    this.#writer.abort(new Error("gone")).catch(() => {});
    this.#reader.cancel(new Error("gone")).catch(() => {});
  }

  /** Reads `count` bytes. */
  async read(count: number): Promise<string> {
    await this.#until(() => this.pending.length >= count);
    const taken = this.pending.slice(0, count);
    this.pending = this.pending.slice(count);
    return taken;
  }

  /** Reads a head, including its empty line. */
  async readHead(): Promise<string> {
    await this.#until(() => this.pending.includes("\r\n\r\n"));
    return this.read(this.pending.indexOf("\r\n\r\n") + 4);
  }

  /** Reads a response. With `bodiless` no body is expected, whatever the head says. */
  async readAnswer(bodiless = false): Promise<Answer> {
    const head = await this.readHead();
    const header: Record<string, string> = {};
    for (const line of head.trimEnd().split("\r\n").slice(1)) {
      const colon = line.indexOf(":");
      header[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const status = Number(head.slice(9, 12));
    let body = "";
    if (!bodiless && status >= 200 && status !== 204 && status !== 304) {
      if (header["transfer-encoding"] === "chunked") body = await this.#readChunks();
      else if (header["content-length"] === undefined) body = await this.readAll();
      else body = await this.read(Number(header["content-length"]));
    }
    return { status, head, header, body };
  }

  async #readChunks(): Promise<string> {
    let body = "";
    while (true) {
      await this.#until(() => this.pending.includes("\r\n"));
      const line = await this.read(this.pending.indexOf("\r\n") + 2);
      if (!/^[0-9a-f]+\r\n$/.test(line)) throw new Error(`No chunk size: ${JSON.stringify(line)}`);
      const size = parseInt(line, 16);
      const chunk = await this.read(size + 2);
      if (!chunk.endsWith("\r\n")) throw new Error("A chunk does not end in CRLF");
      if (size === 0) return body;
      body += chunk.slice(0, -2);
    }
  }

  /** Reads until the end of the connection. */
  async readAll(): Promise<string> {
    while (!this.ended) await new Promise<void>((resolve) => this.#wake.push(resolve));
    const rest = this.pending;
    this.pending = "";
    return rest;
  }

  async #until(done: () => boolean): Promise<void> {
    while (!done()) {
      if (this.ended) throw new Error(`The connection ended early: ${JSON.stringify(this.pending)}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  #notify(): void {
    noteActivity();
    for (const wake of this.#wake.splice(0)) wake();
  }
}
