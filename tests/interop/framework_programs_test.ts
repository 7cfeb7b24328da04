// Programs of Hono and h3 that use what their documentation offers: bodies, forms, cookies, streams, proxies, copies of requests.

import { assertEquals } from "@std/assert";
import {
  getCookie as cookieOf,
  getRouterParams,
  H3,
  HTTPError,
  proxyRequest,
  readBody,
  setCookie as setCookieOf,
  withBase,
} from "h3";
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { getCookie, setCookie } from "hono/cookie";
import { methodOverride } from "hono/method-override";
import { proxy } from "hono/proxy";
import { streamSSE, streamText } from "hono/streaming";
import { test } from "node:test";
import { type FetchApplication, fromFetch, HttpServer } from "../../mod.ts";
import { until } from "../support/activity.ts";

/** Runs a program against applications, each on a server of its own. */
async function serving(applications: FetchApplication[], work: (...at: string[]) => Promise<void>): Promise<void> {
  const servers = applications.map((application) => {
    const server = new HttpServer("127.0.0.1", 0);
    server.on("request", fromFetch(application));
    return server;
  });
  for (const server of servers) await server.start();
  try {
    await work(...servers.map(({ port }) => `http://127.0.0.1:${port}`));
  } finally {
    for (const server of servers) server.shutdown();
    await Promise.all(servers.map(({ finished }) => finished));
  }
}

/** Returns method, path, some fields and the body of a request. */
async function told(request: Request): Promise<Response> {
  const { method, url, headers } = request;
  const { pathname, search } = new URL(url);
  return Response.json([method, pathname + search, headers.get("x-a"), await request.text()]);
}

const post = (body: BodyInit, headers: Record<string, string> = {}): RequestInit => ({ method: "POST", body, headers });
const jsonOf = async (url: string, init?: RequestInit): Promise<unknown> => await (await fetch(url, init)).json();

test("Hono: routes, middleware around them, what they answer, errors", async () => {
  const app = new Hono();
  app.use(async (c, next) => {
    await next();
    c.header("X-Took", "a while");
  });
  app.get(
    "/users/:id{[0-9]+}",
    (c) => c.json({ id: c.req.param("id"), q: c.req.queries("q"), agent: c.req.header("User-Agent") }),
  );
  app.get("/fields", (c) => c.json(c.req.header()));
  app.get("/go", (c) => c.redirect("/users/1", 303));
  app.get("/html", (c) => c.html("<p>é</p>"));
  app.get("/none", (c) => c.body(null, 204));
  app.get("/throw", () => {
    throw new Error("on purpose");
  });
  app.onError((error, c) => c.text(error.message, 418));
  app.basePath("/v1").route("/deep", new Hono().get("/er", (c) => c.text(c.req.path)));
  await serving([app], async (at) => {
    const user = await fetch(`${at}/users/42?q=1&q=%C3%A9`, { headers: { "User-Agent": "me" } });
    assertEquals([user.headers.get("x-took"), await user.json()], ["a while", { id: "42", q: ["1", "é"], agent: "me" }]);
    assertEquals((await fetch(`${at}/users/x`)).status, 404);
    assertEquals((await jsonOf(`${at}/fields`, { headers: { "X-A": "b" } }) as Record<string, string>)["x-a"], "b");
    const redirected = await fetch(`${at}/go`, { redirect: "manual" });
    assertEquals([redirected.status, redirected.headers.get("location")], [303, "/users/1"]);
    await redirected.body?.cancel();
    const html = await fetch(`${at}/html`);
    assertEquals([html.headers.get("content-type"), await html.text()], ["text/html; charset=UTF-8", "<p>é</p>"]);
    assertEquals((await fetch(`${at}/none`)).status, 204);
    const failed = await fetch(`${at}/throw`);
    assertEquals([failed.status, await failed.text()], [418, "on purpose"]);
    assertEquals(await (await fetch(`${at}/v1/deep/er`)).text(), "/v1/deep/er");
  });
});

