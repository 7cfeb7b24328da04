import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type HttpRequest, type HttpResponse, HttpServer, type ServerSettings, setRuntime, WebSocketServer } from "../../mod.ts";
import * as coroutine from "../../src/coroutine/mod.ts";
import { chooseParts, entityTag, readRanges } from "../../src/server/files/file_conditions.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { inFolder } from "../support/folder.ts";
import { MemoryClient, settle } from "../support/memory_client.ts";
import { servingInMemory } from "../support/serving.ts";

type Handler = (request: HttpRequest, response: HttpResponse, root: string) => unknown;

const get = (path: string, fields = "", method = "GET") => `${method} ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`;
const LARGE = Uint8Array.from({ length: 1_000_003 }, (_, i) => i % 251);

/** A folder with files, for as long as the work takes. */
function withFiles(work: (root: string) => Promise<void>): Promise<void> {
  return inFolder(async (outer) => {
    const root = join(outer, "root");
    mkdirSync(join(root, "sub", "deep"), { recursive: true });
    mkdirSync(join(root, ".well-known"));
    mkdirSync(join(root, ".git"));
    const files = {
      "a.txt": "0123456789",
      "page.html": "<p>page</p>",
      "noext": "x",
      "empty.css": "",
      "sub/index.html": "index of sub",
      "sub/deep/ä &.txt": "deep",
      ".env": "secret",
      ".git/config": "secret",
      ".well-known/x.txt": "known",
      "../secret.txt": "secret",
      "large.bin": LARGE,
    };
    for (const [name, content] of Object.entries(files)) writeFileSync(join(root, name), content);
    utimesSync(join(root, "a.txt"), 1_000_000_000, 1_000_000_000);
    symlinkSync(join(outer, "secret.txt"), join(root, "link.txt"));
    symlinkSync(outer, join(root, "out"));
    symlinkSync(join(root, "a.txt"), join(root, "inside.txt"));
    await work(root);
  });
}

const unhandled: Handler = (_request, response) => {
  response.status(299);
  response.end("handler");
};

/** Lets a client in memory talk to a server with files, and makes sure that nothing went to its `error` handler. */
function servingFiles(
  settings: (root: string) => ServerSettings,
  handler: Handler,
  work: (client: MemoryClient, root: string) => Promise<void>,
): Promise<void> {
  return withFiles(async (root) => {
    const server = new HttpServer("127.0.0.1", 0);
    const errors: unknown[] = [];
    server.on("request", (request, response) => handler(request, response, root));
    server.on("error", (_server, error) => void errors.push(error));
    server.set({ websocket_close_timeout: 0.3, ...settings(root) });
    await server.start();
    await servingInMemory(server, (client) => work(client, root));
    assertEquals(errors, []);
  });
}

const serve = (more: ServerSettings = {}) => (root: string) => ({ document_root: root, enable_static_handler: true, ...more });

// ---- sendfile() -----------------------------------------------------------------------------------------------------

test("sendfile(): all of a file, and parts of it, with a type that goes with its name", () =>
  servingFiles(() => ({}), (request, response, root) => {
    const { file, offset, length } = request.get;
    return response.sendfile(`${root}/${file}`, Number(offset ?? 0), Number(length ?? 0));
  }, async (client) => {
    const cases = [
      ["a.txt", "0123456789", "text/plain; charset=utf-8"],
      ["a.txt&offset=3", "3456789", "text/plain; charset=utf-8"],
      ["a.txt&offset=3&length=4", "3456", "text/plain; charset=utf-8"],
      ["noext", "x", "application/octet-stream"],
      ["empty.css", "", "text/css; charset=utf-8"],
    ];
    for (const [query, body, type] of cases) {
      client.send(get(`/?file=${query}`, "Accept-Encoding: gzip\r\n"));
      const answer = await client.readAnswer();
      assertEquals([answer.status, answer.body, answer.header["content-type"], answer.header["content-length"]], [
        200,
        body,
        type,
        String(body.length),
      ]);
    }
  }));

test("sendfile(): a handler need not wait, and pipelined answers stay in order", () =>
  servingFiles(() => ({}), (request, response, root) => {
    if (request.server.request_uri === "/end") return response.end("end");
    response.header("Content-Type", "x/y");
    response.sendfile(`${root}/large.bin`);
    assertEquals([response.end("no"), response.write("no"), response.header("a", "b")], [false, false, false]);
  }, async (client) => {
    client.send(get("/file") + get("/end") + get("/file", "", "HEAD") + get("/end"));
    const { body, header } = await client.readAnswer();
    assertEquals([body.length, header["content-type"]], [LARGE.length, "x/y"]);
    assert(LARGE.every((byte, i) => body.charCodeAt(i) === byte));
    assertEquals((await client.readAnswer()).body, "end");
    assertEquals((await client.readAnswer(true)).header["content-length"], String(LARGE.length));
    assertEquals((await client.readAnswer()).body, "end");
  }));

