// `closeInfo` of both ends: how a WebSocket of the coroutine style has ended.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { test } from "node:test";
import { CloseFrame, type ServerSettings } from "../../mod.ts";
import {
  CloseInfo,
  HttpClient,
  type HttpRequest,
  type HttpResponse,
  HttpServer,
  type Received,
  type Refusal,
} from "../../src/coroutine/mod.ts";
import { opened } from "../client/client_stage.ts";
import { settle } from "../support/memory_client.ts";
import { openLane, served } from "./stage.ts";
import { loggedDuring } from "../support/log_lines.ts";
import { closeFrame, frame, handshake, RawClient } from "../support/raw_client.ts";
import { serving, signal } from "../support/serving.ts";

type Expected = readonly [code: number, reason: string, wasClean: boolean, initiator: string];

function partsOf(info: CloseInfo | undefined): Expected {
  assert(info instanceof CloseInfo);
  return [info.code, info.reason, info.wasClean, info.initiator];
}

/** What `recv()` has given at the end, and what the response says of the end then. */
interface End {
  last: Received;
  info: CloseInfo | undefined;
  request: HttpRequest;
}

function coroutineServer(
  settings: ServerSettings,
  work: (ws: HttpResponse) => unknown = () => {},
): { server: HttpServer; ended: Promise<End> } {
  const server = new HttpServer("127.0.0.1");
  server.set({ log_level: 6, ...settings });
  const { promise, resolve } = signal<End>();
  server.on("error", () => {});
  server.handle("/", async (request, ws) => {
    request.data.user = "Ada";
    assertEquals(await ws.upgrade(), true);
    assertEquals(ws.closeInfo, undefined);
    await work(ws);
    let last: Received;
    do last = await ws.recv(); while (last !== "" && last !== false);
    resolve({ last, info: ws.closeInfo, request });
  });
  return { server, ended: promise };
}

interface Way {
  name: string;
  settings?: ServerSettings;
  work?(ws: HttpResponse): unknown;
  act(client: RawClient): unknown;
  last: Received;
  expected: Expected;
  error?: string;
}

const WAYS: readonly Way[] = [
  {
    name: "the client's Close",
    act: (client) => client.send(closeFrame(4001, "bye")),
    last: "",
    expected: [4001, "bye", true, "remote"],
  },
  {
    name: "the client's Close, left to the program to answer",
    settings: { open_websocket_close_frame: true },
    act: (client) => client.send(closeFrame(4001, "bye")),
    last: "",
    expected: [4001, "bye", true, "remote"],
  },
  { name: "the client's FIN", act: (client) => client.end(), last: "", expected: [1006, "", false, "remote"] },
  {
    name: "disconnect(), answered",
    work: (ws) => ws.disconnect(4000, "enough"),
    act: async (client) => {
      await client.readFrame();
      client.send(closeFrame(4000));
    },
    last: "",
    expected: [4000, "enough", true, "local"],
  },
  {
    name: "disconnect(), not answered",
    settings: { websocket_close_timeout: 0.05 },
    work: (ws) => ws.disconnect(4000, "enough"),
    act: () => {},
    last: "",
    expected: [4000, "enough", false, "local"],
    error: "websocket_close_timeout",
  },
  { name: "close()", work: (ws) => ws.close(), act: () => {}, last: false, expected: [1006, "", false, "local"] },
  {
    name: "a violation",
    act: (client) => client.send(frame({ opcode: 3 })),
    last: false,
    expected: [1002, "the opcode is reserved", false, "local"],
  },
  {
    name: "a violation behind a message that is being handled",
    act: (client) => {
      client.send(frame({ opcode: 1, payload: "first" }));
      client.send(frame({ opcode: 3 }));
    },
    last: false,
    expected: [1002, "the opcode is reserved", false, "local"],
  },
  {
    name: "a peer that answers no ping",
    settings: { websocket_ping_interval: 0.05, websocket_ping_timeout: 0.05 },
    act: () => {},
    last: "",
    expected: [1006, "", false, "local"],
    error: "websocket_ping_timeout",
  },
];

