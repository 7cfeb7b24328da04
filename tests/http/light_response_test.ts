import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { test } from "node:test";
import { fromFetch, LightResponse } from "../../mod.ts";
import { servingHandler } from "../support/serving.ts";

const BODIES: [name: string, make: () => BodyInit | null | undefined][] = [
  ["no body", () => undefined],
  ["null", () => null],
  ["an empty text", () => ""],
  ["a text", () => "täxt"],
  ["bytes", () => Uint8Array.from([0, 255, 13])],
  ["a buffer", () => Uint8Array.from([1, 2]).buffer],
  ["a blob", () => new Blob(["blob"], { type: "text/x" })],
  ["parameters", () => new URLSearchParams("a=b")],
  ["a stream", () => new Blob(["stream"]).stream()],
  ["a number", () => 5 as unknown as string],
];

const INITS: [name: string, make: () => ResponseInit | undefined][] = [
  ["nothing", () => undefined],
  ["a status", () => ({ status: 404 })],
  ["a reason", () => ({ statusText: "Fine" })],
  ["a record", () => ({ headers: { "X-A": "1", "content-Type": "text/html" } })],
  ["a list", () => ({ status: 599, headers: [["X-A", "1"], ["X-B", "\xe4"]] })],
  ["headers", () => ({ headers: new Headers({ "X-A": "1" }) })],
  ["a name twice", () => ({ headers: [["X-A", "1"], ["x-a", "2"]] })],
  ["blanks around a value", () => ({ headers: { "X-A": " \t1 " } })],
  ["an empty value", () => ({ headers: { "X-A": "" } })],
  ["a number as a value", () => ({ headers: { "X-A": 5 as unknown as string } })],
  ["a name that is none", () => ({ headers: { "X A": "1" } })],
  ["a value that is none", () => ({ headers: { "X-A": "a\r\nb" } })],
  ["a value above Latin-1", () => ({ headers: { "X-A": "€" } })],
  ["a pair of three", () => ({ headers: [["a", "b", "c"]] as unknown as [string, string][] })],
  ["no headers at all", () => ({ headers: null as unknown as HeadersInit })],
  ["200 as a text", () => ({ status: "201" as unknown as number })],
  ...[199, 200, 200.5, 205, 304, 600, NaN].map((status): [string, () => ResponseInit] => [`${status}`, () => ({ status })]),
];

/** The types that `Response` chooses itself. Bun chooses none for texts, and writes that of JSON in its own way. */
const CHOSEN = ["text/plain;charset=UTF-8", "application/json;charset=utf-8", "application/json"];

function fieldsOf(headers: Headers): [string, string][] {
  const fields = [...headers];
  return "Bun" in globalThis ? fields.filter(([name, value]) => name !== "content-type" || !CHOSEN.includes(value)) : fields;
}

/** What a response is, or the error that its constructor throws. */
async function describe(make: () => Response, before?: (response: Response) => unknown): Promise<unknown> {
  let response: Response;
  try {
    response = make();
  } catch (error) {
    return (error as Error).name;
  }
  before?.(response);
  const { status, ok, statusText, bodyUsed, redirected, url, headers, body } = response;
  const bytes = body === null ? null : [...await response.bytes()];
  return [
    status,
    ok,
    statusText,
    bodyUsed,
    redirected,
    url,
    fieldsOf(headers),
    bytes,
    response.bodyUsed,
    response instanceof Response,
  ];
}

for (const [what, body] of BODIES) {
  for (const [how, init] of INITS) {
    test(`a LightResponse is what a Response is: ${what} with ${how}`, async () => {
      const expected = await describe(() => new Response(body(), init()));
      assertEquals(await describe(() => new LightResponse(body(), init())), expected);
      assertEquals(await describe(() => new LightResponse(body(), init()), (it) => [it.status, it.ok, it.bodyUsed]), expected);
      if (typeof expected === "string") return;
      const clone = await describe(() => new LightResponse(body(), init()).clone());
      const forms = [expected, await describe(() => new Response(body(), init()).clone())]; // a clone of Deno may lack its type
      assert(forms.some((form) => JSON.stringify(form) === JSON.stringify(clone)), JSON.stringify([clone, ...forms]));
    });
  }
}

