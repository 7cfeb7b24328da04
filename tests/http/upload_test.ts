// Forms with files: `http_parse_files`, `upload_tmp_dir`, `upload_max_filesize`.

import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { toText } from "@std/streams";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { HttpServer, type ServerSettings, UploadedFile } from "../../mod.ts";
import * as coroutine from "../../src/coroutine/mod.ts";
import { loadRuntime, setRuntime } from "../../src/transport/current_runtime.ts";
import { inFolder } from "../support/folder.ts";
import { known } from "../support/known_fields.ts";
import { MemoryClient, settle } from "../support/memory_client.ts";
import { type Handler, serving, servingInMemory, signal } from "../support/serving.ts";

/** A server with a folder for temporary files, and a client of it. The folder has to be empty when all is over. */
function servingUploads(
  settings: ServerSettings,
  handler: Handler,
  work: (client: MemoryClient, folder: string, server: HttpServer) => Promise<void>,
): Promise<void> {
  return inFolder(async (folder) => {
    const server = new HttpServer();
    const errors: unknown[] = [];
    server.on("request", (request, response) => handler(request, response, server));
    server.on("error", (_server, error) => void errors.push(error));
    server.set({ http_parse_files: true, upload_tmp_dir: folder, websocket_close_timeout: 0.3, ...settings });
    await servingInMemory(server, async (client) => {
      await work(client, folder, server);
      client.drop();
      await emptied(folder);
    });
    assertEquals(errors, []);
  });
}

/** Waits until nothing is in a folder any more. */
async function emptied(folder: string): Promise<void> {
  while (readdirSync(folder).length > 0) await settle();
}

/** Waits until so many bytes are in the only file of a folder. */
async function written(folder: string, size: number): Promise<string> {
  while (true) {
    const [name] = readdirSync(folder);
    if (name !== undefined && statSync(join(folder, name)).size >= size) return join(folder, name);
    await settle();
  }
}

const head = (length: number | "chunked", fields = "") =>
  `POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\n${fields}` +
  (length === "chunked" ? "Transfer-Encoding: chunked\r\n\r\n" : `Content-Length: ${length}\r\n\r\n`);
const field = (name: string, content: string) => `--B\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${content}\r\n`;
const fileHead = (name: string, filename: string) =>
  `--B\r\nContent-Disposition: form-data; name="${name}"; filename="${filename}"\r\nContent-Type: image/x\r\n\r\n`;
const file = (name: string, filename: string, content: string) => `${fileHead(name, filename)}${content}\r\n`;
const END = "--B--\r\n";
const post = (body: string, fields = "") => head(body.length, fields) + body;

/** In the two ways that a form is read: whole, and while it arrives. */
const WAYS: [string, ServerSettings][] = [["whole", {}], ["streamed", { upload_max_filesize: 1000 }]];

const show: Handler = async ({ post, files, tmpfiles }, response) => {
  const all = async (value: unknown): Promise<unknown> => {
    if (!(value instanceof UploadedFile)) {
      return Object.fromEntries(
        await Promise.all(Object.entries(value as object).map(async ([key, it]) => [key, await all(it)])),
      );
    }
    return [
      value.name,
      value.full_path,
      value.type,
      value.size,
      value.error,
      value.tmp_name === "" ? "" : "tmp",
      await value.text(),
    ];
  };
  response.end(JSON.stringify({ post, files: await all(files), tmpfiles: tmpfiles.length }));
};

