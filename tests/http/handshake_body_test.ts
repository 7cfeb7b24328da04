// Handshakes with a body, which RFC 6455 does not forbid: Swoole's own client sends the body of an earlier request again.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { type ServerSettings, WebSocketServer } from "../../mod.ts";
import { HttpServer } from "../../src/coroutine/mod.ts";
import { text } from "../support/http_parsing.ts";
import { type MemoryClient, settle } from "../support/memory_client.ts";
import { frame, handshake } from "../support/raw_client.ts";
import { servingInMemory } from "../support/serving.ts";

/** A server of one of the styles, with what has happened in it. */
interface Running {
  server: WebSocketServer | HttpServer;
  events: string[];
}

/** Both styles note what they are asked, and each message. */
const STYLES: Record<string, (settings: ServerSettings) => Running> = {
  "event style": (settings) => {
    const server = new WebSocketServer();
    const events: string[] = [];
    server.set(settings);
    server.on("open", (_server, request) => void events.push(`open ${request.rawContent().length}`));
    server.on("message", (_server, { data }) => void events.push(`message ${data}`));
    server.on("request", (request, response) => {
      events.push(`request ${request.server.request_uri} ${request.getContent()}`);
      response.end("plain");
    });
    server.on("error", (_server, error) => void events.push(String(error)));
    return { server, events };
  },
  "coroutine style": (settings) => {
    const server = new HttpServer("localhost");
    const events: string[] = [];
    server.set(settings);
    server.handle("/", async (request, ws) => {
      if (!await ws.upgrade()) return void events.push(`refused ${request.getContent()}`);
      events.push(`open ${request.rawContent().length}`);
      for await (const { data } of ws) events.push(`message ${data}`);
    });
    server.handle("/plain", (request, response) => {
      events.push(`request ${request.server.request_uri} ${request.getContent()}`);
      response.end("plain");
    });
    server.on("error", (_server, error) => void events.push(String(error)));
    return { server, events };
  },
};

const TEXT = text(frame({ opcode: 1, payload: "hello" }));
const SIZED = handshake("/", { "Content-Length": "11" }) + "Swoole Http";
const CHUNKED = handshake("/", { "Transfer-Encoding": "chunked" }) + "6\r\nSwoole\r\n5;a=b\r\n Http\r\n0\r\nX-T: 1\r\n\r\n";

for (const [style, start] of Object.entries(STYLES)) {
  const noting = (settings: ServerSettings, work: (client: MemoryClient, events: string[]) => Promise<void>) => {
    const { server, events } = start({ websocket_close_timeout: 0.3, ...settings });
    return servingInMemory<WebSocketServer | HttpServer>(server, (client) => work(client, events));
  };
  const until = async (events: string[], count: number) => {
    while (events.length < count) await settle();
  };

  for (const [how, request] of [["a length", SIZED], ["chunks", CHUNKED]]) {
    test(`${style}: a handshake with a body of ${how} is accepted, what is behind the body are frames`, () =>
      noting({}, async (client, events) => {
        client.send(request + TEXT);
        assert((await client.readHead()).startsWith("HTTP/1.1 101 "));
        await until(events, 2);
        assertEquals(events, ["open 11", "message hello"]);
      }));

    test(`${style}: a handshake with a body of ${how}, cut at every place`, async () => {
      const all = request + TEXT;
      for (let cut = 1; cut < all.length; cut++) {
        await noting({}, async (client, events) => {
          client.send(all.slice(0, cut));
          client.send(all.slice(cut));
          assert((await client.readHead()).startsWith("HTTP/1.1 101 "));
          await until(events, 2);
          assertEquals(events, ["open 11", "message hello"]);
        });
      }
    });
  }

  test(`${style}: a body that looks like frames, or like a request, is none`, () =>
    noting({}, async (client, events) => {
      const body = TEXT + "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n";
      client.send(handshake("/", { "Content-Length": String(body.length) }) + body + TEXT);
      assert((await client.readHead()).startsWith("HTTP/1.1 101 "));
      await until(events, 2);
      assertEquals(events, [`open ${body.length}`, "message hello"]);
    }));

  for (const streams of [false, true]) {
    const settings = { package_max_length: 20, http_stream_body: streams, http_stream_body_max_length: 1000 };

    test(`${style}: a handshake with a body of package_max_length, and one past it, http_stream_body ${streams}`, async () => {
      for (const [size, status] of [[20, 101], [21, 413]]) {
        const body = "x".repeat(size);
        const requests = [
          handshake("/", { "Content-Length": String(size) }) + body,
          handshake("/", { "Transfer-Encoding": "chunked" }) + `${size.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
        ];
        for (const request of requests) {
          await noting(settings, async (client, events) => {
            client.send(request + TEXT);
            assertEquals((await client.readHead()).slice(9, 12), String(status));
            await until(events, status === 101 ? 2 : 0);
            assertEquals(events, status === 101 ? ["open 20", "message hello"] : []);
          });
        }
      }
    });
  }

  for (
    const [what, fields, status] of [
      ["two lengths that differ", "Content-Length: 5\r\nContent-Length: 6\r\n", 400],
      ["a length and chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400],
      ["a length that is no number", "Content-Length: +5\r\n", 400],
      ["a coding that is not chunked", "Transfer-Encoding: gzip\r\n", 400],
      ["chunked that is not the last coding", "Transfer-Encoding: chunked, identity\r\n", 400],
    ] as const
  ) {
    test(`${style}: a handshake with ${what} is refused, and nothing behind it is read`, () =>
      noting({}, async (client, events) => {
        client.send(
          handshake().replace("\r\n\r\n", `\r\n${fields}\r\n`) + "hello" + TEXT + "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n",
        );
        const answer = await client.readAnswer();
        assertEquals(answer.status, status);
        assertEquals(await client.readAll(), "");
        assertEquals(events, []);
      }));
  }

  test(`${style}: a handshake with a body that waits for 100 gets it`, () =>
    noting({}, async (client, events) => {
      client.send(handshake("/", { "Content-Length": "5", Expect: "100-continue" }));
      assertEquals(await client.readHead(), "HTTP/1.1 100 Continue\r\n\r\n");
      client.send("hello" + TEXT);
      assert((await client.readHead()).startsWith("HTTP/1.1 101 "));
      await until(events, 2);
      assertEquals(events, ["open 5", "message hello"]);
    }));

  test(`${style}: a client that goes in the middle of the body of a handshake has opened nothing`, () =>
    noting({}, async (client, events) => {
      client.send(handshake("/", { "Content-Length": "5" }) + "hel");
      await settle();
      client.end();
      assertEquals(await client.readAll(), "");
      assertEquals(events, []);
    }));

  test(`${style}: a request with a body that may become a WebSocket and does not: the handler has the body`, () =>
    noting({}, async (client, events) => {
      const isEvent = style === "event style";
      client.send(handshake("/plain", { "Content-Length": "5" }).replace("GET", "POST") + "hello");
      assertEquals((await client.readAnswer()).status, isEvent ? 400 : 200);
      assertEquals(events, isEvent ? [] : ["request /plain hello"]);
    }));
}
