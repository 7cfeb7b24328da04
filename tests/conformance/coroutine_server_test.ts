import { HttpServer } from "../../src/coroutine/mod.ts";
import { ServerDriver } from "./driver.ts";
import { MAX_LENGTH, readStored, type Stored, testConformance } from "./suite.ts";

/**
 * NON-STRICT, which is allowed: a good message and what fails the connection arrive together. The failure is noticed, and
 * answered by a Close, before the handler that waits for the message has gone on; behind a Close nothing may be sent. Where the
 * two are sent apart it depends on how they arrive.
 */
const STORED: Record<string, Stored> = readStored("./expected_server.json");
for (const id of ["3.2", "4.1.3", "4.1.4", "4.2.3", "4.2.4", "5.15"]) {
  STORED[id] = { behavior: "NON-STRICT", behaviorClose: "OK" };
}
for (const id of ["3.3", "3.4", "4.1.5", "4.2.5"]) STORED[id] = { behavior: "OK or NON-STRICT", behaviorClose: "OK" };

testConformance("the coroutine server", STORED, async (run) => {
  const server = new HttpServer("127.0.0.1");
  server.set({ package_max_length: MAX_LENGTH });
  server.handle("/", async (_request, ws) => {
    await ws.upgrade();
    for await (const frame of ws) await ws.push(frame);
  });
  await server.start();
  try {
    await run(new ServerDriver(server.port));
  } finally {
    server.shutdown();
    await server.finished;
  }
});