for (const [way, settings] of WAYS) {
  test(`${way}: files are on the disk while the handler runs, and gone when the answer has ended`, () => {
    let folder = "";
    return servingUploads(settings, async ({ files: given, post, tmpfiles }, response) => {
      const files = known(given);
      assertInstanceOf(files.f, File);
      assertInstanceOf(files.f, UploadedFile);
      const { name, type, size, error, tmp_name } = files.f;
      assertEquals([name, type, size, error, { ...post }], ["a.txt", "image/x", 7, 0, { a: "1" }]);
      assert(tmp_name.startsWith(`${folder}/sluice.upfile.`));
      assertEquals([...readFileSync(tmp_name)], [104, 101, 108, 108, 111, 0, 255]);
      assertEquals([...new Uint8Array(await files.f.arrayBuffer())], [104, 101, 108, 108, 111, 0, 255]);
      assertEquals(await files.f.slice(1, 3).text(), "el");
      assertEquals(await toText(files.f.stream()), "hello\0\ufffd");
      assertEquals(tmpfiles, [tmp_name]);
      response.end("fine");
    }, async (client, at) => {
      folder = at;
      for (let i = 0; i < 3; i++) client.send(post(field("a", "1") + file("f", "a.txt", "hello\0\xff") + END));
      for (let i = 0; i < 3; i++) assertEquals((await client.readAnswer()).body, "fine");
    });
  });

  test(`${way}: names with brackets, several files, empty ones, none, and names with a path`, () =>
    servingUploads(settings, show, async (client) => {
      client.send(post(
        file("f[]", "a", "1") + file("f[]", "b", "22") + file("g[x][y]", "", "") + file("e", "empty", "") + field("t[]", "x") +
          file("p", "../../c:\\dir\\p.txt", "3") + END,
      ));
      assertEquals(JSON.parse((await client.readAnswer()).body), {
        post: { t: ["x"] },
        files: {
          f: { 0: ["a", "a", "image/x", 1, 0, "tmp", "1"], 1: ["b", "b", "image/x", 2, 0, "tmp", "22"] },
          g: { x: { y: ["", "", "image/x", 0, 4, "", ""] } },
          e: ["empty", "empty", "image/x", 0, 0, "", ""], // no temporary file for nothing
          p: ["p.txt", "../../c:\\dir\\p.txt", "image/x", 1, 0, "tmp", "3"],
        },
        tmpfiles: 3,
      });
    }));

  test(`${way}: split at every byte it is the same`, () =>
    servingUploads(settings, show, async (client) => {
      const bytes = post(field("a", "1") + file("f", "a.txt", "x\r\n--Cy") + END);
      const bodies = new Set<string>();
      for (let at = 1; at < bytes.length; at += 7) {
        client.send(bytes.slice(0, at));
        await settle();
        client.send(bytes.slice(at));
        bodies.add((await client.readAnswer()).body);
      }
      assertEquals(bodies.size, 1);
    }));

  test(`${way}: a form that is none is a 400, without a call, and leaves no file`, () => {
    let calls = 0;
    return servingUploads(settings, () => calls++, async (_client, folder, server) => {
      for (
        const request of [
          post("no form"),
          post(""),
          post(file("f", "a", "1")),
          post(file("f", "a", "1") + "--Bx"),
          post(file("f", "a", "1") + END).replace("boundary=B", "x=y"),
        ]
      ) {
        const client = new MemoryClient(server);
        client.send(request);
        const { status, header } = await client.readAnswer();
        assertEquals([status, header["connection"]], [400, "close"], request);
        await client.readAll();
        await emptied(folder);
      }
      assertEquals(calls, 0);
    });
  });

  test(`${way}: http_max_parameters is the most fields and the most files that are taken`, () =>
    servingUploads({ ...settings, http_max_parameters: 2 }, show, async (client) => {
      const body = ["a", "b", "c"].map((name) => field(name, name) + file(`f${name}`, name, name)).join("") + END;
      client.send(post(body));
      const { post: fields, files, tmpfiles } = JSON.parse((await client.readAnswer()).body);
      assertEquals([fields, Object.keys(files), tmpfiles], [{ a: "a", b: "b" }, ["fa", "fb"], 2]);
    }));

  test(`${way}: http_max_uploaded_files is the most files; fields in which none was chosen do not count`, () =>
    servingUploads({ ...settings, http_max_uploaded_files: 3 }, show, async (client, folder) => {
      const none = file("n[]", "", "");
      client.send(post(none.repeat(20) + file("f[]", "a", "x").repeat(3) + none + END));
      const { files, tmpfiles } = JSON.parse((await client.readAnswer()).body);
      assertEquals([Object.keys(files.f).length, Object.keys(files.n).length, tmpfiles], [3, 21, 3]);
      client.send(post(file("f[]", "a", "x").repeat(4) + END));
      const { status, body } = await client.readAnswer();
      assertEquals([status, body], [413, "the form has too many files"]);
      await emptied(folder);
    }));

  test(`${way}: a form has at most ten times as many parts as http_max_parameters`, () =>
    servingUploads({ ...settings, http_max_parameters: 2 }, show, async (client) => {
      client.send(post(field("a", "x").repeat(20) + END));
      assertEquals(JSON.parse((await client.readAnswer()).body).post, { a: "x" });
      client.send(post(field("a", "x").repeat(21) + END));
      const { status, body } = await client.readAnswer();
      assertEquals([status, body], [413, "the form has too many parts"]);
    }));

  test(`${way}: a file without content has no temporary file, and can be moved`, () =>
    inFolder(async (folder) => {
      const server = new HttpServer("127.0.0.1", 0);
      server.set({ http_parse_files: true, upload_tmp_dir: folder, ...settings, http_max_uploaded_files: 1000 });
      server.on("request", async ({ files: given, tmpfiles }, response) => {
        const files = known(given);
        const made = readdirSync(folder).length;
        const sizes = new Set(files.f.map(({ size, error }: UploadedFile) => `${size} ${error}`));
        await files.f[0].moveTo(join(folder, "moved"));
        response.end(
          JSON.stringify([files.f.length, [...sizes], tmpfiles.length, made, readFileSync(join(folder, "moved")).length]),
        );
      });
      await serving(server, async (_server, port) => {
        const form = new FormData();
        for (let i = 0; i < 1000; i++) form.append("f[]", new File([], `${i}`));
        const answer = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: form });
        assertEquals(await answer.json(), [1000, ["0 0"], 0, 0, 0]);
      });
    }));

  test(`${way}: files of fields without a name are left out, and never written`, () =>
    servingUploads({ ...settings, http_max_parameters: 2 }, show, async (client) => {
      client.send(post(file("", "a", "1").repeat(5) + file("f", "b", "2") + field("", "x") + END));
      const { post: fields, files, tmpfiles } = JSON.parse((await client.readAnswer()).body);
      assertEquals([fields, Object.keys(files), tmpfiles], [{}, ["f"], 1]);
    }));

  test(`${way}: what fetch() sends, with names of all kinds`, () =>
    inFolder(async (folder) => {
      const names = ["plain", 'quo"te', "ä😀", "a\\b", "per%cent%", "semi;colon=x", "new\nline", " blanks "];
      const content = Uint8Array.from({ length: 900 }, (_, i) => i % 251);
      const server = new HttpServer("127.0.0.1", 0);
      server.set({ http_parse_files: true, upload_tmp_dir: folder, ...settings });
      server.on("request", async ({ post, files }, response) => {
        const found = [];
        for (const name of Object.keys(files)) {
          const file: UploadedFile = known(files)[name];
          const bytes = new Uint8Array(await file.arrayBuffer());
          const same = bytes.length === content.length && bytes.every((byte, i) => byte === content[i]);
          found.push([name, file.full_path.replace("\r", ""), file.type, same, post[name]]);
        }
        response.end(JSON.stringify(found));
      });
      await serving(server, async (_server, port) => {
        const form = new FormData();
        for (const name of names) {
          form.append(name, `value of ${name.trim()}`);
          form.append(name, new File([content], name, { type: "image/png" }));
        }
        const url = `http://127.0.0.1:${port}/`;
        // The ends of lines come as CRLF, as in all forms; in names of files some leave them as they are.
        const sent = (text: string) => text.replace("\n", "\r\n");
        const expected = names.map((name) => [sent(name), name, "image/png", true, sent(`value of ${name.trim()}`)]);
        assertEquals(await (await fetch(url, { method: "POST", body: form })).json(), expected);
        await emptied(folder);
      });
    }));

  test(`${way}: files stay as long as the handler works, also behind the answer; what is moved stays`, () =>
    inFolder(async (kept) => {
      const answered = signal();
      await servingUploads(settings, async ({ files }, response) => {
        const { f, g } = known(files);
        response.end("thanks");
        await answered.promise;
        assertEquals(await f.text(), "hello");
        const { size } = f;
        await f.moveTo(join(kept, "f"));
        assertEquals([f.size, size > 0], [size, true]);
        await assertRejects(() => f.moveTo(join(kept, "again")));
        await assertRejects(() => g.moveTo(join(kept, "none", "g")));
        assertEquals([existsSync(f.tmp_name), existsSync(g.tmp_name)], [false, true]);
      }, async (client) => {
        client.send(post(file("f", "a", "hello") + file("g", "a", "hello") + END));
        assertEquals((await client.readAnswer()).body, "thanks");
        answered.resolve();
      });
      assertEquals([readdirSync(kept), readFileSync(join(kept, "f"), "utf8")], [["f"], "hello"]);
    }));

  test(`${way}: files stay as long as a detached answer is open`, () => {
    let finish = () => {};
    const called = signal<UploadedFile>();
    return servingUploads(settings, ({ files }, response) => {
      response.detach();
      finish = () => response.end("at last");
      called.resolve(known(files).f);
    }, async (client) => {
      client.send(post(file("f", "a", "hello") + END));
      const { tmp_name } = await called.promise;
      for (let i = 0; i < 3; i++) await settle();
      assertEquals(readFileSync(tmp_name, "utf8"), "hello");
      finish();
      assertEquals((await client.readAnswer()).body, "at last");
    });
  });

  test(`${way}: a handler that fails, and a client that goes, leave no file`, () =>
    servingUploads(settings, async (request, response) => {
      if (known(request.files).f.name === "fail") {
        response.status(201);
        response.end();
        return;
      }
      await settle();
    }, async (client, folder, server) => {
      client.send(post(file("f", "x", "hello") + END));
      assertEquals((await client.readAnswer()).status, 500);
      await emptied(folder);
      const second = new MemoryClient(server);
      second.send(post(file("f", "y", "hello") + END));
      await settle();
      second.drop();
    }));

  test(`${way}: without a folder that can be written, the error is PHP's`, () =>
    servingUploads({ ...settings, upload_tmp_dir: "/none/at/all" }, async ({ files: given, tmpfiles }, response) => {
      const files = known(given);
      assertEquals([files.f.error, files.f.size, files.f.tmp_name, tmpfiles], [6, 0, "", []]);
      await assertRejects(() => files.f.moveTo("/tmp/x"), TypeError);
      response.end("told");
    }, async (client) => {
      client.send(post(file("f", "a", "hello") + END));
      assertEquals((await client.readAnswer()).body, "told");
    }));

  test(`${way}: a disk that is full is PHP's error, too`, async () => {
    const runtime = await loadRuntime();
    let left = 10;
    setRuntime({
      ...runtime,
      openForWriting: async (path, options) => {
        const file = await runtime.openForWriting(path, options);
        return {
          write: (bytes) => {
            if ((left -= bytes.length) < 0) return Promise.reject(Object.assign(new Error("full"), { code: "ENOSPC" }));
            return file.write(bytes);
          },
          close: () => file.close(),
        };
      },
    });
    try {
      await servingUploads(settings, ({ files: given }, response) => {
        const files = known(given);
        response.end(JSON.stringify([files.f.error, files.f.size, files.g.error, files.g.size, files.g.tmp_name]));
      }, async (client) => {
        client.send(post(file("f", "a", "0123456789") + file("g", "b", "x") + END));
        assertEquals(JSON.parse((await client.readAnswer()).body), [0, 10, 7, 0, ""]);
      });
    } finally {
      setRuntime(undefined);
    }
  });

  test(`${way}: formData() has the same again`, () =>
    servingUploads(settings, async (request, response) => {
      const form = await request.formData();
      response.end(JSON.stringify([form.getAll("t[]"), await (form.get("f") as File).text(), (form.get("f") as File).name]));
    }, async (client) => {
      client.send(post(field("t[]", "1") + file("f", "a", "hello") + field("t[]", "2") + END));
      assertEquals(JSON.parse((await client.readAnswer()).body), [["1", "2"], "hello", "a"]);
    }));

  test(`${way}: http_parse_post leaves the fields out`, () =>
    servingUploads({ ...settings, http_parse_post: false }, show, async (client) => {
      client.send(post(field("a", "1") + file("f", "a", "hello") + END));
      const { post: fields, files } = JSON.parse((await client.readAnswer()).body);
      assertEquals([fields, Object.keys(files)], [{}, ["f"]]);
    }));
}

