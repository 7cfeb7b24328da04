// What each setting of compression does, on a server and on a client.

import { assert, assertEquals, assertGreater, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { test } from "node:test";
import { type CompressionSettings, Frame, setRuntime, SWOOLE_WEBSOCKET_FLAG_RSV1, WebSocketServer } from "../../mod.ts";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { memoryPipes } from "../support/memory_pipe.ts";

type Side = "server" | "client";

/** What is agreed on, and how a text comes that one side sends to the other. */
interface Outcome {
  readonly offer: string;
  readonly answer: string;
  readonly compressed: boolean;
  readonly bytes: number;
}

/** Lets a side with some settings send a text to one with others. */
async function send(side: Side, settings: CompressionSettings, others: CompressionSettings = {}, text = ""): Promise<Outcome> {
  const server = new WebSocketServer("127.0.0.1", 0);
  const client = new HttpClient("localhost");
  const given = { websocket_compression: true, websocket_close_timeout: 0.2 };
  (side === "server" ? server : client).set({ ...given, ...settings });
  (side === "server" ? client : server).set({ ...given, ...others });
  let offer: string | undefined = "";
  let seen: unknown;
  server.on("open", (_server, { header }) => void (offer = header["sec-websocket-extensions"]));
  server.on("message", (server, frame) => {
    seen = frame;
    server.push(frame.fd, side === "server" ? text : "");
  });
  await server.start();
  try {
    const [theirs, ours] = memoryPipes();
    server.accept(theirs);
    client.use(ours);
    assert(await client.upgrade("/"), client.errMsg);
    const before = { ...server.stats() };
    await client.push(side === "client" ? text : "");
    const frame = await client.recv();
    if (side === "server") seen = frame;
    assertInstanceOf(seen, Frame);
    assertEquals(seen.data, text);
    const { total_send_bytes, total_recv_bytes } = server.stats();
    return {
      offer,
      answer: String(client.headers["sec-websocket-extensions"]),
      compressed: (seen.flags & SWOOLE_WEBSOCKET_FLAG_RSV1) !== 0,
      bytes: side === "server" ? total_send_bytes - before.total_send_bytes : total_recv_bytes - before.total_recv_bytes,
    };
  } finally {
    client.close();
    server.shutdown();
    await server.finished;
  }
}

const SIDES: readonly Side[] = ["server", "client"];
const HARD = Array.from({ length: 20_000 }, (_, i) => `${(i * 7919) % 10_007}`).join(" ");

for (const side of SIDES) {
  test(`${side}: websocket_compression_auto compresses messages of websocket_compression_min_length and more`, async () => {
    const compressed = async (settings: CompressionSettings, length: number) =>
      (await send(side, settings, {}, "x".repeat(length))).compressed;
    assertEquals(await compressed({}, 2000), false);
    assertEquals(await compressed({ websocket_compression_auto: true }, 1023), false);
    assertEquals(await compressed({ websocket_compression_auto: true }, 1024), true);
    const from100 = { websocket_compression_auto: true, websocket_compression_min_length: 100 };
    assertEquals(await compressed(from100, 99), false);
    assertEquals(await compressed(from100, 100), true);
  });

  test(`${side}: websocket_compression_level and websocket_compression_memory_level make a difference`, async () => {
    const bytes = async (settings: CompressionSettings) =>
      (await send(side, { websocket_compression_auto: true, ...settings }, {}, HARD)).bytes;
    const usual = await bytes({});
    assertGreater(HARD.length, usual);
    assertGreater(await bytes({ websocket_compression_level: 0 }), HARD.length);
    assert(await bytes({ websocket_compression_memory_level: 1 }) !== usual);
  });

  test(`${side}: websocket_compression_engine is zlib only where there is one, and web everywhere`, async () => {
    const runtime = await loadRuntime();
    const connect = (settings: CompressionSettings) => send(side, { websocket_compression_auto: true, ...settings }, {}, HARD);
    setRuntime({ ...runtime, deflate: undefined });
    try {
      await assertRejects(() => connect({ websocket_compression_engine: "zlib" }), Error, "zlib");
      assertEquals((await connect({})).compressed, true);
      setRuntime({
        ...runtime,
        get deflate(): never {
          throw new Error("told to use web");
        },
      });
      const others = { websocket_compression_engine: "web" };
      assertEquals((await send(side, { ...others, websocket_compression_auto: true }, others, HARD)).compressed, true);
    } finally {
      setRuntime(undefined);
    }
  });
}

test("accept() of a server that was not started says that there is no zlib", async () => {
  setRuntime({ ...await loadRuntime(), deflate: undefined });
  try {
    const server = new WebSocketServer();
    server.set({ websocket_compression: true, websocket_compression_engine: "zlib" });
    server.on("message", () => {});
    assertThrows(() => server.accept(memoryPipes()[0]), Error, "Cannot compress with zlib: the runtime has none");
    server.set({ websocket_compression_engine: "auto", websocket_close_timeout: 0.01 });
    assertEquals(server.accept(memoryPipes()[0]), 1);
    server.shutdown();
    await server.finished;
  } finally {
    setRuntime(undefined);
  }
});

test("what a client offers and a server answers are their settings of takeover and window bits", async () => {
  const lines = async (server: CompressionSettings, client: CompressionSettings) => {
    const { offer, answer } = await send("server", server, client);
    return [offer, answer];
  };
  const DEFLATE = "permessage-deflate";
  const NO_CLIENT = "client_no_context_takeover";
  const NO_SERVER = "server_no_context_takeover";
  assertEquals(await lines({}, {}), [
    `${DEFLATE}; ${NO_CLIENT}; ${NO_SERVER}; client_max_window_bits`,
    `${DEFLATE}; ${NO_CLIENT}; ${NO_SERVER}`,
  ]);
  const both = { websocket_compression_send_takeover: true, websocket_compression_receive_takeover: true };
  const sending = { websocket_compression_send_takeover: true };
  const receiving = { websocket_compression_receive_takeover: true };
  assertEquals(await lines(both, both), [`${DEFLATE}; client_max_window_bits`, DEFLATE]);
  assertEquals(await lines(sending, both), [`${DEFLATE}; client_max_window_bits`, `${DEFLATE}; ${NO_CLIENT}`]);
  assertEquals(await lines(receiving, both), [`${DEFLATE}; client_max_window_bits`, `${DEFLATE}; ${NO_SERVER}`]);
  assertEquals((await lines(both, sending))[0], `${DEFLATE}; ${NO_SERVER}; client_max_window_bits`);
  assertEquals((await lines(both, receiving))[0], `${DEFLATE}; ${NO_CLIENT}; client_max_window_bits`);

  assertEquals(await lines({ websocket_compression_send_window_bits: 10 }, { websocket_compression_receive_window_bits: 12 }), [
    `${DEFLATE}; ${NO_CLIENT}; ${NO_SERVER}; server_max_window_bits=12; client_max_window_bits`,
    `${DEFLATE}; ${NO_CLIENT}; ${NO_SERVER}; server_max_window_bits=10`,
  ]);
  assertEquals(await lines({ websocket_compression_receive_window_bits: 10 }, { websocket_compression_send_window_bits: 12 }), [
    `${DEFLATE}; ${NO_CLIENT}; ${NO_SERVER}; client_max_window_bits=12`,
    `${DEFLATE}; ${NO_CLIENT}; ${NO_SERVER}; client_max_window_bits=10`,
  ]);
});
