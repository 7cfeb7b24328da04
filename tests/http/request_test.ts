import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { toText } from "@std/streams";
import { test } from "node:test";
import { HttpRequest, HttpServer } from "../../mod.ts";
import { known } from "../support/known_fields.ts";
import { MemoryClient, settle } from "../support/memory_client.ts";
import { type Handler, servingHandler } from "../support/serving.ts";

const post = (type: string, body: string, fields = "") =>
  `POST /p?q[]=1&q[]=2 HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`;
const FORM = "application/x-www-form-urlencoded";

const show: Handler = ({ get, post, cookie, files }, response) => response.end(JSON.stringify({ get, post, cookie, files }));

test("query, form and cookies are there, with PHP's arrays and PHP's decoding", () =>
  servingHandler(show, async (client) => {
    client.send(post(`${FORM}; charset=utf-8`, "a[]=1&a[k][x]=2&b=c+d", "Cookie: a=b+c%21; d=%zz; e; f=g=h; a=2\r\n"));
    assertEquals(JSON.parse((await client.readAnswer()).body), {
      get: { q: ["1", "2"] },
      post: { a: { 0: "1", k: { x: "2" } }, b: "c d" },
      cookie: { a: "b+c!", d: "%zz", f: "g=h" },
      files: {},
    });
  }));

test("request_time is when the request arrived", () => {
  const begin = Date.now();
  return servingHandler(({ server }, response) => response.end(JSON.stringify(server)), async (client) => {
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    const { request_time, request_time_float, master_time } = JSON.parse((await client.readAnswer()).body);
    assert(request_time_float * 1000 > begin - 1 && request_time_float * 1000 < Date.now() + 1);
    assertEquals([request_time, master_time], [Math.floor(request_time_float), request_time]);
  });
});

test("a body of another type is no form", () =>
  servingHandler(show, async (client) => {
    client.send(post("text/plain", "a=1"));
    assertEquals(JSON.parse((await client.readAnswer()).body).post, {});
  }));

test("http_parse_post and http_parse_cookie leave both out", () =>
  servingHandler(show, async (client) => {
    client.send(post(FORM, "a=1", "Cookie: a=b\r\n"));
    const { post: form, cookie } = JSON.parse((await client.readAnswer()).body);
    assertEquals([form, cookie], [{}, {}]);
  }, { http_parse_post: false, http_parse_cookie: false }));

test("http_max_parameters is the most that is taken", () =>
  servingHandler(show, async (client) => {
    client.send(post(FORM, "a=1&b=2&c=3"));
    assertEquals(JSON.parse((await client.readAnswer()).body).post, { a: "1", b: "2" });
  }, { http_max_parameters: 2 }));

const PARTS = [
  '--B\r\nContent-Disposition: form-data; name="t[]"\r\n\r\none\r\n',
  '--B\r\nContent-Disposition: form-data; name="t[]"\r\n\r\ntwo\r\n',
  '--B\r\nContent-Disposition: form-data; name="__proto__[x]"\r\n\r\n1\r\n',
  '--B\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nhello\0\xff\r\n',
  '--B\r\nContent-Disposition: form-data; name="g[x]"; filename="b.bin"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n',
  "--B--\r\n",
].join("");

test("http_parse_files: fields and files are there before the handler is called", () =>
  servingHandler(async ({ post, files: given }, response) => {
    const files = known(given);
    const { name, type, size, error, tmp_name } = files.f;
    const content = new Uint8Array(await files.f.arrayBuffer());
    response.end(
      JSON.stringify({
        post,
        f: [name, type.split(";")[0], size, error, tmp_name.slice(0, 19), [...content]],
        g: [files.g.x.name, files.g.x.size],
      }),
    );
    assertInstanceOf(files.f, File);
  }, async (client, errors) => {
    client.send(post("multipart/form-data; boundary=B", PARTS));
    assertEquals(JSON.parse((await client.readAnswer()).body), {
      post: { t: ["one", "two"], ["__proto__"]: { x: "1" } },
      f: ["a.txt", "text/plain", 7, 0, "/tmp/sluice.upfile.", [..."hello"].map((c) => c.charCodeAt(0)).concat(0, 255)],
      g: ["b.bin", 0],
    });
    assertEquals([({} as Record<string, unknown>).x, errors], [undefined, []]);
  }, { http_parse_files: true }));

