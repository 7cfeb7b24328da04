/**
 * What the tests of the coroutine style have in common: a server in memory whose WebSocket a test holds in its hands, and short
 * names for what comes out of it.
 *
 * @module
 */

import { CloseFrame, Frame, type HttpRequest, type Runtime, type ServerSettings, setRuntime } from "../../mod.ts";
import { type HttpResponse, HttpServer, type Received, type RequestHandler } from "../../src/coroutine/mod.ts";
import { FakeLane, FakePipe } from "../support/fake_lane.ts";
import { MemoryClient } from "../support/memory_client.ts";
import { frame, type FrameSpec, handshake } from "../support/raw_client.ts";
import { signal } from "../support/serving.ts";

/** A server with one handler for everything, which needs no `start()`. Errors of handlers are kept. */
export function serverWith(handler: RequestHandler, settings: ServerSettings = {}): HttpServer & { errors: unknown[] } {
  const server = Object.assign(new HttpServer("localhost"), { errors: [] as unknown[] });
  server.set(settings);
  server.handle("/", handler);
  server.on("error", (_server, error) => void server.errors.push(error));
  return server;
}

/** Starts a server on a runtime, runs a test against it, and stops it, whatever happens. */
export async function servingOn(runtime: Runtime, server: HttpServer, work: (port: number) => Promise<void>): Promise<void> {
  setRuntime(runtime);
  try {
    await server.start();
  } finally {
    setRuntime(undefined);
  }
  try {
    await work(server.port);
  } finally {
    server.shutdown(0);
    await server.finished;
  }
}

/** A request as text; `rest` are further lines and the body. */
export function get(path: string, rest = "\r\n"): string {
  return `GET ${path} HTTP/1.1\r\nHost: x\r\n${rest}`;
}

/** An open WebSocket, whose handler waits until the test lets it go. */
export interface Held {
  server: HttpServer & { errors: unknown[] };
  /** The server's end. */
  ws: HttpResponse;
  request: HttpRequest;
  /** Lets the handler return. */
  leave(): void;
  /** Makes the handler fail. */
  fail(error: unknown): void;
}

function holding(settings: ServerSettings): { held: Promise<Held> } {
  const opened = signal<Held>();
  const server = serverWith((request, ws) =>
    new Promise<void>((leave, fail) => {
      ws.upgrade().then((done) => {
        if (!done) throw new Error(`upgrade() failed: ${ws.getLastError()}`);
        opened.resolve({ server, ws, request, leave, fail });
      }).catch(fail);
    }), settings);
  return Object.assign({ held: opened.promise }, { server });
}

/** Opens a WebSocket over two streams. `behind` follows the handshake in the same chunk. */
export async function open(
  settings: ServerSettings = {},
  headers: Record<string, string | null> = {},
  behind: readonly Uint8Array[] = [],
): Promise<Held & { client: MemoryClient }> {
  const { held, server } = holding(settings) as { held: Promise<Held>; server: HttpServer };
  const client = new MemoryClient(server);
  client.send(join(latin1(handshake("/", headers)), ...behind));
  const result = await held;
  await client.readHead();
  return Object.assign(result, { client });
}

/** Opens a WebSocket over a lane that does what the test says; what it has written so far is forgotten. */
export async function openLane(settings: ServerSettings = {}): Promise<Held & { lane: FakeLane }> {
  const { held, server } = holding(settings) as { held: Promise<Held>; server: HttpServer };
  const lane = acceptLane(server);
  lane.receive(handshake());
  const result = await held;
  lane.writes.length = 0;
  return Object.assign(result, { lane });
}

/** Gives a server a connection that does what the test says. */
export function acceptLane(server: HttpServer): FakeLane {
  const lane = new FakeLane();
  server.accept(new FakePipe(lane));
  return lane;
}

/** Lets a lane take everything that waits. */
export function drain(lane: FakeLane): void {
  lane.takes = true;
  lane.sink.onDrain();
}

