/**
 * A TLS 1.2 client that can present any bytes as its certificate, and sign with any key or with random bytes, which no TLS
 * library allows. RFC 5246, with ECDHE_ECDSA and AES_128_GCM (RFC 5289) over P-256.
 *
 * @module
 */

import {
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHash,
  createHmac,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto";
import net from "node:net";
import { AES128, clientHello, P256, TLS_1_2 } from "./client_hello.ts";

const u16 = (value: number) => Buffer.from([value >> 8, value & 255]);
const u24 = (value: number) => Buffer.from([value >> 16, (value >> 8) & 255, value & 255]);
const message = (type: number, body: Uint8Array) => Buffer.concat([Buffer.from([type]), u24(body.length), body]);
const record = (type: number, data: Uint8Array) => Buffer.concat([Buffer.from([type]), u16(TLS_1_2), u16(data.length), data]);
const hmac = (key: Uint8Array, data: Uint8Array) => createHmac("sha256", key).update(data).digest();

/** Computes the pseudorandom function (RFC 5246 section 5). */
function expand(secret: Uint8Array, label: string, seed: Uint8Array, length: number): Buffer {
  const start = Buffer.concat([Buffer.from(label), seed]);
  const parts: Buffer[] = [];
  for (let a = hmac(secret, start); parts.length * 32 < length; a = hmac(secret, a)) {
    parts.push(hmac(secret, Buffer.concat([a, start])));
  }
  return Buffer.concat(parts).subarray(0, length);
}

/**
 * Performs a handshake with a forged certificate and sends a request.
 *
 * @param certificate The certificate to present, DER or not.
 * @param key The key to sign with; without it the signature is invalid.
 * @returns The body of the response, if there is one.
 */
export function forge(port: number, certificate: Uint8Array, key?: KeyObject): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    const hello = clientHello({ version: TLS_1_2, ciphers: [AES128], groups: [P256] });
    const transcript: Uint8Array[] = [hello.subarray(5)];
    let [data, handshake] = [Buffer.alloc(0), Buffer.alloc(0)];
    let serverRandom: Uint8Array, point: Uint8Array, keys: Uint8Array;
    let [sealed, text] = [-1, ""]; // the number of sealed records received since ChangeCipherSpec

    const onMessage = (type: number, body: Buffer) => {
      if (type === 2) serverRandom = body.subarray(2, 34);
      if (type === 12) point = body.subarray(4, 4 + body[3]); // ServerKeyExchange: a named curve, its point
      if (type === 14) answer(); // ServerHelloDone
    };

    const answer = () => {
      const ecdh = createECDH("prime256v1");
      const own = ecdh.generateKeys();
      const clientRandom = hello.subarray(11, 43);
      const master = expand(ecdh.computeSecret(point), "master secret", Buffer.concat([clientRandom, serverRandom]), 48);
      keys = expand(master, "key expansion", Buffer.concat([serverRandom, clientRandom]), 40);
      const list = Buffer.concat([u24(certificate.length), certificate]);
      const flight = [
        message(11, Buffer.concat([u24(list.length), list])),
        message(16, Buffer.concat([Buffer.from([own.length]), own])),
      ];
      const signed = Buffer.concat([...transcript, ...flight]);
      const signature = key === undefined ? randomBytes(64) : sign("sha256", signed, key);
      flight.push(message(15, Buffer.concat([u16(0x0403), u16(signature.length), signature])));
      const all = Buffer.concat([...transcript, ...flight]);
      const finished = message(20, expand(master, "client finished", createHash("sha256").update(all).digest(), 12));

      let sequence = 0;
      const seal = (type: number, plain: Uint8Array) => {
        const number = Buffer.alloc(8);
        number[7] = sequence++;
        const cipher = createCipheriv("aes-128-gcm", keys.subarray(0, 16), Buffer.concat([keys.subarray(32, 36), number]));
        cipher.setAAD(Buffer.concat([number, Buffer.from([type]), u16(TLS_1_2), u16(plain.length)]));
        const secret = Buffer.concat([cipher.update(plain), cipher.final()]);
        return record(type, Buffer.concat([number, secret, cipher.getAuthTag()]));
      };
      socket.write(Buffer.concat([
        record(22, Buffer.concat(flight)),
        record(20, Buffer.from([1])), // ChangeCipherSpec
        seal(22, finished),
        seal(23, Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")),
      ]));
    };

    const open = (body: Buffer) => {
      const aad = Buffer.alloc(13);
      aad.writeUInt32BE(sealed, 4);
      aad.set([23, ...u16(TLS_1_2), ...u16(body.length - 24)], 8);
      const decipher = createDecipheriv(
        "aes-128-gcm",
        keys.subarray(16, 32),
        Buffer.concat([keys.subarray(36, 40), body.subarray(0, 8)]),
      );
      decipher.setAAD(aad).setAuthTag(body.subarray(-16));
      return Buffer.concat([decipher.update(body.subarray(8, -16)), decipher.final()]).toString();
    };

    socket.on("connect", () => void socket.write(hello)).on("error", () => {}).on(
      "close",
      () => resolve(text.split("\r\n\r\n")[1]),
    );
    socket.on("data", (chunk: Uint8Array) => {
      data = Buffer.concat([data, chunk]);
      while (data.length >= 5 && data.length >= 5 + data.readUInt16BE(3)) {
        const [type, end] = [data[0], 5 + data.readUInt16BE(3)];
        if (type === 22 && sealed < 0) handshake = Buffer.concat([handshake, data.subarray(5, end)]);
        if (type === 23) text += open(data.subarray(5, end));
        if (type === 20 || sealed >= 0) sealed++;
        data = data.subarray(end);
        while (handshake.length >= 4 && handshake.length >= 4 + handshake.readUIntBE(1, 3)) {
          const size = 4 + handshake.readUIntBE(1, 3);
          transcript.push(handshake.subarray(0, size));
          const [kind, body] = [handshake[0], handshake.subarray(4, size)];
          handshake = handshake.subarray(size);
          onMessage(kind, body);
        }
      }
    });
  });
}
