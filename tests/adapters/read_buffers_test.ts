// In Deno, a pending read occupies its buffer: connections that wait for the next bytes do so with a small one.

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { Server } from "../../mod.ts";
import { RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { where } from "../tls/stage.ts";

const SMALL = 512;
const LARGER = 4096;

/** Sends so many bytes at a time, and gives the size of the buffer with which the server waits for more after each. */
async function waitsWith(sizes: number[]): Promise<number[]> {
  const { Deno } = globalThis as unknown as {
    Deno: {
      connect(options: object): Promise<{ close(): void }>;
      listen(options: object): { addr: { port: number }; close(): void };
    };
  };
  const listener = Deno.listen({ port: 0 });
  const probe = await Deno.connect({ port: listener.addr.port });
  let prototype = Object.getPrototypeOf(probe);
  while (!Object.hasOwn(prototype, "read")) prototype = Object.getPrototypeOf(prototype);
  probe.close();
  listener.close();
  const { read } = prototype;
  let last = 0;
  prototype.read = function (buffer: Uint8Array): Promise<number | null> {
    last = buffer.length;
    return read.call(this, buffer);
  };
  const found: number[] = [];
  const server = new Server("127.0.0.1", 0);
  server.on("receive", (server, fd, _reactorId, data) => server.send(fd, data));
  try {
    await serving(server, async (_server, port) => {
      const client = await RawClient.connect(port);
      for (const size of sizes) {
        client.send("x".repeat(size));
        assertEquals((await client.read(size)).length, size);
        found.push(last);
      }
      client.destroy();
    });
  } finally {
    prototype.read = read;
  }
  return found;
}

if (where === "deno") {
  test("the first bytes of a connection, such as a handshake, leave it with a small buffer", async () => {
    assertEquals(await waitsWith([700]), [SMALL]);
    assertEquals(await waitsWith([9000]), [SMALL]);
    assertEquals(await waitsWith([200]), [SMALL]);
  });

  test("later bytes that fill it get a larger one, until 16 reads have been small", async () => {
    assertEquals(await waitsWith([700, 700, 700]), [SMALL, LARGER, LARGER]);
    const small = Array(16).fill(100);
    assertEquals(await waitsWith([200, 700, ...small]), [SMALL, LARGER, ...Array(15).fill(LARGER), SMALL]);
  });
}
