/**
 * A client that sends exactly the given bytes over a real socket, and parses frames by hand. It shares no code with the server
 * under test.
 *
 * @module
 */

import net from "node:net";

/** A frame as received. */
export interface RawFrame {
  fin: boolean;
  /** RSV1 to RSV3 as a number: RSV1 is 4. */
  rsv: number;
  opcode: number;
  masked: boolean;
  payload: Uint8Array;
}

/** The key and the accept value of the example in RFC 6455 section 1.3. */
export const SAMPLE_KEY = "dGhlIHNhbXBsZSBub25jZQ==";
export const SAMPLE_ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const MASK = [0x37, 0xfa, 0x21, 0x3d];

/** Converts text or bytes to bytes. */
export function bytesOf(data: string | Uint8Array | readonly number[]): Uint8Array {
  return typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data);
}

/** Decodes hexadecimal digits. Blanks are ignored. */
export function hex(text: string): Uint8Array {
  const digits = text.replace(/\s/g, "");
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

/** The parts of a frame. All but the opcode have defaults. */
export interface FrameSpec {
  opcode: number;
  payload?: string | Uint8Array | readonly number[];
  fin?: boolean;
  /** RSV1 is 4, RSV2 is 2, RSV3 is 1. */
  rsv?: number;
  /** Whether the frame is masked; `true` by default, as for a client. */
  mask?: boolean;
  /** The masking key, four bytes. */
  key?: ArrayLike<number>;
}

/** Returns the bytes of a frame, masked by default. */
export function frame({ opcode, payload = "", fin = true, rsv = 0, mask = true, key = MASK }: FrameSpec): Uint8Array {
  const body = bytesOf(payload);
  const length = body.length < 126
    ? [body.length]
    : body.length < 65536
    ? [126, body.length >> 8, body.length & 255]
    : [127, 0, 0, 0, 0, (body.length >>> 24) & 255, (body.length >> 16) & 255, (body.length >> 8) & 255, body.length & 255];
  length[0] |= mask ? 0x80 : 0;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode, ...length, ...(mask ? Array.from(key) : [])];
  const bytes = new Uint8Array(head.length + body.length);
  bytes.set(head);
  if (mask) { for (let i = 0; i < body.length; i++) bytes[head.length + i] = body[i] ^ key[i & 3]; }
  else bytes.set(body, head.length);
  return bytes;
}

/** Returns the bytes of a Close frame. */
export function closeFrame(code?: number, reason: string | Uint8Array = "", mask = true): Uint8Array {
  const payload = code === undefined ? [] : [code >> 8, code & 255, ...bytesOf(reason)];
  return frame({ opcode: 8, payload, mask });
}

