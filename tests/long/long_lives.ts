// Connections that live for longer than any time limit that a runtime has by itself: on each lane of each runtime, with and
// without TLS, one WebSocket that is idle, one that is busy, a response that has paused, and both kinds of our own client.
// It waits all the time, so that it can run beside all other checks.

import { assertEquals } from "@std/assert";
import process from "node:process";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Program, runners } from "../support/program.ts";
import { frame, handshake, RawClient } from "../support/raw_client.ts";
import { connectTls } from "../support/tls_client.ts";

const SECONDS = Number(process.env.SLUICE_LONG_SECONDS ?? 150);
const file = fileURLToPath(new URL("./program.ts", import.meta.url));

/** Notes how long a connection lived, when it ends. */
function watch(client: RawClient, name: string, ended: string[]): void {
  const begun = performance.now();
  client.whenEnded().then(() =>
    ended.push(
      `${name} after ${((performance.now() - begun) / 1000).toFixed(0)} s: ${client.error ?? "FIN"}`,
    )
  );
}

/** A WebSocket that answers pings and counts what else it gets. */
async function keepWebSocket(
  client: RawClient,
  count: () => void,
): Promise<void> {
  client.send(handshake());
  await client.readHead();
  (async () => {
    while (await client.readPastPings() !== null) count();
  })().catch(() => {}); // its end is told by watch()
}

/** Keeps connections to all servers of a program for a while. Gives what went wrong. */
async function live(command: readonly string[]): Promise<string[]> {
  const program = new Program([...command, file]);
  const ended: string[] = [];
  const clients: RawClient[] = [];
  const timers: ReturnType<typeof setInterval>[] = [];
  try {
    const listening: { name: string; port: number; secure: boolean }[] = JSON
      .parse(await program.line());
    const counts: { name: string; sent: number; received: number }[] = [];
    for (const { name, port, secure } of listening) {
      const connect = async (what: string) => {
        const client = await (secure ? connectTls(port) : RawClient.connect(port));
        clients.push(client);
        watch(client, `${name}, ${what}`, ended);
        return client;
      };
      await keepWebSocket(await connect("idle WebSocket"), () => {});
      const count = { name, sent: 0, received: 0 };
      counts.push(count);
      const busy = await connect("busy WebSocket");
      await keepWebSocket(busy, () => count.received++);
      timers.push(setInterval(() => {
        count.sent++;
        busy.send(frame({ opcode: 1, payload: "hello" }));
      }, 1000));
      const events = await connect("response that has paused");
      events.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await events.readHead();
    }
    await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000));
    for (const timer of timers) clearInterval(timer);
    for (const count of counts) {
      for (
        const end = performance.now() + 10_000;
        count.received < count.sent && performance.now() < end;
      ) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      if (count.received !== count.sent) {
        ended.push(`${count.name}: ${count.received} of ${count.sent} echoes`);
      }
    }
    ended.push(...program.printed());
    if (program.errors !== "") ended.push(program.errors);
    return ended.slice(); // without what ends from here on
  } finally {
    for (const timer of timers) clearInterval(timer);
    await program.kill();
    for (const client of clients) client.destroy();
  }
}

const lives = runners.filter(([name]) => ["Deno", "Bun", "Node 24"].includes(name)).map(([name, ...command]) =>
  [name, live(command)] as const
);
for (const [, life] of lives) life.catch(() => {}); // looked at below
after(() => Promise.allSettled(lives.map(([, life]) => life)));

for (const [name, life] of lives) {
  test(`${name}: connections of all kinds live for ${SECONDS} seconds`, async () => assertEquals(await life, []));
}