test("sendfile() is false for what is no file or no part of one, and the program may answer otherwise", () =>
  servingFiles(() => ({}), async (request, response, root) => {
    const { file, offset, length } = request.get;
    if (await response.sendfile(`${root}/${file}`, Number(offset ?? 0), Number(length ?? 0))) return;
    response.status(404);
    response.end("none");
  }, async (client) => {
    for (const query of ["missing", "sub", "a.txt&offset=11", "a.txt&offset=5&length=6", "a.txt/"]) {
      client.send(get(`/?file=${query}`));
      const { status, body } = await client.readAnswer();
      assertEquals([status, body], [404, "none"], query);
    }
  }));

test("sendfile() of a missing file, by a handler that does not wait: 500", () =>
  servingFiles(() => ({}), (_request, response, root) => void response.sendfile(`${root}/missing`), async (client) => {
    client.send(get("/") + get("/"));
    for (let i = 0; i < 2; i++) assertEquals((await client.readAnswer()).status, 500);
  }));

test("sendfile(): a client that does not read gets no more than a little at a time", () =>
  withFiles(async (root) => {
    const server = new HttpServer("127.0.0.1", 0);
    server.on("request", (_request, response) => response.sendfile(`${root}/large.bin`));
    server.set({ websocket_close_timeout: 0.3 });
    await server.start();
    const up = new TransformStream<Uint8Array, Uint8Array>();
    let taken = 0;
    let begun = () => {};
    const first = new Promise<void>((resolve) => begun = resolve);
    const writable = new WritableStream<Uint8Array>({
      write: (chunk) => {
        taken += chunk.length;
        if (taken > 1000) begun();
        return taken > 1000 ? new Promise(() => {}) : undefined;
      },
    });
    const fd = server.accept({ readable: up.readable, writable, abort() {} });
    const writer = up.writable.getWriter();
    writer.closed.catch(() => {});
    await writer.write(new TextEncoder().encode(get("/")));
    await first;
    for (let i = 0; i < 5; i++) await settle();
    const info = server.getClientInfo(fd);
    assert(info && info.send_queued_bytes > 0 && info.send_queued_bytes < 200_000);
    await writer.abort(new Error("gone"));
    server.shutdown();
    await server.finished;
  }));

// ---- static files ---------------------------------------------------------------------------------------------------

test("static files: what is there is sent with validators, the rest goes to the handler", () =>
  servingFiles(serve(), unhandled, async (client) => {
    client.send(get("/a.txt?x=y"));
    const { status, body, header } = await client.readAnswer();
    assertEquals([status, body, header["content-type"]], [200, "0123456789", "text/plain; charset=utf-8"]);
    assertEquals([header["last-modified"], header["etag"], header["accept-ranges"]], [
      "Sun, 09 Sep 2001 01:46:40 GMT",
      '"e8d4a51000-a"',
      "bytes",
    ]);
    for (
      const [path, expected] of [["/inside.txt", "0123456789"], ["/sub/deep/%C3%A4%20%26.txt", "deep"], [
        "/.well-known/x.txt",
        "known",
      ]]
    ) {
      client.send(get(path));
      assertEquals((await client.readAnswer()).body, expected);
    }
    client.send(get("/missing") + get("/sub") + get("/sub/") + get("/a.txt/") + get("/a.txt", "", "POST"));
    for (let i = 0; i < 5; i++) assertEquals((await client.readAnswer()).status, 299);
    client.send(get("/a.txt", "", "HEAD"));
    assertEquals((await client.readAnswer(true)).header["content-length"], "10");
  }));

