// Checks the server at the given address with the client of the package ws. Prints a line for each thing checked.

import { createRequire } from "node:module";
import { once } from "node:events";
import assert from "node:assert/strict";

const { WebSocket } = createRequire(new URL("../../tools/package.json", import.meta.url))("ws");
const [, , url, extensions = ""] = process.argv;

/** Opens a WebSocket; `messages` gathers what arrives. */
async function open(protocols = [], options = {}) {
  const socket = new WebSocket(url, protocols, options);
  const waiting = [];
  const messages = [];
  socket.on("message", (data, isBinary) => {
    const message = isBinary ? data : data.toString();
    const taker = waiting.shift();
    if (taker === undefined) messages.push(message);
    else taker(message);
  });
  await once(socket, "open");
  return {
    socket,
    next: () => messages.length > 0 ? Promise.resolve(messages.shift()) : new Promise((resolve) => waiting.push(resolve)),
    async closed() {
      const [code, reason] = await once(socket, "close");
      return `${code} ${reason}`;
    },
  };
}

const done = (what) => console.log(what);
const sizes = [0, 1, 125, 126, 127, 65535, 65536, 1024 * 1024];

const client = await open();
assert.equal(client.socket.protocol, "");
assert.equal(client.socket.extensions, extensions);
for (const text of ["hello", "ünïcödé 🎉 \u0000", ...sizes.map((size) => "x".repeat(size))]) {
  client.socket.send(text);
  assert.equal(await client.next(), text);
}
done("text");

for (const size of sizes) {
  const bytes = Buffer.alloc(size, "0123456789abcdef");
  client.socket.send(bytes);
  assert.ok(bytes.equals(await client.next()));
}
done("binary");

client.socket.send("one ", { fin: false });
client.socket.send("", { fin: false });
client.socket.ping("between");
client.socket.send("zwei ü", { fin: false });
client.socket.send(" three", { fin: true });
const [pong] = await once(client.socket, "pong");
assert.equal(pong.toString(), "between");
assert.equal(await client.next(), "one zwei ü three");
for (let i = 0; i < 100; i++) client.socket.send(Buffer.alloc(1000, i), { fin: i === 99, binary: true });
assert.equal((await client.next()).length, 100_000);
done("fragments");

for (const payload of ["", "x".repeat(125)]) {
  client.socket.ping(payload);
  assert.equal((await once(client.socket, "pong"))[0].toString(), payload);
}
client.socket.send("ping are-you-there");
assert.equal((await once(client.socket, "ping"))[0].toString(), "are-you-there");
assert.equal(await client.next(), "pong are-you-there");
client.socket.pong("nobody asked");
assert.equal(await client.next(), "pong nobody asked");
done("ping and pong");

for (let i = 0; i < 1000; i++) client.socket.send(i % 2 ? `message ${i}` : Buffer.from(`message ${i}`));
for (let i = 0; i < 1000; i++) {
  const message = await client.next();
  assert.equal(typeof message === "string", i % 2 === 1);
  assert.equal(message.toString(), `message ${i}`);
}
done("order");

client.socket.close(4321, "bye für now");
assert.equal(await client.closed(), "4321 bye für now");
const plain = await open();
plain.socket.close();
assert.equal(await plain.closed(), "1005 ");
done("close by the client");

const other = await open();
other.socket.send("disconnect 4001 that is enough");
assert.equal(await other.closed(), "4001 that is enough");
done("close by the server");

const dropped = await open();
dropped.socket.send("drop");
assert.equal(await dropped.closed(), "1006 ");
const terminated = await open();
terminated.socket.terminate();
assert.equal(await terminated.closed(), "1006 ");
done("end without a Close");

const chosen = await open(["echo.x", "echo.b", "echo.a"], { headers: { "X-More": "yes" } });
assert.equal(chosen.socket.protocol, "echo.b");
chosen.socket.close(1000);
assert.equal(await chosen.closed(), "1000 ");
const refused = new WebSocket(url, { origin: "http://evil.example" });
const [, response] = await once(refused, "unexpected-response");
assert.equal(response.statusCode, 403);
response.destroy();
done("subprotocol and origin");
