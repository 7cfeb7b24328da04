// What adapters do with files.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { toArrayBuffer } from "@std/streams";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { join } from "node:path";
import { test } from "node:test";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import "../../adapters/auto.ts";
import { inFolder } from "../support/folder.ts";

test("a file is read from any place, with its size and the time of its last change", () =>
  inFolder(async (folder) => {
    const path = join(folder, "a");
    writeFileSync(path, "0123456789");
    const file = await (await loadRuntime()).openFile(path);
    assertEquals(file.size, 10);
    assertEquals(Math.floor(file.mtime), Math.floor(statSync(path).mtimeMs));
    const into = new Uint8Array(6);
    assertEquals(await file.read(2, into), 6);
    assertEquals(new TextDecoder().decode(into), "234567");
    assertEquals(await file.read(7, into), 3);
    assertEquals(new TextDecoder().decode(into.subarray(0, 3)), "789");
    assertEquals(await file.read(10, into), 0);
    await file.close();
  }));

test("what is no file is told by a code, without waiting", () =>
  inFolder(async (folder) => {
    const runtime = await loadRuntime();
    const refused = async (path: string) => (await assertRejects(() => runtime.openFile(path)) as { code?: string }).code;
    execFileSync("mkfifo", [join(folder, "pipe")], { env: { PATH: `${process.env.PATH}:/usr/bin:/bin` } });
    assertEquals(await refused(join(folder, "none")), "ENOENT");
    assertEquals(await refused(folder), "EISDIR");
    assertEquals(await refused(join(folder, "pipe")), "EINVAL");
    const unread = async (path: string) => (await assertRejects(() => runtime.readTextFile(path)) as { code?: string }).code;
    assertEquals([await unread(join(folder, "pipe")), await unread(folder)], ["EINVAL", "EISDIR"]);
  }));

test("a text file is written, appended to, read and removed", () =>
  inFolder(async (folder) => {
    const runtime = await loadRuntime();
    const path = join(folder, "a");
    await runtime.writeTextFile(path, "first, longer");
    await runtime.writeTextFile(path, "é");
    await runtime.appendTextFile(path, "2");
    assertEquals(readFileSync(path, "utf8"), "é2");
    assertEquals(await runtime.readTextFile(path), "é2");
    await runtime.removeFile(path);
    assert(!existsSync(path));
    await runtime.removeFile(path); // is no fault
  }));

test("a text file that is written again is read as a whole, keeps its permissions, and leaves nothing else", () =>
  inFolder(async (folder) => {
    const runtime = await loadRuntime();
    const [path, link] = [join(folder, "a"), join(folder, "link")];
    const texts = ["a", "b"].map((text) => text.repeat(300_000));
    await runtime.writeTextFile(path, texts[0]);
    chmodSync(path, 0o640);
    symlinkSync(path, link);
    let isWritten = false;
    const writing = (async () => {
      for (let i = 0; i < 50; i++) await runtime.writeTextFile(i % 2 === 0 ? path : link, texts[i % 2]);
      isWritten = true;
    })();
    let reads = 0;
    for (; !isWritten; reads++) assert(texts.includes(await readFile(path, "utf8")));
    await writing;
    assert(reads > 0);
    assertEquals([readdirSync(folder).sort(), statSync(path).mode & 0o777], [["a", "link"], 0o640]);

    const long = join(folder, "x".repeat(250)); // no room for a longer name beside it
    for (const text of ["first, longer", "second"]) {
      await runtime.writeTextFile(long, text);
      assertEquals([readFileSync(long, "utf8"), readdirSync(folder).length], [text, 3]);
    }
    const none = join(folder, "none", "a");
    assertEquals((await assertRejects(() => runtime.writeTextFile(none, "x")) as { code?: string }).code, "ENOENT");
  }));