test("static files: nothing leads out of the folder, and names with a dot in front are not there", () =>
  servingFiles(serve({ static_handler_locations: ["/"], http_autoindex: true }), unhandled, async (client) => {
    const paths = [
      "/../secret.txt",
      "/sub/../../secret.txt",
      "/%2e%2e/secret.txt",
      "/%2E%2E%2Fsecret.txt",
      "/..%2fsecret.txt",
      "/%252e%252e/secret.txt",
      "/sub/%252e%252e%252f..%252fsecret.txt",
      "/..%5csecret.txt",
      "/..\\secret.txt",
      "/a.txt%00.html",
      "/%00",
      "/link.txt",
      "/out/secret.txt",
      "/out/",
      "/out",
      "//a.txt",
      "/sub//index.html",
      "/./a.txt",
      "/.env",
      "/%2eenv",
      "/.git/config",
      "/.git/",
      "/a.txt%",
      "/%ff",
      "/%c0%ae%c0%ae/secret.txt",
      "/a.txt%0d%0aX:y",
    ];
    for (const path of paths) {
      client.send(get(path));
      const { status, body } = await client.readAnswer();
      assertEquals([status, body], [404, "not found"], path);
    }
  }));

test("static files: with locations, only there, on segment borders, and what is missing is a 404", () =>
  servingFiles(serve({ static_handler_locations: ["/sub", "/.well-known/"] }), unhandled, async (client) => {
    for (
      const [path, status] of [["/sub/index.html", 200], ["/sub/none", 404], ["/a.txt", 299], ["/subx", 299], [
        "/.well-known/x.txt",
        200,
      ]]
    ) {
      client.send(get(String(path)));
      assertEquals((await client.readAnswer()).status, Number(status), String(path));
    }
  }));

test("static files: index files, and the slash that a folder needs", () =>
  servingFiles(serve({ http_index_files: ["none.html", "index.html"] }), unhandled, async (client) => {
    client.send(get("/sub/"));
    assertEquals((await client.readAnswer()).body, "index of sub");
    client.send(get("/sub?a=b"));
    const { status, header } = await client.readAnswer();
    assertEquals([status, header["location"]], [301, "/sub/?a=b"]);
    client.send(get("/"));
    assertEquals((await client.readAnswer()).status, 299);
  }));

test("static files: http_autoindex lists a folder, escaped, without dot files", () =>
  servingFiles(serve({ http_autoindex: true }), unhandled, async (client) => {
    client.send(get("/"));
    const { body, header } = await client.readAnswer();
    assertEquals(header["content-type"], "text/html; charset=utf-8");
    assert(body.includes('<a href="./sub/">sub/</a>') && body.includes('<a href="./a.txt">a.txt</a>'), body);
    assert(!body.includes(".env") && !body.includes(".git") && !body.includes('"../"'));
    client.send(get("/sub/deep/"));
    const deep = (await client.readAnswer()).body;
    assert(deep.includes("&amp;.txt</a>") && deep.includes("%20%26.txt") && deep.includes('<a href="../">../</a>'), deep);
  }));

