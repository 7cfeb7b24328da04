import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import type { HttpResponse } from "../../mod.ts";
import { BaseResponse as Response, writerOf } from "../../src/http/base_response.ts";
import { type ResponseTarget, ResponseWriter } from "../../src/http/response_writer.ts";
import { known } from "../support/known_fields.ts";
import { settle } from "../support/memory_client.ts";
import { type Handler, servingHandler, signal } from "../support/serving.ts";

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

const failing: [name: string, handler: Handler, reported: number][] = [
  ["throws", () => {
    throw new Error("on purpose");
  }, 1],
  ["rejects", () => Promise.reject(new Error("on purpose")), 1],
  ["throws later", async () => {
    await settle();
    throw new Error("on purpose");
  }, 1],
  ["throws something that is no error", () => {
    throw "on purpose";
  }, 1],
  ["returns without an answer", () => {}, 0],
  ["settles without an answer", async () => {
    await settle();
  }, 0],
  ["sets status and headers, but never ends", (_request, response) => {
    response.status(201);
    response.header("X-A", "b");
  }, 0],
];

for (const [name, handler, reported] of failing) {
  test(`a handler that ${name}: 500 with an empty body`, () =>
    servingHandler(handler, async (client, errors) => {
      client.send(GET);
      const { status, body } = await client.readAnswer();
      assertEquals([status, body, errors.length], [500, "", reported]);
    }));
}