test("files stay for a handler that the end of its server has cut off, until it settles; then reading and moving them fails", () =>
  inFolder(async (folder) => {
    const server = new HttpServer("127.0.0.1", 0);
    server.set({ http_parse_files: true, upload_tmp_dir: folder, max_wait_time: 0.05, log_level: 6 });
    const called = signal();
    const stopped = signal();
    const done = signal();
    let kept!: UploadedFile;
    let read = "";
    server.on("request", async (request) => {
      kept = known(request.files).a;
      called.resolve();
      await stopped.promise;
      read = await kept.text();
      done.resolve();
    });
    const client = new MemoryClient(server);
    client.send(post(file("a", "a.png", "content") + END));
    await called.promise;
    server.shutdown();
    await server.finished;
    assertEquals(readdirSync(folder).length, 1);
    stopped.resolve();
    await done.promise;
    assertEquals(read, "content");
    await emptied(folder);
    await assertRejects(() => kept.text(), Error);
    const { code } = await assertRejects(() => kept.moveTo(join(folder, "b"))) as { code?: string };
    assertEquals(code, "ENOENT");
  }));

test("an empty upload_tmp_dir has files in memory; they can be moved as well", () =>
  servingUploads({ upload_tmp_dir: "" }, async ({ files: given, tmpfiles }, response) => {
    const files = known(given);
    assertEquals([files.f.tmp_name, tmpfiles, await files.f.text()], ["", [], "hello"]);
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "f"), "something longer");
      await files.f.moveTo(join(folder, "f"));
      response.end(readFileSync(join(folder, "f"), "utf8"));
    });
  }, async (client) => {
    client.send(post(file("f", "a", "hello") + END));
    assertEquals((await client.readAnswer()).body, "hello");
  }));

