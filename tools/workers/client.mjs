// A client for tools/workers.mjs that notes what it hears: every message once, in order for each sender.

import { createHash, randomBytes } from "node:crypto";
import net from "node:net";
import tls from "node:tls";

/** Connects to a port of 127.0.0.1; with TLS, if `ca` is the certificate of an authority. */
function connect(port, ca) {
  if (ca === undefined) return net.connect(port, "127.0.0.1");
  return tls.connect({ port, host: "127.0.0.1", servername: "localhost", ca });
}

/** A WebSocket. */
export class Client {
  fd = 0;
  worker = 0;
  pid = 0;
  /** The next number of each kind and sender. */
  heard = new Map();
  /** What was wrong. */
  faults = [];
  /** The code of the Close frame; 1006 if there was none. */
  code = 1006;
  isOpen = true;
  /** When the connection ended, by `performance.now()`. */
  closedAt = 0;
  #rest = Buffer.alloc(0);
  #waiting = [];

  /** Connects, and resolves when the server has said hello. */
  static async open(port, ca) {
    const client = new Client();
    const socket = client.socket = connect(port, ca);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    const key = randomBytes(16).toString("base64");
    socket.write(
      `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
    );
    const expected = createHash("sha1").update(
      `${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`,
    ).digest("base64");
    let isShaken = false;
    client.closed = new Promise((resolve) =>
      socket.on("close", () => {
        client.isOpen = false;
        client.closedAt = performance.now();
        for (const { reject } of client.#waiting.splice(0)) {
          reject(new Error("closed"));
        }
        resolve(client.code);
      })
    );
    socket.on("data", (chunk) => {
      client.#rest = client.#rest.length === 0 ? chunk : Buffer.concat([client.#rest, chunk]);
      if (!isShaken) {
        const end = client.#rest.indexOf("\r\n\r\n");
        if (end === -1) return;
        const head = client.#rest.toString("latin1", 0, end);
        if (!head.startsWith("HTTP/1.1 101") || !head.includes(expected)) {
          client.faults.push(`handshake: ${head.split("\r\n")[0]}`);
        }
        client.#rest = client.#rest.subarray(end + 4);
        isShaken = true;
      }
      client.#read();
    });
    const [, fd, worker, pid] = (await client.next("hello")).split(" ").map(
      Number,
    );
    return Object.assign(client, { fd, worker, pid });
  }

  #read() {
    for (;;) {
      const bytes = this.#rest;
      if (bytes.length < 2) return;
      let length = bytes[1] & 127;
      let at = 2;
      if (length === 126) {
        if (bytes.length < 4) return;
        length = bytes.readUInt16BE(2);
        at = 4;
      }
      if (bytes.length < at + length) return;
      const payload = bytes.subarray(at, at + length);
      this.#rest = bytes.subarray(at + length);
      if ((bytes[0] & 15) === 8) {
        this.code = payload.length < 2 ? 1005 : payload.readUInt16BE(0);
        this.#send(8, payload);
      } else if ((bytes[0] & 15) === 9) this.#send(10, payload);
      else this.#note(payload.toString());
    }
  }

  #note(text) {
    const [kind, sender, number] = text.split(" ");
    const waiting = this.#waiting.findIndex((each) => each.kind === kind);
    if (waiting !== -1) {
      return this.#waiting.splice(waiting, 1)[0].resolve(text);
    }
    if (number === undefined || kind === "hello") return;
    const key = `${kind} ${sender}`;
    const next = this.heard.get(key) ?? (kind === "tick" ? Number(number) : 0);
    if (Number(number) !== next) {
      this.faults.push(`${key}: ${number} after ${next - 1}`);
    }
    this.heard.set(key, Number(number) + 1);
  }

  /** Resolves to the next message of a kind. */
  next(kind) {
    return new Promise((resolve, reject) => this.#waiting.push({ kind, resolve, reject }));
  }

  /** Sends a text. */
  say(text) {
    this.#send(1, Buffer.from(text));
  }

  /** Tells the worker to do something, and resolves when it has. */
  async ask(text) {
    const [word] = text.split(" ");
    const done = this.next(["exist", "count"].includes(word) ? word : "done");
    this.say(text);
    return (await done).split(" ")[1];
  }

  #send(opcode, payload) {
    const mask = randomBytes(4);
    const masked = Buffer.from(
      payload.map((byte, index) => byte ^ mask[index % 4]),
    );
    this.socket.write(
      Buffer.concat([
        Buffer.from([128 | opcode, 128 | payload.length]),
        mask,
        masked,
      ]),
    );
  }
}

/** Makes a request on a connection of its own. Resolves to the body; to an error for anything else. */
export function request(port, ca) {
  return new Promise((resolve) => {
    const socket = connect(port, ca);
    socket.write("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    let text = "";
    const over = (result) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(
      () => over(new Error("no response in 10 s")),
      10_000,
    );
    socket.setEncoding("latin1").on("data", (chunk) => text += chunk);
    socket.on("error", over);
    socket.on(
      "end",
      () =>
        over(
          text.startsWith("HTTP/1.1 200 ") ? text.split("\r\n\r\n")[1] : new Error(`response: "${text.slice(0, 30)}"`),
        ),
    );
  });
}
