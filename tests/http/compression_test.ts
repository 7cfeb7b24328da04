import { assert, assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { brotliDecompressSync, createBrotliDecompress, createGunzip, gunzipSync, inflateSync } from "node:zlib";
import { type HttpResponse, HttpServer, type ServerSettings, setRuntime } from "../../mod.ts";
import { chooseCoding, isCompressible } from "../../src/http/content_coding.ts";
import { bytes } from "../support/http_parsing.ts";
import { MemoryClient, settle } from "../support/memory_client.ts";
import { type Handler, servingInMemory } from "../support/serving.ts";

const get = (accept: string | undefined, method = "GET", path = "/") =>
  `${method} ${path} HTTP/1.1\r\nHost: x\r\n${accept === undefined ? "" : `Accept-Encoding: ${accept}\r\n`}\r\n`;

/** Lets a client in memory talk to a server that has a runtime, and makes sure that nothing went to its `error` handler. */
async function servingWithRuntime(
  handler: Handler,
  work: (client: MemoryClient) => Promise<void>,
  settings: ServerSettings = {},
): Promise<void> {
  const server = new HttpServer("127.0.0.1", 0);
  const errors: unknown[] = [];
  server.on("request", (request, response) => handler(request, response, server));
  server.on("error", (_server, error) => void errors.push(error));
  server.set({ websocket_close_timeout: 0.3, ...settings });
  await server.start();
  await servingInMemory(server, work);
  assertEquals(errors, []);
}

const ungzip = (text: string) => new TextDecoder().decode(gunzipSync(bytes(text)));
const unbrotli = (text: string) => new TextDecoder().decode(brotliDecompressSync(bytes(text)));

test("Accept-Encoding: weights are honoured; of what is liked the same br is taken, then gzip", () => {
  const cases: [string, string | undefined][] = [
    ["gzip", "gzip"],
    ["deflate", "deflate"],
    ["br", "br"],
    ["", undefined],
    ["gzip, deflate, br, zstd", "br"],
    ["gzip, br;q=0.9", "gzip"],
    ["br;q=0, *", "gzip"],
    ["br;q=0.5, *;q=0.4", "br"],
    ["zstd, compress", undefined],
    ["deflate, gzip", "gzip"],
    ["deflate;q=1, gzip;q=0.5", "deflate"],
    ["gzip;q=0", undefined],
    ["gzip;q=0.000, deflate;q=0.001", "deflate"],
    ["*", "br"],
    ["*;q=0", undefined],
    ["*;q=0.5, gzip;q=0, br;q=0", "deflate"],
    ["x-gzip", "gzip"],
    ["GZip ; Q=0.5", "gzip"],
    ["identity, gzip;q=0.5", undefined],
    ["identity;q=0.5, gzip", "gzip"],
    ["identity;q=0, gzip;q=0.1", "gzip"],
    ["identity", undefined],
    ["gzip;q=2", undefined],
    ["gzip;q=x", undefined],
    ["notgzip", undefined],
    ["gzipx, xdeflate", undefined],
    ["__proto__, constructor", undefined],
    [",,;;,gzip", "gzip"],
  ];
  for (const [accept, coding] of cases) assertEquals(chooseCoding(accept), coding, accept);
  assertEquals(chooseCoding("br, deflate;q=0.5", ["gzip", "deflate"]), "deflate");
  for (const [others, coding] of [[31, "gzip"], [32, undefined]] as const) { // items that are looked at
    assertEquals(chooseCoding("x,".repeat(others) + "gzip"), coding);
  }
});

test("types: by nature, or those of the setting", () => {
  for (const type of ["text/html", "TEXT/PLAIN; charset=utf-8", "application/json", "image/svg+xml", "application/javascript"]) {
    assert(isCompressible(type, []), type);
  }
  for (
    const type of ["image/png", "video/mp4", "application/zip", "application/octet-stream", "text/event-stream", "font/woff2"]
  ) {
    assert(!isCompressible(type, []), type);
  }
  assert(isCompressible("image/png", ["image/*"]) && isCompressible("text/event-stream", ["text/event-stream"]));
  assert(isCompressible("a/b", ["*/*"]) && !isCompressible("text/html", ["text/plain"]));
});

test("a body of 20 bytes is compressed, one of 19 is not", () =>
  servingWithRuntime((request, response) => response.end("a".repeat(Number(request.get.n))), async (client) => {
    client.send(get("gzip", "GET", "/?n=20") + get("gzip", "GET", "/?n=19"));
    const large = await client.readAnswer();
    assertEquals([large.header["content-encoding"], large.header["vary"]], ["gzip", "Accept-Encoding"]);
    assertEquals(ungzip(large.body), "a".repeat(20));
    const small = await client.readAnswer();
    assertEquals([small.header["content-encoding"], small.header["vary"], small.body], [undefined, undefined, "a".repeat(19)]);
  }));

test("deflate is zlib's format", () =>
  servingWithRuntime((_request, response) => response.end("hello ".repeat(50)), async (client) => {
    client.send(get("deflate"));
    const { header, body } = await client.readAnswer();
    assertEquals(header["content-encoding"], "deflate");
    assertEquals(new TextDecoder().decode(inflateSync(bytes(body))), "hello ".repeat(50));
  }));

test("nobody gets a compressed body who has not asked for it; who may ask is told by Vary", () =>
  servingWithRuntime((_request, response) => response.end("x".repeat(100)), async (client) => {
    client.send(get(undefined) + get("zstd") + get("gzip;q=0"));
    for (const vary of [undefined, "Accept-Encoding", "Accept-Encoding"]) {
      const { header, body } = await client.readAnswer();
      assertEquals([header["content-encoding"], header["vary"], body], [undefined, vary, "x".repeat(100)]);
    }
  }));

const BODY = "y".repeat(1000);
const untouched: [string, (response: HttpResponse) => void][] = [
  ["has a Content-Encoding", (response) => response.header("Content-Encoding", "br")],
  ["is a part", (response) => {
    response.status(206);
    response.header("Content-Range", "bytes 0-999/2000");
  }],
  ["is of a type that does not shrink", (response) => response.header("Content-Type", "image/png")],
  ["must not be transformed", (response) => response.header("Cache-Control", "public, no-transform")],
];
for (const [what, prepare] of untouched) {
  test(`a body that ${what} is sent as it is`, () =>
    servingWithRuntime((_request, response) => {
      prepare(response);
      response.end(BODY);
    }, async (client) => {
      client.send(get("gzip"));
      assertEquals((await client.readAnswer()).body, BODY);
    }));
}

test("204, 304 and HEAD: nothing is compressed, and HEAD does not tell a length that GET would not have", () =>
  servingWithRuntime((request, response) => {
    if (request.get.status !== undefined) response.status(Number(request.get.status));
    response.end(BODY);
  }, async (client) => {
    for (const status of [204, 304]) {
      client.send(get("gzip", "GET", `/?status=${status}`));
      const { head } = await client.readAnswer(true);
      assert(!/content-encoding/i.test(head) && !/vary/i.test(head), head);
    }
    client.send(get("gzip", "HEAD") + get("zstd", "HEAD"));
    const { header } = await client.readAnswer(true);
    assertEquals([header["vary"], header["content-length"]], ["Accept-Encoding", undefined]);
    assertEquals((await client.readAnswer(true)).header["content-length"], "1000");
  }));

test("Vary and ETag of the program's own: one is added to, the other becomes weak", () =>
  servingWithRuntime((_request, response) => {
    response.header("Vary", "Origin");
    response.header("ETag", '"1"');
    response.end(BODY);
  }, async (client) => {
    client.send(get("gzip"));
    const { head } = await client.readAnswer();
    assertEquals(head.match(/^(?:vary|etag): .*$/gim)!.map((line) => line.trim()), [
      "Vary: Origin",
      "Vary: Accept-Encoding",
      'ETag: W/"1"',
    ]);
  }));

const decoders = { gzip: createGunzip, br: createBrotliDecompress };
for (const [coding, makeDecoder] of Object.entries(decoders)) {
  test(`write(): every part can be read when it arrives, ${coding}`, () => {
    const next: (() => void)[] = [];
    return servingWithRuntime(async (_request, response) => {
      for (const part of ["one ", "two ", "three"]) {
        response.write(part);
        await new Promise<void>((resolve) => next.push(resolve));
      }
      response.end(" end");
    }, async (client) => {
      client.send(get(coding));
      const head = await client.readHead();
      assert(head.includes(`\r\nContent-Encoding: ${coding}\r\n`) && /^Transfer-Encoding: chunked\r$/m.test(head));
      const decoder = makeDecoder();
      let text = "";
      let wake = () => {};
      decoder.on("data", (part) => {
        text += new TextDecoder().decode(part);
        wake();
      });
      for (const expected of ["one ", "one two ", "one two three", "one two three end"]) {
        while (!client.pending.includes("\r\n")) await settle();
        while (client.pending.length > 0) {
          const size = parseInt(await client.read(client.pending.indexOf("\r\n") + 2), 16);
          const chunk = bytes((await client.read(size + 2)).slice(0, -2));
          if (size > 0) decoder.write(chunk);
        }
        while (text.length < expected.length) await new Promise<void>((resolve) => wake = resolve);
        assertEquals(text, expected);
        next.shift()?.();
      }
      decoder.end();
    });
  });
}

test("brotli: whole bodies, what does not shrink included, whatever the level", async () => {
  let seed = 1;
  const noise = Uint8Array.from({ length: 300_000 }, () => (seed = seed * 48271 % 2147483647) & 255);
  for (const http_compression_level of [0, 1, 5, 9]) {
    await servingWithRuntime((request, response) => {
      response.header("Content-Type", "text/plain");
      response.end(request.get.n === undefined ? noise : "b".repeat(Number(request.get.n)));
    }, async (client) => {
      client.send(get("br", "GET", "/?n=20") + get("br", "GET", "/?n=500000") + get("br"));
      for (const length of [20, 500_000]) {
        const { header, body } = await client.readAnswer();
        assertEquals([header["content-encoding"], header["vary"]], ["br", "Accept-Encoding"]);
        assert(unbrotli(body) === "b".repeat(length));
      }
      assertEquals(brotliDecompressSync(bytes((await client.readAnswer()).body)).equals(noise), true);
    }, { http_compression_level });
  }
});

test("without a runtime the web compresses whole bodies; parts are sent as they are", async () => {
  setRuntime({ name: "none" } as Parameters<typeof setRuntime>[0]);
  const server = new HttpServer("127.0.0.1", 0);
  server.on("request", (request, response) => {
    response.header("ETag", '"1"');
    if (request.get.part !== undefined) response.write("part");
    response.end(BODY);
  });
  const client = new MemoryClient(server);
  try {
    client.send(get("br, gzip") + get("br, deflate") + get("br") + get("gzip", "GET", "/?part=1") + get("gzip"));
    const gzip = await client.readAnswer();
    assertEquals([gzip.header["content-encoding"], gzip.header["etag"], ungzip(gzip.body)], ["gzip", 'W/"1"', BODY]);
    const deflate = await client.readAnswer();
    assertEquals(new TextDecoder().decode(inflateSync(bytes(deflate.body))), BODY);
    for (const body of [BODY, `part${BODY}`]) {
      const answer = await client.readAnswer();
      assertEquals([answer.header["content-encoding"], answer.header["etag"], answer.body], [undefined, '"1"', body]);
    }
    assertEquals(ungzip((await client.readAnswer()).body), BODY);
  } finally {
    setRuntime(undefined);
    client.drop();
    server.shutdown();
  }
});

test("a client that goes while the web compresses leaves nothing behind", async () => {
  setRuntime({ name: "none" } as Parameters<typeof setRuntime>[0]);
  const server = new HttpServer("127.0.0.1", 0);
  const closed = new Promise<void>((resolve) => server.on("close", () => resolve()));
  let answered: boolean | undefined;
  server.on("request", (_request, response) => {
    answered = response.end(BODY);
    response.close();
  });
  const client = new MemoryClient(server);
  client.send(get("gzip"));
  await closed;
  await settle();
  assertEquals([answered, client.pending], [true, ""]);
  setRuntime(undefined);
  client.drop();
  server.shutdown();
});

test("large bodies are compressed in turns, and the answers of pipelined requests stay in order", () => {
  const large = Array.from({ length: 100_000 }, (_, i) => `line ${i * 7919 % 1000}\n`).join("");
  return servingWithRuntime(
    (request, response) => response.end(request.server.request_uri === "/large" ? large : `small ${"s".repeat(50)}`),
    async (client) => {
      client.send((get("gzip", "GET", "/large") + get("gzip", "GET", "/small")).repeat(3));
      for (let i = 0; i < 3; i++) {
        const answer = await client.readAnswer();
        assert(answer.body.length < large.length / 2);
        assertEquals(ungzip(answer.body) === large, true);
        assertEquals(ungzip((await client.readAnswer()).body), `small ${"s".repeat(50)}`);
      }
    },
  );
});

test("two streams and whole bodies at the same time do not mix", () =>
  servingWithRuntime(async (request, response) => {
    const name = String(request.server.path_info);
    for (let i = 0; i < 20; i++) {
      response.write(`${name} ${i} `);
      await settle();
    }
    response.end(name);
  }, async (first) => {
    const text = (name: string) => Array.from({ length: 20 }, (_, i) => `${name} ${i} `).join("") + name;
    first.send(get("gzip", "GET", "/a") + get("deflate", "GET", "/b"));
    assertEquals(ungzip((await first.readAnswer()).body), text("/a"));
    assertEquals(new TextDecoder().decode(inflateSync(bytes((await first.readAnswer()).body))), text("/b"));
  }));

test("http_compression off, the limit of the length, and the types, under all their names", async () => {
  const plain: ServerSettings[] = [
    { http_compression: false },
    { http_compression_min_length: 1001 },
    { compression_min_length: 1001 },
    { http_compression_types: ["text/plain"] },
    { compression_types: "text/plain" },
  ];
  for (const settings of plain) {
    await servingWithRuntime((_request, response) => response.end(BODY), async (client) => {
      client.send(get("gzip"));
      assertEquals((await client.readAnswer()).body, BODY, JSON.stringify(settings));
    }, settings);
  }
});

test("the level, under its three names, makes a difference", async () => {
  let seed = 1;
  const words = Array.from({ length: 20_000 }, () => (seed = seed * 48271 % 2147483647) % 500).join(" ");
  const size = async (settings: ServerSettings) => {
    let length = 0;
    await servingWithRuntime((_request, response) => response.end(words), async (client) => {
      client.send(get("gzip"));
      const { body } = await client.readAnswer();
      assert(ungzip(body) === words);
      length = body.length;
    }, settings);
    return length;
  };
  const fast = await size({});
  for (const name of ["http_compression_level", "compression_level", "http_gzip_level"]) {
    const best = await size({ [name]: 9 });
    assert(best < fast, name);
    assertEquals(await size({ [name]: 11 }), best, "no more than 9");
    assert(await size({ [name]: 0 }) < fast, "0 stands for 6");
    assertThrows(() => new HttpServer("127.0.0.1", 0).set({ [name]: 12 }), RangeError, name);
  }
});

test("server-sent events: every event and every comment arrives at once, as it is", () =>
  servingWithRuntime(async (_request, response) => {
    response.header("Content-Type", "text/event-stream");
    response.header("Cache-Control", "no-store");
    for (const part of ["data: a long enough event\n\n", ": still here, and here, and here\n\n"]) {
      response.write(part);
      await settle();
    }
    while (await response.drained()) await settle();
  }, async (client) => {
    client.send(get("gzip"));
    const head = await client.readHead();
    assert(/^Content-Type: text\/event-stream\r$/m.test(head) && !/content-encoding/i.test(head));
    for (const part of ["1b\r\ndata: a long enough event\n\n\r\n", "22\r\n: still here, and here, and here\n\n\r\n"]) {
      assertEquals(await client.read(part.length), part);
    }
  }));
