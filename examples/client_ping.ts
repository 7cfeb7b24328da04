/**
 * A client that pings: `recv()` returns the pong.
 *
 * Start a server, such as `examples/echo.ts`, then this one with `deno run -A examples/client_ping.ts`, `bun run
 * examples/client_ping.ts` or `node examples/client_ping.ts`.
 *
 * @module
 */

import { Frame, WEBSOCKET_OPCODE_PING, WEBSOCKET_OPCODE_PONG } from "../mod.ts";
import { HttpClient } from "../src/coroutine/mod.ts";
import { giveUp, HOST, PORT } from "./environment.ts";

const client = new HttpClient(HOST, PORT);
if (!await client.upgrade("/")) giveUp(`Cannot open ws://${HOST}:${PORT}/: ${client.errMsg}`);

const ping = new Frame();
ping.opcode = WEBSOCKET_OPCODE_PING;
await client.push(ping);

const pong = await client.recv();
console.log(pong instanceof Frame && pong.opcode === WEBSOCKET_OPCODE_PONG);

client.disconnect();