test("a named pipe blocks nothing: without a reader it is an error, and while it is full it is tried again", () =>
  inFolder(async (folder) => {
    const runtime = await loadRuntime();
    const path = join(folder, "pipe");
    execFileSync("mkfifo", [path], { env: { PATH: `${process.env.PATH}:/usr/bin:/bin` } });
    // A blocked open would keep one of a few threads, and the process.
    for (let i = 0; i < 8; i++) {
      for (const write of [runtime.appendTextFile, runtime.writeTextFile]) {
        assertEquals((await assertRejects(() => write(path, "x")) as { code?: string }).code, "ENXIO");
      }
    }
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const awake = setInterval(() => {}, 1000); // a pipe that is full does not keep a process
    try {
      const text = "0123456789".repeat(30_000); // more than a pipe holds
      let isWritten = false;
      const written = runtime.appendTextFile(path, text).then(() => isWritten = true);
      await runtime.writeTextFile(join(folder, "a"), "other files go on");
      assertEquals(isWritten, false);
      const into = new Uint8Array(64 * 1024);
      let read = "";
      while (read.length < text.length) {
        try {
          read += new TextDecoder().decode(into.subarray(0, readSync(reader, into)));
        } catch (error) {
          assertEquals((error as { code?: string }).code, "EAGAIN");
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      }
      await written;
      assert(read === text);
    } finally {
      clearInterval(awake);
      closeSync(reader);
    }
  }));

const bytes = (text: string) => new TextEncoder().encode(text);

test("a file is written piece by piece, in place of what was there, or from an offset on", () =>
  inFolder(async (folder) => {
    const runtime = await loadRuntime();
    const path = join(folder, "a");
    for (const [options, expected] of [[{}, "onetwo"], [{ offset: 0 }, "onetwo"], [{ offset: 3 }, "oneonetwo"]] as const) {
      const file = await runtime.openForWriting(path, options);
      await file.write(bytes("one"));
      await file.write(bytes(""));
      await file.write(bytes("two"));
      await file.close();
      assertEquals(readFileSync(path, "utf8"), expected);
    }
    const file = await runtime.openForWriting(path);
    await file.close();
    assertEquals(statSync(path).size, 0);
    const nowhere = () => runtime.openForWriting(join(folder, "none", "a"));
    assertEquals((await assertRejects(nowhere) as { code?: string }).code, "ENOENT");
  }));

test("a new file is for this user only, and in the place of no other", () =>
  inFolder(async (folder) => {
    const runtime = await loadRuntime();
    const path = join(folder, "a");
    const file = await runtime.openForWriting(path, { isNew: true });
    await file.write(bytes("secret"));
    await file.close();
    if (process.platform !== "win32") assertEquals(statSync(path).mode & 0o777, 0o600);
    const refused = await assertRejects(() => runtime.openForWriting(path, { isNew: true })) as { code?: string };
    assertEquals([refused.code, readFileSync(path, "utf8")], ["EEXIST", "secret"]);
  }));

test("a file is moved, in place of another, and has the rights of a new one then", () =>
  inFolder(async (folder) => {
    const runtime = await loadRuntime();
    const [from, to, plain] = ["from", "to", "plain"].map((name) => join(folder, name));
    for (const place of [to, existsSync("/dev/shm") ? join("/dev/shm", `sluice-${process.pid}`) : to]) { // another disk, as a rule
      const file = await runtime.openForWriting(from, { isNew: true });
      await file.write(bytes("content"));
      await file.close();
      writeFileSync(place, "another");
      writeFileSync(plain, "");
      try {
        await runtime.moveFile(from, place);
        assertEquals([readFileSync(place, "utf8"), existsSync(from)], ["content", false]);
        assertEquals(statSync(place).mode, statSync(plain).mode);
      } finally {
        rmSync(place, { force: true });
      }
    }
    assertEquals((await assertRejects(() => runtime.moveFile(from, to)) as { code?: string }).code, "ENOENT");
  }));

test("the content of a file is a Blob, and may be a part of another one", () =>
  inFolder(async (folder) => {
    const path = join(folder, "a");
    const content = Uint8Array.from({ length: 200_000 }, (_, i) => i % 251);
    writeFileSync(path, content);
    const blob = await (await loadRuntime()).fileBlob(path);
    const file = new File([blob], "a.bin", { type: "image/x" });
    for (const whole of [blob, file]) {
      assertEquals(whole.size, content.length);
      assertEquals(new Uint8Array(await whole.arrayBuffer()), content);
      assertEquals(new Uint8Array(await toArrayBuffer(whole.stream())), content);
      assertEquals(new Uint8Array(await new Response(whole).arrayBuffer()), content);
      for (const [start, end] of [[0, 5], [70_000, 140_001], [-5, undefined], [199_999, 300_000], [5, 2], [-9, -2]]) {
        const part = whole.slice(start, end);
        assertEquals(part.size, content.slice(start, end).length);
        assertEquals(new Uint8Array(await part.arrayBuffer()), content.slice(start, end));
        assertEquals(new Uint8Array(await part.slice(1, 3).arrayBuffer()), content.slice(start, end).slice(1, 3));
      }
    }
    assertEquals((await file.text()).length, new TextDecoder().decode(content).length);
    await file.stream().cancel();
    const form = new FormData();
    form.append("a", file);
    assertEquals((await new Response(form).arrayBuffer()).byteLength > content.length, true);
    rmSync(path);
    await assertRejects(() => file.arrayBuffer());
    writeFileSync(path, "");
    assertEquals((await (await loadRuntime()).fileBlob(path)).size, 0);
  }));

test("the number of the process is known", async () => {
  assertEquals((await loadRuntime()).pid, process.pid);
});
