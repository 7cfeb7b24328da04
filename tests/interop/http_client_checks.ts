/**
 * Checks a server with our own client. Any server that echoes and takes the orders `disconnect <code> <reason>`,
 * `ping <payload>` (it sends `pong <payload>` when the pong has come) and `drop`.
 *
 * @module
 */

import assert from "node:assert/strict"; // also in programs of their own, which have no import map
import { CloseFrame, SWOOLE_WEBSOCKET_FLAG_COMPRESS, SWOOLE_WEBSOCKET_FLAG_FIN } from "../../mod.ts";
import { HttpClient } from "../../src/coroutine/mod.ts";

/** What a server is able to do. */
export interface Abilities {
  /** It can ping. */
  pings: boolean;
  /** It can end a connection without a Close. */
  drops: boolean;
  /** It compresses; then the client compresses too. */
  compresses: boolean;
}

const SIZES = [0, 1, 125, 126, 65535, 65536, 1024 * 1024];

/** Runs all checks, on three connections of which the first two end with a Close. */
export async function checkServer(port: number, abilities: Abilities): Promise<void> {
  const flags = SWOOLE_WEBSOCKET_FLAG_FIN | (abilities.compresses ? SWOOLE_WEBSOCKET_FLAG_COMPRESS : 0);

  async function open(): Promise<HttpClient> {
    const client = new HttpClient("127.0.0.1", port);
    client.set({ websocket_compression: abilities.compresses });
    assert.ok(await client.upgrade("/"), client.errMsg);
    assert.deepEqual(client.statusCode, 101);
    assert.deepEqual("sec-websocket-extensions" in client.headers, abilities.compresses);
    return client;
  }

  async function heard(client: HttpClient): Promise<string | Uint8Array> {
    const frame = await client.recv(60);
    assert.ok(frame !== "" && frame !== false && !(frame instanceof CloseFrame), `no message: ${frame} ${client.errMsg}`);
    return frame.data;
  }

  /** What the end of a connection looks like. */
  async function ended(client: HttpClient): Promise<string[]> {
    const told: string[] = [];
    while (true) {
      const frame = await client.recv(60);
      if (frame === "" || frame === false) return [...told, frame === "" ? "closed" : `error ${client.errCode}`];
      told.push(frame instanceof CloseFrame ? `${frame.code} ${frame.reason}` : `${frame.opcode}`);
    }
  }

  const client = await open();
  for (const text of ["hello", "ünïcödé 🎉 \u0000", ...SIZES.map((size) => "x".repeat(size))]) {
    assert.ok(await client.push(text, 1, flags));
    const echo = await heard(client);
    assert.ok(echo === text, `${text.length} characters came back as ${echo.length}`);
  }
  for (const size of SIZES) {
    const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8)) & 255);
    assert.ok(await client.push(bytes, 2, flags));
    const echo = await heard(client) as Uint8Array;
    assert.ok(echo.length === size && echo.every((byte, i) => byte === bytes[i]), `${size} bytes`);
  }
  await client.push("one ", 1, 0);
  await client.push("zwei ü", 0, 0);
  await client.push(" three", 0, 1);
  assert.deepEqual(await heard(client), "one zwei ü three");

  for (const payload of ["", "are you there", "x".repeat(125)]) {
    assert.ok(await client.ping(payload));
    const pong = await client.recv(60);
    assert.ok(pong !== "" && pong !== false);
    assert.deepEqual([pong.opcode, new TextDecoder().decode(pong.bytes)], [10, payload]);
  }
  if (abilities.pings) {
    await client.push("ping and-you");
    assert.deepEqual(await heard(client), "pong and-you");
  }

  assert.ok(client.disconnect(4321, "bye für now"));
  assert.deepEqual(await client.push("too late"), false);
  const [answer, ...more] = await ended(client);
  assert.ok(/^4321( bye für now)?$/.test(answer.trimEnd()), answer); // some do not repeat the reason
  assert.deepEqual([more, client.connected], [["closed"], false]);

  const other = await open();
  await other.push("disconnect 4001 that is enough");
  assert.deepEqual(await ended(other), ["4001 that is enough", "closed"]);

  if (!abilities.drops) return;
  const dropped = await open();
  await dropped.push("drop");
  const [end] = await ended(dropped);
  assert.ok(end === "closed" || end === "error 104", end); // by FIN or by RST
}
