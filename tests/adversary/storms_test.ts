// Storms: connections that are reset at once, and more connections than descriptors. Others have to be served meanwhile.

import { assert, assertEquals } from "@std/assert";
import net from "node:net";
import { test } from "node:test";
import { ownLanes } from "../support/lanes.ts";
import { inThisRuntime, Program } from "../support/program.ts";
import { RawClient } from "../support/raw_client.ts";
import { becomes, drawing, surviving, within } from "./harness.ts";

/** Connects and immediately resets the connection. */
function connectAndReset(port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.on("connect", () => void socket.resetAndDestroy());
  });
}

const sleep = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

const testDrawn = drawing(ownLanes);

for (const [lane] of ownLanes) {
  testDrawn(
    lane,
    `while connections are reset before they are accepted, others are accepted (${lane})`,
    { timeout: 60_000 },
    () =>
      surviving({ lane }, { wait: 6000 }, async (victim) => {
        const storm: Promise<void>[] = [];
        for (let i = 0; i < 200; i++) {
          storm.push(connectAndReset(victim.ports.event));
          await sleep(20);
        }
        for (let i = 0; i < 200; i++) {
          storm.push(connectAndReset(victim.ports.event)); // and a burst
        }
        await Promise.all(storm);
        await sleep(500); // time for the bystander to feel the burst left in the queue
      }),
  );
}

test("out of descriptors a server goes on serving who is there, and recovers", {
  timeout: 60_000,
}, async () => {
  const command = inThisRuntime(
    new URL("./shortage_program.ts", import.meta.url),
  );
  const program = new Program([
    "/bin/sh",
    "-c",
    'ulimit -n 200; exec "$@"',
    "sh",
    ...command,
  ]);
  const clients: RawClient[] = [];
  const ask = async (client: RawClient) => {
    client.send("GET /small HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals(
      (await within(10_000, "a response", client.readAnswer())).body,
      "small",
    );
  };
  try {
    const port = Number(
      await within(60_000, "the program starts", program.line()),
    );
    await sleep(1500); // Deno itself does not survive a shortage of descriptors right after its start
    const kept = await RawClient.connect(port);
    await ask(kept);
    const more = await Promise.allSettled(
      Array.from({ length: 400 }, () => RawClient.connect(port)),
    );
    for (const outcome of more) {
      if (outcome.status === "fulfilled") {
        clients.push(outcome.value);
      }
    }
    await sleep(1500);
    await ask(kept);
    for (const client of clients) {
      client.destroy();
    }
    const refusal = await becomes(10_000, async () => {
      try {
        const client = await RawClient.connect(port);
        client.send(
          "GET /small HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        );
        const { body } = await within(1000, "a response", client.readAnswer());
        client.destroy();
        return body === "small" ? undefined : body;
      } catch (error) {
        return `nobody gets in again: ${(error as Error).message}`;
      }
    });
    assertEquals(refusal, undefined);
    kept.destroy();
    const lines = program.errors.split("\n").filter((line) => line !== "").length;
    assert(lines < 20, `one shortage made ${lines} lines of log`);
  } finally {
    for (const client of clients) client.destroy();
    await program.kill();
  }
});
