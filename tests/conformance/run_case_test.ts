/**
 * The judge is judged: peers that do wrong on purpose have to get the label that they deserve, in either role.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import { test } from "node:test";
import { frame, handshake, RawClient, SAMPLE_KEY } from "../support/raw_client.ts";
import { ClientDriver } from "./driver.ts";
import type { Role } from "./endpoint.ts";
import type { Verdict } from "./run_case.ts";
import { type Fields, type Script, verdictOn } from "./scripted_peer.ts";

/** Answers messages and pings, then the Close, as it should be. */
const echo: Script = async (peer) => {
  for (let next = await peer.read(); next?.opcode !== 8; next = await peer.read()) {
    if (next === null) return;
    if (next.opcode < 3) peer.send(next.opcode, next.payload);
    else if (next.opcode === 9) peer.send(10, next.payload);
  }
  await peer.leave(1000);
};

const OK: Verdict = { behavior: "OK", behaviorClose: "OK" };
const FAILED: Verdict = { behavior: "FAILED", behaviorClose: "FAILED" };

/** Long enough for all that these servers do, short enough to wait for what never comes. */
const SHORT = 3000;

const scripts: [name: string, id: string, script: Script, verdict: Verdict, patience?: number][] = [
  ["nothing wrong", "1.1.4", echo, OK],
  ["an answer in fragments and a ping in between", "5.3", async (peer) => {
    await peer.read();
    await peer.read();
    peer.sendFrame({ opcode: 1, fin: false, payload: "fragment1" });
    peer.send(9, "are you there");
    peer.sendFrame({ opcode: 0, payload: "fragment2" });
    const answer = await peer.read();
    if (answer?.opcode === 10 && new TextDecoder().decode(answer.payload) === "are you there") await echo(peer);
  }, OK],
  ["a Close without a code", "7.1.1", async (peer) => {
    peer.send(1, (await peer.read())!.payload);
    await peer.readClose();
    await peer.leave();
  }, OK],
  ["no Close where none is needed", "7.9.1", async (peer) => {
    await peer.readClose();
    await peer.hangUp();
  }, OK],
  ["other content", "1.1.2", async (peer) => {
    const { payload } = (await peer.read())!;
    payload[124]++;
    peer.send(1, payload);
    await echo(peer);
  }, { behavior: "FAILED", behaviorClose: "OK" }],
  ["another type", "1.1.1", async (peer) => {
    await peer.read();
    peer.send(2);
    await echo(peer);
  }, { behavior: "FAILED", behaviorClose: "OK" }],
  ["a message before any was sent", "9.7.2", async (peer) => {
    peer.send(1, "*".repeat(16));
    await echo(peer);
  }, { behavior: "FAILED", behaviorClose: "OK" }],
  ["one pong too many", "2.9", async (peer) => {
    await peer.read();
    peer.send(10, "unsolicited pong payload");
    await echo(peer);
  }, { behavior: "FAILED", behaviorClose: "OK" }],
  ["pong and message in the wrong order", "5.6", async (peer) => {
    for (let i = 0; i < 3; i++) await peer.read();
    peer.send(1, "fragment1fragment2");
    peer.send(10, "ping payload");
    await echo(peer);
  }, { behavior: "FAILED", behaviorClose: "OK" }],
  ["no answer, only a close", "1.1.1", async (peer) => {
    await peer.read();
    await peer.leave(1000);
  }, { behavior: "FAILED", behaviorClose: "FAILED" }],
  ["a close by the wrong side", "1.1.1", async (peer) => {
    await peer.read();
    peer.send(1);
    await peer.leave(1000);
  }, { behavior: "OK", behaviorClose: "FAILED" }],
  [
    "a close by the wrong side that spoils the answers",
    "6.3.1",
    async (peer) => {
      await peer.read();
      await peer.raw.readFrames(); // never fails the connection
    },
    { behavior: "FAILED", behaviorClose: "FAILED" },
    SHORT,
  ],
  ["a wrong code", "1.1.1", async (peer) => {
    peer.send((await peer.read())!.opcode);
    await peer.readClose();
    await peer.leave(1001);
  }, { behavior: "OK", behaviorClose: "WRONG CODE" }],
  ["a wrong code that spoils the answers", "7.3.3", async (peer) => {
    await peer.readClose();
    await peer.leave(1001);
  }, { behavior: "FAILED", behaviorClose: "WRONG CODE" }],
  ["TCP ended without a Close", "1.1.1", async (peer) => {
    peer.send((await peer.read())!.opcode);
    await peer.readClose();
    await peer.hangUp();
  }, { behavior: "OK", behaviorClose: "UNCLEAN" }],
  ["TCP broken after the Close", "1.1.1", async (peer) => {
    peer.send((await peer.read())!.opcode);
    await peer.readClose();
    peer.raw.socket.resetAndDestroy();
  }, { behavior: "OK", behaviorClose: "UNCLEAN" }],
  [
    "TCP left open after the Close",
    "1.1.1",
    async (peer) => {
      peer.send((await peer.read())!.opcode);
      await peer.readClose();
      peer.close(1000);
      await peer.judged;
    },
    { behavior: "OK", behaviorClose: "UNCLEAN" },
    SHORT,
  ],
  [
    "TCP left open after a Close that need not be clean",
    "7.9.1",
    async (peer) => {
      await peer.readClose();
      peer.close(1002);
      await peer.judged;
    },
    { behavior: "OK", behaviorClose: "FAILED BY CLIENT" },
    SHORT,
  ],
  ["a rule broken", "1.1.1", async (peer) => {
    await peer.read();
    peer.raw.send(frame({ opcode: 1, mask: peer.role === "server" }));
    await peer.raw.whenEnded();
  }, { behavior: "FAILED", behaviorClose: "FAILED" }],
  ["a failure that swallows the answer before it", "3.2", async (peer) => {
    await peer.read();
    await peer.leave(1002);
  }, { behavior: "NON-STRICT", behaviorClose: "OK" }],
  ["a reserved bit that is ignored", "3.2", echo, { behavior: "FAILED", behaviorClose: "FAILED" }, SHORT],
  ["the wrong code for text that is not UTF-8", "6.3.1", async (peer) => {
    await peer.read();
    await peer.leave(1002);
  }, { behavior: "OK", behaviorClose: "WRONG CODE" }],
  [
    "text that is checked at its end only",
    "6.4.1",
    async (peer) => {
      await peer.passProbe();
      for (let next = await peer.read(); !next!.fin; next = await peer.read());
      await peer.leave(1007);
    },
    { behavior: "NON-STRICT", behaviorClose: "OK" },
    SHORT,
  ],
  ["text that is given up too early", "6.4.1", async (peer) => {
    await peer.read();
    await peer.leave(1007);
  }, { behavior: "FAILED", behaviorClose: "OK" }],
  ["anything where nothing is asked of it", "7.13.1", async (peer) => {
    await peer.read();
  }, { behavior: "INFORMATIONAL", behaviorClose: "INFORMATIONAL" }],
];

