// Peers that send as fast as they can, in a separate process. A line of input is either the name of a flood, for which the
// process prints "begun" once all peers have sent something, or "stop", for which it prints "stopped" once all peers have ended.
// The argument contains the ports of the servers.

import net from "node:net";
import process from "node:process";
import { handshake } from "../support/raw_client.ts";
import { type Flood, FLOODS } from "./floods.ts";
import type { ServerName } from "./options.ts";

const ports: Record<ServerName, number> = JSON.parse(process.argv[2]);
const sleep = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

let isOver = true;
const sockets = new Set<net.Socket>();

/** Runs one peer, from its connection to its end. */
async function visit(flood: Flood, port: number, spoken: () => void): Promise<void> {
  const { first, then, once = false, webSocket = false, isDeaf = false, resets = false } = flood;
  const socket = net.connect(port, "127.0.0.1");
  sockets.add(socket);
  let isOpen = true;
  let wake = () => {};
  socket.on("error", () => {});
  const closed = new Promise<void>((resolve) =>
    socket.on("close", () => {
      isOpen = false;
      sockets.delete(socket);
      resolve();
      wake();
    })
  );
  socket.on("drain", () => wake());
  const said = async (bytes: string | Uint8Array) => {
    if (!isOpen || socket.write(bytes)) return;
    await new Promise<void>((resolve) => wake = resolve);
  };
  await Promise.race([closed, new Promise<void>((resolve) => socket.on("connect", () => resolve()))]);
  if (webSocket && isOpen) {
    const opened = new Promise<void>((resolve) => socket.once("data", () => resolve()));
    await said(handshake(port === ports.coroutine ? "/websocket" : "/"));
    await Promise.race([closed, opened]);
  }
  if (isDeaf) socket.pause();
  else socket.resume();
  if (first !== undefined) await said(first);
  if (isOpen) spoken();
  if (then !== undefined) {
    do {
      await said(then);
      await new Promise<void>((resolve) => setImmediate(resolve)); // let the other peers have their turn
    } while (!once && isOpen && !isOver);
    if (once && !isOver) await closed;
  }
  if (!isOpen) return;
  if (resets) socket.resetAndDestroy();
  else socket.destroy();
  await closed;
}

async function run(flood: Flood): Promise<void> {
  let quiet = 0;
  const begin = async (port: number) => {
    let isFirst = true;
    while (!isOver) {
      const before = performance.now();
      await visit(flood, port, () => {
        if (isFirst && --quiet === 0) console.log("begun");
        isFirst = false;
      });
      if (performance.now() - before < 1) await sleep(1); // the server is not listening
    }
  };
  const all: Promise<void>[] = [];
  quiet = flood.peers * flood.servers.length;
  for (const server of flood.servers) {
    for (let i = 0; i < flood.peers; i++) all.push(begin(ports[server]));
  }
  await Promise.all(all);
  console.log("stopped");
}

let input = "";
process.stdin.setEncoding("utf8").on("data", (text: string) => {
  const lines = (input + text).split("\n");
  input = lines.pop()!;
  for (const line of lines) {
    isOver = line === "stop";
    if (isOver) { for (const socket of sockets) socket.destroy(); }
    else run(FLOODS.find(({ name }) => name === line)!);
  }
}).on("end", () => process.exit());