test("the connection is kept behind a 500", () =>
  servingHandler((request, response) => request.get.good === undefined ? undefined : response.end("good"), async (client) => {
    client.send(GET + "GET /?good HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals((await client.readAnswer()).status, 500);
    assertEquals((await client.readAnswer()).body, "good");
  }));

test("a handler that throws after it has answered: the answer stands, the error is reported", () =>
  servingHandler((_request, response) => {
    response.end("fine");
    throw new Error("too late");
  }, async (client, errors) => {
    client.send(GET);
    const { status, body } = await client.readAnswer();
    assertEquals([status, body], [200, "fine"]);
    await settle();
    assertEquals(errors.length, 1);
  }));

test("a handler that throws in the middle of a body: the client sees that it is cut off", () =>
  servingHandler((_request, response) => {
    response.write("half");
    throw new Error("on purpose");
  }, async (client, errors) => {
    client.send(GET);
    const text = await client.readAll();
    assertEquals([text.endsWith("\r\n\r\n4\r\nhalf\r\n"), errors.length], [true, 1]);
  }));

for (const [how, wait] of [["at once", undefined], ["later", () => Promise.resolve()]] as const) {
  test(`a handler that returns ${how} behind write(), without end(): what was written is the response`, () =>
    servingHandler((_request, response) => {
      response.write("one");
      response.write("two");
      return wait?.();
    }, async (client, errors) => {
      for (let i = 0; i < 2; i++) { // the connection is kept
        client.send(GET);
        const { status, body } = await client.readAnswer();
        assertEquals([status, body], [200, "onetwo"]);
      }
      client.send("GET / HTTP/1.0\r\n\r\n");
      assertEquals((await client.readAnswer()).body, "onetwo");
      assertEquals(errors, []);
    }));
}

test("detach(): the answer may come after the handler", async () => {
  const detached = signal<HttpResponse>();
  await servingHandler((_request, response) => {
    assert(response.detach());
    detached.resolve(response);
  }, async (client) => {
    client.send(GET + GET);
    const response = await detached.promise;
    await settle();
    assertEquals(client.pending, "");
    assert(response.isWritable());
    assert(response.end("at last"));
    assertEquals((await client.readAnswer()).body, "at last");
  });
});

test("detach() behind end() gives false", () =>
  servingHandler((_request, response) => {
    response.end();
    assertFalse(response.detach());
  }, async (client, errors) => {
    client.send(GET);
    await client.readAnswer();
    assertEquals(errors, []);
  }));

test("behind end() everything gives false and 7106", () =>
  servingHandler((_request, response, server) => {
    assert(response.isWritable());
    assert(response.end("once"));
    assertFalse(response.isWritable());
    const uses: [string, () => boolean][] = [
      ["end", () => response.end("twice")],
      ["write", () => response.write("more")],
      ["status", () => response.status(201)],
      ["header", () => response.header("A", "b")],
      ["redirect", () => response.redirect("/")],
    ];
    for (const [name, use] of uses) {
      assertEquals([name, use(), server.getLastError()], [name, false, 7106]);
    }
  }, async (client, errors) => {
    client.send(GET + GET);
    for (let i = 0; i < 2; i++) assertEquals((await client.readAnswer()).body, "once");
    assertEquals(errors, []);
    assertEquals(client.pending, "");
  }));

test("behind write() the head is settled: header() and status() give false and 7106", () =>
  servingHandler((_request, response, server) => {
    response.write("begun");
    assertEquals([response.header("A", "b"), server.getLastError()], [false, 7106]);
    assertEquals([response.status(404), server.getLastError()], [false, 7106]);
    assert(response.isWritable());
    response.end();
  }, async (client, errors) => {
    client.send(GET);
    const { status, header } = await client.readAnswer();
    assertEquals([status, header["a"], errors], [200, undefined, []]);
  }));

test("redirect()", () =>
  servingHandler((request, response) => {
    const { to, code } = known(request.get);
    if (code === undefined) response.redirect(to);
    else response.redirect(to, Number(code));
  }, async (client) => {
    client.send("GET /?to=/there HTTP/1.1\r\nHost: x\r\n\r\nGET /?to=https://x/&code=308 HTTP/1.1\r\nHost: x\r\n\r\n");
    const first = await client.readAnswer();
    assertEquals([first.status, first.header["location"], first.body], [302, "/there", ""]);
    const second = await client.readAnswer();
    assertEquals([second.status, second.header["location"]], [308, "https://x/"]);
  }));

test("redirect() to what would split the answer: 500, nothing of it is sent", () =>
  servingHandler((request, response) => response.redirect(known(request.get).to), async (client, errors) => {
    client.send("GET /?to=/%0d%0aSet-Cookie:a=b%0d%0a%0d%0abody HTTP/1.1\r\nHost: x\r\n\r\n");
    const { status, head } = await client.readAnswer();
    assertEquals([status, errors.length], [500, 1]);
    assertFalse(/set-cookie/i.test(head));
  }));

test("redirect() that throws leaves the response as it was; what a URL may not hold is sent as escapes", () =>
  servingHandler((request, response) => {
    if (request.server.request_uri === "/escapes") return void response.redirect("/日本 é?q=%20#f");
    response.status(201);
    assertThrows(() => response.redirect("/\r\n"), TypeError);
    assertThrows(() => response.redirect("/there", 99), RangeError);
    response.end();
  }, async (client) => {
    client.send(GET + "GET /escapes HTTP/1.1\r\nHost: x\r\n\r\n");
    const { status, header } = await client.readAnswer();
    assertEquals([status, header["location"]], [201, undefined]);
    assertEquals((await client.readAnswer()).header["location"], "/%E6%97%A5%E6%9C%AC%20%C3%A9?q=%20#f");
  }));

test("an encoder that fails is closed, so that nothing of it is left for the next body", () => {
  const uses = [
    (response: Response) => response.end("x".repeat(50)),
    (response: Response) => writerOf(response).writePart("x", "limited"),
  ];
  for (const use of uses) {
    let closed = 0;
    const encoder = () => ({
      write(): never {
        throw new Error("on purpose");
      },
      close: () => void closed++,
    });
    const bodyCompression = { minLength: 0, types: [], codings: ["gzip"] as const, encoder };
    written((response) => {
      assertThrows(() => use(response), Error, "on purpose");
      assertEquals(closed, 1);
    }, { bodyCompression, acceptEncoding: "gzip" });
  }
});

test("header() sends names with capitals where words begin, or as they are spelled", () =>
  servingHandler((_request, response) => {
    response.header("x-request-ID", "1");
    response.setHeader("SEC-WEBSOCKET-x", "2");
    response.header("x-a-", "3");
    response.header("x-b", "first");
    response.header("X-B", "second", false);
    response.setHeader("xX-yY", "4", false);
    response.end();
  }, async (client) => {
    client.send(GET);
    assertEquals((await client.readAnswer()).head.match(/^(?:x|sec-).*$/gim)!.map((line) => line.trim()), [
      "X-Request-Id: 1",
      "Sec-Websocket-X: 2",
      "X-A-: 3",
      "X-B: second",
      "xX-yY: 4",
    ]);
  }));

test("headers: set again, set several times, replaced and left out", () =>
  servingHandler((_request, response) => {
    response.header("X-A", "1");
    response.header("x-a", "2");
    response.header("Set-Cookie", ["a=1", "b=2"]);
    response.header("X-Number", 7);
    response.header("Server", "");
    response.header("Date", "");
    response.header("Content-Type", "text/plain");
    response.status(299, "Fine enough");
    response.end("ok");
  }, async (client) => {
    client.send(GET);
    const { head } = await client.readAnswer();
    assertEquals(head.trimEnd().split("\r\n").sort(), [
      "Connection: keep-alive",
      "Content-Length: 2",
      "Content-Type: text/plain; charset=utf-8",
      "HTTP/1.1 299 Fine enough",
      "Set-Cookie: a=1",
      "Set-Cookie: b=2",
      "X-A: 2",
      "X-Number: 7",
    ]);
  }));

test("answering after the client has gone: false, no error", async () => {
  const asked = signal<HttpResponse>();
  await servingHandler((_request, response) => {
    response.detach();
    asked.resolve(response);
  }, async (client, errors, server) => {
    client.send(GET);
    const response = await asked.promise;
    client.drop();
    while (response.isWritable()) await settle();
    assertEquals([response.write("x"), response.end("y")], [false, false]);
    await settle();
    assertEquals([errors, server.connections.size], [[], 0]);
  });
});

test("close() ends the connection without an answer", () =>
  servingHandler((_request, response) => {
    assert(response.close());
    assertFalse(response.isWritable());
    assertFalse(response.end("never"));
  }, async (client, errors) => {
    client.send(GET + GET);
    assertEquals(await client.readAll(), "");
    assertEquals(errors, []);
  }));

/** A response that writes into a text. */
function written(work: (response: Response) => void, target: Partial<ResponseTarget> = {}): string {
  let text = "";
  const sink: ResponseTarget = {
    isOpen: true,
    keepAlive: true,
    isHead: false,
    takesChunks: true,
    isUpgrade: false,
    date: "D",
    send: (bytes) => void (text += new TextDecoder().decode(bytes)),
    sendHead: (head) => void (text += head),
    onEnd: () => {},
    onMisuse: () => {},
    close: () => true,
    breakOff: () => {},
    abort: () => {},
    ...target,
  };
  work(new Response(1, new ResponseWriter(sink)));
  return text;
}

test("what would split the answer is refused (CVE-2026-1527)", () => {
  written((response) => {
    for (const name of ["", "a b", "a:b", "a\r\nb", "a\n", "\0", "ä", "a\u010a"]) {
      assertThrows(() => response.header(name, "x"), TypeError);
    }
    for (const value of ["a\r\nb", "a\n", "\r", "a\0", "\x7f", "\u010a", "\u560a", "\ud83d\ude00"]) {
      assertThrows(() => response.header("A", value), TypeError);
      assertThrows(() => response.header("A", ["fine", value]), TypeError);
      assertThrows(() => response.status(200, value), TypeError);
    }
    for (const value of ["a\r\nb", "a\n", "\r", "a\0", "\x7f"]) assertThrows(() => response.redirect(value), TypeError);
    assertThrows(() => response.header("Transfer-Encoding", "chunked"), TypeError);
    for (const status of [100, 101, 199, 0, -1, 1000, 200.5, NaN]) assertThrows(() => response.status(status), RangeError);
  });
});

test("whatever header() and status() take, the answer has one head with as many lines", () => {
  const texts = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary" }),
    fc.constantFrom("a\r\nb", "\n", "\r", "close", "keep-alive", "5"),
  );
  const names = fc.oneof(texts, fc.constantFrom("Connection", "Content-Length", "Upgrade", "Server", "Date", "Set-Cookie"));
  fc.assert(
    fc.property(
      fc.array(fc.tuple(names, texts), { maxLength: 5 }),
      fc.integer({ min: 200, max: 999 }),
      texts,
      (fields, status, reason) => {
        const attempt = (work: () => void) => {
          try {
            work();
          } catch (error) {
            assert(error instanceof TypeError);
          }
        };
        const text = written((response) => {
          attempt(() => response.status(status, reason));
          for (const [name, value] of fields) attempt(() => response.header(name, value));
          response.end();
        });
        assert(text.endsWith("\r\n\r\n"));
        const lines = text.slice(0, -4).split("\r\n");
        assert(/^HTTP\/1\.1 [2-9]\d\d /.test(lines[0]));
        assert(lines.length <= 1 + fields.length + 5);
        // deno-lint-ignore no-control-regex
        for (const line of lines.slice(1)) assert(/^[!-9;-~]+: [^\x00-\x08\x0a-\x1f\x7f]*$/.test(line), JSON.stringify(line));
        assertEquals(lines.filter((line) => /^connection:/i.test(line)).length, 1);
        assert(lines.filter((line) => /^content-length:/i.test(line)).length <= 1);
      },
    ),
    { numRuns: 3000 },
  );
});

