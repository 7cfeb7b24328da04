/**
 * The server that real clients talk to, and how a client program is run against it.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { CloseFrame, type ServerSettings, SWOOLE_BASE, SWOOLE_SOCK_TCP, SWOOLE_SSL, WebSocketServer } from "../../mod.ts";
import { fileURLToPath } from "node:url";
import { HttpServer } from "../../src/coroutine/mod.ts";
import { running } from "../support/program.ts";
import { serving } from "../support/serving.ts";
import { tlsSettings } from "../support/tls_client.ts";

/** What a server has heard from its clients beside messages. */
export interface Heard {
  /** Code and reason of each Close that a client sent. */
  closes: string[];
  /** The payloads of pongs. */
  pongs: string[];
  /** How many connections there were. */
  opened: number;
  /** How many of them have ended. */
  ended: number;
  errors: unknown[];
}

const SETTINGS: ServerSettings = {
  websocket_subprotocol: ["echo.a", "echo.b"],
  open_websocket_pong_frame: true,
  package_max_length: 4 * 1024 * 1024,
};

/** A server that echoes; some texts are orders: `disconnect <code> <reason>`, `ping <payload>`, `drop`. */
function eventServer(secure: boolean, heard: Heard): WebSocketServer {
  const server = new WebSocketServer("127.0.0.1", 0, SWOOLE_BASE, secure ? SWOOLE_SOCK_TCP | SWOOLE_SSL : SWOOLE_SOCK_TCP);
  server.set({ ...SETTINGS, ...(secure ? tlsSettings : {}), open_websocket_close_frame: true });
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
  server.on("connect", () => heard.opened++);
  server.on("close", () => heard.ended++);
  server.on("error", (_server, error) => void heard.errors.push(error));
  return server;
}

/** The same in the coroutine style. */
function coroutineServer(secure: boolean, heard: Heard): HttpServer {
  const server = new HttpServer("127.0.0.1", 0, secure);
  server.set({ ...SETTINGS, ...(secure ? tlsSettings : {}) });
  server.handle("/", async (_request, ws) => {
    heard.opened++;
    if (!await ws.upgrade()) return void heard.ended++;
    while (true) {
      const frame = await ws.recv();
      if (frame === "" || frame === false) break;
      const { data, opcode } = frame;
      if (frame instanceof CloseFrame) {
        heard.closes.push(`${frame.code} ${frame.reason}`);
      } else if (opcode === 10) {
        heard.pongs.push(new TextDecoder().decode(frame.bytes));
        await ws.push(`pong ${heard.pongs.at(-1)}`);
      } else {
        const [order, code, ...reason] = typeof data === "string" && data.length < 100 ? data.split(" ") : [];
        if (order === "disconnect") ws.disconnect(Number(code), reason.join(" "));
        else if (order === "ping") await ws.ping(code);
        else if (order === "drop") ws.close();
        else await ws.push(frame);
      }
    }
    heard.ended++;
  });
  server.on("error", (_server, error) => void heard.errors.push(error));
  return server;
}

/** How a server is written. */
export type Style = "event" | "coroutine";

/** How a client program is run. */
export interface Run {
  /** How the server is written; in the event style unless given. */
  style?: Style;
  /** Whether it speaks TLS. */
  secure?: boolean;
  /** Whether it compresses, where the client does. */
  compresses?: boolean;
  /** Environment variables of the program. */
  env?: Record<string, string>;
  /** What the program gets behind the address. */
  args?: readonly string[];
}

/** Runs a client program against the server. It prints a line for each thing that it has checked, and exits with 0. */
export async function checkClient(
  command: readonly string[],
  file: string,
  checks: readonly string[],
  { style = "event", secure = false, compresses = false, env = {}, args = [] }: Run = {},
): Promise<Heard> {
  const heard: Heard = { closes: [], pongs: [], opened: 0, ended: 0, errors: [] };
  const server = style === "event" ? eventServer(secure, heard) : coroutineServer(secure, heard);
  server.set({ websocket_compression: compresses });
  await serving<HttpServer | WebSocketServer>(server, async (_server, port) => {
    const url = secure ? `wss://localhost:${port}/` : `ws://127.0.0.1:${port}/`;
    await running([...command, fileURLToPath(new URL(file, import.meta.url)), url, ...args], async (program) => {
      for (const check of checks) assertEquals(await program.line(), check, program.errors);
      assertEquals(await program.exited, 0, program.errors);
    }, env);
    while (heard.ended < heard.opened) await new Promise<void>((resolve) => setImmediate(resolve));
  });
  assertEquals(heard.errors, []);
  return heard;
}
