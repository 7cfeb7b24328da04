/** A server as the master of workers, with processes in memory. */

import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { coreOf } from "../../src/server/server_connections.ts";
import { ServerMaster } from "../../src/server/server_master.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { quietServer } from "../topics/stage.ts";
import { FakeControl, FakeSocket, settled } from "./fake_processes.ts";
import { MemoryNet } from "./stage.ts";

test("clients that connect while the master still binds its ports are passed to the first workers", async () => {
  const core = coreOf(quietServer({ worker_num: 2, dispatch_mode: 1 }));
  core.addPort({ transport: "tcp", hostname: "127.0.0.1", port: 0, ssl: false });
  const control = new FakeControl((process) => process.run({ ports: 2 }));
  control.acceptSockets = (_options, accept) => {
    const address = { transport: "tcp", hostname: "192.0.2.7", port: 4711 } as const;
    accept(new FakeSocket("early"), address);
    return Promise.resolve({ address, close() {} });
  };
  const net = new MemoryNet();
  core.context.runtime = { ...await loadRuntime(), listen: (options, accept) => net.listen(options, accept), processes: control };
  const master = new ServerMaster(core, 2);
  try {
    assertEquals(await master.start(), [4711, 4711]);
    await settled();
    assertEquals(control.processes.flatMap(({ taken }) => taken.map(({ name }) => name)), ["early", "early"]);
  } finally {
    master.stop(0, 0);
    await master.whenStopped();
    await master.close();
  }
});
