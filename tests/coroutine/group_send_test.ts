// Group send to many: nothing is lost, nothing is kept, and who does not read holds up only itself.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { commandWithGarbage } from "../support/garbage.ts";
import { running } from "../support/program.ts";
import { frame, RawClient } from "../support/raw_client.ts";

const MIB = 1024 * 1024;

interface Memory {
  readonly members: number;
  readonly refused: number;
  readonly held: number;
}

/** Runs a server of the coroutine style in a process of its own; `memory()` tells what it holds with so many members in the group. */
function withGroup(work: (port: number, memory: (members: number) => Promise<Memory>) => Promise<void>): Promise<void> {
  return running(commandWithGarbage(new URL("./group_send_program.ts", import.meta.url)), async (program) => {
    const port = Number(await program.line());
    await work(port, async (members) => {
      while (true) { // until everybody has come, or has gone
        const memory = await (await fetch(`http://127.0.0.1:${port}/memory`)).json() as Memory;
        if (memory.members === members) return memory;
      }
    });
  });
}

test("1,000 connections in group send: nothing is lost, and the memory is back where it was when they have left", {
  timeout: 120_000,
}, async () => {
  await withGroup(async (port, memory) => {
    const COUNT = 1000;
    const held: number[] = [];
    for (let round = 0; round < 4; round++) {
      const clients: RawClient[] = [];
      for (let i = 0; i < COUNT; i += 50) {
        clients.push(...await Promise.all(Array.from({ length: 50 }, () => RawClient.open(port, "/room"))));
      }
      await memory(COUNT);
      const texts = Array.from({ length: 10 }, (_, i) => `round ${round}, message ${i}`);
      for (const [i, text] of texts.entries()) clients[i * 97].send(frame({ opcode: 1, payload: text }));
      for (const client of clients) {
        const got: string[] = [];
        for (let i = 0; i < texts.length; i++) got.push(new TextDecoder().decode((await client.readFrame())!.payload));
        assertEquals(got.sort(), texts);
      }
      for (const client of clients) client.socket.destroy();
      held.push((await memory(0)).held);
    }
    // What a runtime compiles and keeps is none of the connections' doing; two rounds of connections that stay would be megabytes.
    const growth = held[3] - held[1];
    assert(growth < COUNT * 1000, `The server holds ${growth} bytes more than after the round before: ${held}`);
  });
});

test("a slow reader in a group send holds up only itself, and its memory is capped", { timeout: 120_000 }, async () => {
  await withGroup(async (port, memory) => {
    const COUNT = 10;
    const clients = await Promise.all(Array.from({ length: COUNT }, () => RawClient.open(port, "/room")));
    const slow = await RawClient.open(port, "/room");
    slow.socket.pause();
    const before = await memory(COUNT + 1);
    const payload = new Uint8Array(MIB).fill(7);
    const ROUNDS = 64;
    for (let round = 0; round < ROUNDS; round++) {
      payload[0] = round;
      clients[round % COUNT].send(frame({ opcode: 2, payload }));
      for (const client of clients) {
        const { payload: got } = (await client.readFrame())!;
        assertEquals([got.length, got[0]], [MIB, round]);
      }
    }
    const after = await memory(COUNT + 1);
    assert(after.refused > 0, "Nothing was refused to the one that did not read");
    // Of 64 MiB: socket_buffer_size is 8, and what a runtime does not give back at once comes on top (Deno: 10).
    const growth = after.held - before.held;
    assert(growth < 24 * MIB, `The server holds ${growth} bytes for one slow reader`);
    // What it was not refused is all there, in order.
    slow.socket.resume();
    let last = -1;
    for (let i = 0; i < ROUNDS - after.refused; i++) {
      const { payload: got } = (await slow.readFrame())!;
      assert(got.length === MIB && got[0] > last, `Message ${got[0]} came behind ${last}`);
      last = got[0];
    }
    for (const client of [...clients, slow]) client.socket.destroy();
    await memory(0);
  });
});
