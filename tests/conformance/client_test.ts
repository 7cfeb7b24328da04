import { CloseFrame } from "../../mod.ts";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { ClientDriver, type Driver } from "./driver.ts";
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

// NON-STRICT, which is allowed: a good message and what fails the connection arrive together. The failure is noticed, and
// answered by a Close, before the program that waits for the message has gone on; behind a Close nothing may be sent. Where the
// two are sent apart it depends on how they arrive.
testConformance("the client", readStored("./expected_client.json"), driving);