/** Bytes arrive at a lane. */
export function arrive(lane: FakeLane, ...parts: Uint8Array[]): void {
  lane.receive(join(...parts));
}

/** A masked frame, as a client sends it. */
export function sent(opcode: number, payload: FrameSpec["payload"] = "", fin = true): Uint8Array {
  return frame({ opcode, payload, fin });
}

/** An unmasked frame, as a server sends it. */
export function served(opcode: number, payload: FrameSpec["payload"] = "", fin = true): Uint8Array {
  return frame({ opcode, payload, fin, mask: false });
}

/** What messages are received from. */
export interface Receiving {
  recv(timeout?: number): Promise<Received>;
  getLastError(): number;
}

/** What `recv()` gave, in short: `1 hello`, `close 1000 bye`, `""`, `false 110`. */
export function told(received: Received, end: { getLastError(): number }): string {
  if (received === "") return '""';
  if (received === false) return `false ${end.getLastError()}`;
  if (received instanceof CloseFrame) return `close ${received.code} ${received.reason}`.trimEnd();
  return `${received.opcode} ${received.opcode === 1 ? received.data : text(received.bytes)}`;
}

/** What `recv()` gives next, in short. */
export async function next(end: Receiving, timeout?: number): Promise<string> {
  return told(await end.recv(timeout), end);
}

/** Takes what `recv()` gives until the connection is over. */
export async function rest(end: Receiving): Promise<string[]> {
  const all: string[] = [];
  while (all.at(-1) !== '""' && !all.at(-1)?.startsWith("false")) all.push(await next(end));
  return all;
}

/** Frames in bytes, in short: `81 hello`, `88 1000 bye`; the first byte is in hex. Masked ones have an `m` in front. */
export function framesIn(bytes: string): string[] {
  const found: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const first = bytes.charCodeAt(at);
    const second = bytes.charCodeAt(at + 1);
    let size = second & 0x7f;
    at += 2;
    for (let more = size === 126 ? 2 : size === 127 ? 8 : 0, i = 0; i < more; i++) {
      size = (i === 0 ? 0 : size * 256) + bytes.charCodeAt(at++);
    }
    let payload = bytes.slice(at + (second > 127 ? 4 : 0), at + size + (second > 127 ? 4 : 0));
    if (second > 127) {
      const key = bytes.slice(at, at + 4);
      payload = payload.replace(/[^]/g, (c, i: number) => String.fromCharCode(c.charCodeAt(0) ^ key.charCodeAt(i & 3)));
      at += 4;
    }
    at += size;
    if (first === 0x88 && size >= 2) {
      payload = `${payload.charCodeAt(0) * 256 + payload.charCodeAt(1)} ${payload.slice(2)}`.trimEnd();
    }
    found.push(`${second > 127 ? "m" : ""}${first.toString(16).padStart(2, "0")} ${payload}`.trimEnd());
  }
  return found;
}

/** Reads one short frame off a connection in memory. */
export async function readFrame(client: MemoryClient): Promise<string> {
  const head = await client.read(2);
  const size = head.charCodeAt(1) & 0x7f;
  if (size < 126) return framesIn(head + await client.read(size + (head.charCodeAt(1) > 127 ? 4 : 0)))[0];
  const length = await client.read(size === 126 ? 2 : 8);
  const count = [...length].reduce((sum, c) => sum * 256 + c.charCodeAt(0), 0);
  return framesIn(head + length + await client.read(count + (head.charCodeAt(1) > 127 ? 4 : 0)))[0];
}

/** Keeps the program running until a promise settles: a connection in memory does not. */
export async function awake<T>(promise: Promise<T>): Promise<T> {
  const timer = setInterval(() => {}, 1000);
  try {
    return await promise;
  } finally {
    clearInterval(timer);
  }
}

/** Text as bytes, one for each character. */
export function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Bytes as text, one character for each. */
export function text(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** Bytes in one piece. */
export function join(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A frame to push. */
export function made(opcode: number, data: string | Uint8Array, flags = 1): Frame {
  return Object.assign(new Frame(), { opcode, data, flags });
}