/** As a server the suite ends TCP itself. */
function inRole(role: Role, { behavior, behaviorClose }: Verdict): Verdict {
  return { behavior, behaviorClose: role === "client" && behaviorClose === "FAILED BY CLIENT" ? "UNCLEAN" : behaviorClose };
}

async function labels(...args: Parameters<typeof verdictOn>): Promise<Verdict> {
  const { behavior, behaviorClose } = await verdictOn(...args);
  return { behavior, behaviorClose };
}

for (const role of ["server", "client"] as const) {
  for (const [name, id, script, verdict, patience] of scripts) {
    if (patience !== undefined) continue;
    test(`runCase judges a ${role} with ${name} in ${id}`, { timeout: 60_000 }, async () => {
      assertEquals(await labels(role, id, script), inRole(role, verdict));
    });
  }

  test(`runCase judges a ${role} that never does what is waited for`, { timeout: 60_000 }, async () => {
    const slow = scripts.filter(([, , , , patience]) => patience !== undefined);
    assertEquals(
      await Promise.all(slow.map(async ([name, id, script, , patience]) => [name, await labels(role, id, script, patience)])),
      slow.map(([name, , , verdict]) => [name, inRole(role, verdict)]),
    );
  });
}

const badHandshakes: [role: Role, fields: Fields, fault: string][] = [
  ["client", { Host: null }, "the handshake does not have one Host"],
  ["client", { Host: "a, b" }, "the handshake does not have one Host"],
  ["client", { Upgrade: "websockets" }, "the handshake has no Upgrade to websocket"],
  ["client", { Connection: "keep-alive" }, "the handshake's Connection does not say Upgrade"],
  ["client", { "Sec-WebSocket-Version": "8" }, "the handshake's version is not 13"],
  ["client", { "Sec-WebSocket-Key": "c2hvcnQ=" }, "the handshake has no proper key"],
  ["client", { "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZR==" }, "the handshake has no proper key"],
  ["server", { Upgrade: null }, "the handshake's answer has no Upgrade to websocket"],
  ["server", { Connection: "close" }, "the handshake's answer has a Connection that does not say Upgrade"],
  ["server", { "Sec-WebSocket-Accept": SAMPLE_KEY }, "the handshake's answer has a wrong accept value"],
  [
    "server",
    { "Sec-WebSocket-Extensions": "permessage-deflate" },
    "the handshake's answer has an extension that was not offered",
  ],
];

test("runCase fails a peer whose handshake is wrong", { timeout: 60_000 }, async () => {
  for (const [role, fields, fault] of badHandshakes) {
    const { behavior, behaviorClose, story } = await verdictOn(role, "7.9.1", async () => {}, undefined, fields);
    assertEquals({ behavior, behaviorClose }, FAILED);
    assertEquals(story.split("; ").filter((part) => part.startsWith("the handshake")), [fault]);
  }
});

test("ClientDriver finds a client that does not wait, and one that uses its handshake again", { timeout: 60_000 }, async () => {
  const requests = [
    handshake() + "early",
    handshake(),
    handshake(),
    handshake("/", { "Sec-WebSocket-Key": "AQIDBAUGBwgJCgsMDQ4PEA==" }),
  ];
  const left = [...requests];
  const driver = await ClientDriver.listen(async (port) => {
    const client = await RawClient.connect(port);
    client.send(left.shift()!);
    await client.readAll();
    client.destroy();
  });
  const faults: (string | undefined)[] = [];
  for (const _ of requests) {
    const endpoint = await driver.connect();
    faults.push(endpoint.violation);
    endpoint.drop();
  }
  await driver.stop();
  assertEquals(faults, [
    "a frame was sent before the handshake was answered",
    "the handshake's key is an old one",
    "the handshake's key is an old one",
    undefined,
  ]);
});

test("ClientDriver does not wait for a client that never connects", { timeout: 60_000 }, async () => {
  const driver = await ClientDriver.listen(async () => {});
  await assertRejects(() => driver.connect(), Error, "The client ended before it was connected");
  await driver.stop();
});
