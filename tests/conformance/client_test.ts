import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { CloseFrame } from "../../mod.ts";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { ClientDriver, type Driver } from "./driver.ts";
import { roundTripElsewhere } from "./run_case.ts";
import { MAX_LENGTH, readStored, testConformance } from "./suite.ts";

/** Echoes until the server closes. */
async function echo(port: number): Promise<void> {
  const client = new HttpClient("127.0.0.1", port);
  client.set({ package_max_length: MAX_LENGTH, open_websocket_pong_frame: false });
  if (!await client.upgrade("/")) return;
  while (true) {
    const received = await client.recv();
    if (received === "" || received === false) return;
    if (!(received instanceof CloseFrame)) await client.push(received);
  }
}

async function driving(run: (driver: Driver) => Promise<void>): Promise<void> {
  const driver = await ClientDriver.listen(echo);
  try {
    await run(driver);
  } finally {
    await driver.stop();
  }
}

testConformance("the client", readStored("./expected_client.json"), driving);

test("conformance: the client leaves it to the server to end TCP", { timeout: 60_000 }, () =>
  driving(async (driver) => {
    const endpoint = await driver.connect();
    try {
      await endpoint.send([endpoint.close(new Uint8Array([1000 >> 8, 1000 & 255]))]);
      await endpoint.until(() => false);
      assertEquals(endpoint.peerClose, { code: 1000 });
      await roundTripElsewhere(driver);
      assert(!endpoint.ended);
      await endpoint.whenEnded();
      assert(endpoint.ended && endpoint.error === undefined);
    } finally {
      endpoint.drop();
    }
  }));