test("LightResponse.json() is what Response.json() is", async () => {
  const inits: (ResponseInit | undefined)[] = [undefined, { status: 201 }, { headers: { "X-A": "1" } }, {
    headers: { "CONTENT-TYPE": "text/x" },
  }, {
    headers: [["a", "b"]] as [string, string][],
  }];
  for (const data of [{ a: 1 }, null, "x", [], undefined, Symbol("x"), () => {}]) {
    for (const init of inits) {
      assertEquals(await describe(() => LightResponse.json(data, init)), await describe(() => Response.json(data, init)));
    }
  }
});

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/** Sends a response with `fromFetch()`, and returns what the client receives. */
async function sent(make: () => Response | Promise<Response>, method = "GET"): Promise<unknown> {
  let outcome: unknown;
  await servingHandler(fromFetch(make), async (client, errors) => {
    client.send(GET.replace("GET", method));
    if (method === "HEAD") outcome = [(await client.readHead()).replace(/^date:.*\r\n/im, "")];
    else {
      const { status, header, body } = await client.readAnswer();
      outcome = [status, { ...header, date: "" }, body, errors.map((error) => (error as Error).name)];
    }
  });
  return outcome;
}

test("fromFetch() sends a LightResponse as it sends a Response", async () => {
  const inits: ResponseInit[] = [
    { headers: { "Content-Type": "text/plain", "X-A": "1" } },
    { status: 201, headers: [["content-type", "a/b"], ["Set-Cookie", "a=b"], ["Connection", "close"]] },
    { headers: { "Content-Type": "text/plain", "Content-Length": "4" } },
    { headers: { "Content-Type": "text/plain", "Content-Length": "5" } },
  ];
  for (const init of inits) {
    for (const body of ["text", "t".repeat(100_000), Uint8Array.from([116, 255, 0, 13]), null]) {
      for (const method of ["GET", "HEAD"]) {
        const expected = await sent(() => new Response(body, init), method);
        assertEquals(await sent(() => new LightResponse(body, init), method), expected);
        assertEquals(await sent(() => Promise.resolve(new LightResponse(body, init)), method), expected);
      }
    }
  }
});

test("what a program does with a LightResponse before it is sent has its effect", async () => {
  const init = { headers: { "Content-Type": "text/plain" } };
  const made = () => new LightResponse("text", init);
  const bytes = new TextEncoder().encode("text");
  const headers = made();
  headers.headers.set("X-A", "2");
  const cloned = made();
  const clone = cloned.clone();
  const changed = new LightResponse(bytes, init);
  bytes.fill(0);
  for (const [response, field] of [[headers, "2"], [cloned, undefined], [clone, undefined], [changed, undefined]] as const) {
    const [status, header, body] = await sent(() => response) as [number, Record<string, string>, string];
    assertEquals([status, header["x-a"], body], [200, field, "text"]);
  }
  const read = made();
  assertEquals(await read.text(), "text");
  assert(read.bodyUsed);
  const sentBefore = made();
  await sent(() => sentBefore);
  assert(sentBefore.bodyUsed);
  assertEquals(await sentBefore.text().catch((error) => error.name), "TypeError");
  for (const used of [read, sentBefore]) assertEquals((await sent(() => used) as unknown[])[0], 500);
  const empty = new LightResponse(null, { status: 204 });
  for (let i = 0; i < 2; i++) assertEquals((await sent(() => empty) as unknown[])[0], 204);
});

test("a LightResponse can be made of, and made into, other responses", async () => {
  const light = new LightResponse("a", { status: 201, headers: { "X-A": "1" } });
  const other = new Response(light.body, light);
  assertEquals([other.status, other.headers.get("x-a"), await other.text()], [201, "1", "a"]);
  const again = new LightResponse(new LightResponse("b").body, { headers: light.headers });
  assertEquals([again.headers.get("x-a"), await again.text()], ["1", "b"]);
  assertStrictEquals(again.body, again.body);
});
