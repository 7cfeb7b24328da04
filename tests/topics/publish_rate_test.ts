// How much a connection may publish.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { test } from "node:test";
import { memoryBroker } from "../../mod.ts";
import { PublishRates } from "../../src/topics/publish_rates.ts";
import { coreOf } from "../../src/server/server_connections.ts";
import { join, quietServer, staging } from "./stage.ts";

test("a rate: so many at once, then so many a second, and nothing adds up", () => {
  const rates = new PublishRates(10);
  const take = (now: number, count: number) => Array.from({ length: count }, () => rates.take(1, now)).filter(Boolean).length;
  assertEquals([take(0, 11), take(99, 1), take(100, 2), take(600, 6), take(100_000, 11)], [10, 0, 1, 5, 10]);
  assertEquals([rates.refused, rates.take(2, 100_000)], [5, true]);
  rates.forget(1);
  assertEquals([rates.size, take(100_000, 11)], [1, 10]);
  const free = new PublishRates(0);
  assertEquals([free.take(1, 0), free.size], [true, 0]);
});

test("publish() and append() count for the connection that they are from", async () => {
  const server = quietServer({ max_publish_rate: 2, broker: memoryBroker({ kept: { "room*": {} } }) });
  await staging(server, async () => {
    const [{ fd }, other] = [join(server), join(server)];
    server.subscribe(other.fd, "hall");
    const publish = (from?: number) => server.publish("hall", "x", { from });
    assertEquals([publish(fd), publish(fd), publish(fd), server.getLastError()], [1, 1, false, 506]);
    assertEquals([publish(), publish(other.fd), server.stats().refused_publish_count], [1, 1, 1]);
    const result = await server.append("room", "x", { from: fd });
    assert(result.status === "refused" && result.error.message === "Cannot append: Queue full", JSON.stringify(result));
    assertEquals((await server.append("room", "x", { from: other.fd })).status, "stored");
    assertEquals([publish(99), server.getLastError()], [false, 1005]);
    assertThrows(() => publish("1" as never), TypeError, "from is an fd");
    await assertRejects(() => server.append("room", "x", { from: null as never }), TypeError, "from is an fd");
    const { topics } = coreOf(server).context;
    assertEquals(topics!.rates.size, 2);
    server.close(fd, true);
    server.close(other.fd, true);
    assertEquals(topics!.rates.size, 0);
  });
});
