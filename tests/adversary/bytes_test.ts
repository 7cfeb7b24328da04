// Peers that leave at every byte of a conversation. The default run tries a sample; SLUICE_ADVERSARY=all tries every byte (`node
// tools/adversary.mjs`). SLUICE_SEED selects another sample.

import { assertEquals } from "@std/assert";
import { ownLanes } from "../support/lanes.ts";
import { bytesOf, closeFrame, frame, handshake, RawClient } from "../support/raw_client.ts";
import { becomes, drawing, EVERYTHING, randomNumbers, SEED, socketsOf, surviving, type Victim, within } from "./harness.ts";
import type { ServerName } from "./options.ts";

function join(...parts: (string | Uint8Array)[]): Uint8Array {
  const all = parts.map((part) => typeof part === "string" ? bytesOf(part) : part);
  const bytes = new Uint8Array(
    all.reduce((sum, { length }) => sum + length, 0),
  );
  let at = 0;
  for (const part of all) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

const FORM_BODY = join(
  '--B\r\nContent-Disposition: form-data; name="title"\r\n\r\na hat\r\n',
  '--B\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n',
  "0123456789".repeat(10),
  "\r\n--B--\r\n",
);

const CHUNKED = "5;a=b\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\n";

/** The conversations, as the bytes a peer sends. */
const CONVERSATIONS: readonly {
  name: string;
  server: ServerName;
  bytes: Uint8Array;
}[] = [{
  name: "two requests and one that takes its time",
  server: "event",
  bytes: join(
    "GET /small HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\n\r\n",
    "POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "GET /wait HTTP/1.1\r\nHost: x\r\n\r\nGET /small HTTP/1.1\r\nHost: x\r\n\r\n",
  ),
}, {
  name: "a chunked body",
  server: "event",
  bytes: join(
    "POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    CHUNKED,
  ),
}, {
  name: "a chunked body that is read as it arrives",
  server: "stream",
  bytes: join(
    "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    CHUNKED,
  ),
}, {
  name: "a body for a coroutine",
  server: "coroutine",
  bytes: join(
    "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    CHUNKED,
  ),
}, {
  name: "a form",
  server: "form",
  bytes: join(
    `POST /small HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: ${FORM_BODY.length}\r\n\r\n`,
    FORM_BODY,
  ),
}, {
  name: "a WebSocket",
  server: "event",
  bytes: join(
    handshake("/", { "Sec-WebSocket-Extensions": "permessage-deflate" }),
    frame({ opcode: 1, payload: "hello" }),
    frame({ opcode: 9, payload: "ping" }),
    frame({ opcode: 2, payload: new Uint8Array(200), fin: false }),
    frame({ opcode: 0, payload: "the end of it" }),
    frame({ opcode: 1, payload: "wait" }),
    closeFrame(1000, "bye"),
  ),
}, {
  name: "a WebSocket of a coroutine",
  server: "coroutine",
  bytes: join(
    handshake("/websocket"),
    frame({ opcode: 1, payload: "hello" }),
    frame({ opcode: 1, payload: "wait" }),
    closeFrame(1000, "bye"),
  ),
}];

const WAYS: readonly ((client: RawClient) => void)[] = [
  (client) => client.destroy(),
  (client) => void client.socket.resetAndDestroy(),
  (client) => client.end(),
];

/** The number of peers that leave at the same time. */
const AT_ONCE = 24;

async function leave(
  port: number,
  bytes: Uint8Array,
  way: number,
): Promise<number> {
  const client = await RawClient.connect(port);
  const peer = client.socket.localPort!;
  if (bytes.length > 0) {
    await new Promise<void>((resolve) => client.socket.write(bytes, () => resolve()));
  }
  WAYS[way](client);
  if (way === 2) await client.whenEnded(); // the server has to end its side, too
  client.destroy();
  return peer;
}

/** Lets one peer leave at each position, in a random way or in every way. */
async function leaveEverywhere(
  victim: Victim,
  server: ServerName,
  bytes: Uint8Array,
): Promise<void> {
  const random = randomNumbers();
  const places: [at: number, way: number][] = [];
  for (let at = 0; at <= bytes.length; at++) {
    for (let way = 0; way < WAYS.length; way++) {
      if (EVERYTHING || random() < 0.06) places.push([at, way]);
    }
  }
  const port = victim.ports[server];
  const work = async () => {
    for (let place = places.pop(); place !== undefined; place = places.pop()) {
      const [at, way] = place;
      const where = `behind ${at} bytes, way ${way}, seed ${SEED}`;
      const peer = await within(
        10_000,
        `the server ends its side, ${where}`,
        leave(port, bytes.subarray(0, at), way),
      );
      const kept = await becomes(
        5000,
        () => Promise.resolve(socketsOf(port).get(peer)),
      );
      assertEquals(kept, undefined, `${where}: the server's socket is ${kept}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

const testDrawn = drawing(ownLanes);

for (const [lane] of ownLanes) {
  for (const { name, server, bytes } of CONVERSATIONS) {
    testDrawn(
      lane,
      `peers leave at any byte of ${name} (${lane})`,
      { timeout: EVERYTHING ? 600_000 : 120_000 },
      () =>
        surviving(
          { lane, settings: { websocket_compression: true } },
          {},
          (victim) => leaveEverywhere(victim, server, bytes),
        ),
    );
  }
}
