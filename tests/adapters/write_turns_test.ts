// In Deno, many writes at once are started in turns, each in order, so that none of them is polled in vain again and again.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { test } from "node:test";
import { Server } from "../../mod.ts";
import { RawClient } from "../support/raw_client.ts";
import { serving } from "../support/serving.ts";
import { where } from "../tls/stage.ts";

const CLIENTS = 450;

async function countWrites(): Promise<void> {
  const { Deno } = globalThis as unknown as {
    Deno: {
      connect(options: object): Promise<{ close(): void }>;
      listen(options: object): { addr: { port: number }; close(): void };
    };
  };
  const listener = Deno.listen({ port: 0 });
  const probe = await Deno.connect({ port: listener.addr.port });
  let prototype = Object.getPrototypeOf(probe);
  while (!Object.hasOwn(prototype, "write")) prototype = Object.getPrototypeOf(prototype);
  probe.close();
  listener.close();
  const { write } = prototype;
  let count = 0;
  const turns: number[] = [];
  let isCounting = true;
  const endTurn = () => {
    turns.push(count);
    count = 0;
    if (isCounting) setImmediate(endTurn);
  };

  const server = new Server("127.0.0.1", 0);
  server.on("receive", (server) => {
    for (const fd of server.connections) server.send(fd, "all");
  });
  await serving(server, async (_server, port) => {
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => RawClient.connect(port)));
    prototype.write = function (bytes: Uint8Array): Promise<number> {
      count++;
      return write.call(this, bytes);
    };
    try {
      clients[0].send("go");
      endTurn();
      for (const client of clients) assertEquals((await client.read(3)).length, 3);
    } finally {
      isCounting = false;
      prototype.write = write;
    }
    assert(turns.reduce((sum, one) => sum + one, count) >= CLIENTS);
    assertLessOrEqual(Math.max(...turns), 201, String(turns)); // a turn here may see the end of one and the next; and the client writes
    clients.forEach((client) => client.destroy());
  });
}

if (where === "deno") test("a broadcast to 450 starts at most 100 writes in a turn, and everybody gets it", countWrites);
