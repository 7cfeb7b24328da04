/** Answers that `HttpClient` hands on while they arrive: `download()` and `write_func`. */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join as joinPath } from "node:path";
import { test } from "node:test";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { HttpClient, HttpServer } from "../../src/coroutine/mod.ts";
import { inFolder } from "../support/folder.ts";
import { settle } from "../support/memory_client.ts";
import type { RawClient } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";
import { answered, ok, requestOf, scripted, serverOf } from "./client_stage.ts";
import { join, latin1 } from "../coroutine/stage.ts";

const text = (path: string) => readFileSync(path, "utf8");

test("download() writes the body of an answer of any form to a file, which is emptied before", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "a");
    const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    for (const [answer, body] of [[ok("the body"), "the body"], [chunked, "abcde"], [ok(""), ""]]) {
      writeFileSync(path, "what was there before");
      const it = scripted();
      const { result, request } = await answered(it, answer, (client) => client.download("/p", path));
      assert(request.startsWith("GET /p HTTP/1.1\r\n") && !request.includes("Range"), request);
      assertEquals([result, it.client.statusCode, it.client.body, text(path)], [true, 200, "", body]);
      assertEquals([it.client.downloadFile, it.client.downloadOffset, it.client.connected], [undefined, 0, true]);
      await answered(it, ok("next")); // is no download
      assertEquals([it.client.body, text(path)], ["next", body]);
    }
    const it = scripted();
    const asking = it.client.download("/", path);
    await requestOf(it.lane);
    it.lane.receive("HTTP/1.1 200 OK\r\n\r\nup to ");
    it.lane.receive("the end");
    it.lane.sink.onEnd();
    assertEquals([await asking, text(path), it.client.connected], [true, "up to the end", false]);
  }));

test("downloadFile and downloadOffset do the same for execute()", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "a");
    const it = scripted();
    it.client.downloadFile = path;
    const { result, request } = await answered(it, ok("posted"), (client) => {
      client.setData("data");
      return client.execute("/");
    });
    assertEquals([result, request.startsWith("POST /"), text(path)], [true, true, "posted"]);
  }));

test("an answer that is no success goes to body, up to package_max_length, and the file is not touched", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "a");
    writeFileSync(path, "before");
    const answer = (length: number) => `HTTP/1.1 404 Not Found\r\nContent-Length: ${length}\r\n\r\n${"x".repeat(length)}`;
    const it = scripted({ package_max_length: 100 });
    const { result } = await answered(it, answer(100), (client) => client.download("/", path));
    assertEquals([result, it.client.statusCode, it.client.body.length, text(path)], [true, 404, 100, "before"]);
    const { result: more } = await answered(it, answer(101), (client) => client.download("/", path));
    assertEquals([more, it.client.errCode, it.client.body, text(path)], [false, 1201, "", "before"]);
    const chunks = scripted({ package_max_length: 100 });
    const chunked = `HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n${"x".repeat(101)}\r\n0\r\n\r\n`;
    assertEquals([(await answered(chunks, chunked, (client) => client.download("/", path))).result, chunks.client.errCode], [
      false,
      1201,
    ]);
  }));

test("with an offset the rest is asked for, without a coding, and written behind what is there", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "a");
    writeFileSync(path, "01234xxxxxxx");
    const it = scripted();
    const answer = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n56789";
    const { result, request } = await answered(it, answer, (client) => client.download("/", path, 5));
    assertStringIncludes(request, "\r\nRange: bytes=5-\r\nAccept-Encoding: identity\r\n");
    assertEquals([result, it.client.statusCode, text(path)], [true, 206, "0123456789xx"]);
    // A server that knows no ranges sends all of it.
    const { result: whole } = await answered(it, ok("0123456789"), (client) => client.download("/", path, 5));
    assertEquals([whole, text(path)], [true, "0123456789"]);
    // What the program asks for is the program's business.
    it.client.setHeaders({ range: "bytes=5-6" });
    const part = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-6/10\r\nContent-Length: 2\r\n\r\nab";
    const { request: own } = await answered(it, part, (client) => client.download("/", path, 3));
    assertEquals([own.includes("bytes=3-"), own.includes("gzip"), text(path)], [false, true, "012ab56789"]);
  }));

test("another part than was asked for, or a part of a compressed body, is false with 7102, and the file stays", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "a");
    writeFileSync(path, "01234");
    for (
      const lines of [
        "Content-Range: bytes 4-9/10\r\n",
        "Content-Range: bytes 0-9/10\r\n",
        "",
        "Content-Type: multipart/byteranges; boundary=B\r\n",
        "Content-Range: bytes 5-9/10\r\nContent-Encoding: gzip\r\n",
      ]
    ) {
      const it = scripted();
      const answer = `HTTP/1.1 206 Partial Content\r\n${lines}Content-Length: 5\r\n\r\n56789`;
      const { result } = await answered(it, answer, (client) => client.download("/", path, 5));
      assertEquals([result, it.client.statusCode, it.client.errCode, it.client.connected], [false, 206, 7102, false], lines);
      assertEquals(text(path), "01234");
    }
    const client = new HttpClient("127.0.0.1");
    await assertRejects(() => client.download("/", path, -1), RangeError, "-1");
    await assertRejects(() => client.download("/", path, 0.5), RangeError, "0.5");
  }));

