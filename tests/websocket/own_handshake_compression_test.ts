/** Compression behind a `handshake` handler. */

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { test } from "node:test";
import {
  Frame,
  type HttpRequest,
  type HttpResponse,
  SWOOLE_WEBSOCKET_FLAG_COMPRESS,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  SWOOLE_WEBSOCKET_FLAG_RSV1,
  WEBSOCKET_OPCODE_TEXT,
  WebSocketServer,
} from "../../mod.ts";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { acceptFor } from "../../src/websocket/handshake.ts";
import { MemoryClient } from "../support/memory_client.ts";
import { memoryPipes } from "../support/memory_pipe.ts";
import { handshake } from "../support/raw_client.ts";

const FLAGS = SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_COMPRESS;
const TEXT = "the same words, the same words, the same words, the same words";
const OURS = "permessage-deflate; client_no_context_takeover; server_no_context_takeover";

/** Answers a handshake by hand, with more headers. */
const accepting = (extensions?: string) => (request: HttpRequest, response: HttpResponse) => {
  response.header("Upgrade", "websocket");
  response.header("Connection", "Upgrade");
  response.header("Sec-WebSocket-Accept", acceptFor(request.header["sec-websocket-key"]!));
  if (extensions !== undefined) response.header("Sec-WebSocket-Extensions", extensions);
  response.status(101);
  response.end();
};

function serverWith(
  websocket_compression: boolean,
  handler: (request: HttpRequest, response: HttpResponse) => unknown,
): WebSocketServer {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ websocket_compression, websocket_close_timeout: 0.2 });
  server.on("handshake", handler);
  server.on("message", (server, frame) => server.push(frame.fd, frame.data, WEBSOCKET_OPCODE_TEXT, FLAGS));
  return server;
}

/** Says something and hears it: whether the client's and the server's message came compressed. */
async function talk(server: WebSocketServer, client: HttpClient): Promise<boolean[]> {
  const compressed: boolean[] = [];
  const isCompressed = ({ flags }: { flags: number }) => (flags & SWOOLE_WEBSOCKET_FLAG_RSV1) !== 0;
  server.on("message", (server, frame) => {
    compressed.push(isCompressed(frame));
    assertEquals(frame.data, TEXT);
    server.push(frame.fd, TEXT, WEBSOCKET_OPCODE_TEXT, FLAGS);
  });
  const [theirs, ours] = memoryPipes();
  server.accept(theirs);
  client.use(ours);
  try {
    assert(await client.upgrade("/"), client.errMsg);
    await client.push(TEXT, WEBSOCKET_OPCODE_TEXT, FLAGS);
    const frame = await client.recv();
    assertInstanceOf(frame, Frame);
    assertEquals(frame.data, TEXT);
    compressed.push(isCompressed(frame));
    return compressed;
  } finally {
    client.close();
    server.shutdown();
    await server.finished;
  }
}

function clientWith(websocket_compression: boolean): HttpClient {
  const client = new HttpClient("localhost");
  client.set({ websocket_compression });
  return client;
}

test("a handshake handler that says nothing of extensions: they are agreed on, and messages are compressed both ways", async () => {
  const client = clientWith(true);
  assertEquals(await talk(serverWith(true, accepting()), client), [true, true]);
  assertEquals(client.headers["sec-websocket-extensions"], OURS);
});

test("a handshake handler that is asynchronous: the same", async () => {
  const handler = async (request: HttpRequest, response: HttpResponse) => {
    await Promise.resolve();
    accepting()(request, response);
  };
  assertEquals(await talk(serverWith(true, handler), clientWith(true)), [true, true]);
});

test("a handshake handler that says itself what the server would have said, in any order, is kept to", async () => {
  const extensions = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
  const client = clientWith(true);
  assertEquals(await talk(serverWith(true, accepting(extensions)), client), [true, true]);
  assertEquals(client.headers["sec-websocket-extensions"], extensions);
});

test("nothing is agreed on where the client does not offer it, or the setting is off", async () => {
  for (const [onServer, onClient] of [[true, false], [false, true], [false, false]] as const) {
    const client = clientWith(onClient);
    assertEquals(await talk(serverWith(onServer, accepting()), client), [false, false]);
    assertEquals(client.headers["sec-websocket-extensions"], undefined);
  }
});

test("a handshake handler that refuses sends no extension, and one that chooses another keeps its own", async () => {
  const refuse = (_request: HttpRequest, response: HttpResponse) => {
    response.status(101);
    response.status(403);
    response.end("no");
  };
  const rows: [handler: typeof refuse, status: number, extensions: string | undefined][] = [
    [refuse, 403, undefined],
    [accepting(), 101, OURS],
    [accepting("x-other"), 101, "x-other"],
  ];
  for (const [handler, status, extensions] of rows) {
    const server = serverWith(true, handler);
    const client = new MemoryClient(server);
    client.send(handshake("/", { "Sec-WebSocket-Extensions": "permessage-deflate" }));
    const head = await client.readHead();
    assertEquals(Number(head.slice(9, 12)), status);
    assertEquals(/^Sec-WebSocket-Extensions: (.*)\r$/im.exec(head)?.[1], extensions);
    client.drop();
    server.shutdown();
    await server.finished;
  }
});
