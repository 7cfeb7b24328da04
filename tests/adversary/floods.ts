/**
 * Floods: peers that send far more than necessary.
 *
 * @module
 */

import { bytesOf, frame, handshake } from "../support/raw_client.ts";
import type { ServerName } from "./options.ts";

const MIB = 2 ** 20;

/** The settings of the flooded servers. The limits per peer follow from them. */
export const FLOODED: {
  socket_buffer_size: number;
  package_max_length: number;
  max_wait_time: number;
  websocket_close_timeout: number;
} = {
  socket_buffer_size: 2 * MIB,
  package_max_length: 2 * MIB,
  max_wait_time: 0.4,
  websocket_close_timeout: 0.4,
};

/** A flood. */
export interface Flood {
  /** The subject of the flood. */
  name: string;
  /** The flooded servers. */
  servers: readonly ServerName[];
  /** The number of peers at a time, for each server. */
  peers: number;
  /** The first bytes each peer sends. */
  first?: string | Uint8Array;
  /** The bytes it sends afterwards, repeatedly. Without them it disconnects and connects again. */
  then?: Uint8Array;
  /** Whether `then` is sent only once, and the peer stays connected. */
  once?: boolean;
  /** Whether the peer opens a WebSocket first. */
  webSocket?: boolean;
  /** Whether the peer reads nothing. */
  isDeaf?: boolean;
  /** Whether the peer leaves with a reset when it has sent everything; by default with FIN. */
  resets?: boolean;
  /** The memory that the documented limits allow a server to hold for one peer, in bytes. */
  limit: number;
}

/** Repeats bytes until they fill a write. */
function many(one: string | Uint8Array, size = 64 * 1024): Uint8Array {
  const bytes = bytesOf(one);
  const count = Math.max(1, Math.floor(size / bytes.length));
  const all = new Uint8Array(count * bytes.length);
  for (let i = 0; i < count; i++) all.set(bytes, i * bytes.length);
  return all;
}

const BOTH: readonly ServerName[] = ["event", "coroutine"];
const request = (line: string, fields = "", body = "") => `${line} HTTP/1.1\r\nHost: x\r\n${fields}\r\n${body}`;
const form = (fields: string, body: string) => request("POST /flood", `${fields}Content-Length: ${body.length}\r\n`, body);
const URLENCODED = "Content-Type: application/x-www-form-urlencoded\r\n";
const MULTIPART = "Content-Type: multipart/form-data; boundary=B\r\n";
const chunked = (path: string) => request(`POST ${path}`, "Transfer-Encoding: chunked\r\n");

/** A part of a form. */
const PART = '--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n';
const FILE = '--B\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\nx\r\n';

/** A message without its last byte. */
const UNFINISHED = frame({ opcode: 2, payload: new Uint8Array(FLOODED.package_max_length) }).subarray(0, -1);

const ECHOED = FLOODED.socket_buffer_size + MIB; // pending output, and `input_buffer_size`
const HEADS = 128 * 1024; // `http_max_header_size`, and bytes read ahead