test("a compressed body is decompressed on its way to the file; a broken one is false with 7102", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "a");
    const body = "compressed ".repeat(10_000);
    for (const [coding, compress] of Object.entries({ gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync })) {
      const bytes = new Uint8Array(compress(body));
      for (const cut of [0, 2]) {
        const it = scripted();
        const asking = it.client.download("/", path);
        await requestOf(it.lane);
        it.lane.receive(`HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\nContent-Length: ${bytes.length - cut}\r\n\r\n`);
        for (let at = 0; at < bytes.length - cut; at += 50) {
          it.lane.receive(bytes.slice(at, Math.min(at + 50, bytes.length - cut)));
        }
        if (cut === 0) assertEquals([await asking, text(path) === body], [true, true], coding);
        else assertEquals([await asking, it.client.errCode, it.client.statusCode], [false, 7102, 200], coding);
      }
      const plain = scripted({ body_decompression: false });
      const head = `HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\nContent-Length: ${bytes.length}\r\n\r\n`;
      await answered(plain, join(latin1(head), bytes), (client) => client.download("/", path));
      assertEquals(new Uint8Array(readFileSync(path)), bytes);
    }
  }));

test("a transfer that breaks leaves what has arrived, and can be continued", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "a");
    const breaks = async (peer: RawClient) => {
      await peer.readHead();
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123");
      peer.end();
    };
    const goesOn = async (peer: RawClient) => {
      const [, first] = /\r\nRange: bytes=(\d+)-\r\n/.exec(await peer.readHead())!;
      const rest = "0123456789".slice(Number(first));
      peer.send(
        `HTTP/1.1 206 Partial Content\r\nContent-Range: bytes ${first}-9/10\r\nContent-Length: ${rest.length}\r\n\r\n${rest}`,
      );
    };
    await serverOf([breaks, goesOn], async (port) => {
      const client = new HttpClient("127.0.0.1", port);
      assertEquals([await client.download("/", path), client.statusCode, client.errCode], [false, -3, 104]);
      assertEquals(text(path), "0123");
      assertEquals([await client.download("/", path, statSync(path).size), client.statusCode], [true, 206]);
      assertEquals(text(path), "0123456789");
      client.close();
    });
  }));

