// Two ends that send and receive at the same time, with many large messages. Nothing may stall and nothing may be lost. One end
// uses the runtime of this test, so that a run in all runtimes covers every pairing.

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { CloseFrame, WebSocketServer } from "../../mod.ts";
import { HttpServer } from "../../src/coroutine/mod.ts";
import { PYTHON, testWithPython } from "../interop/python.ts";
import { ownLanes, servingOn } from "../support/lanes.ts";
import { inThisRuntime, runners, running } from "../support/program.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { within } from "./harness.ts";

/** The echo server of the README, which ignores the result of `push()`. */
function eventServer(): WebSocketServer {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.on("message", (server, frame) => server.push(frame.fd, frame));
  return server;
}

function coroutineServer(): HttpServer {
  const server = new HttpServer("127.0.0.1", 0);
  server.handle("/", async (_request, ws) => {
    if (!await ws.upgrade()) return;
    while (true) {
      const frame = await ws.recv();
      if (frame === "" || frame === false || frame instanceof CloseFrame) break;
      await ws.push(frame);
    }
  });
  return server;
}

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Runs a client program against a port. */
function talk(command: readonly string[], port: number): Promise<void> {
  return running([...command, String(port)], async (program) => {
    assertEquals(
      await within(
        15_000,
        "the client is done: nothing moves any more",
        program.line(),
      ),
      "400 of 400",
      program.errors,
    );
  });
}

const node = runners.find(([name]) => name === "Node 24")!.slice(1);
const clients: [name: string, command: string[]][] = [
  ...runners.filter(([name]) => ["Deno", "Bun", "Node 24"].includes(name)).map((
    [name, ...command],
  ): [string, string[]] => [`our client in ${name}`, [
    ...command,
    path("./duplex_client.ts"),
  ]]),
  ["the package ws", [...node, path("./duplex_client.mjs")]],
];

for (
  const [style, makeServer] of [["event", eventServer], [
    "coroutine",
    coroutineServer,
  ]] as const
) {
  for (const [client, command] of clients) {
    test(`400 messages of 64 KiB at once in both directions, ${style} style and ${client}`, () =>
      serving<HttpServer | WebSocketServer>(
        makeServer(),
        (_server, port) => talk(command, port),
      ));
  }
  testWithPython(
    `400 messages of 64 KiB at once in both directions, ${style} style and Python's websockets`,
    () =>
      serving<HttpServer | WebSocketServer>(
        makeServer(),
        (_server, port) => talk([PYTHON, path("./duplex_client.py")], port),
      ),
  );
}

/** Lets our client talk to the server of a program. */
function talkTo(command: readonly string[]): Promise<void> {
  return running(command, async (program) => {
    await talk(
      inThisRuntime(new URL("./duplex_client.ts", import.meta.url)),
      Number(await program.line()),
    );
  });
}

test("400 messages of 64 KiB at once in both directions, our client and the server of the package ws", () =>
  talkTo([...node, path("../interop/ws_server.mjs"), "{}"]));
testWithPython(
  "400 messages of 64 KiB at once in both directions, our client and the server of Python's websockets",
  () => talkTo([PYTHON, path("../interop/websockets_server.py")]),
);

for (const [lane, runtime] of ownLanes) {
  test(
    `the echo of the README loses none of 1,000 messages of 64 KiB of a peer that reads (${lane})`,
    { timeout: 60_000 },
    () =>
      servingOn(runtime, eventServer(), async (_server, port) => {
        const client = await RawClient.open(port);
        const send = async () => {
          for (let i = 0; i < 1000 && !client.ended; i++) {
            const payload = new Uint8Array(65_536).fill(i & 255);
            if (client.socket.write(frame({ opcode: 2, payload }))) continue;
            await new Promise<void>((resolve) => {
              client.socket.once("drain", () => resolve());
              client.socket.once("close", () => resolve());
            });
          }
        };
        const receive = async () => {
          for (let i = 0; i < 1000; i++) {
            const next = await client.readPastPings();
            assertEquals([i, next?.payload.length, next?.payload[0]], [
              i,
              65_536,
              i & 255,
            ]);
          }
        };
        await within(50_000, "all echoes", Promise.all([send(), receive()]));
        client.destroy();
      }),
  );
}
