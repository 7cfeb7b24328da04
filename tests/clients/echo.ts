/**
 * The server that real clients talk to, and how a client program is run against it.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { CloseFrame, SWOOLE_BASE, SWOOLE_SOCK_TCP, SWOOLE_SSL, WebSocketServer } from "../../mod.ts";
import { fileURLToPath } from "node:url";
import { Program } from "../support/program.ts";
import { serving } from "../support/serving.ts";
import { tlsSettings } from "../support/tls_client.ts";

/** What a server has heard from its clients beside messages. */
export interface Heard {
  /** Code and reason of each Close that a client sent. */
  closes: string[];
  /** The payloads of pongs. */
  pongs: string[];
  /** How often `close` was called. */
  ended: number;
  errors: unknown[];
}

/** A server that echoes; some texts are orders: `disconnect <code> <reason>`, `ping <payload>`, `drop`. */
function echoServer(secure: boolean, heard: Heard): WebSocketServer {
  const server = new WebSocketServer("127.0.0.1", 0, SWOOLE_BASE, secure ? SWOOLE_SOCK_TCP | SWOOLE_SSL : SWOOLE_SOCK_TCP);
  server.set({
    ...(secure ? tlsSettings : {}),
    websocket_subprotocol: ["echo.a", "echo.b"],
    open_websocket_close_frame: true,
    open_websocket_pong_frame: true,
    package_max_length: 4 * 1024 * 1024,
  });
  server.on("message", (server, frame) => {
    const { fd, data, opcode } = frame;
    if (frame instanceof CloseFrame) return void heard.closes.push(`${frame.code} ${frame.reason}`);
    if (opcode === 10) {
      heard.pongs.push(new TextDecoder().decode(frame.bytes));
      return server.push(fd, `pong ${heard.pongs.at(-1)}`);
    }
    const [order, code, ...reason] = typeof data === "string" && data.length < 100 ? data.split(" ") : [];
    if (order === "disconnect") server.disconnect(fd, Number(code), reason.join(" "));
    else if (order === "ping") server.ping(fd, code);
    else if (order === "drop") server.close(fd);
    else server.push(fd, frame);
  });
  server.on("close", () => heard.ended++);
  server.on("error", (_server, error) => void heard.errors.push(error));
  return server;
}

/** Runs a client program against the server. It prints a line for each thing that it has checked, and exits with 0. */
export async function checkClient(
  command: readonly string[],
  file: string,
  checks: readonly string[],
  secure = false,
  env: Record<string, string> = {},
): Promise<Heard> {
  const heard: Heard = { closes: [], pongs: [], ended: 0, errors: [] };
  await serving(echoServer(secure, heard), async (server, port) => {
    const url = secure ? `wss://localhost:${port}/` : `ws://127.0.0.1:${port}/`;
    const program = new Program([...command, fileURLToPath(new URL(file, import.meta.url)), url], env);
    try {
      for (const check of checks) assertEquals(await program.line(), check, program.errors);
      assertEquals(await program.exited, 0, program.errors);
    } finally {
      program.process.kill("SIGKILL");
    }
    while (server.connections.size > 0) await new Promise<void>((resolve) => setImmediate(resolve));
  });
  assertEquals(heard.errors, []);
  return heard;
}
