// Programs that throw, reject and never settle, in every handler. The connection concerned has to end as documented, others have
// to be served, `error` has to be called once, and `shutdown()` has to work.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { type Server, WebSocketServer } from "../../mod.ts";
import { signal } from "../support/serving.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { together } from "../support/together.ts";
import { becomes, within } from "./harness.ts";
import { byWebSocket, type Misdeed, MISDEEDS, type Scene, SCENES } from "./programs.ts";

/** Short times, and no log. */
const TIMES = { log_file: "/dev/null", max_wait_time: 0.3, websocket_close_timeout: 0.3, websocket_handshake_timeout: 0.5 };

/** A time far longer than anything should take, in milliseconds. */
const PATIENCE = 30_000;

async function play(scene: Scene, fails: boolean, misdeed: Misdeed): Promise<void> {
  let acted = 0;
  const server = scene.make(() => {
    acted++;
    return misdeed();
  });
  server.set({ ...TIMES, ...scene.times });
  const errors: unknown[] = [];
  if (scene.handler !== "error") {
    (server as Server).on("error", (_server, error) => void errors.push(error));
  }
  await server.start();
  try {
    const onlooker = await (scene.onlooker ?? byWebSocket)(server.port);
    await within(PATIENCE, "the onlooker is served", onlooker.serve());
    await within(PATIENCE, "the connection ends as it should", scene.meet(server.port, fails, server));
    await within(PATIENCE, "the onlooker is served again", onlooker.serve());
    onlooker.leave();
  } finally {
    server.shutdown();
    await within(PATIENCE, "finished settles", server.finished);
  }
  assertEquals(acted, 1, "the handler was not called once");
  const told = scene.handler === "error" || !fails ? 0 : 1;
  const missing = () => Promise.resolve(errors.length >= told ? undefined : "error was not told");
  assertEquals(await becomes(PATIENCE, missing), undefined); // may be reported after the end
  assertEquals(errors.length, told, String(errors));
}

for (const { name, fails, misdeed } of MISDEEDS) {
  const run = together(SCENES.map((scene) => () => play(scene, fails, misdeed)));
  for (const [index, { handler }] of SCENES.entries()) {
    test(`a handler of ${handler} that ${name}`, { timeout: 120_000 }, () => run(index));
  }
}

test("finished waits for message handlers, though their connections have gone", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const called = signal();
  const go = signal();
  let ended = false;
  server.set({ max_wait_time: 0, websocket_close_timeout: 0.3 });
  server.on("message", async () => {
    called.resolve();
    await go.promise;
    ended = true;
  });
  await server.start();
  const client = await RawClient.open(server.port);
  client.send(frame({ opcode: 1, payload: "go" }));
  await called.promise;
  server.shutdown();
  await client.whenEnded();
  client.destroy();
  let finished = false;
  server.finished.then(() => finished = true);
  await becomes(PATIENCE, () => Promise.resolve(server.stats().connection_num === 0 ? undefined : "a connection is left"));
  await new Promise((resolve) => setTimeout(resolve, 100)); // long enough for anything that does not wait
  assertEquals(finished, false);
  go.resolve();
  await within(PATIENCE, "finished settles", server.finished);
  assert(ended);
});

test("a handler that outlives its server is not counted among those of the next life", async () => {
  const server = new WebSocketServer("127.0.0.1", 0);
  const go: (() => void)[] = [];
  server.set({ max_wait_time: 0.1, websocket_close_timeout: 0.1 });
  server.on("message", () => new Promise<void>((resolve) => go.push(resolve)));
  const call = async () => {
    const count = go.length;
    const client = await RawClient.open(server.port);
    client.send(frame({ opcode: 1, payload: "go" }));
    assertEquals(await becomes(PATIENCE, () => Promise.resolve(go.length > count ? undefined : "not called")), undefined);
    return client;
  };
  await server.start();
  const first = await call();
  server.shutdown();
  await within(PATIENCE, "finished settles", server.finished);
  first.destroy();
  await server.start();
  const second = await call();
  go[0](); // of the first start
  server.shutdown(20);
  let finished = false;
  server.finished.then(() => finished = true);
  await second.whenEnded();
  second.destroy();
  await becomes(PATIENCE, () => Promise.resolve(server.stats().connection_num === 0 ? undefined : "a connection is left"));
  await new Promise((resolve) => setTimeout(resolve, 100)); // long enough for anything that does not wait
  assertEquals(finished, false);
  go[1]();
  await within(PATIENCE, "finished settles", server.finished);
});
