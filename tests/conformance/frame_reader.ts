/**
 * Takes apart what a peer sends, and believes nothing. It shares no code with what it tests.
 *
 * @module
 */

/** No case sends more than half of this. */
const LONGEST_FRAME = 32 * 1024 * 1024;

/** What is allowed on a connection, beside what is allowed on all. */
export interface Rules {
  /** Whether the frames have to be masked, each with a key of its own: they come from a client. */
  readonly masked: boolean;
  /** Whether RSV1 may be set on the first frame of a message: permessage-deflate was agreed on (RFC 7692 section 6). */
  readonly rsv1?: boolean;
}

/** Takes a message or a control frame. */
export type OnFrame = (opcode: number, payload: Uint8Array, compressed: boolean) => void;

/** Takes what a peer sends apart, and finds what it may not send. */
export class FrameReader {
  /** The first rule that the peer broke. Nothing is read from then on. */
  violation: string | undefined = undefined;

  readonly #rules: Rules;
  readonly #onFrame: OnFrame;
  readonly #keys: Set<number> = new Set();
  #key = -1; // of the last frame
  #repeated = 0; // keys that were there before
  #header: number[] = [];
  #payload: Uint8Array | undefined = undefined;
  #filled = 0;
  #parts: Uint8Array[] = [];
  #type = 0; // the opcode of the message that is being received
  #compressed = false; // and whether it has RSV1

  /** Messages, with the opcode and RSV1 of their first frame, and control frames go to `onFrame`. */
  constructor(rules: Rules, onFrame: OnFrame) {
    this.#rules = rules;
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
    const { masked, rsv1 = false } = this.#rules;
    const opcode = first & 15;
    let length = second & 0x7f;
    const reserved = rsv1 && (opcode === 1 || opcode === 2) ? 0x30 : 0x70;
    if ((first & reserved) !== 0) return this.#violate("a reserved bit is set");
    if ((second > 0x7f) !== masked) return this.#violate(`the frame is ${masked ? "not " : ""}masked`);
    if ((opcode > 2 && opcode < 8) || opcode > 10) return this.#violate("the opcode is reserved");
    if (opcode > 7 && (first < 0x80 || length > 125)) return this.#violate("a control frame is fragmented or too long");
    if (opcode === 0 && this.#type === 0) return this.#violate("a continuation has nothing to continue");
    if ((opcode === 1 || opcode === 2) && this.#type !== 0) return this.#violate("a message begins inside another");
    const extended = length < 126 ? 0 : length === 126 ? 2 : 8;
    if (rest.length < extended) return;
    if (extended > 0) {
      if (rest[0] > 0x7f && extended === 8) return this.#violate("the length has its top bit set");
      length = toNumber(rest.slice(0, extended));
      if (length < (extended === 2 ? 126 : 65536)) return this.#violate("the length is not minimal");
      if (length > LONGEST_FRAME) return this.#violate("the frame is far longer than anything that was sent");
    }
    if (rest.length < extended + (masked ? 4 : 0)) return;
    if (masked) this.#noteKey(toNumber(rest.slice(extended)));
    if (this.violation !== undefined) return;
    this.#payload = new Uint8Array(length);
    this.#filled = 0;
  }

  /** Keys are drawn at random from four milliards: one of a thousand may have been there before, not two, nor two in a row. */
  #noteKey(key: number): void {
    if (this.#keys.has(key)) this.#repeated++;
    if (key === this.#key || this.#repeated > 1) return this.#violate("the masking key is an old one");
    this.#keys.add(key);
    this.#key = key;
  }

  #endFrame(): void {
    const payload = this.#payload!;
    const [first] = this.#header;
    const fin = first > 0x7f;
    const opcode = first & 15;
    this.#payload = undefined;
    this.#header = [];
    if (this.#rules.masked) unmask(payload, this.#key);
    if (opcode === 8) {
      const fault = closeFault(payload);
      if (fault !== undefined) return this.#violate(fault);
    }
    if (opcode > 7) return this.#onFrame(opcode, payload, false);
    if (opcode !== 0) {
      this.#type = opcode;
      this.#compressed = (first & 0x40) !== 0;
    }
    this.#parts.push(payload);
    if (!fin) return;
    const type = this.#type;
    const message = this.#parts.length === 1 ? payload : joined(this.#parts);
    this.#type = 0;
    this.#parts = [];
    if (type === 1 && !this.#compressed && !isText(message)) return this.#violate("a text is not UTF-8");
    this.#onFrame(type, message, this.#compressed);
  }

  #violate(rule: string): void {
    this.violation = rule;
  }
}

function toNumber(bytes: readonly number[]): number {
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0);
}

function unmask(payload: Uint8Array, key: number): void {
  const bytes = [key >>> 24, (key >> 16) & 255, (key >> 8) & 255, key & 255];
  for (let i = 0; i < payload.length; i++) payload[i] ^= bytes[i & 3];
}

/** Bytes, one behind the other. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Whether bytes are UTF-8. */
export function isText(bytes: Uint8Array): boolean {
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
  if (payload.length === 1) return "a Close frame has one byte";
  const code = payload[0] * 256 + payload[1];
  const known = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1011) || (code >= 3000 && code <= 4999);
  if (!known) return `the close code is ${code}`;
  return isText(payload.subarray(2)) ? undefined : "the reason of a Close is not UTF-8";
}
