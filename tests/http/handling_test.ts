// What is done with a request: its form is read, a file is sent or the handler called, and a missing response is completed.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { type FileSink, setRuntime } from "../../mod.ts";
import type { Exchange } from "../../src/server/http/exchange.ts";
import type { FormOptions } from "../../src/server/http/form_reader.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { TimeoutError } from "../../src/transport/connection_end.ts";
import { writerOf } from "../../src/http/base_response.ts";
import { settle } from "../support/memory_client.ts";
import { handshake } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";
import { timedConnection } from "../support/timed_http.ts";

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/** A form with one file. */
function form(end = "--b--\r\n"): string {
  const body = `--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nhello\r\n${end}`;
  const type = "Content-Type: multipart/form-data; boundary=b";
  return `POST / HTTP/1.1\r\nHost: x\r\n${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

const forms: FormOptions = {
  folder: "",
  streamed: false,
  maxSize: 1e6,
  maxFileSize: Infinity,
  maxTextSize: 1e6,
  maxHeadSize: 1000,
  maxHeaders: 10,
  maxParameters: 10,
  maxFiles: 10,
};

test("a form whose client goes while it is read: no handler, no refusal, nothing that is late", async () => {
  const { lane, requests, refusals, late } = timedConnection({ forms });
  lane.receive(form());
  assertEquals(requests.length, 0);
  lane.sink.onEnd();
  assertEquals(late(), 1);
  await settle();
  assertEquals([requests.length, refusals, late()], [0, [], 0]);
});

test("a form whose client goes while its last file is written leaves no file", async () => {
  const runtime = await loadRuntime();
  const written = signal();
  const opened: string[] = [];
  const removed: string[] = [];
  const sink: FileSink = { write: () => written.promise, close: () => Promise.resolve() };
  setRuntime({
    ...runtime,
    openForWriting: (path) => (opened.push(path), Promise.resolve(sink)),
    fileBlob: () => Promise.resolve(new Blob(["hello"])),
    removeFile: (path) => (removed.push(path), Promise.resolve()),
  });
  try {
    const { lane, requests } = timedConnection({ forms: { ...forms, folder: "/nowhere" } });
    lane.receive(form());
    await settle();
    lane.sink.onEnd();
    written.resolve();
    await settle();
    assertEquals([requests.length, opened.length, removed], [0, 1, opened]);
  } finally {
    setRuntime(undefined);
  }
});

test("a form that is none: 400, and the connection closes, because the program has not seen it", async () => {
  const { lane, requests, refusals, state, end } = timedConnection({ forms });
  lane.receive(form(""));
  await settle();
  assertEquals(refusals, [["request", 400, "the form has no end"]]);
  assertEquals([requests.length, state(), end()?.reason], [0, "ended", "the form has no end"]);
});

test("a file is served in place of the handler; where there is none, the handler is called", async () => {
  for (const isThere of [true, false]) {
    const serveFile = async ({ writer }: Exchange) => {
      await Promise.resolve();
      if (isThere) writer.end("a file");
      return isThere;
    };
    const { lane, requests } = timedConnection({ serveFile, handler: ({ response }) => void response.end("handled") });
    lane.receive(GET);
    await settle();
    assertEquals([requests.length, lane.text.includes(isThere ? "a file" : "handled")], [isThere ? 0 : 1, true]);
  }
});

test("a client that goes while a file is looked for: no handler, and nothing that is late", async () => {
  const found = signal<boolean>();
  const { lane, requests, late } = timedConnection({ serveFile: () => found.promise });
  lane.receive(GET);
  lane.sink.onEnd();
  assertEquals(late(), 1);
  found.resolve(false);
  await settle();
  assertEquals([requests.length, late()], [0, 0]);
});

test("a handler whose client has gone is late until it settles", async () => {
  const done = signal();
  const { lane, late } = timedConnection({ handler: () => done.promise });
  lane.receive(GET);
  lane.sink.onEnd();
  await settle();
  assertEquals(late(), 1);
  done.resolve();
  await settle();
  assertEquals(late(), 0);
});

test("a handler that returns without a response: 500 and a warning; one that has begun to respond: the rest is empty", async () => {
  for (const later of [false, true]) {
    for (const begins of [false, true]) {
      const { lane, warnings, state } = timedConnection({
        handler: ({ response }) => {
          if (begins) response.write("begun");
          return later ? Promise.resolve() : undefined;
        },
      });
      lane.receive(GET);
      await settle();
      assertEquals(state(), "open");
      assert(lane.text.startsWith(begins ? "HTTP/1.1 200 " : "HTTP/1.1 500 "));
      assertEquals(lane.text.endsWith("5\r\nbegun\r\n0\r\n\r\n"), begins);
      assertEquals(warnings, begins ? [] : ["GET: the handler has returned without a response"]);
    }
  }
});

test("a handler that returns without a response while the server stops is warned of as well", async () => {
  const done = signal();
  const { lane, session, warnings, state } = timedConnection({ handler: () => done.promise });
  lane.receive(GET);
  session.close();
  assertEquals(state(), "open");
  done.resolve();
  await settle();
  assertEquals([warnings.length, state()], [1, "ended"]);
});

test("http_handler_timeout begins with the handler, also where a file was looked for before", async () => {
  const found = signal<boolean>();
  const { lane, at, requests } = timedConnection({ handlerTimeout: 5000, handlerWaits: true, serveFile: () => found.promise });
  lane.receive(GET);
  await at(20);
  assertEquals(lane.text, "");
  found.resolve(false);
  await at(24.9);
  assertEquals([requests.length, lane.text], [1, ""]);
  await at(25);
  assert(lane.text.startsWith("HTTP/1.1 503 "));
});

test("http_handler_timeout: a millisecond is one", async () => {
  const { lane, at } = timedConnection({ handlerTimeout: 1, handlerWaits: true });
  lane.receive(GET);
  await at(0.001);
  assert(lane.text.startsWith("HTTP/1.1 503 "));
});

test("what takes too long is told by its name: in the log, as a refusal, and as the end of the connection", async () => {
  for (const begins of [false, true]) {
    const { lane, at, requests, warnings, refusals, state, end } = timedConnection({ handlerTimeout: 5000, handlerWaits: true });
    lane.receive(GET);
    if (begins) requests[0].response.write("begun");
    await at(5);
    assertEquals(warnings, ["GET: it takes longer than http_handler_timeout"]);
    assertEquals(refusals, begins ? [] : [["request", 503, "it takes too long"]]);
    assertEquals(state(), begins ? "ended" : "open");
    const error = end()?.error;
    assertEquals(error instanceof TimeoutError && error.setting, begins && "http_handler_timeout");
    if (begins) assertEquals([end()?.byServer, end()?.isOrderly], [true, false]);
  }
  const { lane, at, warnings, refusals, state, end } = timedConnection({ takesUpgrades: true, handshakeTimeout: 5000 });
  lane.receive(handshake());
  await at(5);
  assertEquals(warnings, ["GET: it takes longer than websocket_handshake_timeout"]);
  assertEquals(refusals, [["handshake", 503, "it takes too long"]]);
  assertEquals(state(), "ended");
  const error = end()?.error;
  assertEquals(error instanceof TimeoutError && error.setting, "websocket_handshake_timeout");
});

test("http_handler_timeout is none of a file that is being sent; a handshake has its time, whatever the program does with it", async () => {
  const { lane, at, requests, state, warnings } = timedConnection({ handlerTimeout: 5000, handlerWaits: true });
  lane.receive(GET);
  writerOf(requests[0].response).occupy();
  for (const time of [5, 60, 3600]) await at(time);
  assertEquals([state(), warnings], ["open", []]);
  const detached = timedConnection({ takesUpgrades: true, handshakeTimeout: 5000 });
  detached.lane.receive(handshake());
  detached.requests[0].response.detach();
  await detached.at(5);
  assertEquals([detached.state(), detached.lane.text.startsWith("HTTP/1.1 503 ")], ["ended", true]);
});