test("static files: conditions and ranges", () =>
  servingFiles(serve(), unhandled, async (client) => {
    const tag = '"e8d4a51000-a"';
    const date = "Sun, 09 Sep 2001 01:46:40 GMT";
    const earlier = "Sun, 09 Sep 2001 01:46:39 GMT";
    const cases: [fields: string, status: number, body: string, range?: string][] = [
      [`If-None-Match: ${tag}\r\n`, 304, ""],
      [`If-None-Match: "x", W/${tag}\r\n`, 304, ""],
      ["If-None-Match: *\r\n", 304, ""],
      ['If-None-Match: "x"\r\n', 200, "0123456789"],
      [`If-None-Match: "x"\r\nIf-Modified-Since: ${date}\r\n`, 200, "0123456789"],
      [`If-Modified-Since: ${date}\r\n`, 304, ""],
      [`If-Modified-Since: ${earlier}\r\n`, 200, "0123456789"],
      ["If-Modified-Since: nonsense\r\n", 200, "0123456789"],
      ["If-Modified-Since: x 2099\r\n", 200, "0123456789"],
      ["If-Modified-Since: 2099-01-01\r\n", 200, "0123456789"],
      ["If-Modified-Since: Sunday, 09-Sep-01 01:46:40 GMT\r\n", 304, ""],
      ["If-Modified-Since: Sun Sep  9 01:46:40 2001\r\n", 304, ""],
      ["If-Unmodified-Since: bytes=-0\r\n", 200, "0123456789"],
      [`If-Match: ${tag}\r\n`, 200, "0123456789"],
      ['If-Match: "x"\r\n', 412, ""],
      [`If-Match: W/${tag}\r\n`, 412, ""],
      [`If-Unmodified-Since: ${earlier}\r\n`, 412, ""],
      [`If-Unmodified-Since: ${date}\r\n`, 200, "0123456789"],
      ["Range: bytes=0-0\r\n", 206, "0", "bytes 0-0/10"],
      ["Range: bytes=3-5\r\n", 206, "345", "bytes 3-5/10"],
      ["Range: bytes=7-\r\n", 206, "789", "bytes 7-9/10"],
      ["Range: bytes=-3\r\n", 206, "789", "bytes 7-9/10"],
      ["Range: bytes=-30\r\n", 206, "0123456789", "bytes 0-9/10"],
      ["Range: bytes=5-500\r\n", 206, "56789", "bytes 5-9/10"],
      ["Range: bytes=10-\r\n", 416, "", "bytes */10"],
      ["Range: bytes=-0\r\n", 416, "", "bytes */10"],
      ["Range: bytes=5-3\r\n", 200, "0123456789"],
      ["Range: bytes=10-,20-30\r\n", 416, "", "bytes */10"],
      ["Range: bytes=20-, 3-5\r\n", 206, "345", "bytes 3-5/10"],
      ["Range: bytes= ,3-5,\r\n", 206, "345", "bytes 3-5/10"],
      ["Range: bytes=0-1,x\r\n", 200, "0123456789"],
      ["Range: bytes=0-1\r\nRange: bytes=3-4\r\n", 200, "0123456789"],
      ["Range: bytes=\r\n", 200, "0123456789"],
      ["Range: bytes=,\r\n", 200, "0123456789"],
      ["Range: bytes=-\r\n", 200, "0123456789"],
      ["Range: lines=1-2\r\n", 200, "0123456789"],
      ["Range: bytes=99999999999999999999-\r\n", 416, "", "bytes */10"],
      ["Range: bytes=5-18446744073709551615\r\n", 206, "56789", "bytes 5-9/10"],
      ["Range: bytes=-18446744073709551615\r\n", 206, "0123456789", "bytes 0-9/10"],
      ["Range: bytes=5-00000000000000000000003\r\n", 200, "0123456789"],
      ["Range: bytes=99999999999999999999-99999999999999999998\r\n", 200, "0123456789"],
      [`Range: bytes=3-5\r\nIf-Range: ${tag}\r\n`, 206, "345", "bytes 3-5/10"],
      [`Range: bytes=3-5\r\nIf-Range: ${date}\r\n`, 206, "345", "bytes 3-5/10"],
      ['Range: bytes=3-5\r\nIf-Range: "x"\r\n', 200, "0123456789"],
      [`Range: bytes=3-5\r\nIf-Range: W/${tag}\r\n`, 200, "0123456789"],
      [`Range: bytes=3-5\r\nIf-Range: ${earlier}\r\n`, 200, "0123456789"],
      [`Range: bytes=3-5\r\nIf-None-Match: ${tag}\r\n`, 304, ""],
    ];
    for (const [fields, status, body, range] of cases) {
      client.send(get("/a.txt", fields));
      const answer = await client.readAnswer();
      assertEquals([answer.status, answer.body, answer.header["content-range"]], [status, body, range], fields);
      if (status === 304) assertEquals(answer.header["etag"], tag);
    }
  }));

/** Takes a multipart body apart, as strictly as RFC 2046 section 5.1 has it. */
function partsOf({ header, body }: { header: Record<string, string>; body: string }): [range: string, content: string][] {
  const [, boundary] = /^multipart\/byteranges; boundary=([0-9a-f]{32})$/.exec(header["content-type"]) ?? [];
  assertEquals(header["content-range"], undefined);
  assertEquals(header["content-length"], String(body.length));
  const parts = body.split(`--${boundary}`);
  assertEquals([parts.shift(), parts.pop()], ["", "--\r\n"]);
  return parts.map((part) => {
    const [, range, content] = /^\r\nContent-Type: text\/plain; charset=utf-8\r\nContent-Range: (.*)\r\n\r\n(.*)\r\n$/s.exec(
      part,
    )!;
    return [range, content];
  });
}