test("Hono: bodies as JSON, text, bytes and forms, read twice, cloned, and cookies", async () => {
  const app = new Hono();
  app.post("/json", async (c) => c.json([await c.req.json(), await c.req.json(), await c.req.text()]));
  app.post("/bytes", async (c) => c.body(await c.req.arrayBuffer()));
  app.post("/form", async (c) => {
    const { name, file } = await c.req.parseBody();
    return c.json([name, file instanceof File ? [file.name, await file.text()] : file]);
  });
  app.post("/clone", async (c) => {
    const copy = c.req.raw.clone();
    return c.json([await copy.text(), await c.req.text(), c.req.raw.bodyUsed]);
  });
  app.get("/cookies", (c) => {
    setCookie(c, "one", "1; 2", { path: "/", httpOnly: true });
    setCookie(c, "two", "2");
    return c.json(getCookie(c));
  });
  await serving([app], async (at) => {
    assertEquals(await jsonOf(`${at}/json`, post('{"a":"é"}')), [{ a: "é" }, { a: "é" }, '{"a":"é"}']);
    const bytes = new Uint8Array([0, 255, 128]);
    assertEquals(new Uint8Array(await (await fetch(`${at}/bytes`, post(bytes))).arrayBuffer()), bytes);
    const form = new FormData();
    form.append("name", "é");
    form.append("file", new File(["content"], "a.txt"));
    assertEquals(await jsonOf(`${at}/form`, post(form)), ["é", ["a.txt", "content"]]);
    assertEquals(await jsonOf(`${at}/form`, post(new URLSearchParams({ name: "a b" }))), ["a b", null]);
    assertEquals(await jsonOf(`${at}/clone`, post("text")), ["text", "text", true]);
    const cookies = await fetch(`${at}/cookies`, { headers: { Cookie: "a=1; b=%20" } });
    assertEquals(cookies.headers.getSetCookie(), ["one=1%3B%202; Path=/; HttpOnly", "two=2; Path=/"]);
    assertEquals(await cookies.json(), { a: "1", b: " " });
  });
});

test("Hono: middleware that makes a request of the request: body-limit, method-override, mount, fetch() of it", async () => {
  const app = new Hono();
  app.use("/limited", bodyLimit({ maxSize: 5, onError: (c) => c.text("too much", 413) }));
  app.post("/limited", (c) => told(c.req.raw));
  app.use("/override", methodOverride({ app, form: "_method" }));
  app.delete("/override", async (c) => c.text(`deleted ${(await c.req.parseBody()).id}`));
  app.mount("/mounted", told);
  app.all("/wrapped", (c) => told(new Request(c.req.raw, { headers: { "X-A": "wrapped" } })));
  app.all("/changed", (c) => {
    c.req.raw.headers.set("X-A", "changed");
    return told(new Request(c.req.raw));
  });
  app.all("/moved", (c) => told(new Request(new URL("/elsewhere", c.req.url), c.req.raw)));
  await serving([app], async (at) => {
    assertEquals(await jsonOf(`${at}/limited`, post("12345", { "X-A": "b" })), ["POST", "/limited", "b", "12345"]);
    assertEquals((await fetch(`${at}/limited`, post("123456"))).status, 413);
    const form = new URLSearchParams({ _method: "DELETE", id: "7" });
    assertEquals(await (await fetch(`${at}/override`, post(form))).text(), "deleted 7");
    assertEquals(await jsonOf(`${at}/mounted/a?b`, post("body", { "X-A": "c" })), ["POST", "/a?b", "c", "body"]);
    assertEquals(await jsonOf(`${at}/wrapped?q`, post("body", { "X-A": "b" })), ["POST", "/wrapped?q", "wrapped", "body"]);
    assertEquals(await jsonOf(`${at}/changed`, { headers: { "X-A": "b" } }), ["GET", "/changed", "changed", ""]);
    assertEquals(await jsonOf(`${at}/moved`, { ...post("body", { "X-A": "b" }), method: "PUT" }), [
      "PUT",
      "/elsewhere",
      "b",
      "body",
    ]);
  });
});

