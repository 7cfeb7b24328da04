// A small WebSocket client over a raw socket. It shares no code with what it tests, and keeps little for each connection.

import net from "node:net";

const HANDSHAKE = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/** The bytes of a masked frame; the masking key is 0. */
export function frame(opcode, payload) {
  const body = typeof payload === "string" ? Buffer.from(payload) : payload;
  const size = body.length < 126 ? 6 : body.length < 65_536 ? 8 : 14;
  const bytes = Buffer.alloc(size + body.length);
  bytes[0] = 0x80 | opcode;
  if (size === 6) bytes[1] = 0x80 | body.length;
  else if (size === 8) {
    bytes[1] = 0x80 | 126;
    bytes.writeUInt16BE(body.length, 2);
  } else {
    bytes[1] = 0x80 | 127;
    bytes.writeBigUInt64BE(BigInt(body.length), 2);
  }
  body.copy(bytes, size);
  return bytes;
}

/** A connection: `onMessage(text)` for each message, `onEnd(why)` once. */
export class Client {
  answersPings = true;
  /** How many pings have come. */
  pings = 0;
  onMessage = () => {};
  onEnd = () => {};
  /** Whether it is this side that ends it. */
  leaving = false;
  #rest = undefined;
  #open;
  #isOpen = false;
  /** Why it was not opened. */
  why = "";

  constructor(port) {
    this.socket = net.connect({ port, host: "127.0.0.1" });
    this.opened = new Promise((resolve) => this.#open = resolve);
    let error = "FIN";
    this.socket.on("connect", () => this.socket.write(HANDSHAKE));
    this.socket.on("data", (chunk) => this.#read(chunk));
    this.socket.on("error", (reason) => error = reason.code ?? reason.message);
    this.socket.on("close", () => {
      this.why ||= error;
      this.#open(false);
      this.onEnd(error);
    });
  }

  send(payload) {
    this.socket.write(frame(typeof payload === "string" ? 1 : 2, payload));
  }

  #read(chunk) {
    let bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    if (!this.#isOpen) {
      const end = bytes.indexOf("\r\n\r\n");
      if (end >= 0) {
        this.#isOpen = true;
        const isGood = bytes.toString("latin1", 0, 12) === "HTTP/1.1 101";
        bytes = bytes.subarray(end + 4);
        if (!isGood) this.why = bytes.toString("latin1", 0, 40);
        this.#open(isGood);
      }
    }
    let at = 0;
    while (this.#isOpen && bytes.length - at >= 2) {
      const short = bytes[at + 1] & 127;
      const head = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (bytes.length - at < head) break;
      const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
      if (bytes.length - at < head + length) break;
      const opcode = bytes[at] & 15;
      const payload = bytes.subarray(at + head, at + head + length);
      at += head + length;
      if (opcode === 9) {
        this.pings++;
        if (this.answersPings) this.socket.write(frame(10, payload));
      } else if (opcode === 8) {
        if (this.leaving) this.socket.end();
        else this.socket.end(frame(8, payload));
      } else this.onMessage(payload);
    }
    this.#rest = at < bytes.length ? Buffer.from(bytes.subarray(at)) : undefined;
  }
}