test("static files: several ranges at once (RFC 9110 section 15.3.7.2)", () =>
  servingFiles(serve(), unhandled, async (client) => {
    const tag = '"e8d4a51000-a"';
    const cases: [string, [string, string][]][] = [
      ["bytes=0-1,3-4", [["bytes 0-1/10", "01"], ["bytes 3-4/10", "34"]]],
      ["bytes=-2, 0-0 ,\t20-", [["bytes 8-9/10", "89"], ["bytes 0-0/10", "0"]]],
      ["bytes=1-3,2-4", [["bytes 1-3/10", "123"], ["bytes 2-4/10", "234"]]],
      ["bytes=0-4,5-", [["bytes 0-4/10", "01234"], ["bytes 5-9/10", "56789"]]],
    ];
    for (const [range, parts] of cases) {
      client.send(get("/a.txt", `Accept-Encoding: gzip\r\nRange: ${range}\r\n`));
      const answer = await client.readAnswer();
      assertEquals([answer.status, answer.header["etag"], answer.header["content-encoding"]], [206, tag, undefined]);
      assertEquals(partsOf(answer), parts);
    }
    client.send(get("/a.txt", 'Range: bytes=0-1,3-4\r\nIf-Range: "x"\r\n'));
    assertEquals((await client.readAnswer()).body, "0123456789");
    client.send(get("/a.txt", "Range: bytes=0-1,3-4\r\n", "HEAD") + get("/a.txt", "Range: bytes=3-4\r\n", "HEAD"));
    for (let i = 0; i < 2; i++) { // section 14.2: GET only
      const { status, header } = await client.readAnswer(true);
      assertEquals([status, header["content-length"]], [200, "10"]);
    }
  }));

test("static files: parts of a large file come piece by piece, and pipelined answers stay in order", () =>
  servingFiles(serve(), unhandled, async (client) => {
    client.send(get("/large.bin", "Range: bytes=0-299999,500000-999999\r\n") + get("/a.txt"));
    const { body, header } = await client.readAnswer();
    const contents = body.split(`--${header["content-type"].split("boundary=")[1]}`).slice(1, -1)
      .map((part) => part.slice(part.indexOf("\r\n\r\n") + 4, -2));
    assertEquals(contents.map((content) => content.length), [300_000, 500_000]);
    assert([...contents[0]].every((character, i) => character.charCodeAt(0) === LARGE[i]));
    assert([...contents[1]].every((character, i) => character.charCodeAt(0) === LARGE[500_000 + i]));
    assertEquals((await client.readAnswer()).body, "0123456789");
  }));

test("a flood of ranges is ignored: 16 are served, 17 are not, nor more bytes than there are", () => {
  const many = (count: number) => `bytes=${Array.from({ length: count }, (_, i) => `${2 * i}-${2 * i}`)}`;
  assertEquals(readRanges(many(16), 1000)?.length, 16);
  assertEquals(readRanges(many(17), 1000), undefined);
  assertEquals(readRanges(`bytes=${"0-,".repeat(20_000)}`, 1000), undefined);
  assertEquals(readRanges("bytes=0-499,250-749", 1000)?.length, 2);
  assertEquals(readRanges("bytes=0-499,0-499", 1000)?.length, 2);
  assertEquals(readRanges("bytes=0-499,0-500", 1000), undefined);
  assertEquals(readRanges("bytes=0-,0-,0-", 1000), undefined);
});

test("whatever a Range field says, what is sent is in the file, and no more than it", () => {
  const number = fc.oneof(fc.constant(""), fc.nat(1200).map(String));
  const spec = fc.oneof(fc.tuple(number, number).map(([first, last]) => `${first}-${last}`), fc.string({ maxLength: 5 }));
  const value = fc.oneof(fc.array(spec, { maxLength: 20 }).map((specs) => `bytes=${specs.join(", ")}`), fc.string());
  fc.assert(
    fc.property(value, fc.nat(1000), (value, size) => {
      const ranges = readRanges(value, size);
      if (ranges === undefined) return;
      assert(ranges.length <= 16 && ranges.reduce((sum, { length }) => sum + length, 0) <= size);
      for (const { start, length } of ranges) assert(start >= 0 && length > 0 && start + length <= size);
    }),
    { numRuns: 1000 },
  );
});

test("url_rewrite_rules: other paths for files, and the handler sees none of it", () => {
  const rules = {
    "/old": "/sub",
    "~^/number/([0-9]+)$~": "/a.txt?n=$1",
    "~^/UP/(.*)$~i": "/sub/$1",
    "~[.]htm$": ".html",
    "/page.html": "/a.txt",
    "/leave/": "/../",
    "/old/other": "/a.txt",
  };
  const cases: [path: string, body: string][] = [
    ["/old/index.html", "index of sub"],
    ["/old/", "index of sub"],
    ["/oldx", "handler /oldx"],
    ["/old/none", "handler /old/none"],
    ["/old/other", "handler /old/other"], // the first rule counts
    ["/number/12?x=y", "0123456789"],
    ["/number/x", "handler /number/x"],
    ["/up/index.html", "index of sub"],
    ["/page.htm", "<p>page</p>"], // once, not again
    ["/page.html", "0123456789"],
    ["/leave/secret.txt", "not found"],
    ["/a.txt", "0123456789"],
  ];
  const handler: Handler = (request, response) => response.end(`handler ${request.server.request_uri}`);
  return servingFiles(serve({ url_rewrite_rules: rules, http_index_files: "index.html" }), handler, async (client) => {
    for (const [path, body] of cases) {
      client.send(get(path));
      assertEquals((await client.readAnswer()).body, body, path);
    }
    client.send(get("/old?a=b"));
    assertEquals((await client.readAnswer()).header["location"], "/old/?a=b");
  });
});

