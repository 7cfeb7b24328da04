// How sockets of Node are read: into memory that they share, where that is possible.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { EventEmitter, once } from "node:events";
import net from "node:net";
import { test } from "node:test";
import { NodePipe } from "../../adapters/node_pipe.ts";
import { readShared } from "../../adapters/node_reading.ts";

const isNode = !("Deno" in globalThis || "Bun" in globalThis);

/** A connection over the loopback. */
async function connected(): Promise<{ socket: net.Socket; peer: net.Socket; close: () => void }> {
  const server = net.createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection");
  const peer = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
  const [socket] = await accepted as [net.Socket];
  const close = () => {
    peer.destroy();
    socket.destroy();
    server.close();
  };
  return { socket, peer, close };
}

test("chunks arrive in the same memory, none while the socket is paused, then the end", { skip: !isNode }, async () => {
  const { socket, peer, close } = await connected();
  const memories = new Set<ArrayBufferLike>();
  let text = "";
  const heard = new EventEmitter();
  const isShared = readShared(socket, function (size, memory) {
    assert(this === socket);
    memories.add(memory.buffer);
    text += new TextDecoder().decode(memory.subarray(0, size));
    heard.emit("chunk");
  });
  assert(isShared, "this version of Node no longer has what the option onread sets");
  socket.resume();
  for (const chunk of ["one ", "two ", "three "]) {
    const next = once(heard, "chunk");
    peer.write(chunk);
    await next;
  }
  assertEquals([text, memories.size], ["one two three ", 1]);
  socket.pause();
  peer.end("four");
  await once(peer, "finish");
  await new Promise((resolve) => setTimeout(resolve, 50));
  assertEquals(text, "one two three ");
  const ended = once(socket, "end");
  socket.resume();
  await ended;
  assertEquals(text, "one two three four");
  close();
});

test("a socket that is paused as soon as it was started, behind a preamble, does not read", { skip: !isNode }, async () => {
  const { socket, peer, close } = await connected();
  let received = 0;
  const started = new Promise<boolean>((resolve) =>
    socket.once("data", () => {
      socket.pause();
      resolve(readShared(socket, (size) => void (received += size)));
      socket.resume();
      socket.pause();
    })
  );
  peer.write("preamble");
  assert(await started);
  peer.end("more");
  await once(peer, "finish");
  await new Promise((resolve) => setTimeout(resolve, 50));
  assertEquals(received, 0);
  const ended = once(socket, "end");
  socket.resume();
  await ended;
  assertEquals(received, 4);
  close();
});

test(
  "a peer that floods gives others their turn after 2 MiB, also if it is paused and resumed meanwhile",
  { skip: !isNode },
  async () => {
    const { socket, peer, close } = await connected();
    const { lane } = new NodePipe(socket);
    const size = 16 * 1024 * 1024;
    let inTurn = 0, most = 0, total = 0;
    const ended = new Promise<void>((resolve) =>
      lane.start({
        onData(chunk) {
          inTurn += chunk.length;
          total += chunk.length;
          if (total % 7 === 0) {
            lane.pause();
            lane.resume();
          }
        },
        onEnd: resolve,
        onDrain() {},
        onClose() {},
      })
    );
    const countTurns = () => {
      most = Math.max(most, inTurn);
      inTurn = 0;
      if (total < size) setImmediate(countTurns);
    };
    countTurns();
    peer.end(new Uint8Array(size));
    const until = Date.now() + 200;
    while (Date.now() < until); // the system's buffers are filled meanwhile
    await ended;
    assertEquals(total, size);
    assertLessOrEqual(most, 2 * 1024 * 1024);
    close();
  },
);

test("a socket that holds a chunk already, and one without a handle, emit data as always", { skip: !isNode }, async () => {
  const { socket, close } = await connected();
  socket.unshift(new Uint8Array(1));
  assertEquals(readShared(socket, () => {}), false);
  const heard = once(socket, "data");
  socket.resume();
  assertEquals((await heard)[0].length, 1);
  await once(socket.destroy(), "close");
  assertEquals(readShared(socket, () => {}), false);
  close();
});

test("sockets of Deno and Bun emit data", { skip: isNode }, async () => {
  const { socket, close } = await connected();
  assertEquals(readShared(socket, () => {}), false);
  close();
});