/** Returns a handshake request. A header field with the value `null` is omitted. */
export function handshake(path = "/", headers: Record<string, string | null> = {}): string {
  const all: Record<string, string | null> = {
    Host: "127.0.0.1",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Key": SAMPLE_KEY,
    "Sec-WebSocket-Version": "13",
    ...headers,
  };
  const lines = Object.entries(all).filter(([, value]) => value !== null).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

/** The address to connect to. */
export type Target = number | net.NetConnectOpts;

/** A TCP connection that collects received bytes. */
export class RawClient {
  /** Whether the peer has ended its side, or the connection is closed. */
  ended = false;
  /** The error that broke the connection, if any. */
  error: (Error & { code?: string }) | undefined;
  readonly socket: net.Socket;
  readonly #since = performance.now();
  // The unread bytes are in `#memory`, from `#start` to `#end`.
  #memory: Uint8Array = new Uint8Array(1024);
  #start = 0;
  #end = 0;
  #wake: (() => void)[] = [];

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      this.#append(chunk);
      this.#notify();
    });
    const end = () => {
      this.ended = true;
      this.#notify();
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.on("error", (error) => {
      this.error = error;
      end();
    });
  }

  /** Connects. A number is a port of 127.0.0.1. */
  static connect(target: Target): Promise<RawClient> {
    const options: net.NetConnectOpts = typeof target === "number" ? { host: "127.0.0.1", port: target } : target;
    return new Promise((resolve, reject) => {
      const socket = net.connect({ ...options, allowHalfOpen: true } as net.NetConnectOpts);
      socket.setNoDelay(true);
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new RawClient(socket));
      });
    });
  }

  /** Connects and completes the opening handshake. */
  static async open(target: Target, path = "/", headers: Record<string, string | null> = {}): Promise<RawClient> {
    const client = await RawClient.connect(target);
    client.send(handshake(path, headers));
    const head = await client.readHead();
    if (!head.startsWith("HTTP/1.1 101 ")) throw new Error(`The handshake failed: ${head}`);
    return client;
  }

  send(data: string | Uint8Array): void {
    this.socket.write(data);
  }

  /** Sends the parts one by one, each in its own turn, so that they usually arrive separately. */
  async sendApart(parts: Iterable<Uint8Array>): Promise<void> {
    for (const part of parts) {
      await new Promise<void>((resolve) => this.socket.write(part, () => resolve()));
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }

  /** Half-closes the connection: sends FIN and continues reading. */
  end(): void {
    this.socket.end();
  }

  /** Aborts the connection. */
  destroy(): void {
    this.socket.destroy();
  }

  /** The received bytes that have not been read yet. */
  get pending(): Uint8Array {
    return this.#view.slice();
  }

  /** Reads exactly `count` bytes. */
  async read(count: number): Promise<Uint8Array> {
    await this.#until(() => this.#view.length >= count);
    return this.#take(count);
  }

  /** Reads the available bytes, at least one; returns `null` at the end of the connection. */
  async readSome(): Promise<Uint8Array | null> {
    await this.#until(() => this.#view.length > 0 || this.ended, true);
    return this.#view.length > 0 ? this.#take(this.#view.length) : null;
  }

  /** Reads until the end of the connection. */
  async readAll(): Promise<Uint8Array> {
    await this.#until(() => this.ended, true);
    return this.#take(this.#view.length);
  }

  /** Reads an HTTP head, including its empty line. */
  async readHead(): Promise<string> {
    let end = -1;
    await this.#until(() => (end = new TextDecoder("latin1").decode(this.#view).indexOf("\r\n\r\n")) >= 0);
    return new TextDecoder("latin1").decode(this.#take(end + 4));
  }

  /** Reads an HTTP response with a body of known length. */
  async readAnswer(): Promise<{ status: number; head: string; body: string }> {
    const head = await this.readHead();
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
    return { status: Number(head.slice(9, 12)), head, body: new TextDecoder().decode(await this.read(length)) };
  }

  /** Reads a frame; returns `null` if the connection ends instead. */
  async readFrame(): Promise<RawFrame | null> {
    const parsed = () => parseFrame(this.#view);
    await this.#until(() => parsed() !== undefined || this.ended, true);
    const found = parsed();
    if (found === undefined) {
      if (this.#view.length > 0) throw new Error(`The connection ended inside a frame: ${this.#view.subarray(0, 200)}`);
      return null;
    }
    this.#take(found.size);
    return found.frame;
  }

  /** Reads the next frame that is no ping, and answers the pings before it. */
  async readPastPings(): Promise<RawFrame | null> {
    let next = await this.readFrame();
    for (; next?.opcode === 9; next = await this.readFrame()) this.send(frame({ opcode: 10, payload: next.payload }));
    return next;
  }

  /** Reads frames until the connection ends. */
  async readFrames(): Promise<RawFrame[]> {
    const frames: RawFrame[] = [];
    for (let next = await this.readFrame(); next !== null; next = await this.readFrame()) frames.push(next);
    return frames;
  }

  /** Waits until the peer has ended its side. */
  async whenEnded(): Promise<void> {
    await this.#until(() => this.ended, true);
  }

  get #view(): Uint8Array {
    return this.#memory.subarray(this.#start, this.#end);
  }

  #append(chunk: Uint8Array): void {
    if (this.#end + chunk.length > this.#memory.length) {
      // Doubling keeps the cost of a long message proportional to its length.
      const unread = this.#view;
      const needed = unread.length + chunk.length;
      if (needed > this.#memory.length / 2) this.#memory = new Uint8Array(needed * 2);
      this.#memory.set(unread);
      this.#start = 0;
      this.#end = unread.length;
    }
    this.#memory.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  #take(count: number): Uint8Array {
    const taken = this.#memory.slice(this.#start, this.#start + count);
    this.#start += count;
    if (this.#start === this.#end) this.#start = this.#end = 0;
    return taken;
  }

  async #until(done: () => boolean, endIsFine = false): Promise<void> {
    while (!done()) {
      if (this.ended && !endIsFine) {
        throw new Error(
          `The connection ended early, after ${(performance.now() - this.#since).toFixed(0)} ms: ` +
            `${new TextDecoder().decode(this.#view.subarray(0, 2000))} ${this.error ?? ""}`,
        );
      }
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

function parseFrame(bytes: Uint8Array): { frame: RawFrame; size: number } | undefined {
  if (bytes.length < 2) return undefined;
  let length = bytes[1] & 0x7f;
  let at = 2;
  if (length > 125) {
    const size = length === 126 ? 2 : 8;
    if (bytes.length < at + size) return undefined;
    for (length = 0; at < 2 + size; at++) length = length * 256 + bytes[at];
  }
  const masked = bytes[1] > 0x7f;
  const key = masked ? bytes.slice(at, at + 4) : undefined;
  if (masked) at += 4;
  if (bytes.length < at + length) return undefined;
  const payload = bytes.slice(at, at + length);
  if (key !== undefined) { for (let i = 0; i < length; i++) payload[i] ^= key[i & 3]; }
  return {
    frame: { fin: bytes[0] > 0x7f, rsv: (bytes[0] >> 4) & 7, opcode: bytes[0] & 15, masked, payload },
    size: at + length,
  };
}
