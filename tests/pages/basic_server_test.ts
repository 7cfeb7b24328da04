import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { WebSocketServer } from "../../mod.ts";
import { closeFrame, frame, RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { Remembering, textOf } from "./console.ts";

test("the page's first server: open, message, close", async () => {
  const console = new Remembering();

  const server = new WebSocketServer("127.0.0.1", 0);

  server.on("open", (_server, request) => {
    console.log(`server: handshake success with fd${request.fd}`);
  });
  server.on("message", (server, frame) => {
    console.log(`receive from ${frame.fd}:${frame.data},opcode:${frame.opcode},fin:${frame.finish}`);
    server.push(frame.fd, "this is server");
  });
  server.on("close", (_server, fd) => console.log(`client ${fd} closed`));

  await serving(server, async (_server, port) => {
    const client = await RawClient.open(port);
    client.send(frame({ opcode: 1, payload: "hello" }));
    const answer = await client.readFrame();
    assertEquals([answer?.fin, answer?.opcode, answer?.masked, textOf(answer)], [true, 1, false, "this is server"]);
    client.send(closeFrame(1000));
    assertEquals((await client.readFrame())?.opcode, 8);
    await client.whenEnded();
    client.end();
  });
  assertEquals(console.lines, [
    "server: handshake success with fd1",
    "receive from 1:hello,opcode:1,fin:true",
    "client 1 closed",
  ]);
});

for (const method of ["getClientInfo", "connection_info"] as const) {
  test(`is it a WebSocket connection? ${method} tells`, async () => {
    const console = new Remembering();

    const server = new WebSocketServer("127.0.0.1", 0);
    server.on("message", (server, frame) => {
      const client = server[method](frame.fd);
      if (client && client.websocket_status !== undefined) console.log("a WebSocket connection");
      else console.log("not a WebSocket connection");
      server.push(frame.fd, String(client && client.websocket_status));
    });

    await serving(server, async (server, port) => {
      const client = await RawClient.open(port);
      client.send(frame({ opcode: 1, payload: "?" }));
      assertEquals(textOf(await client.readFrame()), "3"); // WEBSOCKET_STATUS_ACTIVE
      assertEquals(server[method](99), false);
      client.end();
    });
    assertEquals(console.lines, ["a WebSocket connection"]);
  });
}

test("a request is broadcast to every WebSocket, procedural style", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", (server, frame) => server.push(frame.fd, "this is server"));
  server.on("request", (request, response) => {
    for (const fd of server.connections) {
      if (server.isEstablished(fd)) server.push(fd, String(request.get.message));
    }
    response.end("sent");
  });

  await serving(server, (_server, port) => broadcast(port));
});

test("a request is broadcast to every WebSocket, object-oriented style", async () => {
  class Chat {
    readonly server = new WebSocketServer("127.0.0.1", 0);

    constructor() {
      this.server.on("message", (server, frame) => server.push(frame.fd, "this is server"));
      this.server.on("request", (request, response) => {
        for (const fd of this.server.connections) {
          if (this.server.isEstablished(fd)) this.server.push(fd, String(request.get.message));
        }
        response.end("sent");
      });
    }
  }

  await serving(new Chat().server, (_server, port) => broadcast(port));
});

/** Two WebSockets, a plain connection and one that asks for a message to all: the WebSockets get it, the plain one does not. */
async function broadcast(port: number): Promise<void> {
  const first = await RawClient.open(port);
  const second = await RawClient.open(port);
  const plain = await RawClient.connect(port);
  const asking = await RawClient.connect(port);

  asking.send("GET /?message=hello%20all HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const answer = await asking.readAnswer();
  assertEquals([answer.status, answer.body], [200, "sent"]);
  assertEquals(textOf(await first.readFrame()), "hello all");
  assertEquals(textOf(await second.readFrame()), "hello all");

  first.send(frame({ opcode: 1, payload: "hello" }));
  assertEquals(textOf(await first.readFrame()), "this is server");
  plain.end();
  assertEquals((await plain.readAll()).length, 0);
  for (const client of [first, second, asking]) client.end();
}

test("disconnect tells of the end of what was no WebSocket", async () => {
  const console = new Remembering();

  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  server.on("request", (_request, response) => response.close());
  server.on("disconnect", (_server, fd) => console.log(`${fd}: not a WebSocket, gone`));
  server.on("close", (_server, fd) => console.log(`${fd}: a WebSocket, gone`));

  await serving(server, async (_server, port) => {
    const webSocket = await RawClient.open(port);
    const plain = await RawClient.connect(port);
    plain.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals((await plain.readAll()).length, 0);
    plain.end();
    webSocket.end();
    await webSocket.whenEnded();
  });
  assertEquals(console.lines, ["2: not a WebSocket, gone", "1: a WebSocket, gone"]);
});

test("plain HTTP without a request handler gets a page that says 400", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", () => {});
  await serving(server, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    const { status, head, body } = await client.readAnswer();
    assertEquals(status, 400);
    assert(head.includes("\r\nContent-Type: text/html; charset=UTF-8\r\n"));
    assert(body.includes("HTTP 400 Bad Request"));
    await client.whenEnded();
    client.end();
  });
});