test("http_parse_files: the answers of pipelined requests stay in order", () =>
  servingHandler(({ post }, response) => response.end(String(post.t?.length ?? "none")), async (client) => {
    const form = post("multipart/form-data; boundary=B", PARTS);
    client.send(form + post(FORM, "t[]=1") + form + "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    const bodies = [];
    for (let i = 0; i < 4; i++) bodies.push((await client.readAnswer()).body);
    assertEquals(bodies, ["2", "1", "2", "none"]);
  }, { http_parse_files: true }));

test("http_parse_files: a form that is none is answered with 400, without a call", () =>
  servingHandler(() => {
    throw new Error("never");
  }, async (client, errors) => {
    client.send(post("multipart/form-data; boundary=B", "no form"));
    assertEquals((await client.readAnswer()).status, 400);
    await client.readAll();
    assertEquals(errors, []);
  }, { http_parse_files: true }));

test("without http_parse_files, formData() reads the form when it is wanted", () =>
  servingHandler(async (request, response) => {
    assertEquals([request.files, request.post].map((it) => Object.keys(it).length), [0, 0]);
    const form = await request.formData();
    response.end(`${form.getAll("t[]")} ${(form.get("f") as File).size}`);
  }, async (client) => {
    client.send(post("multipart/form-data; boundary=B", PARTS));
    assertEquals((await client.readAnswer()).body, "one,two 7");
  }));

test("the body as bytes, text, JSON and a stream", () =>
  servingHandler(async (request, response) => {
    assertEquals([request.getContent(), request.rawContent().length], ['{"a":1}', 7]);
    assertEquals([await request.text(), (await request.bytes()).length, await request.json()], ['{"a":1}', 7, { a: 1 }]);
    assertEquals(await toText(request.body), '{"a":1}');
    response.end("fine");
  }, async (client, errors) => {
    client.send(post("application/json", '{"a":1}'));
    assertEquals([(await client.readAnswer()).body, errors], ["fine", []]);
  }));

test("getData() is the request as it came; what was chunked is one chunk", () => {
  const whole = "POST /a HTTP/1.1\r\nHost: x\r\nX:  y \r\nContent-Length: 3\r\n\r\nabc";
  const request = HttpRequest.create();
  assertEquals(request.parse(whole), whole.length);
  assertEquals(String.fromCharCode(...request.getData()), whole);
  const head = "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const [sent, got] of [["1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n"], ["0\r\n\r\n", "0\r\n\r\n"]]) {
    const chunked = HttpRequest.create();
    assertEquals(chunked.parse(head + sent), (head + sent).length);
    assertEquals(String.fromCharCode(...chunked.getData()), head + got);
    assertEquals(HttpRequest.create().parse(chunked.getData()), head.length + got.length);
  }
});

test("request.server of a request that is still to be parsed has all its fields, empty", () => {
  const request = HttpRequest.create();
  const fields = {
    request_method: "",
    request_uri: "",
    path_info: "",
    request_time: 0,
    master_time: 0,
    request_time_float: 0,
    server_protocol: "",
    server_addr: "",
    server_port: 0,
    remote_addr: "",
    remote_port: 0,
  };
  assertEquals({ ...request.server }, fields);
  request.parse("GET /%61?b HTTP/1.1\r\nHost: x\r\n\r\n");
  assertEquals({ ...request.server }, {
    ...fields,
    request_method: "GET",
    request_uri: "/%61",
    path_info: "/a",
    query_string: "b",
    server_protocol: "HTTP/1.1",
  });
});

test("create() and parse(): in pieces, up to the end of the request and no further", () => {
  const text =
    "POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\nd=e";
  const request = HttpRequest.create();
  assertEquals([request.isCompleted(), request.getMethod(), request.getData().length], [false, "", 0]);
  for (const byte of text.slice(0, -1)) {
    assertEquals(request.parse(byte), 1);
    assert(!request.isCompleted());
  }
  assertEquals(request.parse("eGET / HTTP/1.1"), 1);
  assert(request.isCompleted());
  assertEquals([request.getMethod(), request.get.b, request.post.d, request.header["host"]], ["POST", "c", "e", "x"]);
  assertEquals(request.parse("more"), 0);
});

