// The chat of examples/workers.ts, one of whose workers is killed in the middle.

import { assert, assertEquals } from "@std/assert";
import process from "node:process";
import { test } from "node:test";
import { startExample, THIS_RUNTIME } from "./browser/start_example.ts";
import { frame, RawClient } from "./support/raw_client.ts";

/** Somebody in the chat. */
class Visitor {
  readonly client: RawClient;
  readonly fd: number;
  readonly worker: number;

  private constructor(client: RawClient, fd: number, worker: number) {
    this.client = client;
    this.fd = fd;
    this.worker = worker;
  }

  /** Opens a WebSocket, and hears that it has come, perhaps behind others that have come before. */
  static async enter(port: number, name: string): Promise<Visitor> {
    const client = await RawClient.open(port);
    client.send(frame({ opcode: 1, payload: `I am ${name}` }));
    const workers = new Map<string, number>();
    for (;;) {
      const text = await heard(client);
      const [, newcomer, worker] = /^(\d+) comes to worker (\d+)$/.exec(text) ?? [];
      if (newcomer !== undefined) workers.set(newcomer, Number(worker));
      const [, fd] = new RegExp(`^(\\d+) says I am ${name}$`).exec(text) ?? [];
      if (fd !== undefined) return new Visitor(client, Number(fd), workers.get(fd)!);
    }
  }

  say(text: string): void {
    this.client.send(frame({ opcode: 1, payload: text }));
  }

  /** Reads what is said until somebody has said this. */
  async hears(text: string): Promise<void> {
    while (await heard(this.client) !== text);
  }
}

async function heard(client: RawClient): Promise<string> {
  return new TextDecoder().decode((await client.readFrame())!.payload);
}

async function pidOf(port: number, id: number): Promise<number> {
  for (;;) {
    const client = await RawClient.connect(port);
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    const { body } = await client.readAnswer();
    client.destroy();
    const [, worker, pid] = /^This is worker (\d+), process (\d+)$/m.exec(body)!;
    if (Number(worker) === id) return Number(pid);
  }
}

test("a chat with three workers: one is killed, and only its visitors are dropped", {
  skip: process.platform !== "linux",
}, async () => {
  const example = await startExample("workers.ts", 0, THIS_RUNTIME, { WORKERS: "3" });
  try {
    const { port } = example;
    const visitors: Visitor[] = [];
    while (new Set(visitors.map(({ worker }) => worker)).size < 3 || visitors.length < 9) {
      visitors.push(await Visitor.enter(port, `visitor ${visitors.length}`));
    }
    for (const speaker of visitors) {
      speaker.say("hello");
      for (const visitor of visitors) await visitor.hears(`${speaker.fd} says hello`);
    }
    const pid = await pidOf(port, 1);
    process.kill(pid, "SIGKILL");
    const others = visitors.filter(({ worker }) => worker !== 1);
    for (const visitor of others) await visitor.hears(`worker 1, process ${pid}, has ended`);
    for (const { client } of visitors.filter(({ worker }) => worker === 1)) await client.whenEnded();
    for (const speaker of others) {
      speaker.say("still here");
      for (const visitor of others) await visitor.hears(`${speaker.fd} says still here`);
    }
    assert(await pidOf(port, 1) !== pid);
    for (const { client } of visitors) client.destroy();
    example.interrupt();
    const { code } = await example.ended;
    assertEquals(code, 0);
  } finally {
    await example.kill();
  }
});
