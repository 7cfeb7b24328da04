/**
 * The suite's side of a connection, client or server. It believes nothing and shares no code with what it tests.
 *
 * @module
 */

import { bytesOf, frame, type FrameSpec, type RawClient } from "../support/raw_client.ts";
import type { Blocks } from "./case.ts";
import { FrameReader, isText } from "./frame_reader.ts";
import { type Agreement, Codec } from "./permessage_deflate.ts";

/** A side of a connection. */
export type Role = "client" | "server";

/** What came back, with its bytes. */
export interface Received {
  readonly type: "text" | "binary" | "pong";
  readonly payload: Uint8Array;
}

/** What came of the opening handshake. */
export interface Opening {
  /** What was wrong with the peer's half; then there is nothing more to do. */
  readonly fault?: string;
  /** What was agreed by permessage-deflate, if it was. */
  readonly agreed?: Agreement;
}

/** Frames that are written together are joined to blocks of about this many bytes. */
const BLOCK = 64 * 1024;

/** A connection to the peer under test, after the opening handshake. */
export class Endpoint {
  /** Messages and pongs, in order. */
  readonly answers: Received[] = [];
  /** Who sent a Close first, or ended TCP without one. */
  closedBy: "us" | "peer" | undefined = undefined;
  /** The peer's Close. */
  peerClose: { readonly code: number | undefined } | undefined = undefined;
  /** Whether the peer has ended its side of the TCP connection, or broken it. */
  ended = false;
  /** Whether our patience ended first. */
  dropped = false;
  /** How many messages came plain that could have been compressed. */
  plain = 0;
  /** Which side we are. */
  readonly role: Role;
  /** What was agreed by permessage-deflate, if it was. */
  readonly agreed: Agreement | undefined;

  readonly #socket: RawClient;
  readonly #fault: string | undefined;
  readonly #reader: FrameReader;
  readonly #codec: Codec | undefined;
  #probes = 0;
  #probesAnswered = 0;
  #sentClose = false;
  #keySeed = 0x9e3779b9;
  #wake: (() => void)[] = [];

  /**
   * @param socket The connection.
   * @param role Which side we are.
   * @param opening What came of the handshake.
   */
  constructor(socket: RawClient, role: Role, { fault, agreed }: Opening) {
    this.#socket = socket;
    this.role = role;
    this.agreed = agreed;
    this.#fault = fault;
    this.#codec = agreed && new Codec(agreed);
    const rules = { masked: role === "server", rsv1: agreed !== undefined };
    this.#reader = new FrameReader(rules, (opcode, payload, compressed) => this.#onFrame(opcode, payload, compressed));
    if (fault === undefined) this.#pump();
    else this.closedBy = "us";
  }

  /** The rule that the peer broke, if it did. */
  get violation(): string | undefined {
    return this.#fault ?? this.#reader.violation;
  }

  /** Whether there is nothing more to send to: the peer has closed, or we gave up. */
  get over(): boolean {
    return this.peerClose !== undefined || this.ended || this.dropped || this.violation !== undefined;
  }

  /** What broke the connection, if something did. */
  get error(): Error | undefined {
    return this.#socket.error;
  }

