// A server on each lane of this runtime, with and without TLS, and a client of each server. Prints where they listen as JSON, and
// then a line for each connection that ends and for each error.

import process from "node:process";
import { type ServerSettings, setRuntime, SWOOLE_BASE, SWOOLE_SOCK_TCP, SWOOLE_SSL, WebSocketServer } from "../../mod.ts";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { lanes, startOn } from "../support/lanes.ts";
import { tlsSettings } from "../support/tls_client.ts";

const listening: { name: string; port: number; secure: boolean }[] = [];
const tell = (what: string) => console.log(JSON.stringify(what));

for (const [lane, runtime] of lanes) {
  for (const secure of [false, true]) {
    const name = secure ? `${lane}, TLS` : lane;
    const type = secure ? SWOOLE_SOCK_TCP | SWOOLE_SSL : SWOOLE_SOCK_TCP;
    const server = new WebSocketServer("127.0.0.1", 0, SWOOLE_BASE, type);
    const settings: ServerSettings = secure ? tlsSettings : {};
    server.set(settings);
    server.on("request", (_request, response) => {
      response.header("Content-Type", "text/event-stream");
      response.write("data: hello\n\n");
      response.detach();
    });
    server.on("message", (server, { fd, data }) => void server.push(fd, data));
    server.on(
      "close",
      (_server, fd) => tell(`${name}: connection ${fd} closed`),
    );
    server.on(
      "disconnect",
      (_server, fd) => tell(`${name}: connection ${fd} disconnected`),
    );
    server.on("error", (_server, error) => tell(`${name}: error: ${error}`));
    await startOn(runtime, server);
    listening.push({ name, port: server.port, secure });
    setRuntime(runtime);
    for (const busy of [false, true]) {
      await keepClient(name, server.port, secure, busy);
    }
    setRuntime(undefined);
  }
}

/** A client that says something each second, or nothing. */
async function keepClient(
  name: string,
  port: number,
  secure: boolean,
  busy: boolean,
): Promise<void> {
  const client = new HttpClient(
    secure ? "localhost" : "127.0.0.1",
    port,
    secure,
  );
  client.set({ ssl_verify_peer: false });
  if (!await client.upgrade("/")) {
    return tell(`${name}: cannot open a client: ${client.errMsg}`);
  }
  const what = `${name}: the ${busy ? "busy" : "idle"} client`;
  const listen = async () => {
    while (true) {
      const frame = await client.recv();
      if (frame === "" || frame === false) {
        return tell(`${what} ended: ${client.errMsg}`);
      }
    }
  };
  listen();
  if (!busy) return;
  const timer = setInterval(async () => {
    if (await client.push("hello")) return;
    clearInterval(timer);
    tell(`${what} cannot push: ${client.errMsg}`);
  }, 1000);
}

console.log(JSON.stringify(listening));
process.on("SIGTERM", () => process.exit());