test("create() and parse(): a form with files is read into memory, unless that is turned off", async () => {
  const whole = post("multipart/form-data; boundary=B", PARTS);
  const request = HttpRequest.create();
  for (let at = 0; at < whole.length; at += 10) {
    assertEquals(Object.keys(request.files), []);
    assert(request.parse(whole.slice(at, at + 10)) !== false);
  }
  const { f, g } = known(request.files);
  assertEquals([request.isCompleted(), request.post.t, f.name, f.size, f.tmp_name, g.x.name], [
    true,
    ["one", "two"],
    "a.txt",
    7,
    "",
    "b.bin",
  ]);
  assertEquals([await f.slice(0, 5).text(), request.tmpfiles, request.rawContent().length], ["hello", [], PARTS.length]);
  const without = HttpRequest.create({ parse_files: false, parse_post: false });
  assertEquals([without.parse(whole), Object.keys(without.files), Object.keys(without.post)], [whole.length, [], []]);
  assertEquals((await without.formData()).getAll("t[]"), ["one", "two"]);
  const fieldsOff = HttpRequest.create({ parse_post: false });
  assertEquals([fieldsOff.parse(whole), Object.keys(fieldsOff.files), Object.keys(fieldsOff.post)], [
    whole.length,
    ["f", "g"],
    [],
  ]);
  assertEquals(HttpRequest.create().parse(post("multipart/form-data; boundary=B", "no form")), false);
});

test("parse() returns false for what is no request, and for a request of a server", () => {
  const request = HttpRequest.create();
  assertEquals([request.parse("GET / HTTP/1.1\n"), request.parse("x"), request.isCompleted()], [false, false, false]);
  assertEquals(HttpRequest.create({ package_max_length: 2 }).parse(post(FORM, "abc")), false);
  return servingHandler((served, response) => response.end(`${served.isCompleted()} ${served.parse("x")}`), async (client) => {
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals((await client.readAnswer()).body, "true false");
  });
});

// ---- http_stream_body -----------------------------------------------------------------------------------------------

const STREAM = { http_stream_body: true };
const upload = (length: number, fields = "") => `POST / HTTP/1.1\r\nHost: x\r\n${fields}Content-Length: ${length}\r\n\r\n`;

test("http_stream_body: the handler is called at the head, and reads the body as it arrives", () =>
  servingHandler(async (request, response) => {
    assert(!request.isCompleted());
    const reader = request.body.getReader();
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += new TextDecoder().decode(part.value);
      response.write(`got ${text.length},`);
    }
    assert(request.isCompleted());
    response.end(text);
  }, async (client, errors) => {
    client.send(upload(6));
    await settle();
    client.send("abc");
    await client.readHead();
    assertEquals(await client.read(11), "6\r\ngot 3,\r\n".slice(0, 11));
    client.send("def");
    assert((await client.readAll()).endsWith("6\r\ngot 6,\r\n6\r\nabcdef\r\n0\r\n\r\n"));
    assertEquals(errors, []);
  }, STREAM));

test("http_stream_body: whole requests, pipelined, with length, chunks and without a body", () =>
  servingHandler(async (request, response) => response.end(await request.text()), async (client) => {
    const chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n";
    client.send(upload(3) + "abc" + chunked + "GET / HTTP/1.1\r\nHost: x\r\n\r\n" + upload(1) + "g");
    for (const body of ["abc", "def", "", "g"]) {
      const answer = await client.readAnswer();
      assertEquals([answer.body, answer.header["connection"]], [body, "keep-alive"]);
    }
  }, STREAM));

test("http_stream_body: a client is not read further than the program reads", () => {
  const megabyte = new Uint8Array(64 * 1024).fill(97);
  let fd = 0;
  let received = () => 0;
  let read = () => {};
  const server = new HttpServer();
  server.set({ ...STREAM, websocket_close_timeout: 0.3 });
  server.on("request", async (request, response) => {
    fd = request.fd;
    await new Promise<void>((resolve) => read = resolve);
    response.end(String((await request.bytes()).length));
  });
  received = () => server.stats().total_recv_bytes;
  const client = new MemoryClient(server);
  return (async () => {
    client.send(upload(16 * megabyte.length));
    for (let i = 0; i < 16; i++) client.send(megabyte);
    for (let i = 0; i < 5; i++) await settle();
    assert(fd > 0 && received() < 4 * megabyte.length, `${received()} bytes were read`);
    read();
    assertEquals((await client.readAnswer()).body, String(16 * megabyte.length));
    client.drop();
    server.shutdown();
    await server.finished;
  })();
});

