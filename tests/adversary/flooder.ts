// A peer that sends as fast as it can, in a process of its own. The arguments are a port, what to flood with, and for how many
// milliseconds. Prints "ready" when it begins.

import process from "node:process";
import { frame, RawClient } from "../support/raw_client.ts";

const [port, what, milliseconds] = process.argv.slice(2);
const messages: Record<string, Uint8Array> = {
  messages: frame({ opcode: 1, payload: "hi" }),
  pings: frame({ opcode: 9, payload: "hi" }),
  fragments: frame({ opcode: 0, payload: "", fin: false }),
};
const client = await RawClient.open(Number(port));
client.socket.removeAllListeners("data");
client.socket.resume();
if (what === "fragments") {
  client.send(frame({ opcode: 1, payload: "x", fin: false }));
}
const one = messages[what];
const many = new Uint8Array(one.length * 20_000);
for (let i = 0; i < 20_000; i++) many.set(one, i * one.length);
console.log("ready");
const end = performance.now() + Number(milliseconds);
while (performance.now() < end && !client.ended) {
  await Promise.race([
    new Promise<void>((resolve) => client.socket.write(many, () => resolve())),
    new Promise<void>((resolve) => setTimeout(resolve, Math.max(end - performance.now(), 0))),
  ]);
}
process.exit();
