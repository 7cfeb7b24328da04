/**
 * What the tests of `HttpClient` have in common: a client whose connection a test holds in its hands, and servers that say what
 * they are told.
 *
 * @module
 */

import net from "node:net";
import { HttpClient, type HttpClientSettings } from "../../src/coroutine/mod.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { acceptFor } from "../../src/websocket/handshake.ts";
import { FakeLane, FakePipe } from "../support/fake_lane.ts";
import { settle } from "../support/memory_client.ts";
import { RawClient } from "../support/raw_client.ts";

await loadRuntime(); // so that a client without a network knows it too, and all that it can

/** A client and the server's end of its connection. */
export interface Scripted {
  client: HttpClient;
  lane: FakeLane;
}

/** A client that has a connection in memory. */
export function scripted(settings: HttpClientSettings = {}): Scripted {
  const client = new HttpClient("example.com");
  client.set(settings);
  return { client, lane: reconnect(client) };
}

/** Gives a client another connection in memory. */
export function reconnect(client: HttpClient): FakeLane {
  const lane = new FakeLane();
  client.use(new FakePipe(lane));
  return lane;
}

/** Takes what the client has sent. */
export async function requestOf(lane: FakeLane): Promise<string> {
  await settle();
  const { text } = lane;
  lane.writes.length = 0;
  return text;
}

/** Lets a client send a request and answers it. Returns what the method gave, and the request. */
export async function answered(
  { client, lane }: Scripted,
  answer: string | Uint8Array,
  ask: (client: HttpClient) => Promise<boolean> = (client) => client.get("/"),
): Promise<{ result: boolean; request: string }> {
  const asking = ask(client);
  const request = await requestOf(lane);
  if (typeof answer === "string") lane.receive(answer);
  else lane.receive(answer);
  return { result: await asking, request };
}

/** An answer with a body, whose length it tells. */
export function ok(body = "", lines = ""): string {
  return `HTTP/1.1 200 OK\r\n${lines}Content-Length: ${body.length}\r\n\r\n${body}`;
}

/** The answer to a handshake. A header given as `null` is left out. */
export function switching(request: string, headers: Record<string, string | null> = {}): string {
  const all: Record<string, string | null> = {
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Accept": acceptFor(/\r\nSec-WebSocket-Key: (.*)\r\n/.exec(request)?.[1] ?? ""),
    ...headers,
  };
  const lines = Object.entries(all).filter(([, value]) => value !== null).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 101 Switching Protocols\r\n${lines.join("")}\r\n`;
}

/** A client with an open WebSocket; what it has sent so far is forgotten. `behind` follows the 101 in the same chunk. */
export async function opened(settings: HttpClientSettings = {}, behind = ""): Promise<Scripted> {
  const it = scripted(settings);
  const opening = it.client.upgrade("/");
  it.lane.receive(switching(await requestOf(it.lane)) + behind);
  if (!await opening) throw new Error(`upgrade() failed: ${it.client.errMsg}`);
  return it;
}

/** A TCP server whose connections run one script each, in order; the last one for all that follow. */
export async function serverOf(
  scripts: readonly ((peer: RawClient) => unknown)[],
  work: (port: number, connections: () => number) => Promise<void>,
  options: net.ListenOptions = { host: "127.0.0.1", port: 0 },
): Promise<void> {
  let count = 0;
  const peers: RawClient[] = [];
  const failures: unknown[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const peer = new RawClient(socket);
    peers.push(peer);
    const script = scripts[Math.min(count++, scripts.length - 1)];
    Promise.resolve().then(() => script(peer)).catch((error) => void failures.push(error));
  });
  await new Promise<void>((resolve) => server.listen(options, resolve));
  try {
    await work((server.address() as net.AddressInfo).port, () => count);
  } finally {
    for (const peer of peers) peer.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
  if (failures.length > 0) throw failures[0];
}
