/**
 * The programs of the recorded coroutine servers and clients by the id of the recording, in TypeScript instead of PHP. Where PHP
 * slept to let the client leave first, a program here waits for that.
 *
 * @module
 */

import {
  CloseFrame,
  Frame,
  SWOOLE_WEBSOCKET_FLAG_COMPRESS,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  SWOOLE_WEBSOCKET_FLAG_MASK,
} from "../../mod.ts";
import type { HttpClient, HttpResponse } from "../../src/coroutine/mod.ts";
import { type ClientProgram, describeReceived, errorOf, type ServerProgram, type Stage, stateOf } from "./coroutine_replay.ts";
import { q } from "./describe.ts";

type Handle = (ws: HttpResponse, stage: Stage) => unknown;

/** The page's handler, with a log. */
const greet: Handle = async (ws, { log }) => {
  log(`upgrade=${q(await ws.upgrade())}`);
  while (true) {
    const frame = await ws.recv();
    log(`recv=${describeReceived(frame)}${frame === false ? errorOf(ws) : ""}`);
    if (frame === "" || frame === false || frame.data === "close" || frame instanceof CloseFrame) {
      log(`close=${q(ws.close())}`);
      break;
    }
    const name = typeof frame.data === "string" ? frame.data : String.fromCharCode(...frame.data);
    ws.push(`Hello ${name}!`);
    ws.push(`How are you, ${name}?`);
  }
};

const only = (handle: Handle): ServerProgram => (stage) => ({ "/": (_request, ws) => handle(ws, stage) });

const upgraded = (handle: Handle) =>
  only(async (ws, stage) => {
    stage.log(`upgrade=${q(await ws.upgrade())}`);
    await handle(ws, stage);
  });

/** Handlers that log the request and answer. */
const routes = (patterns: string[], answer: (ws: HttpResponse, pattern: string) => unknown): ServerProgram => ({ log }) =>
  Object.fromEntries(patterns.map((pattern) => [pattern, (request, ws) => {
    log(`request(fd=${request.fd} ${request.getMethod()} ${request.server.request_uri}) h=${pattern}`);
    const { post } = request as { post?: unknown };
    if (request.getMethod() === "POST" && post !== undefined) log(q(post) + q(new TextDecoder().decode(request.rawContent())));
    return answer(ws, pattern);
  }]));

const seed: ServerProgram = (stage) => ({
  "/websocket": (_request, ws) => greet(ws, stage),
  "/": (_request, ws) => ws.end("<h1>Swoole WebSocket Server</h1>"),
});

const GREET = ["co-ext-bad", "co-cont-alone", "co-opcode-nofin", "co-rsv2", "co-invalid-utf8", "co-ping-126", "co-ping-frag"];
GREET.push("co-close-125", "co-close-1", "co-frag-over", "co-64bit-msb");
const SEED = [
  "co-seed-http",
  "co-tcp-rst",
  "co-close-frame-empty",
  "co-close-frame-open",
  "co-close-frame-open-empty",
  "co-ping",
];

/** The programs of the servers. */
export const SERVERS: Readonly<Record<string, ServerProgram>> = {
  ...Object.fromEntries(SEED.map((id) => [id, seed])),
  ...Object.fromEntries(GREET.map((id) => [id, only(greet)])),
  "co-upgrade-plain": only(async (ws, { log }) => {
    log(`upgrade=${q(await ws.upgrade())} err=${ws.getLastError()}`);
    log(`push=${q(await ws.push("x"))}`);
  }),
  "co-upgrade-twice": upgraded(async (ws, { log }) => log(`upgrade2=${q(await ws.upgrade())} err=${ws.getLastError()}`)),
  "co-upgrade-nokey": upgraded((ws, { log }) => log(`end=${q(ws.end("x"))} err=${ws.getLastError()}`)),
  "co-upgrade-badver": upgraded(() => {}),
  "co-noupgrade-push": only(async (ws, { log }) => {
    log(`push=${q(await ws.push("x"))} err=${ws.getLastError()}`);
    log(`recv=${q(await ws.recv(0.1))} err=${ws.getLastError()}`);
    log(`disconnect=${q(ws.disconnect())}`);
    log(`ping=${q(await ws.ping())}`);
    ws.end("ok");
  }),
  "co-frag-bad-continue": upgraded(async (ws, { log }) => {
    for (let i = 0; i < 3; i++) log(`recv=${describeReceived(await ws.recv(0.5))} err=${ws.getLastError()}`);
  }),
  "co-push-mask-flag": upgraded(async (ws, { log }) =>
    log(q(await ws.push("data", 1, SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_MASK)))
  ),
  "co-disconnect-code": upgraded((ws, { log }) => log(`disc=${q(ws.disconnect(4000, "bye"))}`)),
  "co-disconnect-long": upgraded((ws, { log, left }) => {
    log(`disc=${q(ws.disconnect(1000, "r".repeat(126)))} err=${ws.getLastError()}`);
    return left;
  }),
  "co-return-noclose": upgraded((ws) => ws.push("bye")),
  "co-end-after-upgrade": upgraded((ws, { log }) => {
    log(`end=${q(ws.end("x"))} err=${ws.getLastError()}`);
    log(`isWritable=${q(ws.isWritable())}`);
  }),
  "co-noend": routes(["/"], () => {}),
  "co-routing-order2": routes(["/a", "/a/b"], (ws, pattern) => ws.end(pattern)),
  "co-keepalive": routes(["/"], (ws) => ws.end("ok")),
  "co-bad-request": routes(["/"], () => {}),
  "co-post": routes(["/"], (ws) => ws.end("ok")),
  "co-413": routes(["/"], () => {}),
  "co-broadcast": ({ log }) => {
    const all = new Set<HttpResponse>();
    return {
      "/websocket": async (_request, ws) => {
        await ws.upgrade();
        all.add(ws);
        while (true) {
          const frame = await ws.recv();
          if (frame === false) log(`errorCode: ${ws.getLastError()}`);
          if (frame === "" || frame === false || frame.data === "close" || frame instanceof CloseFrame) {
            all.delete(ws);
            ws.close();
            break;
          }
          for (const one of all) one.push(`Server: ${frame.data}`);
        }
      },
    };
  },
  "co-push-closed-peer": upgraded(async (ws, { log, left }) => {
    await ws.recv();
    await left;
    for (let i = 0; i < 4; i++) log(`push=${q(await ws.push("x"))} err=${ws.getLastError()}`);
  }),
};

