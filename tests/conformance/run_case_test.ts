/**
 * The judge is judged: servers that do wrong on purpose have to get the label that they deserve.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import net from "node:net";
import { test } from "node:test";
import { closeFrame, frame, hex, octets, RawClient, type RawFrame, SAMPLE_ACCEPT } from "../support/raw_client.ts";
import type { Case } from "./case.ts";
import { cases as cases1to5 } from "./cases_1_to_5.ts";
import { cases as cases6 } from "./cases_6.ts";
import { cases as cases7 } from "./cases_7.ts";
import { FrameReader } from "./endpoint.ts";
import { runCase, type Verdict } from "./run_case.ts";

const CASES: readonly Case[] = [...cases1to5, ...cases6, ...cases7];

/** What a server does on a connection after the handshake. */
type Script = (peer: RawClient) => Promise<void>;

/** Serves a script, once for each connection, and runs a case against it. */
async function verdictOn(id: string, script: Script, patience?: number): Promise<Verdict> {
  const done: Promise<void>[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const peer = new RawClient(socket);
    done.push(
      (async () => {
        await peer.readHead();
        peer.send(
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
            `Sec-WebSocket-Accept: ${SAMPLE_ACCEPT}\r\n\r\n`,
        );
        await script(peer);
      })().finally(() => peer.destroy()),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as net.AddressInfo;
    const { behavior, behaviorClose } = await runCase(CASES.find((one) => one.id === id)!, port, patience);
    await Promise.all(done);
    return { behavior, behaviorClose };
  } finally {
    server.close();
  }
}

const send = (peer: RawClient, opcode: number, payload: string | Uint8Array = "") =>
  peer.send(frame({ opcode, payload, mask: false }));

/** Sends a Close and ends TCP, as a server should, and reads on until the client has ended too. */
async function leave(peer: RawClient, ...payload: [code?: number, reason?: string]): Promise<void> {
  peer.send(closeFrame(payload[0], payload[1], false));
  peer.end();
  await peer.readFrames();
}

/** Ends TCP without a Close. */
async function hangUp(peer: RawClient): Promise<void> {
  peer.end();
  await peer.readFrames();
}

/** Reads frames up to a Close. */
async function readClose(peer: RawClient): Promise<RawFrame> {
  let next = await peer.readFrame();
  while (next !== null && next.opcode !== 8) next = await peer.readFrame();
  return next!;
}

/** Answers messages and pings, then the Close, as it should be. */
const echo: Script = async (peer) => {
  for (let next = await peer.readFrame(); next?.opcode !== 8; next = await peer.readFrame()) {
    if (next === null) return;
    if (next.opcode < 3) send(peer, next.opcode, next.payload);
    else if (next.opcode === 9) send(peer, 10, next.payload);
  }
  await leave(peer, 1000);
};

/** Waits for a round trip's ping, so that a step that needs an open connection is passed. */
async function passProbe(peer: RawClient): Promise<void> {
  let next = await peer.readFrame();
  while (next!.opcode !== 9) next = await peer.readFrame();
  send(peer, 10, next!.payload);
}

const OK: Verdict = { behavior: "OK", behaviorClose: "OK" };

/** Long enough for all that these servers do, short enough to wait for what never comes. */
const SHORT = 3000;

const scripts: [name: string, id: string, script: Script, verdict: Verdict, patience?: number][] = [
  ["a server that does right", "1.1.4", echo, OK],
  ["a server that answers in fragments, with a ping in between", "5.3", async (peer) => {
    await peer.readFrame();
    await peer.readFrame();
    peer.send(frame({ opcode: 1, fin: false, payload: "fragment1", mask: false }));
    send(peer, 9, "are you there");
    peer.send(frame({ opcode: 0, payload: "fragment2", mask: false }));
    const answer = await peer.readFrame();
    if (answer?.opcode === 10 && new TextDecoder().decode(answer.payload) === "are you there") await echo(peer);
  }, OK],
  ["a Close without a code", "7.1.1", async (peer) => {
    send(peer, 1, (await peer.readFrame())!.payload);
    await readClose(peer);
    await leave(peer);
  }, OK],
  ["no Close where none is needed", "7.9.1", async (peer) => {
    await readClose(peer);
    await hangUp(peer);
  }, OK],
  ["other content", "1.1.2", async (peer) => {
    const { payload } = (await peer.readFrame())!;
    payload[124]++;
    send(peer, 1, payload);
    await echo(peer);
  }, { behavior: "FAILED", behaviorClose: "OK" }],
  ["another type", "1.1.1", async (peer) => {
    await peer.readFrame();
    send(peer, 2);
    await echo(peer);
  }, { behavior: "FAILED", behaviorClose: "OK" }],
  ["one pong too many", "2.9", async (peer) => {
    await peer.readFrame();
    send(peer, 10, "unsolicited pong payload");
    await echo(peer);
  }, { behavior: "FAILED", behaviorClose: "OK" }],
  ["pong and message in the wrong order", "5.6", async (peer) => {
    for (let i = 0; i < 3; i++) await peer.readFrame();
    send(peer, 1, "fragment1fragment2");
    send(peer, 10, "ping payload");
    await echo(peer);
  }, { behavior: "FAILED", behaviorClose: "OK" }],
  ["no answer, only a close", "1.1.1", async (peer) => {
    await peer.readFrame();
    await leave(peer, 1000);
  }, { behavior: "FAILED", behaviorClose: "FAILED" }],
  ["a close by the wrong side", "1.1.1", async (peer) => {
    await peer.readFrame();
    send(peer, 1);
    await leave(peer, 1000);
  }, { behavior: "OK", behaviorClose: "FAILED" }],
  [
    "a close by the wrong side that spoils the answers",
    "6.3.1",
    async (peer) => {
      await peer.readFrame();
      await peer.readFrames(); // never fails the connection
    },
    { behavior: "FAILED", behaviorClose: "FAILED" },
    SHORT,
  ],
  ["a wrong code", "1.1.1", async (peer) => {
    send(peer, (await peer.readFrame())!.opcode);
    await readClose(peer);
    await leave(peer, 1001);
  }, { behavior: "OK", behaviorClose: "WRONG CODE" }],
  ["a wrong code that spoils the answers", "7.3.3", async (peer) => {
    await readClose(peer);
    await leave(peer, 1001);
  }, { behavior: "FAILED", behaviorClose: "WRONG CODE" }],
  ["TCP ended without a Close", "1.1.1", async (peer) => {
    send(peer, (await peer.readFrame())!.opcode);
    await readClose(peer);
    await hangUp(peer);
  }, { behavior: "OK", behaviorClose: "UNCLEAN" }],
  ["TCP broken after the Close", "1.1.1", async (peer) => {
    send(peer, (await peer.readFrame())!.opcode);
    await readClose(peer);
    peer.socket.resetAndDestroy();
  }, { behavior: "OK", behaviorClose: "UNCLEAN" }],
  [
    "TCP left open after the Close",
    "1.1.1",
    async (peer) => {
      send(peer, (await peer.readFrame())!.opcode);
      await readClose(peer);
      peer.send(closeFrame(1000, "", false));
      await peer.whenEnded();
    },
    { behavior: "OK", behaviorClose: "UNCLEAN" },
    SHORT,
  ],
  [
    "TCP left open after a Close that need not be clean",
    "7.9.1",
    async (peer) => {
      await readClose(peer);
      peer.send(closeFrame(1002, "", false));
      await peer.whenEnded();
    },
    { behavior: "OK", behaviorClose: "FAILED BY CLIENT" },
    SHORT,
  ],
  ["a rule broken", "1.1.1", async (peer) => {
    await peer.readFrame();
    peer.send(frame({ opcode: 1, mask: true }));
    await peer.whenEnded();
  }, { behavior: "FAILED", behaviorClose: "FAILED" }],
  ["a failure that swallows the answer before it", "3.2", async (peer) => {
    await peer.readFrame();
    await leave(peer, 1002);
  }, { behavior: "NON-STRICT", behaviorClose: "OK" }],
  ["a reserved bit that is ignored", "3.2", echo, { behavior: "FAILED", behaviorClose: "FAILED" }, SHORT],
  ["the wrong code for text that is not UTF-8", "6.3.1", async (peer) => {
    await peer.readFrame();
    await leave(peer, 1002);
  }, { behavior: "OK", behaviorClose: "WRONG CODE" }],
  [
    "text that is checked at its end only",
    "6.4.1",
    async (peer) => {
      await passProbe(peer);
      for (let next = await peer.readFrame(); !next!.fin; next = await peer.readFrame());
      await leave(peer, 1007);
    },
    { behavior: "NON-STRICT", behaviorClose: "OK" },
    SHORT,
  ],
  ["text that is given up too early", "6.4.1", async (peer) => {
    await peer.readFrame();
    await leave(peer, 1007);
  }, { behavior: "FAILED", behaviorClose: "OK" }],
  ["whatever a server does where nothing is asked of it", "7.13.1", async (peer) => {
    await peer.readFrame();
  }, { behavior: "INFORMATIONAL", behaviorClose: "INFORMATIONAL" }],
];

for (const [name, id, script, verdict, patience] of scripts) {
  if (patience !== undefined) continue;
  test(`runCase judges ${name} in ${id}`, { timeout: 60_000 }, async () => {
    assertEquals(await verdictOn(id, script), verdict);
  });
}

test("runCase judges servers that never do what is waited for", { timeout: 60_000 }, async () => {
  const slow = scripts.filter(([, , , , patience]) => patience !== undefined);
  assertEquals(
    await Promise.all(slow.map(async ([name, id, script, , patience]) => [name, await verdictOn(id, script, patience)])),
    slow.map(([name, , , verdict]) => [name, verdict]),
  );
});

test("FrameReader hands out messages and control frames in any pieces", () => {
  const parts = [
    frame({ opcode: 1, fin: false, payload: "grü", mask: false }),
    frame({ opcode: 9, payload: "p", mask: false }),
    frame({ opcode: 0, payload: "n", mask: false }),
    frame({ opcode: 2, payload: new Uint8Array(126), mask: false }),
    frame({ opcode: 2, payload: new Uint8Array(65536), mask: false }),
    closeFrame(1011, "ö", false),
  ];
  for (const size of [1, 3, 100_000]) {
    const seen: string[] = [];
    const reader = new FrameReader((opcode, payload) => seen.push(`${opcode}: ${payload.length}`));
    for (const part of parts) {
      for (let at = 0; at < part.length; at += size) reader.receive(part.subarray(at, at + size));
    }
    assertEquals(reader.violation, undefined);
    assertEquals(seen, ["9: 1", "1: 5", "2: 126", "2: 65536", "8: 4"]);
  }
});

const broken: [octets: string, rule: string][] = [
  ["c100", "a reserved bit is set"],
  ["a100", "a reserved bit is set"],
  ["9100", "a reserved bit is set"],
  ["0100 4000", "a reserved bit is set"],
  ["8180 00000000", "the frame is masked"],
  ["8300", "the opcode is reserved"],
  ["8b00", "the opcode is reserved"],
  ["0900", "a control frame is fragmented or too long"],
  ["897e 007e", "a control frame is fragmented or too long"],
  ["8000", "a continuation has nothing to continue"],
  ["0100 8100", "a message begins inside another"],
  ["827e 007d", "the length is not minimal"],
  ["827f 000000000000ffff", "the length is not minimal"],
  ["827f 8000000000000000", "the length has its top bit set"],
  ["827f 0000000100000000", "the frame is far longer than anything that was sent"],
  ["8801 03", "a Close frame has one octet"],
  ["8802 03ed", "the close code is 1005"],
  ["8802 03f4", "the close code is 1012"],
  ["8802 07d0", "the close code is 2000"],
  ["8802 1388", "the close code is 5000"],
  ["8803 03e8 ff", "the reason of a Close is not UTF-8"],
  ["8101 ff", "a text is not UTF-8"],
  ["0101 c3 8001 41", "a text is not UTF-8"],
];

test("FrameReader finds what a server may not send", () => {
  for (const [digits, rule] of broken) {
    const reader = new FrameReader(() => {});
    reader.receive(octets(hex(digits)));
    assertEquals(reader.violation, rule, digits);
  }
});
