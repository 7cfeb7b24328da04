import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { drivingClients } from "./peers.ts";
import { roundTripElsewhere } from "./run_case.ts";
import { COMPRESSION, readStored, testCompression, testConformance } from "./suite.ts";

const stored = readStored("./expected_client.json");

testConformance("the client", stored, drivingClients());
testCompression("the compressing client", stored, drivingClients(COMPRESSION));

test("conformance: the client leaves it to the server to end TCP", { timeout: 60_000 }, () =>
  drivingClients()(async (driver) => {
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