test("each head has what its response was given, whatever the ones before it had", () => {
  const given: [
    fields: [string, string][],
    rest?: { status?: number; reason?: string; body?: string; target?: Partial<ResponseTarget> },
  ][] = [
    [[["X-A", "1"]]],
    [[["X-A", "2"]]],
    [[["X-A", "1"]], { target: { date: "E" } }],
    [[["X-A", "1"]], { target: { keepAlive: false } }],
    [[["X-A", "1"]], { target: { isHead: true } }],
    [[["X-A", "1"]], { status: 216 }],
    [[["X-A", "1"]], { reason: "Fine" }],
    [[["X-B", "1"]]],
    [[["X-A", "\xe4"]]],
    [[["X-A", "1"], ["X-B", "2"]]],
    [[["X-B", "2"], ["X-A", "1"]]],
    [[["X-A", "1"]], { body: "ä" }],
    [[["X-A", "y".repeat(3000)]]],
  ];
  const heads = given.map(() => new Set<string>());
  for (let round = 0; round < 3; round++) {
    given.forEach(([fields, { status = 200, reason, body = "a", target } = {}], i) => {
      const text = written((response) => {
        response.status(status, reason);
        for (const [name, value] of fields) response.header(name, value);
        response.end(body);
      }, target);
      heads[i].add(text);
      const at = fields.map(([name, value]) => text.indexOf(`\r\n${name}: ${value}\r\n`));
      assert(at.every((index, i) => index > 0 && (i === 0 || index > at[i - 1])));
      assert(text.startsWith(`HTTP/1.1 ${status} ${reason ?? (status === 200 ? "OK" : "")}\r\n`));
      assert(text.includes(`\r\nDate: ${target?.date ?? "D"}\r\n`));
      assert(text.includes(`\r\nConnection: ${target?.keepAlive === false ? "close" : "keep-alive"}\r\n`));
      assert(text.includes(`\r\nContent-Length: ${body === "a" ? 1 : 2}\r\n\r\n`));
      assertEquals(text.match(/^X-/gm)?.length, fields.length);
    });
  }
  assertEquals(heads.map((texts) => texts.size), given.map(() => 1));
});

