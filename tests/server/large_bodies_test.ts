// Bodies of 1 GiB, in and out: the server's memory stays where it was.

import { assert, assertEquals } from "@std/assert";
import { mkdirSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import * as net from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { inFolder } from "../support/folder.ts";
import { inThisRuntime, running } from "../support/program.ts";

const GIB = 2 ** 30;
/** What the server's memory may grow by, far below the size of a body. V8 lets some 64 MiB of bytes pile up before it frees them. */
const BOUND = 256 * 2 ** 20;

/** A server in a process of its own, with a folder that has a file of 1 GiB without content. */
function withLargeBodies(work: (port: number, uploads: string) => Promise<void>): Promise<void> {
  return inFolder(async (folder) => {
    const large = join(folder, "large");
    const uploads = join(folder, "uploads");
    mkdirSync(uploads);
    writeFileSync(large, "");
    truncateSync(large, GIB);
    const command = inThisRuntime(new URL("./large_bodies_program.ts", import.meta.url), uploads, large);
    await running(command, async (program) => await work(Number(await program.line()), uploads));
  });
}

/** Sends a request and reads the answer up to the end of the connection, keeping the first 64 KiB of it. */
function exchange(port: number, head: string, send: (socket: net.Socket) => void): Promise<{ text: string; size: number }> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1");
    let text = "";
    let size = 0;
    socket.on("data", (chunk: Uint8Array) => {
      if (size < 64 * 1024) text += new TextDecoder("latin1").decode(chunk);
      size += chunk.length;
    });
    socket.on("end", () => {
      resolve({ text, size });
      socket.end();
    });
    socket.on("error", reject);
    socket.write(`${head}Host: x\r\nConnection: close\r\n`);
    send(socket);
  });
}

const BLOCK = new TextEncoder().encode("0123456789abcdef".repeat(16 * 1024));

/** Sends a body of 1 GiB, always the same block of it, with something in front of it and behind it. */
function upload(port: number, path: string, fields: string, before = "", after = ""): Promise<{ text: string; size: number }> {
  const length = before.length + GIB + after.length;
  return exchange(port, `POST ${path} HTTP/1.1\r\n${fields}Content-Length: ${length}\r\n`, (socket) => {
    socket.write(`\r\n${before}`);
    let sent = 0;
    const more = () => {
      while (sent < GIB) {
        sent += BLOCK.length;
        if (!socket.write(BLOCK)) return;
      }
      socket.off("drain", more);
      socket.write(after);
    };
    socket.on("drain", more);
    more();
  });
}

const get = async (port: number, path: string) => {
  const { text } = await exchange(port, `GET ${path} HTTP/1.1\r\n`, (socket) => socket.write("\r\n"));
  return text.slice(text.indexOf("\r\n\r\n") + 4);
};

/** Does something, and tells how much more memory the server has had meanwhile. */
async function measured<Result>(port: number, work: () => Promise<Result>): Promise<[Result, number]> {
  await get(port, "/begin");
  const result = await work();
  return [result, Number(await get(port, "/memory"))];
}

function checkMemory(taken: number): void {
  assert(taken < BOUND, `The server has had ${Math.round(taken / 2 ** 20)} MiB more`);
}

test("1 GiB that is read as it arrives", { timeout: 120_000 }, () =>
  withLargeBodies(async (port) => {
    const [{ text }, taken] = await measured(port, () => upload(port, "/stream", ""));
    assert(text.endsWith(`\r\n\r\n${GIB}`), text);
    checkMemory(taken);
  }));

test("1 GiB as a file of a form", { timeout: 120_000 }, () =>
  withLargeBodies(async (port, uploads) => {
    const before = '--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n';
    const [{ text }, taken] = await measured(
      port,
      () => upload(port, "/form", "Content-Type: multipart/form-data; boundary=B\r\n", before, "\r\n--B--\r\n"),
    );
    const part = "0123456789abcdef";
    assertEquals(JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4)), [GIB, 0, true, part, part, part]);
    checkMemory(taken);
    while (readdirSync(uploads).length > 0) await get(port, "/begin");
  }));

test("1 GiB with sendfile()", { timeout: 120_000 }, () =>
  withLargeBodies(async (port) => {
    const [{ text, size }, taken] = await measured(
      port,
      () => exchange(port, "GET /file HTTP/1.1\r\n", (socket) => socket.write("\r\n")),
    );
    assert(text.includes(`Content-Length: ${GIB}\r\n`));
    assertEquals(size, text.indexOf("\r\n\r\n") + 4 + GIB);
    checkMemory(taken);
  }));