test("http_stream_body: bytes() takes package_max_length, beyond it the client gets 413", () => {
  let error: unknown;
  return servingHandler(async (request, response) => {
    try {
      response.end(await request.text());
    } catch (thrown) {
      error = thrown;
    }
  }, async (client) => {
    client.send(upload(10) + "0123456789");
    assertEquals((await client.readAnswer()).body, "0123456789");
    client.send(upload(11) + "0123456789a");
    assertEquals((await client.readAnswer()).status, 413);
    await client.readAll();
    assertInstanceOf(error, RangeError);
  }, { ...STREAM, package_max_length: 10 });
});

test("http_stream_body_max_length: a longer body gets 413, without a call when its length is told", () => {
  let calls = 0;
  return servingHandler(async (request, response) => {
    calls++;
    await assertRejects(() => request.text());
    response.end();
  }, async (client, errors) => {
    client.send(upload(11));
    assertEquals([(await client.readAnswer()).status, calls], [413, 0]);
    const second = errors.length;
    assertEquals(second, 0);
  }, { ...STREAM, http_stream_body_max_length: 10 });
});

test("http_stream_body: chunks beyond the limit, and broken ones, are told to the client and to the reader", async () => {
  for (const [chunks, status] of [["b\r\n0123456789a\r\n", 413], ["zz\r\n", 400]] as const) {
    let failed: unknown;
    await servingHandler(async (request) => {
      failed = await request.text().catch((error) => error);
    }, async (client, errors) => {
      client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
      await settle();
      client.send(chunks);
      assertEquals((await client.readAnswer()).status, status);
      await client.readAll();
      await settle();
      assertInstanceOf(failed, Error);
      assertEquals(errors, []);
    }, { ...STREAM, http_stream_body_max_length: 10 });
  }
});

test("http_stream_body: an answer before the end of the body closes the connection, and says so", () =>
  servingHandler((_request, response) => response.end("enough"), async (client) => {
    client.send(upload(100) + "abc");
    const { body, header } = await client.readAnswer();
    assertEquals([body, header["connection"]], ["enough", "close"]);
    assertEquals(await client.readAll(), "");
  }, STREAM));

test("http_stream_body: a client that waits for 100 gets it when the program reads, and not before", () =>
  servingHandler(async (request, response) => {
    if (request.server.request_uri === "/no") return response.status(403) && response.end();
    response.end(await request.text());
  }, async (client) => {
    client.send(upload(3, "Expect: 100-continue\r\n"));
    assertEquals(await client.readHead(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abc");
    assertEquals((await client.readAnswer()).body, "abc");
    client.send(upload(3, "Expect: 100-continue\r\n").replace("/ ", "/no "));
    assertEquals((await client.readAnswer()).status, 403);
    assertEquals(await client.readAll(), "");
  }, STREAM));

test("http_stream_body: a client that leaves in the middle fails the read", () => {
  let failed: Promise<unknown> | undefined;
  return servingHandler((request) => failed = request.text().catch((error) => error), async (client) => {
    client.send(upload(10) + "abc");
    await settle();
    client.drop();
    await settle();
    assertInstanceOf(await failed, Error);
  }, STREAM);
});

test("http_stream_body: a body that stops arriving is 408, and fails the read", () => {
  let failed: unknown;
  let calls = 0;
  const alive = setInterval(() => {}, 1000); // the server's own clock keeps no process alive
  return servingHandler(async (request, response) => {
    calls++;
    try {
      response.end(await request.text());
    } catch (error) {
      failed = error;
    }
  }, async (client) => {
    client.send(upload(3) + "a");
    assertEquals((await client.readAnswer()).status, 408);
    await client.readAll();
    assertInstanceOf(failed, Error);
    assertEquals(calls, 1);
  }, { ...STREAM, http_request_timeout: 0.5 }).finally(() => clearInterval(alive));
});
