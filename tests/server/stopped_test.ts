// A process that has stood still: what its peers have sent in the meantime is read before anybody is given up.

import { assertEquals } from "@std/assert";
import process from "node:process";
import { test } from "node:test";
import { inThisRuntime, Program } from "../support/program.ts";
import { frame, RawClient } from "../support/raw_client.ts";

test("a server that was stopped for longer than its timeouts drops nobody who has responded", async () => {
  const program = new Program(inThisRuntime(new URL("./stopped_program.ts", import.meta.url)));
  const pid = program.process.pid!;
  try {
    const client = await RawClient.open(Number(await program.line()));
    assertEquals((await client.readFrame())?.opcode, 9);
    process.kill(pid, "SIGSTOP");
    client.send(frame({ opcode: 10 }));
    await new Promise((resolve) => setTimeout(resolve, 4000));
    process.kill(pid, "SIGCONT");
    assertEquals((await client.readFrame())?.opcode, 9);
    client.send(frame({ opcode: 10 }));
    assertEquals((await client.readFrame())?.opcode, 9);
    client.destroy();
  } finally {
    process.kill(pid, "SIGKILL");
  }
  await program.exited;
});