for (const { name, settings = {}, work, act, last, expected, error } of WAYS) {
  test(`closeInfo of a server tells of ${name}, as soon as recv() has`, async () => {
    const { server, ended } = coroutineServer(settings, work);
    await serving(server, async (_server, port) => {
      const client = await RawClient.open(port);
      await act(client);
      const end = await ended;
      assertEquals(end.last, last);
      assertEquals(partsOf(end.info), expected);
      if (error === undefined) assertEquals(end.info!.error, undefined);
      else assert((end.info!.error as Error).message.endsWith(` within ${error}`));
      assertStrictEquals(end.info!.data, end.request.data);
      assertEquals(end.request.data, { user: "Ada" });
      client.destroy();
    });
  });
}

test("a handler that throws: 1011, with what was thrown, for a response that others hold", async () => {
  const server = new HttpServer("127.0.0.1");
  const thrown = new Error("thrown");
  const failed = signal<unknown>();
  let kept: HttpResponse | undefined;
  server.on("error", (_server, error) => failed.resolve(error));
  server.handle("/", async (_request, ws) => {
    await ws.upgrade();
    kept = ws;
    throw thrown;
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    assertStrictEquals(await failed.promise, thrown);
    assertEquals(partsOf(kept!.closeInfo), [1011, "", false, "local"]);
    assertStrictEquals(kept!.closeInfo!.error, thrown);
    client.destroy();
  });
});

test("data that is first asked for behind the end is that of the end", async () => {
  const server = new HttpServer("127.0.0.1");
  const ended = signal<[unknown, unknown]>();
  server.handle("/", async (request, ws) => {
    await ws.upgrade();
    while (await ws.recv());
    ended.resolve([request.data, ws.closeInfo!.data]);
  });
  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(closeFrame(1000));
    const [ofRequest, ofEnd] = await ended.promise;
    assertEquals(ofEnd, {});
    assertStrictEquals(ofRequest, ofEnd);
    client.destroy();
  });
});

test("closeInfo of a Close that the program has to answer: the same before its answer and after it", async () => {
  const answers: [string, (held: Awaited<ReturnType<typeof openLane>>) => unknown, boolean][] = [
    ["push", ({ ws }) => ws.push(Object.assign(new CloseFrame(), { code: 4001, reason: "own" })), true],
    ["disconnect", ({ ws }) => ws.disconnect(4002, "own"), true],
    ["return", ({ leave }) => leave(), true],
    ["close", ({ ws }) => ws.close(), false],
    ["throw", ({ fail }) => fail(new Error("thrown")), false],
  ];
  for (const [what, answer, wasClean] of answers) {
    const held = await openLane({ open_websocket_close_frame: true });
    held.lane.receive(closeFrame(4000, "bye"));
    assert(await held.ws.recv());
    assertEquals([held.ws.closeInfo, await held.ws.recv()], [undefined, ""]);
    assertEquals(partsOf(held.ws.closeInfo), [4000, "bye", true, "remote"], what);
    await answer(held);
    await settle();
    assertEquals(held.lane.ended, true);
    assertEquals(partsOf(held.ws.closeInfo), [4000, "bye", wasClean, "remote"], what);
  }
});

test("closeInfo of a client that has to answer a Close: the same before its answer, after it and at the end", async () => {
  const { client, lane } = await opened({ open_websocket_close_frame: true });
  lane.receive(served(8, [0x0f, 0xa0, 120]));
  assert(await client.recv());
  assertEquals([client.closeInfo, await client.recv()], [undefined, ""]);
  const look = () => assertEquals(partsOf(client.closeInfo), [4000, "x", true, "remote"]);
  look();
  assert(client.disconnect(4001));
  look();
  lane.sink.onEnd();
  assertEquals(lane.ended, true);
  look();
});

