// The same as duplex_client.ts, with the package ws.

import { createRequire } from "node:module";
import process from "node:process";

const WebSocket = createRequire(
  new URL("../../tools/package.json", import.meta.url),
)("ws");
const [port, count = "400", path = "/"] = process.argv.slice(2);
const wanted = Number(count);
const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, {
  perMessageDeflate: false,
});
let received = 0;

const end = () => {
  console.log(`${received} of ${wanted}`);
  process.exit();
};
socket.on("message", (data) => {
  if (
    data.length !== 65_536 || data[0] !== (received & 255) ||
    data[65_535] !== (received >> 8)
  ) end();
  if (++received === wanted) end();
});
socket.on("close", end);
socket.on("open", async () => {
  for (let i = 0; i < wanted; i++) {
    const bytes = new Uint8Array(65_536).fill(i & 255);
    bytes[65_535] = i >> 8;
    await new Promise((resolve) => socket.send(bytes, resolve));
  }
});
