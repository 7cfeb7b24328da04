// Our client, sending 400 messages of 64 KiB while receiving 400. The argument is the port. Prints "400 of 400".

import process from "node:process";
import { HttpClient } from "../../src/coroutine/mod.ts";

const [port, count = "400", path = "/"] = process.argv.slice(2);
const wanted = Number(count);
const client = new HttpClient("127.0.0.1", Number(port));
if (!await client.upgrade(path)) throw new Error(client.errMsg);

let received = 0;
async function receive(): Promise<void> {
  while (received < wanted) {
    const frame = await client.recv();
    if (frame === "" || frame === false) return;
    const bytes = frame.bytes;
    if (
      bytes.length !== 65_536 || bytes[0] !== (received & 255) ||
      bytes[65_535] !== (received >> 8)
    ) return;
    received++;
  }
}

async function send(): Promise<void> {
  for (let i = 0; i < wanted; i++) {
    const bytes = new Uint8Array(65_536).fill(i & 255);
    bytes[65_535] = i >> 8;
    if (!await client.push(bytes, 2)) return;
  }
}

await Promise.all([receive(), send()]);
console.log(`${received} of ${wanted}`);
process.exit();
