/**
 * Servers that compress, in both styles and with all that can be agreed on; `compressed_talk.mjs` is what clients do with them.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import {
  type ServerSettings,
  SWOOLE_WEBSOCKET_FLAG_COMPRESS,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  WEBSOCKET_OPCODE_BINARY,
  WEBSOCKET_OPCODE_CONTINUATION,
  WEBSOCKET_OPCODE_TEXT,
  WebSocketServer,
} from "../../mod.ts";
import { HttpServer } from "../../src/coroutine/mod.ts";
import { FRAGMENTED, fragments, MESSAGES, PLAIN } from "./compressed_talk.mjs";

const FLAGS = SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_COMPRESS;

/** What a server is like. */
export interface Variant {
  /** How it is written. */
  style: "event" | "coroutine";
  /** What compresses. */
  engine: "zlib" | "web";
  /** Whether it wants to refer to earlier messages in what it sends. */
  send: boolean;
  /** Whether clients may. */
  receive: boolean;
}

/** All of them. */
export const VARIANTS: readonly Variant[] = (["event", "coroutine"] as const).flatMap((style) =>
  (["zlib", "web"] as const).flatMap((engine) =>
    [false, true].flatMap((send) => [false, true].map((receive) => ({ style, engine, send, receive })))
  )
);

/** A variant in words. */
export function describe({ style, engine, send, receive }: Variant): string {
  return `${style} style, ${engine}, ${send ? "sends" : "no"} and ${receive ? "receives" : "no"} takeover`;
}

/** What a server agrees on with a client that offers everything. */
export function answerOf({ engine, send, receive }: Variant): string {
  // CompressionStream cannot keep what was before.
  const sends = send && engine === "zlib";
  return `permessage-deflate${receive ? "" : "; client_no_context_takeover"}${sends ? "" : "; server_no_context_takeover"}`;
}

/** The arguments of a push, behind the fd. */
type Push = [data: string | Uint8Array, opcode: number, flags: number];

/** The pushes of all messages. */
function pushes(order: string): Push[] {
  const all = MESSAGES.flatMap((message: string | Uint8Array, i: number): Push[] => {
    const type = typeof message === "string" ? WEBSOCKET_OPCODE_TEXT : WEBSOCKET_OPCODE_BINARY;
    if (order === "whole" && i !== FRAGMENTED) return [[message, type, FLAGS]];
    return fragments(message, 3).map((fragment: Uint8Array, j: number): Push => [
      fragment,
      j === 0 ? type : WEBSOCKET_OPCODE_CONTINUATION,
      (j === 2 ? SWOOLE_WEBSOCKET_FLAG_FIN : 0) | SWOOLE_WEBSOCKET_FLAG_COMPRESS,
    ]);
  });
  return [...all, [PLAIN, WEBSOCKET_OPCODE_TEXT, SWOOLE_WEBSOCKET_FLAG_FIN]];
}

const isOrder = (data: string | Uint8Array): data is string => data === "whole" || data === "fragments";

/** What pages need, by path. */
const files: Record<string, [type: string, content: string | Uint8Array]> = {
  "/": ["text/html", "<!doctype html><title>Compression</title>"],
  "/compressed_talk.mjs": ["text/javascript", readFileSync(new URL("./compressed_talk.mjs", import.meta.url))],
};

function settings({ engine, send, receive }: Variant): ServerSettings {
  return {
    websocket_compression: true,
    websocket_compression_engine: engine,
    websocket_compression_send_takeover: send,
    websocket_compression_receive_takeover: receive,
  };
}

function eventServer(variant: Variant, report: (heard: string) => void): WebSocketServer {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set(settings(variant));
  const heard: Map<number, unknown[]> = new Map();
  const push = (fd: number, data: string | Uint8Array, opcode: number, flags: number) => {
    if (!server.push(fd, data, opcode, flags)) heard.get(fd)!.push(`error ${server.getLastError()}`);
  };
  server.on("open", (_server, { fd }) => void heard.set(fd, []));
  server.on("message", (_server, { fd, data, opcode, flags }) => {
    if (isOrder(data)) return pushes(data).forEach((args) => push(fd, ...args));
    heard.get(fd)!.push(flags);
    push(fd, data, opcode, FLAGS);
  });
  server.on("close", (_server, fd) => {
    if (heard.has(fd)) report(heard.get(fd)!.join(" "));
  });
  server.on("error", (_server, error) => report(`error ${error}`));
  server.on("request", (request, response) => {
    const [type, content] = files[request.server.request_uri] ?? ["text/plain", ""];
    response.header("Content-Type", type);
    response.end(content);
  });
  return server;
}

function coroutineServer(variant: Variant, report: (heard: string) => void): HttpServer {
  const server = new HttpServer("127.0.0.1", 0);
  server.set(settings(variant));
  server.handle("/", async (request, ws) => {
    if (request.header.upgrade === undefined) {
      const [type, content] = files[request.server.request_uri] ?? ["text/plain", ""];
      ws.header("Content-Type", type);
      return void ws.end(content);
    }
    if (!await ws.upgrade()) return;
    const heard: unknown[] = [];
    const push = async (data: string | Uint8Array, opcode: number, flags: number) => {
      if (!await ws.push(data, opcode, flags)) heard.push(`error ${ws.getLastError()}`);
    };
    for await (const { data, opcode, flags } of ws) {
      if (isOrder(data)) {
        for (const args of pushes(data)) await push(...args);
      } else {
        heard.push(flags);
        await push(data, opcode, FLAGS);
      }
    }
    report(heard.join(" "));
  });
  server.on("error", (_server, error) => report(`error ${error}`));
  return server;
}

/**
 * Makes a server.
 *
 * @param variant What it is like.
 * @param report Gets the flags of what a client sent beside orders, when that client has gone, or an error.
 */
export function compressingServer(variant: Variant, report: (heard: string) => void): HttpServer | WebSocketServer {
  return variant.style === "event" ? eventServer(variant, report) : coroutineServer(variant, report);
}
