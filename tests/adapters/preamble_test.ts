/** What comes behind a preamble, without and with TLS, arrives whole, and no faster than it is read. */

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { test } from "node:test";
import tls from "node:tls";
import type { BytePipe, PreambleGate, Runtime } from "../../src/transport/runtime.ts";
import { lanes } from "../support/lanes.ts";
import { echo, listening, PipeEnd, type Place } from "../support/pipe_end.ts";
import { RawClient } from "../support/raw_client.ts";
import { authority, certificate } from "../support/tls_client.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** More than the kernel keeps for a connection over loopback, less than what is offered. */
const KERNEL = 32 * MIB;
const OFFERED = 48 * MIB;

/** What is sent again and again, in pieces of a size that fits into no buffer. */
const PIECE = Uint8Array.from({ length: 65_521 }, (_, i) => (i * 31 + (i >> 12)) & 255);
const byte = (i: number) => PIECE[i % PIECE.length];

/** A gate for a preamble of one byte. */
const preambles: PreambleGate = {
  enter: () => true,
  leave: () => {},
  begin: () => ({
    remoteAddress: { transport: "tcp", hostname: "203.0.113.7", port: 7 },
    localAddress: { transport: "tcp", hostname: "198.51.100.2", port: 2 },
    receive: () => 1,
    onMissing: () => {},
  }),
};

/** Connects, and sends the preamble together with what comes first. */
async function connect(place: Place, isSecure: boolean): Promise<RawClient> {
  const client = await RawClient.connect(place.port);
  client.send("!");
  if (!isSecure) return client;
  client.socket.removeAllListeners("data");
  return new Promise((resolve, reject) => {
    const options = { socket: client.socket, servername: "localhost", ca: authority, allowHalfOpen: true };
    const socket = tls.connect(options as tls.ConnectionOptions, () => {
      socket.off("error", reject);
      resolve(new RawClient(socket));
    });
    socket.once("error", reject);
  });
}

function testBoth(
  name: string,
  work: (place: Place, next: () => Promise<BytePipe>, isSecure: boolean) => Promise<void>,
): void {
  const run = async (runtime: Runtime, isSecure: boolean) => {
    const pipes: BytePipe[] = [];
    let wake = () => {};
    const accept = (pipe: BytePipe) => {
      pipes.push(pipe);
      wake();
    };
    const next = async () => {
      while (pipes.length === 0) await new Promise<void>((resolve) => wake = resolve);
      return pipes.shift()!;
    };
    const options = { preambles, ...(isSecure ? { tls: certificate("cert") } : {}) };
    await listening(runtime, options, accept, (place) => work(place, next, isSecure));
  };
  for (const [lane, runtime] of lanes) {
    test(`preamble: ${name} (${lane})`, () => run(runtime, false));
    test(`preamble in front of TLS: ${name} (${lane})`, () => run(runtime, true));
  }
}

/** Sends bytes in pieces, each when the one before it has been taken. */
async function send(client: RawClient, size: number, count: (sent: number) => void = () => {}): Promise<void> {
  for (let sent = 0; sent < size; sent += PIECE.length) {
    const piece = PIECE.subarray(0, size - sent);
    await new Promise<void>((resolve) => client.socket.write(piece, () => resolve()));
    count(sent + piece.length);
  }
}

testBoth("the addresses are those of the preamble", async (place, next, isSecure) => {
  const client = await connect(place, isSecure);
  const pipe = await next();
  assertEquals(pipe.remoteAddress, { transport: "tcp", hostname: "203.0.113.7", port: 7 });
  assertEquals(pipe.localAddress, { transport: "tcp", hostname: "198.51.100.2", port: 2 });
  assertEquals(pipe.hidesClient, false);
  pipe.abort();
  await client.whenEnded();
  assertEquals(pipe.remoteAddress, { transport: "tcp", hostname: "203.0.113.7", port: 7 });
  client.destroy();
});

testBoth("a server that does not read, or does not begin to, stops the client", async (place, next, isSecure) => {
  for (const late of [false, true]) {
    const client = await connect(place, isSecure);
    const pipe = await next();
    let right = true;
    let at = 0;
    const start = () =>
      new PipeEnd(pipe, (chunk) => {
        for (const value of chunk) right &&= value === byte(at++);
      });
    let server = late ? undefined : start();
    server?.lane.pause();
    let sent = 0;
    const flood = send(client, OFFERED, (count) => sent = count);
    // Time for what can arrive to arrive, without a clock: other connections come and go.
    for (let before = -1; before !== sent;) {
      before = sent;
      for (let i = 0; i < 20; i++) {
        const other = await connect(place, false);
        other.send("no TLS, if that is what is wanted");
        if (!isSecure) (await next()).abort();
        await other.whenEnded();
        other.destroy();
      }
    }
    assertLessOrEqual(sent, KERNEL);
    assertLessOrEqual(server?.received ?? 0, 4 * MIB);
    server ??= start();
    server.lane.resume();
    await flood;
    client.end();
    await server.until(() => server.ended || server.closed);
    assertEquals([at, right, server.ended], [OFFERED, true, true]);
    server.lane.end();
    await server.until(() => server.closed);
    assertEquals(server.error, undefined);
    client.destroy();
  }
});

testBoth("what is sent comes back, and the end", async (place, next, isSecure) => {
  for (const size of [0, 1, 3 * KIB, 2 * MIB]) {
    const client = await connect(place, isSecure);
    next().then(echo);
    await send(client, size);
    client.end();
    const back = await client.readAll();
    assertEquals(back.length, size);
    assert(back.every((value, i) => value === byte(i)));
    assertEquals(client.error, undefined);
    client.destroy();
  }
});

testBoth("a client that leaves is noticed", async (place, next, isSecure) => {
  const client = await connect(place, isSecure);
  const server = new PipeEnd(await next());
  client.destroy();
  await server.until(() => server.ended || server.closed);
  if (!server.closed) server.lane.end();
  await server.until(() => server.closed);
});
