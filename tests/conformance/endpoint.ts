/**
 * The suite's side of a connection: a client that believes nothing. It shares no code with what it tests.
 *
 * @module
 */

import { frame, type FrameSpec, RawClient } from "../support/raw_client.ts";

/** What came back, with its octets. */
export interface Received {
  readonly type: "text" | "binary" | "pong";
  readonly payload: Uint8Array;
}

/** No case sends more than half of this. */
const LONGEST_FRAME = 32 * 1024 * 1024;

/** Takes what a server sends apart, and finds what a server may not send. */
export class FrameReader {
  /** The first rule that the server broke. Nothing is read from then on. */
  violation: string | undefined = undefined;

  readonly #onFrame: (opcode: number, payload: Uint8Array) => void;
  #header: number[] = [];
  #payload: Uint8Array | undefined = undefined;
  #filled = 0;
  #parts: Uint8Array[] = [];
  #type = 0; // the opcode of the message that is being received

  /** Messages, with the opcode of their first frame, and control frames go to `onFrame`. */
  constructor(onFrame: (opcode: number, payload: Uint8Array) => void) {
    this.#onFrame = onFrame;
  }

  receive(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && this.violation === undefined) {
      if (this.#payload === undefined) {
        this.#header.push(chunk[at++]);
        this.#readHeader();
      } else {
        const piece = chunk.subarray(at, at + this.#payload.length - this.#filled);
        this.#payload.set(piece, this.#filled);
        this.#filled += piece.length;
        at += piece.length;
      }
      if (this.#payload !== undefined && this.#filled === this.#payload.length) this.#endFrame();
    }
  }

  /** Sees whether the header is complete; then there is a payload to fill. */
  #readHeader(): void {
    const [first, second, ...rest] = this.#header;
    if (second === undefined) return;
    const opcode = first & 15;
    let length = second & 0x7f;
    if ((first & 0x70) !== 0) return this.#violate("a reserved bit is set");
    if (second > 0x7f) return this.#violate("the frame is masked");
    if ((opcode > 2 && opcode < 8) || opcode > 10) return this.#violate("the opcode is reserved");
    if (opcode > 7 && (first < 0x80 || length > 125)) return this.#violate("a control frame is fragmented or too long");
    if (opcode === 0 && this.#type === 0) return this.#violate("a continuation has nothing to continue");
    if ((opcode === 1 || opcode === 2) && this.#type !== 0) return this.#violate("a message begins inside another");
    if (length > 125) {
      if (rest.length < (length === 126 ? 2 : 8)) return;
      if (rest[0] > 0x7f && rest.length === 8) return this.#violate("the length has its top bit set");
      length = rest.reduce((sum, octet) => sum * 256 + octet, 0);
      if (length < (rest.length === 2 ? 126 : 65536)) return this.#violate("the length is not minimal");
      if (length > LONGEST_FRAME) return this.#violate("the frame is far longer than anything that was sent");
    }
    this.#payload = new Uint8Array(length);
    this.#filled = 0;
  }

  #endFrame(): void {
    const payload = this.#payload!;
    const fin = this.#header[0] > 0x7f;
    const opcode = this.#header[0] & 15;
    this.#payload = undefined;
    this.#header = [];
    if (opcode === 8) {
      const fault = closeFault(payload);
      if (fault !== undefined) return this.#violate(fault);
    }
    if (opcode > 7) return this.#onFrame(opcode, payload);
    if (opcode !== 0) this.#type = opcode;
    this.#parts.push(payload);
    if (!fin) return;
    const type = this.#type;
    const message = this.#parts.length === 1 ? payload : joined(this.#parts);
    this.#type = 0;
    this.#parts = [];
    if (type === 1 && !isText(message)) return this.#violate("a text is not UTF-8");
    this.#onFrame(type, message);
  }

  #violate(rule: string): void {
    this.violation = rule;
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function isText(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** What is wrong with the payload of a Close frame. The codes that the suite knows end at 1011. */
function closeFault(payload: Uint8Array): string | undefined {
  if (payload.length === 0) return undefined;
  if (payload.length === 1) return "a Close frame has one octet";
  const code = payload[0] * 256 + payload[1];
  const known = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1011) || (code >= 3000 && code <= 4999);
  if (!known) return `the close code is ${code}`;
  return isText(payload.subarray(2)) ? undefined : "the reason of a Close is not UTF-8";
}

/** Frames that are written together are joined to blocks of about this many octets. */
const BLOCK = 64 * 1024;

/** A connection to the server under test, after the opening handshake. */
export class Endpoint {
  /** Messages and pongs, in order. */
  readonly answers: Received[] = [];
  /** Who sent a Close first, or ended TCP without one. */
  closedBy: "us" | "peer" | undefined = undefined;
  /** The server's Close. */
  peerClose: { readonly code: number | undefined } | undefined = undefined;
  /** Whether the server has ended its side of the TCP connection, or broken it. */
  ended = false;
  /** Whether our patience ended first. */
  dropped = false;

  readonly #client: RawClient;
  readonly #reader: FrameReader;
  #probes = 0;
  #probesAnswered = 0;
  #sentClose = false;
  #keySeed = 0x9e3779b9;
  #wake: (() => void)[] = [];

  constructor(client: RawClient) {
    this.#client = client;
    this.#reader = new FrameReader((opcode, payload) => this.#onFrame(opcode, payload));
    this.#pump();
  }

  static async open(port: number): Promise<Endpoint> {
    return new Endpoint(await RawClient.open(port));
  }

  /** The rule that the server broke, if it did. */
  get violation(): string | undefined {
    return this.#reader.violation;
  }

  /** Whether there is nothing more to send to: the server has closed, or we gave up. */
  get over(): boolean {
    return this.peerClose !== undefined || this.ended || this.dropped || this.violation !== undefined;
  }

  /** What broke the connection, if something did. */
  get error(): Error | undefined {
    return this.#client.error;
  }

  async #pump(): Promise<void> {
    for (let chunk = await this.#client.readSome(); chunk !== null; chunk = await this.#client.readSome()) {
      this.#reader.receive(chunk);
      if (this.violation !== undefined) break;
      this.#notify();
    }
    this.ended = this.violation === undefined;
    this.closedBy ??= this.violation === undefined ? "peer" : "us";
    this.#notify();
  }

  #onFrame(opcode: number, payload: Uint8Array): void {
    if (this.peerClose !== undefined) return; // nothing counts behind a Close
    if (opcode === 8) {
      this.closedBy ??= "peer";
      this.peerClose = { code: payload.length === 0 ? undefined : payload[0] * 256 + payload[1] };
      if (!this.#sentClose) this.#client.send(this.close(payload));
    } else if (opcode === 9) {
      this.#client.send(this.frame({ opcode: 10, payload }));
    } else if (opcode === 10 && new TextDecoder().decode(payload) === `probe ${this.#probesAnswered + 1} of ${this.#probes}`) {
      this.#probesAnswered++;
    } else {
      this.answers.push({ type: opcode === 1 ? "text" : opcode === 2 ? "binary" : "pong", payload });
    }
  }

  /** The octets of a frame, masked with a key of its own. */
  frame(spec: FrameSpec): Uint8Array {
    // Xorshift: other keys each time, the same ones in each run.
    let seed = this.#keySeed;
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    this.#keySeed = seed;
    return frame({ ...spec, key: [seed & 255, (seed >> 8) & 255, (seed >> 16) & 255, seed >>> 24] });
  }

  /** The octets of a Close frame, which starts the closing handshake, or answers. */
  close(payload: Uint8Array): Uint8Array {
    this.closedBy ??= "us";
    this.#sentClose = true;
    return this.frame({ opcode: 8, payload });
  }

  /** Sends pieces as fast as they are taken. */
  async send(pieces: Iterable<Uint8Array>): Promise<void> {
    const { socket } = this.#client;
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
      await this.#client.sendApart([piece]);
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

  /** Waits for the server to end the TCP connection, then ends our side of it. */
  async whenEnded(): Promise<void> {
    while (!this.ended && !this.dropped && this.violation === undefined) await this.#changed();
    this.#client.end();
    if (!this.ended) this.#client.destroy();
  }

  /** Ends it all, because the server does not. */
  drop(): void {
    if (this.ended) return;
    this.dropped = true;
    this.closedBy ??= "us";
    this.#client.destroy();
    this.#notify();
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