const opened =
  (work: (client: HttpClient, log: (text: string) => void) => unknown = () => {}): ClientProgram => async (client, log) => {
    log(`upgrade=${q(await client.upgrade("/"))} ${stateOf(client)}`);
    await work(client, log);
  };

/** Receives so many times, with a log. */
const receives = (...timeouts: number[]): ClientProgram =>
  opened(async (client, log) => {
    for (const timeout of timeouts) log(`recv=${describeReceived(await client.recv(timeout))} ${stateOf(client)}`);
  });

const RECEIVE_ONCE = [
  "cl-upgrade-bad-accept",
  "cl-recv-tcp-rst",
  "cl-ping-auto",
  "cl-frag",
  "cl-cont-alone",
  "cl-masked",
  "cl-rsv2",
];
RECEIVE_ONCE.push("cl-opcode3");

/** The programs of the clients. */
export const CLIENTS: Readonly<Record<string, ClientProgram>> = {
  ...Object.fromEntries(RECEIVE_ONCE.map((id) => [id, receives(2)])),
  "cl-upgrade-200": opened(async (client, log) => log(`push=${q(await client.push("x"))} ${stateOf(client)}`)),
  "cl-upgrade-fin": opened(),
  "cl-upgrade-rst": opened(),
  "cl-upgrade-timeout": async (client, log) => {
    client.set({ timeout: 0.5 });
    await opened()(client, log);
  },
  "cl-early-short-frame": receives(0.5),
  "cl-recv-tcp-close": async (client, log) => {
    await receives(2)(client, log);
    log(`push=${q(await client.push("x"))} ${stateOf(client)}`);
    log(`recv=${describeReceived(await client.recv(0.2))} ${stateOf(client)}`);
  },
  "cl-seed-ping": opened(async (client, log) => {
    const ping = new Frame();
    ping.opcode = 9;
    log(`push=${q(await client.push(ping))}`);
    const pong = await client.recv(1);
    log(`recv=${describeReceived(pong)} ${stateOf(client)}`);
    if (typeof pong === "object") log(`is pong=${q(pong.opcode === 10)}`);
  }),
  "cl-frag-bad": receives(2, 2),
  "cl-mask-default": opened(async (client, log) => {
    log(q(await client.push("hello")));
    log(q(await client.push(new Uint8Array([0, 1]), 2)));
    log(q(await client.push("")));
    log(q(await client.push("a", 1, false)));
    log(q(await client.push("b", 0, true)));
  }),
  "cl-ping-method": opened(async (client, log) => {
    log(q(await client.ping()));
    log(q(await client.ping("hi")));
    log(q(await client.ping("p".repeat(126))) + stateOf(client));
  }),
  "cl-disconnect-code": opened((client, log) => log(`${q(client.disconnect(4000, "bye"))} ${stateOf(client)}`)),
  "cl-pmd": async (client, log) => {
    client.set({ websocket_compression: true });
    await opened(async (client, log) => {
      log(q(await client.push("Hello Swoole")));
      log(q(await client.push("Hello Swoole", 1, SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_COMPRESS)));
      for (let i = 0; i < 2; i++) log(`recv=${describeReceived(await client.recv(2))} ${stateOf(client)}`);
    })(client, log);
  },
  "cl-pmd-bad": async (client, log) => {
    client.set({ websocket_compression: true });
    await receives(2, 2)(client, log);
  },
  "cl-reupgrade": async (client, log) => {
    await opened(async (client, log) => log(q(await client.push("one"))))(client, log);
    client.close();
    await opened(async (client, log) => log(q(await client.push("two"))))(client, log);
  },
  "cl-reupgrade-noclose": opened(async (client, log) => {
    log(`upgrade2=${q(await client.upgrade("/2"))} ${stateOf(client)}`);
  }),
};