test("a file that cannot be written is false with the system's code, and the connection is dropped", () =>
  inFolder(async (folder) => {
    mkdirSync(joinPath(folder, "folder"));
    const cases: [path: string, code: number][] = [[joinPath(folder, "none", "a"), 2], [joinPath(folder, "folder"), 21]];
    if (existsSync("/dev/full")) cases.push(["/dev/full", 28]);
    for (const [path, code] of cases) {
      const it = scripted();
      const asking = it.client.download("/", path);
      await requestOf(it.lane);
      it.lane.receive("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
      assertEquals([await asking, it.client.statusCode, it.client.errCode], [false, 200, code], path);
      assertEquals([it.lane.aborted, it.client.connected], [true, false]);
      // The same when all of it has arrived by then.
      const whole = scripted();
      const { result } = await answered(whole, ok("0123456789"), (client) => client.download("/", path));
      assertEquals([result, whole.client.errCode], [false, code]);
    }
  }));

test("a download is not late while bytes arrive; one that stands still is", () =>
  inFolder(async (folder) => {
    const path = joinPath(folder, "a");
    const it = scripted({ read_timeout: 1.5 });
    let settled = false;
    const asking = it.client.download("/", path).finally(() => settled = true);
    await requestOf(it.lane);
    it.lane.receive("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    let count = 0;
    for (const end = Date.now() + 2000; Date.now() < end; count++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      it.lane.receive("x");
    }
    assertEquals(settled, false);
    assertEquals([await asking, it.client.statusCode, it.client.errCode, text(path).length], [false, -2, 110, count]);
  }));

test("a file of 64 MiB arrives whole, of the server of the coroutine style, far above package_max_length", () =>
  inFolder(async (folder) => {
    const [from, to] = [joinPath(folder, "from"), joinPath(folder, "to")];
    const bytes = new Uint8Array(64 * 1024 * 1024);
    for (let at = 0; at < bytes.length; at++) bytes[at] = (at * 31 + (at >> 8) * 7) & 255;
    writeFileSync(from, bytes);
    const server = new HttpServer("127.0.0.1");
    server.handle("/", (_request, response) => response.sendfile(from));
    await serving(server, async (server) => {
      const client = new HttpClient("127.0.0.1", server.port);
      assertEquals([await client.download("/", to), client.statusCode, statSync(to).size], [true, 200, bytes.length]);
      const digest = createHash("sha256");
      for await (const piece of createReadStream(to)) digest.update(piece);
      assertEquals(digest.digest("hex"), createHash("sha256").update(bytes).digest("hex"));
      assertEquals([await client.download("/", to), client.connected], [true, true]); // on the same connection
      client.close();
    });
  }));

test("write_func gets the client and each piece, with status and header fields; body is empty", async () => {
  const pieces: unknown[] = [];
  const it = scripted({
    write_func: (client, data) => {
      pieces.push([client === it.client, client.statusCode, client.headers["x-a"], new TextDecoder().decode(data)]);
    },
  });
  const asking = it.client.get("/");
  await requestOf(it.lane);
  it.lane.receive("HTTP/1.1 404 No\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
  assertEquals(pieces, [[true, 404, "1", "one"]]); // at once
  it.lane.receive("3\r\ntwo\r\n0\r\n\r\n");
  assertEquals([await asking, it.client.body, pieces.length, it.client.connected], [true, "", 2, true]);
  it.client.set({ write_func: null });
  await answered(it, ok("whole"));
  assertEquals([it.client.body, pieces.length], ["whole", 2]);
});

test("write_func gets a compressed body decompressed", async () => {
  let body = "";
  const it = scripted({ write_func: (_client, data) => void (body += new TextDecoder().decode(data)) });
  const bytes = new Uint8Array(gzipSync("hello ".repeat(1000)));
  const head = `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${bytes.length}\r\n\r\n`;
  assertEquals([(await answered(it, join(latin1(head), bytes))).result, body], [true, "hello ".repeat(1000)]);
});

test("while write_func works nothing is late; one piece at a time, in order, and what came meanwhile is one piece", async () => {
  const seen: string[] = [];
  let turn = signal();
  const it = scripted({
    read_timeout: 0.05,
    write_func: async (_client, data) => {
      seen.push(new TextDecoder().decode(data));
      await turn.promise;
    },
  });
  const asking = it.client.get("/");
  await requestOf(it.lane);
  it.lane.receive("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n");
  it.lane.receive("1\r\nc\r\n");
  it.lane.receive("1\r\nd\r\n0\r\n\r\n");
  assertEquals([seen, it.lane.paused], [["ab"], false]);
  await new Promise((resolve) => setTimeout(resolve, 200));
  const { resolve } = turn;
  turn = signal();
  resolve();
  await settle();
  assertEquals(seen, ["ab", "cd"]);
  turn.resolve();
  assertEquals([await asking, it.lane.paused, it.client.connected], [true, false, true]);
  assertEquals([(await answered(it, ok(""))).result, it.client.errCode], [true, 0]);
});

test("while write_func works 64 KiB are read ahead, then the server has to wait", async () => {
  const sizes: number[] = [];
  let turn = signal();
  const it = scripted({
    write_func: async (_client, data) => {
      sizes.push(data.length);
      await turn.promise;
    },
  });
  const asking = it.client.get("/");
  await requestOf(it.lane);
  it.lane.receive("HTTP/1.1 200 OK\r\nContent-Length: 66001\r\n\r\nx");
  it.lane.receive(new Uint8Array(60_000));
  assertEquals([sizes, it.lane.paused], [[1], false]);
  it.lane.receive(new Uint8Array(6_000));
  assertEquals([sizes, it.lane.paused], [[1], true]);
  const { resolve } = turn;
  turn = signal();
  turn.resolve();
  resolve();
  assertEquals([await asking, sizes, it.lane.paused], [true, [1, 66_000], false]);
});

test("close() in write_func ends the request: nothing more is handed on", async () => {
  const seen: string[] = [];
  const it = scripted({
    write_func: (client, data) => {
      seen.push(new TextDecoder().decode(data));
      client.close();
    },
  });
  const asking = it.client.get("/");
  await requestOf(it.lane);
  it.lane.receive("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
  it.lane.receive("1\r\nb\r\n");
  assertEquals([await asking, seen, it.client.connected, it.client.errCode], [false, ["a"], false, 5001]);
});

test("what write_func throws is what the request throws, and the connection is dropped; also later on", async () => {
  for (const write_func of [() => JSON.parse("{"), () => Promise.reject(new SyntaxError("later"))]) {
    const it = scripted({ write_func });
    const asking = it.client.get("/");
    await requestOf(it.lane);
    it.lane.receive("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
    await assertRejects(() => asking, SyntaxError);
    assertEquals([it.lane.aborted, it.client.connected], [true, false]);
    const whole = scripted({ write_func });
    await assertRejects(() => answered(whole, ok("x")), SyntaxError);
  }
});

test("an answer that breaks off has been handed on as far as it came", async () => {
  let body = "";
  const it = scripted({ write_func: (_client, data) => void (body += new TextDecoder().decode(data)) });
  const asking = it.client.get("/");
  await requestOf(it.lane);
  it.lane.receive("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
  it.lane.sink.onClose(new Error("reset"));
  assertEquals([await asking, it.client.statusCode, it.client.errCode, body], [false, -3, 104, "01234"]);
});