test("without upload_max_filesize package_max_length limits the form, and getContent() has it", () =>
  servingUploads(
    { package_max_length: 200 },
    (request, response) => response.end(String(request.getContent().length)),
    async (client) => {
      const sized = (size: number) => file("f", "a", "x".repeat(size - file("f", "a", "").length - END.length)) + END;
      client.send(post(sized(200)));
      assertEquals((await client.readAnswer()).body, "200");
      client.send(post(sized(201)));
      assertEquals((await client.readAnswer()).status, 413);
    },
  ));

// ---- upload_max_filesize --------------------------------------------------------------------------------------------

const sizes: Handler = ({ files }, response) => response.end(Object.values(files).map((file) => (file as File).size).join());

test("upload_max_filesize: at the limit and one past it, whatever the whole form has", () =>
  servingUploads({ upload_max_filesize: 5000, package_max_length: 1000 }, sizes, async (client, folder) => {
    const full = file("f", "a", "x".repeat(5000)) + file("g", "a", "x".repeat(5000));
    client.send(post(full + END));
    assertEquals((await client.readAnswer()).body, "5000,5000");
    client.send(post(full + file("h", "a", "x".repeat(5001)) + END));
    const { status, body, header } = await client.readAnswer();
    assertEquals([status, body, header["connection"]], [413, "a file is too large", "close"]);
    await client.readAll();
    await emptied(folder);
  }));