test("Upgrade is named in Connection (RFC 9110 section 7.8)", () => {
  const head = written((response) => {
    response.status(426);
    response.header("Upgrade", "websocket");
    response.end();
  }, { keepAlive: false });
  assertEquals(head.match(/^connection: .*$/gim), ["Connection: Upgrade, close"]);
});

test("header() and trailer() with null take a field back, and what is built in is there again", () =>
  servingHandler((_request, response) => {
    response.header("X-A", "1");
    response.header("x-a", null);
    response.header("X-List", ["1", "2"]);
    response.setHeader("X-LIST", null, false);
    response.header("X-Never", null);
    for (const name of ["Server", "Date", "Content-Type", "Connection"]) {
      response.header(name, name === "Connection" ? "close" : "");
      response.header(name.toLowerCase(), null);
    }
    response.trailer("X-Sum", "1");
    response.trailer("x-sum", null);
    response.trailer("X-Kept", 2);
    response.end("ok");
  }, async (client) => {
    client.send(GET);
    const head = await client.readHead();
    assertEquals(head.replace(/Date: .*/, "Date").trimEnd().split("\r\n").sort(), [
      "Connection: keep-alive",
      "Content-Type: text/html; charset=utf-8",
      "Date",
      "HTTP/1.1 200 OK",
      "Server: sluice",
      "Trailer: X-Kept",
      "Transfer-Encoding: chunked",
    ]);
    const body = "2\r\nok\r\n0\r\nX-Kept: 2\r\n\r\n";
    assertEquals(await client.read(body.length), body);
  }));

