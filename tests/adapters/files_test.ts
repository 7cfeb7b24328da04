// What adapters do with files.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import process from "node:process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loadRuntime } from "../../src/runtime.ts";
import "../../adapters/auto.ts";

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-"));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

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
    execFileSync("mkfifo", [join(folder, "pipe")]);
    assertEquals(await refused(join(folder, "none")), "ENOENT");
    assertEquals(await refused(folder), "EISDIR");
    assertEquals(await refused(join(folder, "pipe")), "EINVAL");
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

test("the number of the process is known", async () => {
  assertEquals((await loadRuntime()).pid, process.pid);
});