test("upload_max_filesize: what is no content of a file counts for package_max_length, at the limit and one past it", async () => {
  const rest = field("a", "") + fileHead("f", "a") + "\r\n" + END;
  for (const chunk of [1, 64, 100_000]) {
    for (const [over1, expected] of [[0, 200], [1, 413]]) {
      await servingUploads({ upload_max_filesize: 5000, package_max_length: 500 }, sizes, async (client) => {
        const body = field("a", "y".repeat(500 + over1 - rest.length)) + file("f", "a", "\r\n--A".repeat(100)) + END;
        const request = post(body);
        for (let at = 0; at < request.length; at += chunk) client.send(request.slice(at, at + chunk));
        assertEquals((await client.readAnswer()).status, expected);
      });
    }
  }
});

test("upload_max_filesize: the whole form has a limit of its own, 20 files or http_stream_body_max_length", () =>
  servingUploads({ upload_max_filesize: 100, package_max_length: 50 }, () => {
    throw new Error("never");
  }, async (_client, _folder, server) => {
    const answer = async (bytes: string) => {
      const client = new MemoryClient(server);
      client.send(bytes);
      const { status, body } = await client.readAnswer();
      client.drop();
      return [status, body];
    };
    assertEquals(await answer(head(2051)), [413, "the body is too large"]);
    assertEquals(await answer(head(2050) + "-".repeat(2050)), [413, "the form is too large"]);
    const chunk = `${(2051).toString(16)}\r\n${fileHead("f", "a")}`;
    assertEquals(await answer(head("chunked") + chunk + "-".repeat(2051)), [413, "the body is too large"]);
  }));