test("url_rewrite_rules: locations are those of the file", () =>
  servingFiles(
    serve({ url_rewrite_rules: { "/old": "/sub", "/sub/deep": "/" }, static_handler_locations: "/sub" }),
    unhandled,
    async (client) => {
      client.send(get("/old/index.html") + get("/sub/deep/a.txt") + get("/old/none"));
      assertEquals((await client.readAnswer()).body, "index of sub");
      assertEquals((await client.readAnswer()).status, 299);
      assertEquals((await client.readAnswer()).status, 404);
    },
  ));

test("url_rewrite_rules that are none are refused", () => {
  const server = new HttpServer("127.0.0.1", 0);
  const bad: unknown[] = ["/a", ["/a"], null, { "/a": 1 }, { "a": "/b" }, { "~(~": "/b" }, { "": "/b" }, { "~": "/b" }];
  for (const rules of bad) {
    assertThrows(() => server.set({ url_rewrite_rules: rules as Record<string, string> }), TypeError, "url_rewrite_rules");
  }
  server.set({ url_rewrite_rules: {} });
});

test("the tag of a file changes with its size and its time; an empty file has no parts", () => {
  const tags = [[1, 2], [2, 2], [1, 3]].map(([size, mtime]) => entityTag({ size, mtime }));
  assertEquals(new Set(tags).size, 3);
  assertEquals(chooseParts({ range: "bytes=0-" }, { size: 0, mtime: 0 }).status, 416);
  assertEquals(chooseParts({}, { size: 0, mtime: 0 }), { status: 200, parts: [{ start: 0, length: 0 }] });
});

test("static files: a WebSocketServer without a request handler and a coroutine server have them too", () =>
  withFiles(async (root) => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.on("message", () => {});
    const other = new coroutine.HttpServer("127.0.0.1");
    for (const one of [server, other]) {
      one.set({ document_root: root, enable_static_handler: true, websocket_close_timeout: 0.3 });
      await one.start();
      const client = new MemoryClient(one);
      client.send(get("/page.html") + get("/missing"));
      assertEquals((await client.readAnswer()).body, "<p>page</p>");
      assertEquals((await client.readAnswer()).status, one === server ? 400 : 404);
      client.drop();
      one.shutdown();
      await one.finished;
    }
  }));

// ---- what goes wrong below ------------------------------------------------------------------------------------------

test("static files: what the system cannot do is no 404", async () => {
  const own = await loadRuntime();
  const statuses: Record<string, number> = {
    EMFILE: 503,
    ENFILE: 503,
    EACCES: 403,
    EPERM: 403,
    EIO: 500,
    ENOENT: 404,
    ENOTDIR: 404,
  };
  for (const [code, status] of Object.entries(statuses)) {
    await withFiles(async (root) => {
      const errors: unknown[] = [];
      const server = new HttpServer("127.0.0.1", 0);
      server.set({ ...serve({ static_handler_locations: "/" })(root) });
      server.on("request", unhandled as never);
      server.on("error", (_server, error) => void errors.push(error));
      setRuntime({ ...own, openFile: () => Promise.reject(Object.assign(new Error("on purpose"), { code })) });
      const client = new MemoryClient(server);
      client.send(get("/a.txt"));
      assertEquals([code, (await client.readAnswer()).status], [code, status]);
      assertEquals(errors.length, status >= 500 ? 1 : 0);
      setRuntime(undefined);
      client.drop();
      server.shutdown();
      await server.finished;
    });
  }
});

test("static files: a document_root that is not there, or no folder, is an error at the start", () =>
  withFiles(async (root) => {
    for (const path of [`${root}/none`, `${root}/a.txt`]) {
      const server = new HttpServer("127.0.0.1", 0);
      server.set({ document_root: path, enable_static_handler: true });
      server.on("request", unhandled as never);
      await assertRejects(() => server.start(), Error, path);
    }
  }));