test("Hono: streams, server-sent events, and a signal that reaches what is fetched in place of the client", async () => {
  const aborted: string[] = [];
  const upstream = new Hono();
  upstream.all("/slow", async (c) => {
    await new Promise<void>((resolve) => c.req.raw.signal.addEventListener("abort", () => resolve()));
    aborted.push(c.req.method);
    return c.text("never");
  });
  upstream.all("*", (c) => told(c.req.raw));
  let at = "";
  const app = new Hono();
  app.get("/text", (c) =>
    streamText(c, async (stream) => {
      for (const word of ["one ", "two ", "three"]) {
        await stream.write(word);
        await stream.sleep(5);
      }
    }));
  app.get("/events", (c) => streamSSE(c, async (stream) => await stream.writeSSE({ data: "x", event: "e", id: "1" })));
  app.all("/proxy/*", (c) => proxy(at + c.req.path.slice(6), { ...c.req, headers: { ...c.req.header(), "X-A": "by proxy" } }));
  app.onError((_error, c) => c.text("the client has gone", 502));
  // The fields tell how the body came, but fetch() has decoded it.
  const only = ({ body }: Response) => new Response(body);
  app.all("/request/*", async (c) => only(await fetch(new Request(at + c.req.path.slice(8), c.req.raw))));
  app.all("/copy/*", async (c) => only(await fetch(at + c.req.path.slice(5), new Request(c.req.raw))));
  await serving([app, upstream], async (own, other) => {
    at = other;
    assertEquals(await (await fetch(`${own}/text`)).text(), "one two three");
    const events = await fetch(`${own}/events`);
    assertEquals([events.headers.get("content-type"), await events.text()], [
      "text/event-stream",
      "event: e\ndata: x\nid: 1\n\n",
    ]);
    assertEquals(await jsonOf(`${own}/proxy/a`, post("body")), ["POST", "/a", "by proxy", "body"]);
    assertEquals(await jsonOf(`${own}/request/a`, post("body", { "X-A": "b" })), ["POST", "/a", "b", "body"]);
    for (const [index, way] of ["request", "copy"].entries()) {
      const leaving = new AbortController();
      const answer = fetch(`${own}/${way}/slow`, { signal: leaving.signal }).catch(() => "left");
      setTimeout(() => leaving.abort(), 100);
      assertEquals(await answer, "left");
      await until(`the request to the other server is aborted: ${way}`, () => aborted.length > index);
    }
  });
});

test("h3: routes, middleware, bodies, forms, cookies, errors, a mounted application, a proxy", async () => {
  const upstream = new H3();
  upstream.all("/**", (event) => told(event.req));
  let other = "";
  const app = new H3();
  app.use((event) => void event.res.headers.set("x-first", event.url.pathname));
  app.get("/users/:id", (event) => getRouterParams(event));
  app.post("/json", async (event) => ({ got: await readBody(event) }));
  app.post("/form", async (event) => {
    const form = await event.req.formData();
    const file = form.get("file") as File;
    return [form.get("name"), file.name, await file.text()];
  });
  app.post("/clone", async (event) => [await event.req.clone().text(), await event.req.text()]);
  app.get("/cookies", (event) => {
    setCookieOf(event, "one", "1");
    return { a: cookieOf(event, "a") };
  });
  app.get("/error", () => {
    throw new HTTPError({ status: 409, message: "on purpose" });
  });
  app.all("/wrapped", (event) => told(new Request(event.req, { headers: { "x-a": "wrapped" } })));
  app.all("/proxy", (event) => proxyRequest(event, `${other}/proxied?q`));
  app.use("/base/**", withBase("/base", new H3().all("/in", (event) => told(event.req)).handler));
  await serving([app, upstream], async (at, upstreamAt) => {
    other = upstreamAt;
    const user = await fetch(`${at}/users/7`);
    assertEquals([user.headers.get("x-first"), await user.json()], ["/users/7", { id: "7" }]);
    assertEquals(await jsonOf(`${at}/json`, post('{"a":1}', { "Content-Type": "application/json" })), { got: { a: 1 } });
    const form = new FormData();
    form.append("name", "é");
    form.append("file", new File(["content"], "a.txt"));
    assertEquals(await jsonOf(`${at}/form`, post(form)), ["é", "a.txt", "content"]);
    assertEquals(await jsonOf(`${at}/clone`, post("text")), ["text", "text"]);
    const cookies = await fetch(`${at}/cookies`, { headers: { Cookie: "a=1" } });
    assertEquals([cookies.headers.getSetCookie().length, await cookies.json()], [1, { a: "1" }]);
    const failed = await fetch(`${at}/error`);
    assertEquals([failed.status, (await failed.json()).message], [409, "on purpose"]);
    assertEquals(await jsonOf(`${at}/wrapped`, post("body")), ["POST", "/wrapped", "wrapped", "body"]);
    assertEquals(await jsonOf(`${at}/proxy`, post("body", { "X-A": "b" })), ["POST", "/proxied?q", "b", "body"]);
  });
});
