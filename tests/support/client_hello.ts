/**
 * A TLS client that sends a ClientHello and reads the reply, so that a test can request versions, cipher suites and groups that
 * the client of its runtime does not support. RFC 5246, RFC 8446.
 *
 * @module
 */

import { createECDH, randomBytes } from "node:crypto";
import net from "node:net";

/** The offer of a client. */
export interface Hello {
  /** The only version offered: 0x0301 is TLS 1.0, 0x0304 is TLS 1.3. */
  readonly version: number;
  /** The cipher suites offered. */
  readonly ciphers?: readonly number[];
  /** The groups offered for the key exchange. */
  readonly groups?: readonly number[];
  /** The requested server name. */
  readonly serverName?: string;
}

/** The choice of a server. */
export interface Choice {
  readonly version: number;
  readonly cipher: number;
  /** The group of the key exchange; with DHE the length of its prime in bits. */
  readonly group: number;
}

export const TLS_1_0 = 0x0301;
export const TLS_1_1 = 0x0302;
export const TLS_1_2 = 0x0303;
export const TLS_1_3 = 0x0304;

/** TLS 1.2, certificates with an elliptic curve. */
export const AES128 = 0xc02b;
export const AES256 = 0xc02c;
export const CHACHA = 0xcca9;
/** TLS 1.0 and 1.1. */
const OLD_AES128 = 0xc009;
/** TLS 1.2, certificates with RSA. */
export const DHE_AES128 = 0x009e;
export const RSA_AES128 = 0xc02f;
/** TLS 1.3. */
export const TLS13_AES128 = 0x1301;
export const TLS13_AES256 = 0x1302;

export const P256 = 23;
export const P384 = 24;
export const X25519 = 29;

const u8 = (value: number) => Buffer.from([value]);
const u16 = (value: number) => Buffer.from([value >> 8, value & 255]);
const u24 = (value: number) => Buffer.from([value >> 16, (value >> 8) & 255, value & 255]);
const list16 = (values: readonly number[]) => Buffer.concat(values.map(u16));
const with8 = (data: Uint8Array) => Buffer.concat([u8(data.length), data]);
const with16 = (data: Uint8Array) => Buffer.concat([u16(data.length), data]);
const extension = (type: number, data: Uint8Array) => Buffer.concat([u16(type), with16(data)]);

function shareOf(group: number): Uint8Array {
  if (group === X25519) return randomBytes(32);
  return createECDH(group === P256 ? "prime256v1" : "secp384r1").generateKeys();
}

/** Returns the record of a ClientHello. */
export function clientHello(hello: Hello): Uint8Array {
  const { version, ciphers = defaultCiphers(version), groups = [X25519, P256, P384], serverName = "localhost" } = hello;
  const extensions = [
    extension(0, with16(Buffer.concat([u8(0), with16(Buffer.from(serverName))]))),
    extension(10, with16(list16(groups))),
    extension(11, with8(u8(0))),
  ];
  if (version >= TLS_1_2) extensions.push(extension(13, with16(list16([0x0403, 0x0503, 0x0804, 0x0805, 0x0401]))));
  if (version === TLS_1_3) {
    extensions.push(extension(43, with8(u16(TLS_1_3))));
    extensions.push(
      extension(51, with16(Buffer.concat(groups.map((group) => Buffer.concat([u16(group), with16(shareOf(group))]))))),
    );
  }
  const body = Buffer.concat([
    u16(Math.min(version, TLS_1_2)),
    randomBytes(32),
    with8(version === TLS_1_3 ? randomBytes(32) : Buffer.alloc(0)),
    with16(list16(ciphers)),
    with8(u8(0)),
    with16(Buffer.concat(extensions)),
  ]);
  const message = Buffer.concat([u8(1), u24(body.length), body]);
  return Buffer.concat([u8(22), u16(TLS_1_0), with16(message)]);
}

function defaultCiphers(version: number): number[] {
  return version === TLS_1_3 ? [TLS13_AES128] : version === TLS_1_2 ? [AES128, AES256, CHACHA] : [OLD_AES128];
}

/** Sends a ClientHello to 127.0.0.1, and reads until the server has chosen, sent an alert or closed. */
export function sayHello(port: number, hello: Hello): Promise<Choice | undefined> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => socket.write(clientHello(hello)));
    let data = Buffer.alloc(0);
    socket.on("data", (chunk: Uint8Array) => {
      data = Buffer.concat([data, chunk]);
      const choice = readChoice(data, hello.version);
      if (choice === undefined) return;
      resolve(choice === "alert" ? undefined : choice);
      socket.destroy();
    });
    socket.on("error", () => {}).on("close", () => resolve(undefined));
  });
}

/** Returns the choice of the server once it has arrived, or `alert`. */
function readChoice(data: Buffer, version: number): Choice | "alert" | undefined {
  let handshake = Buffer.alloc(0);
  for (let at = 0; at + 5 <= data.length;) {
    const end = at + 5 + data.readUInt16BE(at + 3);
    if (data[at] === 21) return "alert";
    if (data[at] === 22) handshake = Buffer.concat([handshake, data.subarray(at + 5, Math.min(end, data.length))]);
    at = end;
  }
  let chosen: Choice | undefined;
  for (let at = 0; at + 4 <= handshake.length;) {
    const end = at + 4 + handshake.readUIntBE(at + 1, 3);
    if (end > handshake.length) return undefined;
    const body = handshake.subarray(at + 4, end);
    if (handshake[at] === 2) {
      chosen = readServerHello(body);
      if (version === TLS_1_3) return chosen;
    } else if (handshake[at] === 12) { // ServerKeyExchange: a named curve, or a prime
      return { ...chosen!, group: body[0] === 3 ? body.readUInt16BE(1) : body.readUInt16BE(0) * 8 };
    }
    at = end;
  }
  return undefined;
}

function readServerHello(body: Buffer): Choice {
  let version = body.readUInt16BE(0);
  let group = 0;
  let at = 35 + body[34];
  const cipher = body.readUInt16BE(at);
  at += 5;
  while (at + 4 <= body.length) {
    const [type, length] = [body.readUInt16BE(at), body.readUInt16BE(at + 2)];
    if (type === 43) version = body.readUInt16BE(at + 4);
    if (type === 51) group = body.readUInt16BE(at + 4);
    at += 4 + length;
  }
  return { version, cipher, group };
}
