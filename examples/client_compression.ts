/**
 * A client that sends compressed messages, and prints whether the messages it receives were compressed.
 *
 * Start `examples/compression.ts`, then this one with `deno run -A examples/client_compression.ts`, `bun run
 * examples/client_compression.ts` or `node examples/client_compression.ts`.
 *
 * @module
 */

import { SWOOLE_WEBSOCKET_FLAG_COMPRESS, SWOOLE_WEBSOCKET_FLAG_FIN, WEBSOCKET_OPCODE_TEXT } from "../mod.ts";
import { HttpClient } from "../src/coroutine/mod.ts";
import { giveUp, HOST, PORT } from "./environment.ts";

const client = new HttpClient(HOST, PORT);
client.set({ websocket_compression: true });
if (!await client.upgrade("/")) giveUp(`Cannot open ws://${HOST}:${PORT}/: ${client.errMsg}`);

const text = "Hello Swoole ".repeat(10); // a text that would not shrink is sent uncompressed
await client.push(text, WEBSOCKET_OPCODE_TEXT, SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_COMPRESS);
for (let count = 0; count < 2; count++) {
  const frame = await client.recv(5);
  if (!frame) giveUp(`No answer from ws://${HOST}:${PORT}/: ${client.errMsg}`);
  console.log(`${frame.bytes.length} bytes, ${frame.flags & SWOOLE_WEBSOCKET_FLAG_COMPRESS ? "compressed" : "as they are"}`);
}

client.disconnect();