test("header(), trailer() and status() say what is wrong with what they are given", () =>
  servingHandler((_request, response) => {
    const wrongs: [() => unknown, string][] = [
      [() => response.header(12345 as unknown as string, "x"), "Cannot set a header: the name has to be a string, not number"],
      [() => response.header(undefined as unknown as string, "x"), "the name has to be a string, not undefined"],
      [() => response.header({ a: 1 } as unknown as string, "x", false), "is not a header name"],
      [() => response.trailer(5 as unknown as string, "x"), "the name has to be a string, not number"],
      [
        () => response.header("X-A", undefined as unknown as string),
        "Cannot set the header X-A: the value has to be a string, a number, a list of them, or null to take it back, not undefined",
      ],
      [() => response.header("X-A", { a: 1 } as unknown as string), "or null to take it back, not object"],
      [() => response.header("X-A", true as unknown as string), "or null to take it back, not boolean"],
      [() => response.header("X-A", ["1", null as unknown as string]), "or null to take it back, not null"],
      [() => response.header("X-A", [["1"]] as unknown as string[]), "or null to take it back, not a list"],
      [() => response.trailer("X-A", undefined as unknown as string), "or null to take it back, not undefined"],
    ];
    for (const [work, words] of wrongs) assertThrows(work, TypeError, words);
    assertThrows(() => response.status("404" as unknown as number), TypeError, 'the status has to be a number, not "404"');
    assertThrows(
      () => response.status(undefined as unknown as number),
      TypeError,
      "the status has to be a number, not undefined",
    );
    response.header("X-Numbers", [1, "b", 2.5]);
    response.end(5);
  }, async (client) => {
    client.send(GET);
    const { head, body } = await client.readAnswer();
    assertEquals(
      head.match(/^X-Numbers: .*$/gm),
      ["X-Numbers: 1\r", "X-Numbers: b\r", "X-Numbers: 2.5\r"].map((line) => line.trim()),
    );
    assertEquals([body, /^X-A:/m.test(head)], ["5", false]);
  }));

test("text is UTF-8, and says so, where its type is text and names no charset; bytes are what they are", async () => {
  const text = (type?: string) => (response: HttpResponse) => {
    if (type !== undefined) response.header("Content-Type", type);
    response.end("grüße");
  };
  const rows: [what: string, work: (response: HttpResponse) => void, type: string | undefined][] = [
    ["no type", text(), "text/html; charset=utf-8"],
    ["no body", (response) => response.end(), "text/html; charset=utf-8"],
    ["a type of text", text("text/plain"), "text/plain; charset=utf-8"],
    ["in capitals", text("TEXT/CSV"), "TEXT/CSV; charset=utf-8"],
    ["another parameter", text("text/csv; header=present"), "text/csv; header=present; charset=utf-8"],
    ["a charset", text("text/html;CharSet=iso-8859-1"), "text/html;CharSet=iso-8859-1"],
    ["a stream of events, which is always UTF-8", text("text/event-stream"), "text/event-stream"],
    ["another type", text("application/json"), "application/json"],
    ["none", text(""), undefined],
    ["bytes", (response) => response.end(new Uint8Array(1)), "text/html"],
    [
      "bytes with a type",
      (response) => response.header("Content-Type", "text/plain") && response.end(new Uint8Array(1)),
      "text/plain",
    ],
    ["a part", (response) => response.write("ü") && response.end(new Uint8Array(1)), "text/html; charset=utf-8"],
    ["a part of bytes", (response) => response.write(new Uint8Array(1)) && response.end("ü"), "text/html"],
    ["a number", (response) => response.end(5), "text/html; charset=utf-8"],
  ];
  for (const [what, work, type] of rows) {
    for (const compress of [false, true]) {
      await servingHandler((_request, response) => work(response), async (client) => {
        client.send(compress ? GET.replace("\r\n\r\n", "\r\nAccept-Encoding: gzip\r\n\r\n") : GET);
        assertEquals((await client.readAnswer()).header["content-type"], type, what);
      });
    }
  }
});
