// A server of bench/workers.mjs: an echo, and a client that says whom to push how much gets that done, by its own worker.

import { SWOOLE_PROCESS, WebSocketServer, type WebSocketServer as Server } from "../../mod.ts";
import { setImmediate } from "node:timers";
import { ready } from "./support.mjs";

const { process } = globalThis as unknown as { process: { env: Record<string, string> } };

/** What is to be pushed: so many messages in each turn, and in all. */
interface Order {
  fd: number;
  length: number;
  isBinary: boolean;
  burst: number;
  count: number;
}

/** Pushes what an order says, which is less than what may wait for a client. */
function carryOut(server: Server, { fd, length, isBinary, burst, count }: Order): void {
  const message = isBinary ? new Uint8Array(length) : "x".repeat(length);
  let left = count;
  const turn = () => {
    for (let due = Math.min(burst, left); due > 0; due--) {
      if (!server.push(fd, message, isBinary ? 2 : 1)) throw new Error(`A push has failed: ${server.getLastError()}`);
      left--;
    }
    if (left > 0) setImmediate(turn);
  };
  turn();
}

const server = new WebSocketServer("127.0.0.1", 0, SWOOLE_PROCESS);
server.set({ worker_num: Number(process.env.WORKERS), websocket_compression: false });
server.on("open", (server, { fd, server: { request_uri } }) => {
  if (request_uri === "/who") server.push(fd, JSON.stringify({ fd, worker: server.worker_id, pid: server.worker_pid }));
});
server.on("message", (server, { fd, data, opcode }) => {
  if (typeof data === "string" && data.startsWith("{")) carryOut(server, JSON.parse(data));
  else server.push(fd, data, opcode);
});
await server.start();
ready(server.port);
