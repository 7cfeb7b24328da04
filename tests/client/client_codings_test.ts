/** Content codings that `HttpClient` undoes: the same in all runtimes, whole and while the body arrives. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { answering } from "./client_servers.ts";

const LONG = "0123456789abcdef".repeat(20_000);
const join = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
const zeros = (count: number) => new Uint8Array(count);
const changed = (bytes: Uint8Array, at: number) => bytes.map((byte, index) => index === bytes.length + at ? byte ^ 1 : byte);

/** What servers send, and what it is; `undefined` for what is broken. */
const cases: [string, coding: string, body: Uint8Array, content: string | undefined][] = [
  ["one member", "gzip", gzipSync(LONG), LONG],
  ["two members", "gzip", join(gzipSync("first, "), gzipSync("second")), "first, second"],
  ["members that are empty", "gzip", join(gzipSync(""), gzipSync("x"), gzipSync(""), gzipSync(LONG)), "x" + LONG],
  ["padding behind the last member", "X-GZIP", join(gzipSync("x"), zeros(20)), "x"],
  ["nothing", "gzip", zeros(0), ""],
  ["a content of nothing", "gzip", gzipSync(""), ""],
  ["a member that is cut off", "gzip", gzipSync(LONG).subarray(0, -3), undefined],
  ["a second member that is cut off", "gzip", join(gzipSync("x"), gzipSync(LONG).subarray(0, 12)), undefined],
  ["a second member of one byte", "gzip", join(gzipSync("x"), Uint8Array.of(31)), undefined],
  ["something else behind the member", "gzip", join(gzipSync("x"), Buffer.from("something")), undefined],
  ["a wrong checksum", "gzip", changed(gzipSync("x"), -6), undefined],
  ["a wrong length", "gzip", changed(gzipSync("x"), -1), undefined],
  ["one byte of gzip", "gzip", Uint8Array.of(31), undefined],
  ["no gzip", "gzip", new TextEncoder().encode("plain text"), undefined],
  ["zlib", "deflate", deflateSync(LONG), LONG],
  ["zlib without a content", "deflate", deflateSync(""), ""],
  ["zlib that is cut off", "deflate", deflateSync(LONG).subarray(0, -2), undefined],
  ["zlib with a wrong checksum", "deflate", changed(deflateSync(LONG), -1), undefined],
  ["zlib with something behind it", "deflate", join(deflateSync("x"), zeros(3)), undefined],
  ["bare deflate", "deflate", deflateRawSync(LONG), LONG],
  ["bare deflate of two bytes", "deflate", deflateRawSync(""), ""],
  ["bare deflate that is cut off", "deflate", deflateRawSync(LONG).subarray(0, -2), undefined],
  ["bare deflate with something behind it", "deflate", join(deflateRawSync("x"), zeros(3)), undefined],
  ["no deflate", "deflate", new TextEncoder().encode("plain text"), undefined],
  ["one byte of deflate", "deflate", Uint8Array.of(0x78), undefined],
  ["Brotli", "br", brotliCompressSync(LONG), LONG],
  ["Brotli that is cut off", "br", brotliCompressSync(LONG).subarray(0, -2), undefined],
  ["Brotli with something behind it", "br", join(brotliCompressSync("x"), zeros(3)), undefined],
];

for (const [name, coding, body, content] of cases) {
  test(`${coding}: ${name} is ${content === undefined ? "an error" : "undone"}`, async () => {
    const head = `HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\nTransfer-Encoding: chunked\r\n\r\n`;
    const chunks = (size: number) => {
      const parts: Uint8Array[] = [Buffer.from(head)];
      for (let at = 0; at < body.length; at += size) {
        const piece = body.subarray(at, at + size);
        parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n"));
      }
      return join(...parts, Buffer.from("0\r\n\r\n"));
    };
    for (const size of [1, 1_000_000]) {
      await answering(chunks(size), async (port) => {
        const client = new HttpClient("127.0.0.1", port);
        const whole = await client.get("/");
        assertEquals([whole, client.statusCode, client.errCode], content === undefined ? [false, 200, 7102] : [true, 200, 0]);
        if (content !== undefined) assertEquals(client.body === content, true);
        else assertStringIncludes(client.errMsg, "body is broken");
        let taken = "";
        const decoder = new TextDecoder();
        client.set({ write_func: (_client, data) => void (taken += decoder.decode(data, { stream: true })) });
        assertEquals(await client.get("/"), content !== undefined);
        if (content !== undefined) assertEquals(taken === content, true);
        client.close();
      });
    }
  });
}
