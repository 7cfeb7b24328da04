// Media types that a program adds: Swoole's `swoole_mime_type_*()`.

import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  HttpServer,
  swooleMimeTypeAdd,
  swooleMimeTypeDelete,
  swooleMimeTypeExists,
  swooleMimeTypeGet,
  swooleMimeTypeList,
  swooleMimeTypeSet,
} from "../../mod.ts";
import { inFolder } from "../support/folder.ts";
import { serving } from "../support/serving.ts";

/** Runs a test, and leaves the media types as they were. */
async function keeping(work: () => void | Promise<void>): Promise<void> {
  const before = swooleMimeTypeList();
  try {
    await work();
  } finally {
    for (const suffix of Object.keys(swooleMimeTypeList())) if (!(suffix in before)) swooleMimeTypeDelete(suffix);
    for (const [suffix, type] of Object.entries(before)) swooleMimeTypeSet(suffix, type);
  }
}

test("a media type is added, replaced, and deleted", () =>
  keeping(() => {
    assertEquals([swooleMimeTypeGet("/a.b/test.moc"), swooleMimeTypeExists("test.moc")], ["application/octet-stream", false]);
    assertEquals([swooleMimeTypeGet("moc"), swooleMimeTypeExists("moc")], ["application/octet-stream", false]);
    assert(swooleMimeTypeAdd("moc", "application/x-mocha"));
    assertFalse(swooleMimeTypeAdd("MOC", "application/x-other"));
    assertEquals([swooleMimeTypeGet("dir/TEST.MOC"), swooleMimeTypeExists("test.moc")], ["application/x-mocha", true]);
    assert(swooleMimeTypeSet(".moc", "text/x-mocha"));
    assertEquals(swooleMimeTypeGet("test.moc"), "text/x-mocha");
    assert(swooleMimeTypeDelete("moc"));
    assertFalse(swooleMimeTypeDelete("moc"));
    assertEquals(swooleMimeTypeGet("test.moc"), "application/octet-stream");
    assertFalse(swooleMimeTypeAdd("html", "text/plain"));
    assertEquals(swooleMimeTypeGet("index.html"), "text/html; charset=utf-8");
  }));

test("the list is a copy", () =>
  keeping(() => {
    swooleMimeTypeAdd("moc", "application/x-mocha");
    const list = swooleMimeTypeList();
    assertEquals([list.moc, list.png, list.html], ["application/x-mocha", "image/png", "text/html; charset=utf-8"]);
    delete list.png;
    assertEquals(swooleMimeTypeGet("a.png"), "image/png");
  }));

test("what is no extension or no media type is refused", () => {
  for (const suffix of ["", ".", "a.b", "a/b", "a b", 5 as unknown as string]) {
    for (const work of [swooleMimeTypeAdd, swooleMimeTypeSet]) {
      assertThrows(() => work(suffix, "text/plain"), TypeError, "is no extension of a file's name");
    }
    assertThrows(() => swooleMimeTypeDelete(suffix), TypeError, "is no extension of a file's name");
  }
  for (const type of ["", "text", "text/", "/plain", "text/plain\r\nX: y", "text/ä€", 5 as unknown as string]) {
    for (const work of [swooleMimeTypeAdd, swooleMimeTypeSet]) {
      assertThrows(() => work("moc", type), TypeError, "is no type, such as");
    }
  }
  assertFalse(swooleMimeTypeExists("test.moc"));
});

test("static files and sendfile() are sent with the type of the program, as it is", () =>
  keeping(() =>
    inFolder(async (folder) => {
      writeFileSync(join(folder, "test.moc"), "hello");
      swooleMimeTypeAdd("moc", "text/x-mocha");
      const server = new HttpServer("127.0.0.1", 0);
      server.set({ enable_static_handler: true, document_root: folder });
      server.on("request", (_request, response) => response.sendfile(join(folder, "test.moc")));
      await serving(server, async (_server, port) => {
        for (const path of ["/test.moc", "/other"]) {
          const response = await fetch(`http://127.0.0.1:${port}${path}`);
          assertEquals([response.headers.get("content-type"), await response.text()], ["text/x-mocha", "hello"]);
        }
      });
    })
  ));