  async #pump(): Promise<void> {
    for (let chunk = await this.#socket.readSome(); chunk !== null; chunk = await this.#socket.readSome()) {
      this.#reader.receive(chunk);
      if (this.violation !== undefined) break;
      this.#notify();
    }
    this.ended = this.violation === undefined;
    this.closedBy ??= this.violation === undefined ? "peer" : "us";
    this.#notify();
  }

  #onFrame(opcode: number, payload: Uint8Array, compressed: boolean): void {
    if (this.peerClose !== undefined) return; // nothing counts behind a Close
    if (opcode === 8) {
      this.closedBy ??= "peer";
      this.peerClose = { code: payload.length === 0 ? undefined : payload[0] * 256 + payload[1] };
      if (!this.#sentClose) this.#socket.send(this.close(payload));
    } else if (opcode === 9) {
      this.#socket.send(this.frame({ opcode: 10, payload }));
    } else if (opcode === 10 && new TextDecoder().decode(payload) === `probe ${this.#probesAnswered + 1} of ${this.#probes}`) {
      this.#probesAnswered++;
    } else if (opcode === 10) {
      this.answers.push({ type: "pong", payload });
    } else {
      this.#onMessage(opcode === 1 ? "text" : "binary", payload, compressed);
    }
  }

  #onMessage(type: "text" | "binary", payload: Uint8Array, compressed: boolean): void {
    if (compressed) {
      try {
        payload = this.#codec!.inflate(payload);
      } catch {
        this.#reader.violation = "a message cannot be inflated";
        return;
      }
      if (type === "text" && !isText(payload)) {
        this.#reader.violation = "a text is not UTF-8";
        return;
      }
    } else if (this.#codec?.mayBePlain(payload) === false) this.plain++;
    this.answers.push({ type, payload });
  }

  /** Compresses a message; what was agreed allows it. */
  async compress(message: Uint8Array, blocks: Blocks): Promise<Uint8Array> {
    return await this.#codec!.deflate(message, blocks);
  }

  /** The bytes of a frame; a client masks them with a key of its own. */
  frame(spec: FrameSpec): Uint8Array {
    if (this.role === "server") return frame({ ...spec, mask: false });
    // Xorshift: other keys each time, the same ones in each run.
    let seed = this.#keySeed;
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    this.#keySeed = seed;
    return frame({ ...spec, key: [seed & 255, (seed >> 8) & 255, (seed >> 16) & 255, seed >>> 24] });
  }

  /** The bytes of a frame that carry these bytes of the payload; the first ones come with the header. */
  part(spec: FrameSpec, from: number, to: number): Uint8Array {
    const whole = frame({ ...spec, mask: this.role === "client" }); // all parts with the same key
    const header = whole.length - bytesOf(spec.payload ?? "").length;
    return whole.slice(from === 0 ? 0 : header + from, header + to);
  }

  /** The bytes of a Close frame, which starts the closing handshake, or answers. */
  close(payload: Uint8Array): Uint8Array {
    this.closedBy ??= "us";
    this.#sentClose = true;
    return this.frame({ opcode: 8, payload });
  }

  /** Sends pieces as fast as they are taken. */
  async send(pieces: Iterable<Uint8Array>): Promise<void> {
    const { socket } = this.#socket;
    const write = (data: Uint8Array) => new Promise<void>((resolve) => void socket.write(data, () => resolve()));
    let block = new Uint8Array(0);
    let filled = 0;
    for (const piece of pieces) {
      if (this.over) return;
      if (filled + piece.length > block.length) {
        if (filled > 0) await write(block.subarray(0, filled));
        filled = 0;
        if (piece.length >= BLOCK) {
          await write(piece);
          continue;
        }
        block = new Uint8Array(BLOCK);
      }
      block.set(piece, filled);
      filled += piece.length;
    }
    if (filled > 0 && !this.over) await write(block.subarray(0, filled));
  }

  /** Sends pieces one by one, so that they arrive apart as a rule. */
  async sendApart(pieces: Iterable<Uint8Array>): Promise<void> {
    for (const piece of pieces) {
      if (this.over) return;
      await this.#socket.sendApart([piece]);
    }
  }

  /** Waits until something is the case, or the connection is over. */
  async until(done: () => boolean): Promise<void> {
    while (!done() && !this.over) await this.#changed();
  }

  /** Sends a ping and waits for its pong; `false` when the connection is over instead. */
  async probe(): Promise<boolean> {
    const count = ++this.#probes;
    await this.send([this.frame({ opcode: 9, payload: `probe ${count} of ${count}` })]);
    await this.until(() => this.#probesAnswered === count);
    return this.#probesAnswered === count && !this.over;
  }

  /** Waits for the end of the TCP connection. The server goes first, the client waits for it (RFC 6455 section 7.1.1). */
  async whenEnded(): Promise<void> {
    if (this.role === "server") {
      await this.until(() => false);
      this.#socket.end();
    }
    while (!this.ended && !this.dropped && this.violation === undefined) await this.#changed();
    if (this.role === "client") this.#socket.end();
    if (!this.ended) this.#socket.destroy();
  }

  /** Gives back what the connection needed. */
  release(): void {
    this.drop();
    this.#codec?.close();
  }

  /** Ends it all, because the peer does not. */
  drop(): void {
    if (this.ended) return;
    this.dropped = true;
    this.closedBy ??= "us";
    this.#socket.destroy();
    this.#notify();
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
