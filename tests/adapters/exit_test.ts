import { assertEquals } from "@std/assert";
import net from "node:net";
import { test } from "node:test";
import { lanes } from "../support/lanes.ts";
import { inThisRuntime, running } from "../support/program.ts";
import { closeFrame, frame, RawClient } from "../support/raw_client.ts";

const file = new URL("./exit_program.ts", import.meta.url);

/** Runs a scene; the program has to finish and to end by itself with code 0 and without a complaint. */
function checkExit(lane: string, scene: string, meet: (port: number) => Promise<void>): Promise<void> {
  return running(inThisRuntime(file, lane, scene), async (program) => {
    await meet(Number(await program.line()));
    assertEquals(await program.line(), "finished");
    assertEquals(await program.exited, 0, program.errors);
    assertEquals(program.errors, "");
  });
}

for (const [lane] of lanes) {
  test(`a program whose server has stopped ends by itself (${lane})`, () => checkExit(lane, "alone", () => Promise.resolve()));

  test(`so it does when a WebSocket was open (${lane})`, () =>
    checkExit(lane, "webSocket", async (port) => {
      const client = await RawClient.open(port);
      client.send(frame({ opcode: 1, payload: "stop" }));
      const close = await client.readFrame();
      assertEquals([close?.opcode, (close!.payload[0] << 8) | close!.payload[1]], [8, 1001]);
      client.send(closeFrame(1001));
      await client.whenEnded();
      client.end();
    }));

  test(`so it does when clients never answer the Close and keep their side open (${lane})`, async () => {
    const clients: RawClient[] = [];
    await checkExit(lane, "webSocket", async (port) => {
      const idle = await RawClient.connect(port);
      const client = await RawClient.open(port);
      clients.push(idle, client);
      client.send(frame({ opcode: 1, payload: "stop" }));
      assertEquals((await client.readFrame())?.opcode, 8);
      await client.whenEnded();
      await idle.whenEnded();
    });
    for (const client of clients) client.destroy();
  });

  test(`so it does when a request is never answered (${lane})`, () =>
    checkExit(lane, "http", async (port) => {
      const client = await RawClient.connect(port);
      client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await client.whenEnded();
      client.destroy();
    }));

  test(`a program that could not start its server ends by itself (${lane})`, async () => {
    const other = net.createServer();
    const port = await new Promise<number>((resolve) =>
      other.listen(0, "127.0.0.1", () => resolve((other.address() as net.AddressInfo).port))
    );
    try {
      await running(inThisRuntime(file, lane, "taken", String(port)), async (program) => {
        assertEquals(await program.line(), "EADDRINUSE");
        assertEquals(await program.exited, 0, program.errors);
      });
    } finally {
      await new Promise<void>((resolve) => other.close(() => resolve()));
    }
  });
}
