/** Files that `HttpClient` sends: `addFile()`, `addData()`. */

import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { createHash } from "node:crypto";
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { join as joinPath } from "node:path";
import { test } from "node:test";
import { HttpClient, HttpServer } from "../../src/coroutine/mod.ts";
import type { Runtime } from "../../src/transport/runtime.ts";
import { loadRuntime, setRuntime } from "../../src/transport/current_runtime.ts";
import { inFolder } from "../support/folder.ts";
import { known } from "../support/known_fields.ts";
import { settle } from "../support/memory_client.ts";
import type { RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { answered, ok, requestOf, scripted, serverOf } from "./client_stage.ts";

/** Bytes that differ from place to place. */
function pattern(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at++) bytes[at] = (at * 31 + (at >> 8) * 7) & 255;
  return bytes;
}

const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** A boundary of `request`, and the request with another one. */
function withBoundary(request: string): string {
  const boundary = /boundary=(\S+)/.exec(request)![1];
  assert(boundary.length >= 20, boundary);
  assertEquals(
    request.includes(`Content-Length: ${request.split("\r\n\r\n").slice(1).join("\r\n\r\n").length}\r\n`),
    true,
    request,
  );
  return request.replaceAll(boundary, "B").replace(/Content-Length: \d+/, "Content-Length: N");
}

test("fields and files are one form, in order, with a known length", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "notes.txt");
    writeFileSync(path, "0123456789");
    const it = scripted();
    const { client } = it;
    assertEquals(await client.addFile(path, "whole"), true);
    assertEquals(await client.addFile(path, "part", "a/b", "p.bin", 2, 5), true);
    assertEquals(await client.addFile(path, "rest", "", "rest.bin", 8), true);
    assertEquals(client.addData("text", "data"), true);
    assertEquals(client.addData(Uint8Array.of(65, 66), "more", "c/d", "m.bin"), true);
    assertEquals(client.uploadFiles.map(({ name, size, offset }) => [name, size, offset]), [
      ["whole", 10, 0],
      ["part", 5, 2],
      ["rest", 2, 8],
      ["data", 4, 0],
      ["more", 2, 0],
    ]);
    const asking = client.post("/upload", { title: "A title", empty: "" });
    while (!it.lane.text.endsWith("--\r\n")) await new Promise((resolve) => setTimeout(resolve, 1));
    const request = await requestOf(it.lane);
    it.lane.receive(ok("done"));
    assertEquals([await asking, client.body], [true, "done"]);
    const file = (name: string, filename: string, type: string, content: string) =>
      `--B\r\nContent-Disposition: form-data; name="${name}"; filename="${filename}"\r\nContent-Type: ${type}\r\n\r\n${content}\r\n`;
    const type = "text/plain; charset=utf-8";
    assertEquals(
      withBoundary(request),
      "POST /upload HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive\r\nAccept-Encoding: gzip, deflate, br\r\n" +
        "Content-Type: multipart/form-data; boundary=B\r\nContent-Length: N\r\n\r\n" +
        '--B\r\nContent-Disposition: form-data; name="title"\r\n\r\nA title\r\n' +
        '--B\r\nContent-Disposition: form-data; name="empty"\r\n\r\n\r\n' +
        file("whole", "notes.txt", type, "0123456789") + file("part", "p.bin", "a/b", "23456") +
        file("rest", "rest.bin", type, "89") + file("data", "data", "application/octet-stream", "text") +
        file("more", "m.bin", "c/d", "AB") + "--B--\r\n",
    );
    // They were for one request; the next one has none.
    const { request: next } = await answered(it, ok("x"), (client) => client.post("/", { a: "b" }));
    assertStringIncludes(next, "\r\n\r\na=b");
  }));

test("what would end a name is escaped; a type that cannot be sent is refused, as is a body beside files", async () => {
  const it = scripted();
  it.client.addData("x", 'a"\r\nb', "t/t", 'ü".txt');
  const { request } = await answered(it, ok(), (client) => client.execute("/"));
  const name = String.fromCharCode(...new TextEncoder().encode("ü"));
  assertStringIncludes(request, `name="a%22%0D%0Ab"; filename="${name}%22.txt"\r\n`);
  assert(request.startsWith("POST / "));
  assertThrows(() => it.client.addData("x", "a", "t/t\r\nX: y"), TypeError, "type");
  it.client.addData("x", "a");
  await assertRejects(() => it.client.post("/", "text"), TypeError, "fields of a form");
});

