/** Nothing that a program hands to `HttpClient` becomes more than one request with the header fields that it names. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { test } from "node:test";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { answering } from "./client_servers.ts";

const REFUSAL = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

test("set() refuses subprotocols that are no tokens, or that are there twice", () => {
  const client = new HttpClient("127.0.0.1", 1);
  const wrong = [
    "chat\r\nX-Injected: 1",
    "chat\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: internal",
    "ch\u00e4t",
    "a b",
    "chat,,soap",
    "chat, chat",
    ["chat", "soap\n"],
    ["chat", "chat"],
    ["chat, soap"],
    ["chat", ""],
  ];
  for (const websocket_subprotocol of wrong) {
    assertThrows(() => client.set({ websocket_subprotocol }), TypeError, "subprotocol");
  }
  assertEquals(client.setting, {});
});

test("upgrade() sends nothing when the settings or a header of the program hold an improper subprotocol", async () => {
  await answering(REFUSAL, async (port, requests) => {
    const changed = new HttpClient("127.0.0.1", port);
    (changed.setting as Record<string, unknown>).websocket_subprotocol = "chat\r\nX-Injected: 1";
    await assertRejects(() => changed.upgrade("/"), TypeError, "subprotocol");
    const own = new HttpClient("127.0.0.1", port);
    own.setHeaders({ "Sec-WebSocket-Protocol": "a b" });
    await assertRejects(() => own.upgrade("/"), TypeError, "subprotocol");
    assertEquals(requests(), "");
  });
});

test("a list and names separated by commas offer the same", async () => {
  for (const websocket_subprotocol of [["chat", "soap"], "chat, soap", "chat,soap"]) {
    await answering(REFUSAL, async (port, requests) => {
      const client = new HttpClient("127.0.0.1", port);
      client.set({ websocket_subprotocol });
      assertEquals([await client.upgrade("/"), client.statusCode], [false, 400]);
      assertEquals(/^Sec-WebSocket-Protocol: (.*)\r$/m.exec(requests())?.[1], "chat, soap");
      client.close();
    });
  }
});
