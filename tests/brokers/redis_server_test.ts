// What the broker over Redis does with servers that are set up in other ways.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { type LogRecord, type ServerSettings, WebSocketServer } from "../../mod.ts";
import type { RedisBrokerOptions } from "../../adapters/redis.ts";
import { testWith } from "../support/prerequisites.ts";
import { RedisServer } from "../support/redis_server.ts";
import { RedisKeys } from "../../src/topics/brokers/redis_keys.ts";
import { eventually, makeBroker } from "./stage.ts";

/** Runs a test with a server that is connected to a Redis, or tries to be. */
async function withServer(
  url: string,
  test: (server: WebSocketServer, logged: LogRecord[]) => Promise<void>,
  options: RedisBrokerOptions = {},
  settings: ServerSettings = {},
  client: "redis" | "ioredis" = "redis",
): Promise<void> {
  const logged: LogRecord[] = [];
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({
    logger: (record) => void logged.push(record),
    broker: makeBroker(client, url, { kept: { "room*": {} }, ...options }),
    ...settings,
  });
  server.on("message", () => {});
  await server.start();
  try {
    await test(server, logged);
  } finally {
    server.shutdown(0);
    await server.finished;
  }
}

const isUp = (server: WebSocketServer) => eventually("it is connected", () => server.stats().broker?.is_up);
const says = (logged: LogRecord[], text: string) => logged.some(({ message }) => message.includes(text));

testWith(
  "redis",
  "a Redis with topics in another format is refused, until it has none any more",
  () =>
    RedisServer.with(async (redis) => {
      await redis.command("SET", "sluice:format", "2");
      await withServer(redis.url, async (server, logged) => {
        await eventually(
          "it is logged",
          () => says(logged, "Redis has topics in the format 2, of another version of Sluice; this one knows 1"),
        );
        const result = await server.append("room", "x");
        assert(result.status === "refused", JSON.stringify(result));
        assertEquals([server.stats().broker?.is_up, server.publish("hall", "x")], [false, 0]);
        await redis.command("DEL", "sluice:format");
        await isUp(server);
        assertEquals(await redis.command("GET", "sluice:format"), "$1\r\n1\r\n");
      });
      await redis.command("SET", "sluice:format", "2");
      await withServer(redis.url, isUp, { prefix: "other" }); // another prefix is another world
    }),
);

testWith(
  "redis",
  "scripts that Redis has forgotten are sent again",
  () =>
    RedisServer.with((redis) =>
      withServer(redis.url, async (server) => {
        await isUp(server);
        for (let i = 1; i <= 3; i++) {
          await redis.command("SCRIPT", "FLUSH");
          const result = await server.append("room", "x");
          assertEquals([result.status, (result as { offset: number }).offset], ["stored", i]);
        }
      })
    ),
);

testWith(
  "redis",
  "what others put into its channels and streams is ignored, and counted",
  () =>
    RedisServer.with((redis) =>
      withServer(redis.url, async (server) => {
        await isUp(server);
        const socket = new WebSocket(`ws://127.0.0.1:${server.port}/`);
        await new Promise((resolve) => socket.onopen = resolve);
        const [fd] = server.connections;
        const heard: unknown[] = [];
        socket.onmessage = ({ data }) => heard.push(data);
        assertEquals((await server.subscribe(fd, "room", {})).status, "subscribed");
        server.subscribe(fd, "hall");
        const keys = new RedisKeys("sluice");
        await eventually("garbage has arrived", async () => {
          await redis.command("PUBLISH", keys.of("hall").channel, "garbage");
          await redis.command("PUBLISH", keys.of("room").channel, "9:garbage");
          return server.stats().broker!.malformed_count > 4;
        });
        await server.append("room", "good");
        await eventually("what is good arrives", () => heard.length > 0);
        assertEquals(heard, ["good"]);
        socket.close();
      })
    ),
);

for (const client of ["redis", "ioredis"] as const) {
  testWith("redis", `${client}: a Redis that may drop topics is warned of`, () =>
    RedisServer.with(async (redis) => {
      await redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
      const check = async (server: WebSocketServer, logged: LogRecord[]) => {
        await isUp(server);
        assert(says(logged, "Redis may drop kept topics: its maxmemory-policy is allkeys-lru, not noeviction"));
      };
      await withServer(redis.url, check, {}, {}, client);
    }));

  testWith("redis", `${client}: a password is used, and a wrong one is logged`, () =>
    RedisServer.with(async (redis) => {
      await redis.command("CONFIG", "SET", "requirepass", "secret");
      const address = `127.0.0.1:${redis.port}`;
      await withServer(`redis://:secret@${address}`, isUp, {}, {}, client);
      await withServer(
        `redis://:wrong@${address}`,
        async (server, logged) => {
          await eventually("it is logged", () => says(logged, "The connection to Redis for commands was not made"));
          assertEquals(server.stats().broker?.is_up, false);
        },
        {},
        {},
        client,
      );
    }));

  test(`${client}: without a server, everything else works, and the program ends`, () =>
    withServer(
      "redis://127.0.0.1:1",
      async (server, logged) => {
        await eventually("it is logged", () => says(logged, "The connection to Redis for subscriptions was not made"));
        const result = await server.append("room", "x");
        assert(result.status === "refused" && (result.error as { code?: string }).code === "BROKER_DOWN");
        assertEquals(server.stats().broker?.failed, { BROKER_DOWN: 1, BROKER_BUSY: 0, BROKER_UNKNOWN: 0, BROKER_REFUSED: 0 });
      },
      {},
      {},
      client,
    ));
}
