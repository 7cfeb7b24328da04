import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { WebSocketServer } from "../../mod.ts";
import { closeFrame, frame, RawClient, SAMPLE_ACCEPT } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";

test("WebSocketServer answers the example handshake of RFC 6455 and echoes", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", (server, frame) => server.push(frame.fd, frame));
  await serving(server, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.send(
      "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    const head = await client.readHead();
    assert(head.includes(`\r\nSec-WebSocket-Accept: ${SAMPLE_ACCEPT}\r\n`));
    client.send(frame({ opcode: 1, payload: "hello" }));
    const echo = await client.readFrame();
    assertEquals(new TextDecoder().decode(echo!.payload), "hello");
    client.send(closeFrame(1000));
    assertEquals((await client.readFrame())?.opcode, 8);
    await client.whenEnded();
    client.end();
  });
});
