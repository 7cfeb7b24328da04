/** How many chunks bytes arrive in: an adapter that reads into memory of its own makes that fit what a client usually sends. */

import { assertGreater } from "@std/assert";
import { Server } from "../../mod.ts";
import { servingOn, testLanes } from "../support/lanes.ts";
import { RawClient } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";

for (const size of [400, 700, 1000, 4000, 4600, 16_400]) {
  testLanes(`bursts of ${size} bytes arrive in one chunk each, after the first ones`, async (runtime) => {
    const server = new Server("127.0.0.1", 0);
    let chunks: number[] = [];
    let arrived = signal();
    server.on("receive", (_server, _fd, _reactorId, data) => {
      chunks.push(data.length);
      if (chunks.reduce((sum, length) => sum + length) === size) arrived.resolve();
    });
    await servingOn(runtime, server, async (_server, port) => {
      const client = await RawClient.connect(port);
      const whole: boolean[] = [];
      for (let i = 0; i < 20; i++) {
        chunks = [];
        arrived = signal();
        client.send(new Uint8Array(size));
        await arrived.promise;
        whole.push(chunks.length === 1);
      }
      assertGreater(whole.slice(4).filter(Boolean).length, 8); // the system may split one now and then
      client.destroy();
    });
  });
}