/** All floods. */
export const FLOODS: readonly Flood[] = [
  { name: "messages", servers: BOTH, peers: 1, webSocket: true, then: many(frame({ opcode: 1, payload: "hi" })), limit: ECHOED },
  {
    name: "messages, and no ear for their echoes",
    servers: BOTH,
    peers: 3,
    webSocket: true,
    isDeaf: true,
    then: many(frame({ opcode: 2, payload: new Uint8Array(10_000) })),
    limit: ECHOED,
  },
  { name: "empty messages", servers: BOTH, peers: 1, webSocket: true, then: many(frame({ opcode: 1 })), limit: ECHOED },
  { name: "pings", servers: BOTH, peers: 1, webSocket: true, then: many(frame({ opcode: 9, payload: "hi" })), limit: MIB },
  {
    name: "pings, and no ear for the pongs",
    servers: BOTH,
    peers: 2,
    webSocket: true,
    isDeaf: true,
    then: many(frame({ opcode: 9, payload: "x".repeat(125) })),
    limit: ECHOED,
  },
  { name: "pongs", servers: BOTH, peers: 1, webSocket: true, then: many(frame({ opcode: 10, payload: "hi" })), limit: MIB },
  {
    name: "fragments of one byte",
    servers: BOTH,
    peers: 1,
    webSocket: true,
    first: frame({ opcode: 1, payload: "x", fin: false }),
    then: many(frame({ opcode: 0, payload: "x", fin: false })),
    limit: 2 * FLOODED.package_max_length,
  },
  {
    name: "empty fragments",
    servers: BOTH,
    peers: 1,
    webSocket: true,
    first: frame({ opcode: 1, payload: "x", fin: false }),
    then: many(frame({ opcode: 0, fin: false })),
    limit: MIB,
  },
  {
    name: "unfinished messages",
    servers: BOTH,
    peers: 10,
    webSocket: true,
    then: UNFINISHED,
    once: true,
    limit: 2 * FLOODED.package_max_length,
  },
  {
    name: "chunks of one byte, in bodies that are collected",
    servers: ["event"],
    peers: 3,
    first: chunked("/collect"),
    then: many("1\r\nx\r\n"),
    limit: 2 * FLOODED.package_max_length,
  },
  {
    name: "chunks of one byte, in bodies that are read as they arrive",
    servers: ["stream", "coroutine"],
    peers: 3,
    first: chunked("/upload"),
    then: many("1\r\nx\r\n"),
    limit: MIB,
  },
  {
    name: "parts of forms",
    servers: ["form"],
    peers: 3,
    first: request("POST /flood", `${MULTIPART}Transfer-Encoding: chunked\r\n`),
    then: many(`${PART.length.toString(16)}\r\n${PART}\r\n`),
    limit: 2 * FLOODED.package_max_length,
  },
  {
    name: "files of forms",
    servers: ["form"],
    peers: 3,
    first: request("POST /flood", `${MULTIPART}Transfer-Encoding: chunked\r\n`),
    then: many(`${FILE.length.toString(16)}\r\n${FILE}\r\n`),
    limit: 2 * FLOODED.package_max_length,
  },
  {
    name: "parameters of queries",
    servers: BOTH,
    peers: 3,
    then: bytesOf(request(`GET /flood?${"a[]&".repeat(15_000)}`)),
    limit: 10 * HEADS,
  },
  {
    name: "parameters of forms",
    servers: ["event"],
    peers: 3,
    then: bytesOf(form(URLENCODED, "a[]=1&".repeat(FLOODED.package_max_length / 6 | 0))),
    limit: 4 * FLOODED.package_max_length,
  },
  {
    name: "cookies",
    servers: BOTH,
    peers: 3,
    then: bytesOf(request("GET /flood", `Cookie: ${"a=b; ".repeat(12_000)}a=b\r\n`)),
    limit: 10 * HEADS,
  },
  {
    name: "ranges",
    servers: ["event"],
    peers: 3,
    then: many(request("GET /static", `Range: bytes=${"0-0,".repeat(12_000)}1-1\r\n`), 1),
    isDeaf: true,
    limit: FLOODED.socket_buffer_size,
  },
  {
    name: "header fields",
    servers: BOTH,
    peers: 3,
    first: "GET /flood HTTP/1.1\r\nHost: x\r\n",
    then: many("a:b\r\n"),
    limit: HEADS,
  },
  { name: "a header field", servers: BOTH, peers: 3, first: "GET /flood HTTP/1.1\r\nA: ", then: many("b"), limit: HEADS },
  { name: "requests", servers: BOTH, peers: 1, then: many(request("GET /flood")), limit: MIB },
  {
    name: "requests, and no ear for the responses",
    servers: BOTH,
    peers: 3,
    isDeaf: true,
    then: many(request("GET /flood")),
    limit: ECHOED,
  },
  { name: "bytes of no protocol", servers: ["raw"], peers: 3, isDeaf: true, then: many("x"), limit: ECHOED },
  { name: "connections", servers: BOTH, peers: 8, limit: HEADS },
  { name: "connections that are reset", servers: BOTH, peers: 8, first: "GET /fl", resets: true, limit: HEADS },
  { name: "handshakes", servers: ["event"], peers: 8, first: handshake(), limit: HEADS },
  { name: "handshakes that are reset", servers: ["event"], peers: 8, first: handshake(), resets: true, limit: HEADS },
];
