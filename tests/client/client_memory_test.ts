/** Whose memory is whose: what `HttpClient` gives a program is the program's, and what the program gives is never sent short. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import type net from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { deflateSync, gzipSync } from "node:zlib";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { inFolder } from "../support/folder.ts";
import { answering, serverFor } from "./client_servers.ts";

const transfer = (bytes: Uint8Array) => void structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });

/** A chunked body of so many bytes in chunks of one. */
function crumbs(size: number): string {
  return `${"1\r\nx\r\n".repeat(size)}0\r\n\r\n`;
}

const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";

test("a body in chunks of one byte reaches write_func in few pieces, also while it works", async () => {
  await answering(`${CHUNKED}\r\n${crumbs(200_000)}`, async (port) => {
    for (const slow of [false, true]) {
      const client = new HttpClient("127.0.0.1", port);
      let pieces = 0;
      let size = 0;
      client.set({
        write_func: async (_client, data) => {
          pieces++;
          size += data.length;
          if (slow) await new Promise((resolve) => setTimeout(resolve, 1));
        },
      });
      assertEquals([await client.get("/"), size], [true, 200_000]);
      assert(pieces < 2_000, `${pieces} pieces`);
      client.close();
    }
  });
});

test("a program may change and transfer what it was given of a body, and nothing else changes", async () => {
  const text = "0123456789".repeat(20_000);
  const plain = `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
  const coded = (coding: string, body: Uint8Array) => {
    const head = `HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\nContent-Length: ${body.length}\r\n\r\n`;
    return new Uint8Array([...new TextEncoder().encode(head), ...body]);
  };
  for (const response of [plain, coded("gzip", gzipSync(text)), coded("deflate", deflateSync(text))]) {
    await answering(response, async (port) => {
      const client = new HttpClient("127.0.0.1", port);
      let got = "";
      const take = (_client: unknown, data: Uint8Array) => {
        assertEquals([data.byteOffset, data.buffer.byteLength], [0, data.length]); // no view of what others use
        got += new TextDecoder().decode(data);
        data.fill(0);
        transfer(data);
      };
      client.set({ write_func: take });
      for (let i = 0; i < 2; i++) {
        got = "";
        assertEquals([await client.get("/"), got === text], [true, true]);
      }
      client.set({ write_func: null });
      for (let i = 0; i < 2; i++) {
        assertEquals([await client.get("/"), client.bytes.length], [true, text.length]);
        client.bytes.fill(0);
        transfer(client.bytes);
      }
      client.close();
    });
  }
});

/** Collects the bodies of requests with a length, and keeps the first one waiting until `go()`. */
async function collecting(work: (port: number, bodies: string[], go: () => void) => Promise<void>): Promise<void> {
  const bodies: string[] = [];
  const first: net.Socket[] = [];
  await serverFor((socket, index) => {
    if (index === 0) first.push(socket.pause());
    let pending: Buffer[] = [];
    let needed = 0; // bytes of head and body; 0: the head is not complete
    let size = 0;
    socket.on("data", (chunk) => {
      pending.push(chunk);
      size += chunk.length;
      if (needed === 0) {
        const text = Buffer.concat(pending).toString("latin1");
        const end = text.indexOf("\r\n\r\n") + 4;
        if (end < 4) return;
        needed = end + Number(/^Content-Length: (.*)$/m.exec(text)?.[1] ?? 0);
      }
      if (size < needed) return;
      const text = Buffer.concat(pending).toString("latin1");
      bodies.push(text.slice(text.indexOf("\r\n\r\n") + 4));
      pending = [];
      needed = size = 0;
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    if (index === 0) socket.pause();
    socket.on("end", () => {
      if (size > 0) bodies.push(`cut off: ${Buffer.concat(pending).toString("latin1").slice(-10)}`);
      socket.end();
    });
  }, (port) => work(port, bodies, () => first[0].resume()));
}

const SIZES = [10, 100_000, 20 * 1024 * 1024];

test("an empty body is the program's own too", async () => {
  await answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", async (port) => {
    const client = new HttpClient("127.0.0.1", port);
    transfer(client.bytes);
    for (let i = 0; i < 2; i++) {
      assertEquals([await client.get("/"), client.bytes.length, client.body], [true, 0, ""]);
      transfer(client.bytes);
    }
    client.close();
    transfer(new HttpClient("127.0.0.1", port).bytes);
  });
});

test("bytes that are transferred between setData() or addData() and the request: it fails, and nothing is sent", async () => {
  await answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", async (port, requests) => {
    for (const size of SIZES) {
      for (const give of ["setData", "addData"] as const) {
        const client = new HttpClient("127.0.0.1", port);
        const bytes = new Uint8Array(size);
        if (give === "setData") client.setData(bytes);
        else client.addData(bytes, "file");
        transfer(bytes);
        assertEquals([await client.execute("/"), client.statusCode, client.errCode], [false, -4, 22]);
        assertStringIncludes(client.errMsg, "transferred");
        assertEquals([await client.get("/"), client.statusCode], [true, 200]); // the client goes on
        client.close();
      }
    }
    assertEquals(requests().includes("POST"), false);
  });
});

test("bytes that are transferred while they are sent: the request fails and is cut off", async () => {
  await collecting(async (port, bodies, go) => {
    const client = new HttpClient("127.0.0.1", port);
    client.set({ timeout: 60 });
    const bytes = new Uint8Array(20 * 1024 * 1024).fill(120);
    const posting = client.post("/", bytes);
    while (!client.connected) await new Promise((resolve) => setTimeout(resolve, 5));
    transfer(bytes);
    go();
    assertEquals([await posting, client.statusCode, client.errCode, client.connected], [false, -4, 22, false]);
    assertEquals(bodies.filter((body) => !body.startsWith("cut off")), []);
  });
});

test("with defer the bytes are the program's again when the call returns", async () => {
  for (const size of SIZES) {
    for (const give of ["setData", "addData"] as const) {
      await collecting(async (port, bodies, go) => {
        const client = new HttpClient("127.0.0.1", port);
        client.set({ timeout: 60 });
        client.setDefer();
        const bytes = new Uint8Array(size).fill(120);
        if (give === "setData") client.setData(bytes);
        else client.addData(bytes, "file");
        const sending = client.execute("/");
        bytes.fill(0);
        transfer(bytes);
        while (!client.connected) await new Promise((resolve) => setTimeout(resolve, 5));
        await new Promise((resolve) => setTimeout(resolve, 20));
        go();
        assertEquals([await sending, await client.recv(), client.statusCode], [true, true, 200]);
        assertEquals([bodies.length, bodies[0].includes("\0"), bodies[0].includes("x".repeat(10))], [1, false, true]);
        client.close();
      });
    }
  }
});

test("a server that goes is noticed while write_func or a file is busy with what came before", () =>
  inFolder(async (folder) => {
    const goes: ((socket: net.Socket) => void)[] = [(socket) => socket.end(), (socket) => socket.resetAndDestroy()];
    for (const go of goes) {
      let leave = () => {};
      const left = new Promise<void>((resolve) => leave = resolve);
      await serverFor((socket) => {
        socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nsome of it"));
        left.then(() => go(socket));
      }, async (port) => {
        const client = new HttpClient("127.0.0.1", port);
        let got = "";
        let wasConnected = true;
        client.set({
          write_func: async (_client, data) => {
            got += new TextDecoder().decode(data);
            leave();
            const until = performance.now() + 20_000;
            while (client.connected && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 5));
            wasConnected = client.connected;
          },
        });
        assertEquals([await client.get("/"), client.statusCode, client.errCode], [false, -3, 104]);
        assertEquals([got, wasConnected], ["some of it", false]);
      });
      const file = join(folder, "file");
      await serverFor((socket) => {
        socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nsome of it", () => go(socket)));
      }, async (port) => {
        const client = new HttpClient("127.0.0.1", port);
        assertEquals([await client.download("/", file), client.statusCode, client.errCode], [false, -3, 104]);
        assert("some of it".startsWith(readFileSync(file, "utf8")));
      });
    }
  }));