test("closeInfo is undefined before upgrade(), and of plain HTTP", async () => {
  const server = new HttpServer("127.0.0.1");
  server.handle("/", (_request, response) => response.end(String(response.closeInfo)));
  await serving(server, async (_server, port) => {
    const client = new HttpClient("127.0.0.1", port);
    assertEquals([await client.get("/"), client.body, client.closeInfo], [true, "undefined", undefined]);
    client.close();
  });
});

/** The client's end of a WebSocket, when recv() has given the last. */
async function clientEnd(
  atServer: (ws: HttpResponse) => unknown,
  atClient: (client: HttpClient) => unknown = () => {},
): Promise<{ last: Received; client: HttpClient }> {
  const server = new HttpServer("127.0.0.1");
  server.set({ log_level: 6 });
  server.on("error", () => {});
  server.handle("/", async (_request, ws) => {
    await ws.upgrade();
    await atServer(ws);
    while (await ws.recv());
  });
  const client = new HttpClient("127.0.0.1", 0);
  let last: Received = false;
  await serving(server, async (_server, port) => {
    Object.assign(client, { port });
    assert(await client.upgrade("/"));
    await atClient(client);
    do last = await client.recv(); while (last !== "" && last !== false);
  });
  return { last, client };
}

test("closeInfo of a client tells of the server's Close, of its own, of close(), and of an end without Close", async () => {
  const byServer = await clientEnd((ws) => ws.disconnect(4002, "no more"));
  assertEquals([byServer.last, partsOf(byServer.client.closeInfo)], ["", [4002, "no more", true, "remote"]]);
  assertEquals([byServer.client.closeInfo!.error, byServer.client.closeInfo!.data], [undefined, undefined]);

  const byClient = await clientEnd(() => {}, (client) => {
    assertEquals(client.closeInfo, undefined);
    return client.disconnect(1000, "done");
  });
  assertEquals([byClient.last, partsOf(byClient.client.closeInfo)], ["", [1000, "done", true, "local"]]);

  const closed = await clientEnd(() => {}, (client) => client.close());
  assertEquals([closed.last, partsOf(closed.client.closeInfo)], [false, [1006, "", false, "local"]]);

  const dropped = await clientEnd((ws) => ws.close());
  assertEquals([dropped.last, partsOf(dropped.client.closeInfo)], ["", [1006, "", false, "remote"]]);

  const failed = await clientEnd(() => Promise.reject(new Error("thrown")));
  assertEquals(partsOf(failed.client.closeInfo), [1011, "", true, "remote"]);
});

test("a refused upgrade() is counted, told to `refuse`, and logged", async () => {
  const refused: Refusal[] = [];
  const results: unknown[] = [];
  const lines = await loggedDuring(async () => {
    const server = new HttpServer("127.0.0.1");
    server.on("refuse", (_server, refusal) => void refused.push(refusal));
    server.handle("/", async (_request, ws) => void results.push(await ws.upgrade(), ws.getLastError()));
    await serving(server, async (_server, port) => {
      for (const text of [handshake("/a", { Origin: "https://b.example" }), "GET /b HTTP/1.1\r\nHost: x\r\n\r\n", "no\r\n\r\n"]) {
        const client = await RawClient.connect(port);
        client.send(text);
        await client.readAnswer();
        client.destroy();
      }
    });
  });
  assertEquals(results, [false, 8504, false, 8504]);
  assertEquals(refused.map(({ kind, status, reason, path, setting }) => [kind, status, reason, path, setting]), [
    ["handshake", 403, "pages of this origin may not connect", "/a", "websocket_origins"],
    ["handshake", 400, "this is a WebSocket: the request has no Upgrade header", "/b", undefined],
    ["request", 400, "the request line is malformed", undefined, undefined],
  ]);
  assertEquals(lines.map((line) => line.split(" of ")[0]), ["Refused a handshake", "Refused a request"]);
});