test("get() and upgrade() drop files, and the program's Content-Type does not replace that of the form", async () => {
  const it = scripted();
  it.client.addData("x", "a");
  const { request } = await answered(it, ok());
  assertEquals([request.startsWith("GET / "), request.endsWith("\r\n\r\n"), it.client.uploadFiles], [true, true, []]);
  it.client.setHeaders({ "content-type": "text/plain" });
  it.client.addData("x", "a");
  const { request: form } = await answered(it, ok(), (client) => client.post("/", {}));
  assertEquals(form.match(/content-type: [^;\r]*/gi)?.[0], "Content-Type: multipart/form-data");
});

test("addFile() is false for what is no file, and for a part that it has not; RangeError for what is no number", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "a");
    writeFileSync(path, "0123456789");
    const client = new HttpClient("example.com");
    assertEquals([await client.addFile(joinPath(folder, "none"), "a"), client.errCode], [false, 2]);
    assertStringIncludes(client.errMsg, "No such file or directory");
    assertEquals([await client.addFile(folder, "a"), client.errCode], [false, 21]);
    for (
      const [offset, length, expected] of [[0, 10, true], [0, 11, false], [10, 0, true], [11, 0, false], [4, 6, true], [
        4,
        7,
        false,
      ]]
    ) {
      assertEquals(await client.addFile(path, "a", "", "", offset as number, length as number), expected, `${offset} ${length}`);
      if (!expected) assertEquals(client.errCode, 505);
    }
    await assertRejects(() => client.addFile(path, "a", "", "", -1), RangeError, "-1");
    await assertRejects(() => client.addFile(path, "a", "", "", 0, 0.5), RangeError, "0.5");
    assertEquals(client.uploadFiles.length, 3);
  }));

test("a request waits for files that nobody has waited for", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "a");
    writeFileSync(path, "content");
    const server = new HttpServer("127.0.0.1");
    server.set({ http_parse_files: true });
    server.handle("/", async (request, response) => {
      response.end(`${request.post.b} ${await known(request.files).a.text()}`);
    });
    await serving(server, async (server) => {
      const client = new HttpClient("127.0.0.1", server.port);
      client.addFile(path, "a");
      assertEquals([await client.post("/", { b: "c" }), client.body], [true, "c content"]);
      client.close();
    });
  }));

test("a file of 64 MiB arrives whole", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "large");
    const content = pattern(64 * 1024 * 1024);
    writeFileSync(path, content);
    let received = "";
    const takes = async (peer: RawClient) => {
      const head = await peer.readHead();
      let left = Number(/content-length: (\d+)/i.exec(head)![1]);
      const boundary = /boundary=(\S+)/.exec(head)![1];
      const opening = await peer.readHead(); // of the part
      const tail = `\r\n--${boundary}--\r\n`.length;
      left -= opening.length + tail;
      assertEquals(left, content.length);
      const digest = createHash("sha256");
      while (left > 0) {
        const piece = await peer.read(Math.min(left, 1024 * 1024));
        digest.update(piece);
        left -= piece.length;
      }
      assertEquals(new TextDecoder().decode(await peer.read(tail)), `\r\n--${boundary}--\r\n`);
      received = digest.digest("hex");
      peer.send(ok("thanks"));
    };
    await serverOf([takes], async (port) => {
      const client = new HttpClient("127.0.0.1", port);
      await client.addFile(path, "large");
      assertEquals([await client.post("/", {}), client.body, received], [true, "thanks", hash(content)]);
      client.close();
    });
  }));

/** Runs a test with a runtime that counts what is read of files, and closes. */
async function countingReads(work: (count: { read: number; open: number }) => Promise<void>): Promise<void> {
  const runtime = await loadRuntime();
  const count = { read: 0, open: 0 };
  const counting: Runtime = {
    ...runtime,
    async openFile(path) {
      const file = await runtime.openFile(path);
      count.open++;
      return {
        size: file.size,
        mtime: file.mtime,
        async read(at, into) {
          const size = await file.read(at, into);
          count.read += size;
          return size;
        },
        close() {
          count.open--;
          return file.close();
        },
      };
    },
  };
  setRuntime(counting);
  try {
    await work(count);
  } finally {
    setRuntime(undefined);
  }
}

