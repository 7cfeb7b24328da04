/** Bytes of the program that are transferred while they wait to be sent. */

import { assertEquals } from "@std/assert";
import { fromFetch, HttpServer, Server } from "../../mod.ts";
import { servingOn, testLanes } from "../support/lanes.ts";
import { RawClient } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";

const SIZE = 16 << 20; // more than the system takes for a client that does not read

function transfer(bytes: Uint8Array<ArrayBuffer>): void {
  structuredClone(bytes, { transfer: [bytes.buffer] });
}

testLanes(
  "sendwait(): what the system has not taken is a copy; bytes that are gone before their turn end the connection",
  async (runtime) => {
    const server = new Server("127.0.0.1", 0);
    const errors: string[] = [];
    const sent = signal<boolean[]>();
    server.on("error", (_server, error) => errors.push(String(error)));
    server.on("receive", async (server, fd) => {
      const first = new Uint8Array(SIZE).fill(7);
      const second = new Uint8Array(SIZE);
      const sending = [server.sendwait(fd, first), server.sendwait(fd, second)];
      await new Promise((resolve) => setTimeout(resolve, 100)); // the first is on its way
      transfer(first);
      transfer(second);
      sent.resolve(await Promise.all(sending));
    });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.connect(port);
      client.socket.pause();
      client.send("x");
      await new Promise((resolve) => setTimeout(resolve, 500));
      client.socket.resume();
      await client.whenEnded();
      assertEquals([client.pending.length, client.pending.every((byte) => byte === 7)], [SIZE, true]);
      assertEquals((await sent.promise)[1], false);
      assertEquals(errors, ["TypeError: Cannot send the bytes: their buffer has been transferred"]);
      client.destroy();
    });
  },
);

testLanes("fromFetch(): parts of a stream may be transferred once they have been read", async (runtime) => {
  const server = new HttpServer("127.0.0.1", 0);
  server.on(
    "request",
    fromFetch(() => {
      let count = 0;
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          const part = new Uint8Array(1 << 20).fill(7);
          controller.enqueue(part);
          if (++count === 16) controller.close();
          setTimeout(() => transfer(part), 50);
        },
      }, { highWaterMark: 0 }); // what waits in the stream itself is the application's to keep
      return new Response(body);
    }),
  );
  await servingOn(runtime, server, async (_server, port) => {
    const client = await RawClient.connect(port);
    client.socket.pause();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    await new Promise((resolve) => setTimeout(resolve, 500));
    client.socket.resume();
    await client.whenEnded();
    let sevens = 0;
    for (const byte of client.pending) if (byte === 7) sevens++;
    assertEquals(sevens, SIZE);
    client.destroy();
  });
});