test("http_stream_body_max_length limits forms that are read while they arrive", () =>
  servingUploads({ upload_max_filesize: 1000, http_stream_body_max_length: 300 }, sizes, async (client) => {
    const sized = (size: number) => file("f", "a", "x".repeat(size - file("f", "a", "").length - END.length)) + END;
    client.send(post(sized(300)));
    assertEquals((await client.readAnswer()).status, 200);
    client.send(post(sized(301)));
    assertEquals((await client.readAnswer()).status, 413);
  }));

test("upload_max_filesize: other bodies have package_max_length", () =>
  servingUploads(
    { upload_max_filesize: 1000, package_max_length: 10 },
    (request, response) => response.end(request.getContent()),
    async (client) => {
      client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789");
      assertEquals((await client.readAnswer()).body, "0123456789");
      client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n0123456789a");
      assertEquals((await client.readAnswer()).status, 413);
    },
  ));

test("upload_max_filesize: pipelined requests, with length and chunks, stay in order", () =>
  servingUploads({ upload_max_filesize: 1000 }, show, async (client) => {
    const body = field("a", "1") + file("f", "a", "hello") + END;
    const chunks = body.match(/[^]{1,50}/g)!.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join("") + "0\r\n\r\n";
    client.send(post(body) + head("chunked") + chunks + "GET / HTTP/1.1\r\nHost: x\r\n\r\n" + post(body));
    const found = [];
    for (let i = 0; i < 4; i++) found.push(JSON.parse((await client.readAnswer()).body).post.a ?? "none");
    assertEquals(found, ["1", "1", "none", "1"]);
  }));

test("upload_max_filesize: a client that waits for 100 gets it", () =>
  servingUploads({ upload_max_filesize: 1000 }, sizes, async (client) => {
    const body = file("f", "a", "hello") + END;
    client.send(head(body.length, "Expect: 100-continue\r\n"));
    assertEquals(await client.readHead(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(body);
    assertEquals((await client.readAnswer()).body, "5");
  }));

test("upload_max_filesize: a client that goes in the middle leaves no file, and the handler is not called", () => {
  let calls = 0;
  return servingUploads({ upload_max_filesize: 1000 }, () => calls++, async (_client, folder, server) => {
    for (const leave of ["drop", "end"] as const) {
      const client = new MemoryClient(server);
      client.send(head(1000) + fileHead("f", "a") + "x".repeat(100));
      await written(folder, 100);
      client[leave]();
      await emptied(folder);
    }
    assertEquals(calls, 0);
  });
});

test("upload_max_filesize: a form that stops arriving is 408, and leaves no file", () => {
  const alive = setInterval(() => {}, 1000); // the server's own clock keeps no process alive
  return servingUploads({ upload_max_filesize: 1000, http_request_timeout: 0.3 }, () => {}, async (client, folder) => {
    client.send(head(1000) + fileHead("f", "a") + "x");
    assertEquals((await client.readAnswer()).status, 408);
    await emptied(folder);
  }).finally(() => clearInterval(alive));
});

test("upload_max_filesize with http_stream_body: forms are read first, other bodies are streamed", () =>
  servingUploads({ upload_max_filesize: 1000, http_stream_body: true }, async (request, response) => {
    response.end(
      request.files.f === undefined ? await request.text() : `${await known(request.files).f.text()} ${await request.text()}.`,
    );
  }, async (client) => {
    client.send(post(file("f", "a", "hello") + END) + "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    assertEquals([(await client.readAnswer()).body, (await client.readAnswer()).body], ["hello .", "abc"]);
  }));

test("the coroutine style has the same", () =>
  inFolder(async (folder) => {
    const server = new coroutine.HttpServer("127.0.0.1");
    server.set({ http_parse_files: true, upload_max_filesize: 1000, upload_tmp_dir: folder });
    server.handle("/", async (request, response) => {
      response.end(`${request.tmpfiles.length} ${await known(request.files).f.text()}`);
    });
    const client = new MemoryClient(server);
    client.send(post(file("f", "a", "hello") + END));
    assertEquals((await client.readAnswer()).body, "1 hello");
    await emptied(folder);
    client.drop();
    server.shutdown();
  }));
