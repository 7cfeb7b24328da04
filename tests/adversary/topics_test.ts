// Topics under attack: subscribers that never read, connections with as many topics as they may have, and floods of subscriptions.

import { assert, assertEquals } from "@std/assert";
import type { SlowReaderPolicy } from "../../mod.ts";
import { ownLanes } from "../support/lanes.ts";
import { frame, RawClient, type RawFrame } from "../support/raw_client.ts";
import { becomes, drawing, SLACK, slackOfStreams, surviving, type Victim, within } from "./harness.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

const command = (text: string) => frame({ opcode: 1, payload: `topic ${text}` });

/** Opens a WebSocket that has subscribed to a topic. */
async function subscriber(victim: Victim, topic: string): Promise<RawClient> {
  const client = await RawClient.open(victim.ports.event);
  client.send(command(`+${topic}`));
  client.send(command("?"));
  assertEquals(new TextDecoder().decode((await client.readFrame())!.payload), "1");
  return client;
}

/** Returns the number at the beginning of a message. */
function numberOf(received: RawFrame | null): number {
  return parseInt(new TextDecoder().decode(received!.payload.subarray(0, 10)));
}

const testDrawn = drawing(ownLanes);

for (const [lane] of ownLanes) {
  for (const policy of ["close", "drop", "latest"] as SlowReaderPolicy[]) {
    const settings = { topic_buffer_size: MIB, topic_slow_readers: policy, websocket_close_timeout: 30 };
    const memory = SLACK + slackOfStreams(lane);
    testDrawn(
      lane,
      `subscribers that never read, with \`${policy}\`, while others get everything (${lane})`,
      { timeout: 90_000 },
      () =>
        surviving({ lane, settings }, { memory }, async (victim) => {
          const slow = await Promise.all([1, 2, 3].map(() => subscriber(victim, "room")));
          for (const { socket } of slow) socket.pause();
          const fast = await Promise.all(Array.from({ length: 10 }, () => subscriber(victim, "room")));
          const count = 100;
          for (let i = 0; i < count; i++) {
            fast[0].send(command(`>room ${i} ${256 * KIB}`));
            for (const client of fast) {
              assertEquals(numberOf(await within(20_000, `message ${i}`, client.readPastPings())), i);
            }
          }
          const { slowReaders } = await victim.figures();
          if (policy === "close") assertEquals(slowReaders, { close: 3, drop: 0, latest: 0, gap: 0 });
          else assert(slowReaders[policy] > 3 && slowReaders.close === 0, JSON.stringify(slowReaders));
          for (const client of slow) {
            client.socket.resume();
            let last = -1;
            const next = async () => await within(20_000, "the rest", client.readPastPings());
            let received = await next();
            for (; received?.opcode === 1; received = await next()) {
              const number = numberOf(received);
              assert(number > last, `${number} after ${last}`);
              last = number;
              if (policy === "latest" && number === count - 1) break;
              if (policy === "drop" && number < count) client.send(command(`>late ${count} 0`)), client.send(command("+late"));
              if (number === count) break;
            }
            if (policy === "close") {
              assertEquals([received?.opcode, received?.payload[0], received?.payload[1]], [8, 1013 >> 8, 1013 & 255]);
            } else assertEquals(last, policy === "latest" ? count - 1 : count);
          }
          for (const client of [...slow, ...fast]) {
            client.destroy();
          }
        }),
    );
  }

  testDrawn(
    lane,
    `100 connections with 1,024 topics each, which leave in every way (${lane})`,
    { timeout: 90_000 },
    () =>
      surviving({ lane }, { memory: SLACK, wait: 10_000 }, async (victim) => {
        const clients = await Promise.all(Array.from({ length: 100 }, () => RawClient.open(victim.ports.event)));
        for (const [index, client] of clients.entries()) {
          const names = Array.from(
            { length: 1025 },
            (_, i) => `topic ${(index * 100 + i) % 5000} ${"x".repeat(200)}`.replaceAll(" ", "_"),
          );
          client.send(Uint8Array.from(names.flatMap((name) => [...command(`+${name}`)])));
          client.send(command("?"));
        }
        for (const client of clients) {
          const answer = await within(20_000, "the subscriptions", client.readPastPings());
          assertEquals(new TextDecoder().decode(answer!.payload), "1024");
        }
        const { topics, subscriptions } = await victim.figures();
        assertEquals([topics, subscriptions], [5000, 102_400]);
        for (const [index, client] of clients.entries()) {
          if (index % 3 === 0) client.destroy();
          else if (index % 3 === 1) client.socket.resetAndDestroy();
          else client.end();
        }
        const isOver = async () => {
          const { topics, subscriptions } = await victim.figures();
          return topics + subscriptions === 0 ? undefined : `${topics} topics and ${subscriptions} subscriptions are left`;
        };
        assertEquals(await becomes(10_000, isOver), undefined);
        for (const client of clients) client.destroy();
      }),
  );

  testDrawn(
    lane,
    `floods of subscriptions and publications (${lane})`,
    { timeout: 90_000 },
    () =>
      surviving(
        { lane, settings: { topic_buffer_size: MIB } },
        { memory: SLACK + slackOfStreams(lane), wait: 10_000 },
        async (victim) => {
          const clients = await Promise.all(Array.from({ length: 5 }, () => RawClient.open(victim.ports.event)));
          const batch = (who: number, round: number) => {
            const commands: number[] = [];
            for (let i = 0; i < 200; i++) {
              const topic = `t${(i * 7 + round) % 50}`;
              commands.push(...command(`+${topic}`), ...command(`>${topic} ${who} 10`), ...command(`-${topic}`));
            }
            return Uint8Array.from([...commands, ...command("?")]);
          };
          await Promise.all(clients.map(async (client, who) => {
            for (let round = 0; round < 60; round++) {
              client.send(batch(who, round));
              const answer = async () => new TextDecoder().decode((await client.readPastPings())!.payload);
              let next = await within(20_000, "a message", answer());
              let own = 0;
              for (; next !== "0"; next = await within(20_000, "a message", answer())) if (next.startsWith(`${who}.`)) own++;
              assertEquals(own, 200);
            }
          }));
          assertEquals((await victim.figures()).topics, 0);
          for (const client of clients) client.destroy();
        },
      ),
  );
}
