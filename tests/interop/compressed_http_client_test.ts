// Ten compressed messages in a row, of all kinds, between our client and servers, in all that can be agreed on. The client is in the
// runtime of this test, so that a run of all runtimes has every pairing once.

import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  Frame,
  SWOOLE_WEBSOCKET_FLAG_COMPRESS,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  WEBSOCKET_OPCODE_BINARY,
  WEBSOCKET_OPCODE_TEXT,
} from "../../mod.ts";
import { HttpClient, type HttpClientSettings } from "../../src/coroutine/mod.ts";
import { Program, runners } from "../support/program.ts";
import { serving } from "../support/serving.ts";
import { answerOf, compressingServer, describe, VARIANTS } from "./compressed_servers.ts";
import { compare, fragments, MESSAGES, PLAIN } from "./compressed_talk.mjs";
import { PYTHON, PYTHON_WITH_AIOHTTP, testWithPython } from "./python.ts";

const FIN = SWOOLE_WEBSOCKET_FLAG_FIN;
const COMPRESS = SWOOLE_WEBSOCKET_FLAG_COMPRESS;

/** What a client asks for: its engine, and whether it wants takeover in what it sends and in what it receives. */
interface Wish {
  engine: "zlib" | "web";
  send: boolean;
  receive: boolean;
}

const ZLIB: Wish[] = [false, true].flatMap((send) =>
  [false, true].map((receive) => ({ engine: "zlib" as const, send, receive }))
);
/** CompressionStream cannot keep what was before. */
const WEB: Wish[] = [false, true].map((receive) => ({ engine: "web", send: false, receive }));

const settings = ({ engine, send, receive }: Wish): HttpClientSettings => ({
  websocket_compression: true,
  websocket_compression_engine: engine,
  websocket_compression_send_takeover: send,
  websocket_compression_receive_takeover: receive,
});

async function open(port: number, settings: HttpClientSettings): Promise<HttpClient> {
  const client = new HttpClient("127.0.0.1", port);
  client.set(settings);
  assert(await client.upgrade("/"), client.errMsg);
  return client;
}

/** Receives messages, and tells by which flags they came. */
async function hear(client: HttpClient, messages: readonly (string | Uint8Array)[], title: string): Promise<number[]> {
  const flags: number[] = [];
  for (const [i, message] of messages.entries()) {
    const frame = await client.recv(60);
    assert(frame instanceof Frame, `${title}: no message ${i}: ${frame} ${client.errMsg}`);
    compare(frame.data, message, `${title}: message ${i}`);
    flags.push(frame.flags);
  }
  return flags;
}

/** Sends messages in `count` fragments each. */
async function say(client: HttpClient, count: number): Promise<void> {
  for (const message of MESSAGES) {
    const type = typeof message === "string" ? WEBSOCKET_OPCODE_TEXT : WEBSOCKET_OPCODE_BINARY;
    const parts = count === 1 ? [message] : fragments(message, count);
    for (const [i, part] of parts.entries()) {
      assert(await client.push(part, i === 0 ? type : 0, COMPRESS | (i === count - 1 ? FIN : 0)), client.errMsg);
    }
  }
}

/** What does not shrink is sent plain unless later messages may refer to it: empty, one character, a few words, noise. */
const shrinking = (plain: number, compressed: number): number[] =>
  MESSAGES.map((_: unknown, i: number) => [0, 1, 2, 6].includes(i) ? plain : compressed);
const all = (flags: number): number[] => MESSAGES.map(() => flags);

test("ten messages and our own client: those that shrink come compressed, with takeover and in fragments all of them", async () => {
  for (const variant of VARIANTS) {
    const title = describe(variant);
    let report!: (heard: string) => void;
    const reported = new Promise<string>((resolve) => report = resolve);
    await serving<ReturnType<typeof compressingServer>>(compressingServer(variant, report), async (_server, port) => {
      const client = await open(port, settings({ engine: "zlib", send: true, receive: true }));
      const agreed = client.headers["sec-websocket-extensions"];
      assertEquals([title, agreed], [title, answerOf(variant)]);
      await client.push("whole");
      const whole = await hear(client, [...MESSAGES, PLAIN], title);
      assertEquals([title, whole], [title, [...variant.engine === "zlib" && variant.send ? all(7) : shrinking(1, 7), 1]]);
      await client.push("fragments");
      assertEquals([title, await hear(client, [...MESSAGES, PLAIN], title)], [title, [...all(7), 1]]);
      await say(client, 1);
      await hear(client, MESSAGES, title);
      client.disconnect();
      assertEquals([title, await reported], [title, (variant.receive ? all(39) : shrinking(33, 39)).join(" ")]);
    });
  }
});