/** Waits until nothing has been read for a while of turns. */
async function untilQuiet(count: { read: number }): Promise<void> {
  for (let quiet = 0, last = -1; quiet < 20; quiet = last === count.read ? quiet + 1 : 0) {
    last = count.read;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

test("of a file for a server that does not read there are two pieces in memory", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "large");
    writeFileSync(path, pattern(1024 * 1024));
    await countingReads(async (count) => {
      const it = scripted();
      await it.client.addFile(path, "a");
      it.lane.takes = false;
      const asking = it.client.post("/", {});
      await untilQuiet(count);
      assert(count.read <= 2 * 65536, `${count.read}`);
      for (let drains = 1; count.read < 1024 * 1024; drains++) {
        it.lane.sink.onDrain();
        await untilQuiet(count);
        assert(count.read <= (drains + 2) * 65536, `${count.read} after ${drains}`);
      }
      // The answer comes before all of it was taken: nothing more is sent, and the connection is not used again.
      it.lane.receive(ok("enough"));
      assertEquals([await asking, it.client.body, it.client.connected], [true, "enough", false]);
      it.lane.sink.onDrain();
      await untilQuiet(count);
      assertEquals(count.open, 0);
    });
  }));

test("a server that answers and closes while a file is sent: its answer counts, and the file is closed", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "large");
    writeFileSync(path, pattern(4 * 1024 * 1024));
    await countingReads(async (count) => {
      const it = scripted();
      await it.client.addFile(path, "a");
      it.lane.takes = false;
      const asking = it.client.post("/", {});
      await untilQuiet(count);
      it.lane.receive("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      assertEquals([await asking, it.client.statusCode], [true, 413]);
      it.lane.sink.onClose();
      await untilQuiet(count);
      assertEquals(count.open, 0);
      assert(count.read < 1024 * 1024);
    });
  }));

test("a file that has become shorter, or is gone, fails the request with -4, and the connection is dropped", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "a");
    const change = [() => truncateSync(path, 5), () => rmSync(path)];
    for (const [index, code] of [[0, 5], [1, 2]]) {
      writeFileSync(path, "0123456789");
      const it = scripted();
      await it.client.addFile(path, "a");
      change[index]();
      assertEquals([await it.client.post("/", {}), it.client.statusCode, it.client.errCode], [false, -4, code]);
      assertEquals([it.lane.aborted, it.client.connected], [true, false]);
    }
  }));

test("an upload is not late while the server takes it; one that stands still is", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "a");
    writeFileSync(path, "");
    truncateSync(path, 1024 * 1024 * 1024);
    const it = scripted({ read_timeout: 1.5 });
    await it.client.addFile(path, "a");
    it.lane.takes = false;
    let settled = false;
    const asking = it.client.post("/", {}).finally(() => settled = true);
    for (const end = Date.now() + 2000; Date.now() < end;) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      it.lane.writes.length = 0;
      it.lane.sink.onDrain();
    }
    assertEquals(settled, false);
    assertEquals([await asking, it.client.statusCode, it.client.errCode], [false, -2, 110]);
  }));

test("a request with a file is repeated as a whole when the server closed before it answered", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "a");
    writeFileSync(path, "content");
    const read = async (peer: RawClient) => {
      const head = await peer.readHead();
      return new TextDecoder().decode(await peer.read(Number(/content-length: (\d+)/i.exec(head)![1])));
    };
    const bodies: string[] = [];
    const leaves = async (peer: RawClient) => {
      bodies.push(await read(peer));
      peer.end();
    };
    const works = async (peer: RawClient) => {
      bodies.push(await read(peer));
      peer.send(ok("yes"));
    };
    await serverOf([leaves, works], async (port) => {
      const client = new HttpClient("127.0.0.1", port);
      client.set({ max_retries: 1 });
      await client.addFile(path, "a");
      assertEquals([await client.post("/", {}), client.body, bodies.length, bodies[0] === bodies[1]], [true, "yes", 2, true]);
      assertStringIncludes(bodies[0], "\r\n\r\ncontent\r\n");
      client.close();
    });
  }));

test("requestMethod, requestHeaders, requestBody, uploadFiles and getHeaderOut() tell of the last request", async () => {
  const it = scripted();
  const { client } = it;
  assertEquals([client.requestMethod, client.requestBody, client.getHeaderOut()], [undefined, undefined, false]);
  client.setHeaders({ "X-A": 1 });
  client.setMethod("PUT");
  client.setData("data");
  assertEquals([client.requestMethod, client.requestHeaders, client.requestBody], ["PUT", { "X-A": "1" }, "data"]);
  const { request } = await answered(it, ok(), (client) => client.execute("/p"));
  assertEquals([client.requestMethod, client.requestBody], ["PUT", "data"]);
  assertEquals(client.getHeaderOut(), request.slice(0, request.indexOf("\r\n\r\n")));
  assert(String(client.getHeaderOut()).startsWith("PUT /p HTTP/1.1\r\nHost: example.com\r\nX-A: 1\r\n"));
  await answered(it, ok());
  assertEquals([client.requestMethod, client.requestHeaders, client.requestBody], ["GET", { "X-A": "1" }, undefined]);
  await settle();
});
