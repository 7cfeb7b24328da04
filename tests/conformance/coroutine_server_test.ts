import { HttpServer } from "../../src/coroutine/mod.ts";
import { ServerDriver } from "./driver.ts";
import { MAX_LENGTH, readStored, testConformance } from "./suite.ts";

testConformance("the coroutine server", readStored("./expected_server.json"), async (run) => {
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