/** A server of others. */
interface Peer {
  /** What its program is told, as JSON. */
  options: unknown;
  /** What it does not want by itself, and windows: parameters of its answer. */
  insists?: string[];
  /** What clients ask for. */
  wishes?: Wish[];
  /** What else they are set to. */
  more?: HttpClientSettings;
}

const SERVER = "server_no_context_takeover";
const CLIENT = "client_no_context_takeover";

/**
 * Runs a server program and exchanges the messages with each of its servers, whole and in fragments: what is sent comes back.
 *
 * @param flags The flags of what comes back.
 * @param repeats Whether the servers say that the client uses no takeover when it said so itself.
 */
async function checkServers(
  command: readonly string[],
  file: string,
  peers: readonly Peer[],
  flags: number[] = all(7),
  repeats = true,
): Promise<void> {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const program = new Program([...command, path, ...peers.map(({ options }) => JSON.stringify(options))]);
  try {
    for (const { options, insists = [], wishes = [...ZLIB, ...WEB], more = {} } of peers) {
      const port = Number(await program.line());
      for (const wish of wishes) {
        const title = JSON.stringify([options, wish, more]);
        const client = await open(port, { ...settings(wish), ...more });
        const parameters = new Set(insists);
        if (!wish.receive) parameters.add(SERVER);
        if (!wish.send && repeats) parameters.add(CLIENT);
        const agreed = String(client.headers["sec-websocket-extensions"]).split("; ");
        assertEquals([title, ...agreed.sort()], [title, ...["permessage-deflate", ...parameters].sort()]);
        for (const count of [1, 3]) {
          await say(client, count);
          assertEquals([title, await hear(client, MESSAGES, title)], [title, flags]);
        }
        client.close();
      }
    }
  } catch (error) {
    throw new Error(`${error} ${program.errors}`, { cause: error });
  } finally {
    await program.kill();
  }
}

const runner = (runtime: string): string[] => runners.find(([name]) => name === runtime)!.slice(1);
const BOTH_WINDOWS = ["server_max_window_bits=9", "client_max_window_bits=9"];

test("our client exchanges ten messages with servers of the package ws on Node", () =>
  checkServers(runner("Node 24"), "./ws_server.mjs", [
    { options: {} },
    { options: { serverNoContextTakeover: true }, insists: [SERVER] },
    { options: { clientNoContextTakeover: true }, insists: [CLIENT] },
    { options: { serverMaxWindowBits: 9, clientMaxWindowBits: 9 }, insists: BOTH_WINDOWS },
    {
      options: {},
      insists: BOTH_WINDOWS,
      more: { websocket_compression_receive_window_bits: 9, websocket_compression_send_window_bits: 9 },
    },
  ]));

test("our client exchanges ten messages with servers of Bun", () =>
  checkServers(runner("Bun"), "./bun_server.mjs", [
    { options: { compress: "shared", decompress: "shared" }, insists: [SERVER, CLIENT] },
    { options: { compress: "dedicated", decompress: "dedicated" } },
  ], all(7).fill(1, 0, 1))); // an empty message comes plain

testWithPython(
  "our client exchanges ten messages with servers of Python's websockets",
  () =>
    checkServers([PYTHON], "./websockets_server.py", [
      { options: {} },
      { options: { server_no_context_takeover: true }, insists: [SERVER], wishes: ZLIB },
      { options: { client_no_context_takeover: true }, insists: [CLIENT], wishes: ZLIB },
      { options: { server_max_window_bits: 9, client_max_window_bits: 9 }, insists: BOTH_WINDOWS, wishes: ZLIB },
    ]),
);

testWithPython(
  "our client exchanges ten messages with the server of Python's aiohttp",
  () => checkServers([PYTHON_WITH_AIOHTTP], "./aiohttp_server.py", [{ options: {} }], all(7), false),
  "aiohttp",
);
