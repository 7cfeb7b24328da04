// Where the client could take the wrong answer, hang, or do something twice.

import { assert, assertEquals, assertRejects } from "@std/assert";
import net from "node:net";
import { test } from "node:test";
import { deflateSync, gzipSync } from "node:zlib";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { settle } from "../support/memory_client.ts";
import { answered, ok, opened, reconnect, requestOf, scripted, switching } from "./client_stage.ts";
import { arrive, framesIn, join, latin1, next, served } from "../coroutine/stage.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A server that does with each connection what the test says, and how many there were. */
async function listening(
  onConnection: (socket: net.Socket) => void,
  work: (port: number) => Promise<void>,
): Promise<number> {
  let count = 0;
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    count++;
    sockets.add(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await work((server.address() as net.AddressInfo).port);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
  return count;
}

test("bytes behind an answer end the connection: the next request does not get them as its answer", async () => {
  const stage = scripted();
  const { result } = await answered(stage, ok("ok") + "HTTP/1.1 200 OK\r\n");
  assertEquals([result, stage.client.body, stage.client.connected], [true, "ok", false]);
});

test("close() ends a request that follows a WebSocket", async () => {
  const { client } = await opened();
  reconnect(client);
  const asking = client.get("/slow");
  await settle();
  assertEquals([client.close(), await asking, client.connected], [true, false, false]);
});

test("a cookie with a name that cannot be sent does not stand in the way of later requests", async () => {
  for (const cookie of ["a b=1", "a,b=1", "é=1", "__proto__=1", 'a"=2']) {
    const stage = scripted();
    assert((await answered(stage, ok("", `Set-Cookie: ${cookie}\r\n`))).result);
    assert((await answered(stage, ok())).result, cookie);
  }
});

test("a cookie is deleted by Max-Age and by Expires", async () => {
  const stage = scripted();
  await answered(
    stage,
    ok("", "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nSet-Cookie: c=3; Expires=Fri, 01 Jan 2100 00:00:00 GMT\r\n"),
  );
  assertEquals({ ...stage.client.cookies }, { a: "1", b: "2", c: "3" });
  await answered(stage, ok("", "Set-Cookie: a=; Max-Age=0\r\nSet-Cookie: b=; Expires=Thu, 01 Jan 1970 00:00:01 GMT\r\n"));
  assertEquals({ ...stage.client.cookies }, { c: "3" });
});

test("a timeout that is longer than a timer can be does not come at once", async () => {
  const { client, lane } = scripted({ read_timeout: 1e7 });
  const asking = client.get("/");
  await pause(50);
  await requestOf(lane);
  lane.receive(ok("late"));
  assertEquals([await asking, client.body], [true, "late"]);
});

test("a body that was cut off, or that grows beyond package_max_length, is none", async () => {
  const compressed: [coding: string, body: Uint8Array][] = [["gzip", gzipSync("hello hello")], [
    "deflate",
    deflateSync("hello hello"),
  ]];
  const answer = (coding: string, body: Uint8Array) =>
    join(
      latin1(`HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\nContent-Length: ${body.length}\r\n\r\n`),
      new Uint8Array(body),
    );
  for (const [coding, body] of compressed) {
    for (const cut of [0, 1, 5, 8, body.length - 3]) {
      const stage = scripted();
      const { result } = await answered(stage, answer(coding, body.subarray(0, body.length - cut)));
      assertEquals([result, stage.client.errCode], cut === 0 ? [true, 0] : [false, 7102], `${coding}, ${cut} bytes missing`);
    }
    const long = coding === "gzip" ? gzipSync("h".repeat(100)) : deflateSync("h".repeat(100));
    for (const limit of [100, 99]) {
      const stage = scripted({ package_max_length: limit });
      const { result } = await answered(stage, answer(coding, long));
      assertEquals([result, stage.client.errCode], limit === 100 ? [true, 0] : [false, 1201], `${coding}, limit ${limit}`);
    }
  }
});

test("the answer to a ping of the keepalive is no Pong for recv(); that to the program's is", async () => {
  const { client, lane } = await opened({ websocket_ping_interval: 0.1 });
  while (lane.text === "") await pause(20);
  assertEquals(framesIn(lane.text), ["m89"]);
  arrive(lane, served(10));
  arrive(lane, served(10));
  assertEquals([await next(client), await next(client, 0.05)], ["10", "false 110"].map((what) => what === "10" ? "10 " : what));
  client.close();
});

test("a second close() tells why it does nothing", async () => {
  const { client } = await opened();
  assertEquals(await next(client, 0.01), "false 110");
  assertEquals([client.close(), client.close(), client.errCode], [true, false, 5001]);
});

test("a request that is refused because another is under way leaves nothing behind", async () => {
  const { client, lane } = scripted();
  const asking = client.get("/");
  await requestOf(lane);
  await assertRejects(() => client.post("/b", "secret"), Error, "another one is under way");
  await assertRejects(() => client.execute("/b"), Error, "another one is under way");
  await assertRejects(() => client.upgrade("/b"), Error, "another one is under way");
  lane.receive(ok());
  await asking;
  const { request } = await answered({ client, lane }, ok(), (client) => client.execute("/c"));
  assert(request.startsWith("GET /c") && !request.includes("secret"), request);
});

test("a call that is refused for its arguments leaves nothing behind for the next request", async () => {
  const none = "/no/such/folder/sluice";
  const refused: [string, (client: HttpClient) => Promise<boolean>][] = [
    ["download() of no path", (client) => client.download("no path", none)],
    ["download() from nowhere", (client) => client.download("/", none, -1)],
    ["download() to nowhere", (client) => client.download("/", "", 5)],
    ["get() of no path", (client) => client.get("no path")],
    ["execute() of no path", (client) => client.execute("no path")],
    ["upgrade() of no path", (client) => client.upgrade("no path")],
    ["post() of no path", (client) => client.post("no path", "other data")],
    ["post() of no data", (client) => client.post("/", true as unknown as string)],
    ["upgrade() with a field of the handshake", (client) => {
      client.setHeaders({ Upgrade: "mine" });
      return client.upgrade("/").finally(() => client.setHeaders({}));
    }],
  ];
  for (const [what, call] of refused) {
    const it = scripted();
    it.client.setMethod("PUT");
    it.client.setData("data");
    await assertRejects(() => call(it.client));
    assertEquals([it.client.downloadFile, it.client.downloadOffset], [undefined, 0], what);
    const { result, request } = await answered(it, ok("body"), (client) => client.execute("/"));
    assertEquals(
      [result, it.client.body, request.split(" ")[0], request.split("\r\n\r\n")[1]],
      [true, "body", "PUT", "data"],
      what,
    );
  }
});

test("a request that fails before it is sent takes what was set for it along", async () => {
  const it = scripted();
  it.client.cookies = { "a b": "no name of a cookie" };
  await assertRejects(() => it.client.download("/", "/no/such/folder/sluice", 5), TypeError);
  await assertRejects(() => it.client.post("/", "data"), TypeError);
  it.client.cookies = {};
  const { result, request } = await answered(it, ok("body"), (client) => client.execute("/"));
  assertEquals([result, it.client.body, request.split("\r\n")[0], request.includes("Range")], [
    true,
    "body",
    "GET / HTTP/1.1",
    false,
  ]);
});

test("an upgrade in which two things are wrong rejects with one of them, and not beside it with the other", async () => {
  const it = scripted();
  const names = ["chat"];
  it.client.set({ websocket_subprotocol: names, websocket_compression: true });
  names.push("no name");
  it.client.cookies = { "a b": "no name of a cookie" };
  await assertRejects(() => it.client.upgrade("/"), TypeError); // a second rejection would fail the test
  await settle();
  names.pop();
  it.client.cookies = {};
  const opening = it.client.upgrade("/");
  it.lane.receive(switching(await requestOf(it.lane), { "Sec-WebSocket-Protocol": "chat" }));
  assertEquals([await opening, it.client.statusCode], [true, 101]);
});

test("connect_timeout is 110, also when it is TLS that does not come", async () => {
  await listening(() => {}, async (port) => {
    const client = new HttpClient("127.0.0.1", port, true);
    client.set({ connect_timeout: 0.2 });
    assertEquals([await client.get("/"), client.statusCode, client.errCode], [false, -1, 110]);
  });
});

test("max_retries repeats a request that was not answered, and none of which half an answer came", async () => {
  for (const [answer, count] of [["", 4], ["HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf", 1]] as const) {
    const connections = await listening((socket) => void socket.once("data", () => socket.end(answer)), async (port) => {
      const client = new HttpClient("127.0.0.1", port);
      client.set({ max_retries: 3 });
      assertEquals([await client.post("/pay", "x"), client.statusCode, client.errCode], [false, -3, 104]);
    });
    assertEquals(connections, count);
  }
});

test("an upgrade whose refusal has a broken body keeps its status", async () => {
  const stage = scripted();
  const answer = "HTTP/1.1 403 No\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nbad";
  const { result } = await answered(stage, answer, (client) => client.upgrade("/"));
  assertEquals([result, stage.client.statusCode, stage.client.errCode], [false, 403, 8504]);
});

test("close() in the moment in which the WebSocket opens leaves none behind", async () => {
  const { client, lane } = scripted();
  const upgrading = client.upgrade("/");
  lane.receive(switching(await requestOf(lane)));
  client.close();
  assertEquals([await upgrading, client.connected, lane.ended || lane.aborted], [false, false, true]);
});

test("close() during a request, and at once the next one: the first fails, the second works; nothing is sent twice", async () => {
  const requests: string[] = [];
  const onConnection = (socket: net.Socket) => {
    socket.on("data", (chunk) => {
      requests.push(String(chunk).split(" ")[1]);
      if (requests.at(-1) !== "/first") socket.write(ok("answer"));
    });
  };
  await listening(onConnection, async (port) => {
    const client = new HttpClient("127.0.0.1", port);
    for (const wait of [0, 1, 50]) { // before it connects, while it does, while it waits for the answer
      const first = client.get("/first");
      if (wait > 0) await pause(wait);
      client.close();
      const second = client.get("/second");
      assertEquals([await first, await second, client.statusCode, client.body], [false, true, 200, "answer"]);
      client.close();
    }
    assertEquals(requests.filter((path) => path === "/second").length, 3);
  });
});
