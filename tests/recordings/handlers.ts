/**
 * The programs of the recorded servers by the id of the recording, in TypeScript instead of PHP.
 *
 * Where PHP slept to let something else happen first, a program here waits for that to have happened. PHP cleared the last error
 * before a method; here the code counts only when the method has failed.
 *
 * @module
 */

import {
  CloseFrame,
  Frame,
  type HttpRequest,
  type HttpResponse,
  SWOOLE_WEBSOCKET_FLAG_COMPRESS,
  SWOOLE_WEBSOCKET_FLAG_FIN,
  WEBSOCKET_OPCODE_PONG,
  type WebSocketServer,
} from "../../mod.ts";
import { q } from "./describe.ts";
import type { Handlers, Stage } from "./program.ts";

type Program = (stage: Stage) => Handlers;
type Message = (server: WebSocketServer, frame: Frame | CloseFrame) => unknown;

const echo: Message = (server, frame) => server.push(frame.fd, frame.data, frame.opcode);
const hi = (_request: HttpRequest, response: HttpResponse) => response.end("hi");
const nothing = () => {};

/** What a program does when the client says "go". */
function go(work: (stage: Stage, fd: number) => void): Program {
  return (stage) => ({ message: (_server, frame) => frame.data === "go" && work(stage, frame.fd) });
}

function status(server: WebSocketServer, fd: number): number | undefined {
  const info = server.getClientInfo(fd);
  return info === false ? undefined : info.websocket_status;
}

/** The last error of a method that has just returned. */
function errorOf(server: WebSocketServer, result: boolean): number {
  return result ? 0 : server.getLastError();
}

/** Programs that do not do anything. */
const IDLE = [
  "hs-missing-key",
  "hs-short-key",
  "hs-key-twice",
  "hs-no-upgrade",
  "hs-connection-keepalive-upgrade",
  "hs-lf-only",
  "hs-subproto-option-no-offer",
  "hs-ext-off",
  "hs-ext-on",
  "hs-ext-on-browser",
  "hs-ext-on-server-bits",
  "hs-ext-on-second",
  "hs-ext-on-case",
  "hs-ext-on-nooffer",
  "ping-empty",
  "ping-121",
  "ping-123",
  "ping-unmasked",
  "ping-unmasked-125",
  "ping-fragmented",
  "ping-open-empty",
  "pong-unsolicited",
  "close-1000",
  "close-1000-reason",
  "close-1byte",
  "close-1001",
  "close-1006",
  "close-1015",
  "close-3000",
  "close-4999",
  "close-len-117",
  "close-len-123",
  "close-unmasked-125",
  "close-nofin",
  "close-open-1byte",
  "api-heartbeat-ping",
  "api-max-idle",
  "api-fd-reuse",
  "pmd-recv-plain",
  "pmd-recv-frag",
  "pmd-recv-bad",
  "pmd-recv-empty",
  "pmd-off-recv",
  "y-start-session-id",
  "y-head-upgrade",
  "y-http2-preface",
  "y-space-header",
];

/** Programs that send every message back. */
const ECHO = [
  "hs-post",
  "hs-post-body",
  "hs-put",
  "hs-byte-by-byte",
  "hs-same-segment-ping",
  "fr-text",
  "fr-empty-binary",
  "fr-126",
  "fr-mask-zero",
  "fr-invalid-utf8",
  "fr-rsv1",
  "fr-opcode-3",
  "fr-frag-3-binary",
  "fr-frag-empty-last",
  "fr-frag-close-between",
  "fr-frag-text-between",
  "fr-cont-alone",
  "fr-cont-alone-nofin",
  "fr-frag-utf8-split",
  "fr-frag-unmasked",
  "fr-half-frame-close",
  "sz-plus1",
  "sz-64bit-msb",
  "close-then-data",
  "tcp-fin",
  "pm-same-segment",
  "x-order",
];

/** Programs that handle `disconnect`, and nothing more. */
const DISCONNECT = ["hs-incomplete-then-close", "http-400-disc", "close-empty", "pm-400"];

/** The others. */
const PROGRAMS: Record<string, Program> = {
  "hs-before-close": ({ server, log }) => ({
    beforeHandshakeResponse: (request) => log(q(server.close(request.fd))),
    disconnect: nothing,
  }),
  "hsk-nothing": () => ({ handshake: nothing, disconnect: nothing }),
  "hsk-101-only": () => ({
    message: echo,
    handshake(_request, response) {
      response.status(101);
      response.end();
    },
  }),
  "hsk-101-body": () => ({
    message: echo,
    handshake(_request, response) {
      response.status(101);
      response.end("body");
    },
  }),
  "hsk-200": () => ({ message: echo, handshake: (_request, response) => response.end("ok"), disconnect: nothing }),
  "hsk-late": ({ server, log, sent }) => ({
    message: echo,
    async handshake(request, response) {
      await sent(1);
      log(`st=${status(server, request.fd)}`);
      response.status(101);
      log(`end=${q(response.end())}`);
      log(`st=${status(server, request.fd)}`);
    },
  }),
  "hsk-nokey": ({ log }) => ({
    handshake(request, response) {
      log(`key=${q(request.header["sec-websocket-key"])}`);
      response.status(400);
      response.end();
    },
  }),
  "open-push": ({ log }) => ({
    open(server, request) {
      log(q(server.push(request.fd, "welcome")));
      log(`status=${status(server, request.fd)}`);
    },
  }),
  "open-close": ({ log }) => ({ open: (server, request) => log(q(server.close(request.fd))), disconnect: nothing }),
  "open-null": () => ({ message: echo, open: null }),

  "http-req": () => ({ request: hi, disconnect: nothing }),
  "http-req-10": () => ({ request: hi, disconnect: nothing }),
  "http-req-client-close": () => ({ request: hi, disconnect: nothing }),
  "http-req-client-close-nodisc": () => ({ request: hi }),
  "http-expect": () => ({ request: hi }),
  "http-req-close": ({ log }) => ({ request: (_request, response) => log(q(response.close())), disconnect: nothing }),
  "http-req-pipeline": () => ({ request: (request, response) => response.end(String(request.server.request_uri)) }),
  "http-req-chunk": () => ({
    request(_request, response) {
      response.write("a");
      response.write("bc");
      response.end();
    },
  }),
  "http-req-small-gzip": () => ({ request: (_request, response) => response.end("a".repeat(19)) }),
  "http-exception": () => ({
    request() {
      throw new Error("boom");
    },
  }),
  "http-cookie": () => ({
    request(_request, response) {
      response.cookie("a", "b c", 0, "/", "ex.org", true, true, "Lax");
      try {
        response.rawcookie("r", "b c");
      } catch { /* where PHP warns */ }
      response.end();
    },
  }),
  "http-redirect": () => ({ request: (_request, response) => response.redirect("/x") }),

  "ping-open-reply": ({ log }) => ({
    message(server, frame) {
      if (frame.opcode !== 9) return;
      const pong = new Frame();
      pong.opcode = WEBSOCKET_OPCODE_PONG;
      log(q(server.push(frame.fd, pong)));
    },
  }),
  "close-open-push": ({ log }) => ({ message: (server, frame) => log(`push=${q(server.push(frame.fd, "late"))}`) }),

  "push-http-fd": (stage) => ({
    ...go(({ server, log }) => {
      const pushed = server.push(2, "x");
      log(`push=${q(pushed)} err=${errorOf(server, pushed)}`);
      log(`est=${q(server.isEstablished(2))} exist=${q(server.exist(2))} info=${q(status(server, 2))}`);
    })(stage),
    request: hi,
  }),
  "push-in-close": ({ log }) => ({
    close(server, fd) {
      const pushed = server.push(fd, "x");
      log(`push=${q(pushed)} err=${errorOf(server, pushed)}`);
      log(`est=${q(server.isEstablished(fd))} exist=${q(server.exist(fd))}`);
      const info = server.getClientInfo(fd);
      log(`info=${q(info && Object.keys(info))} status=${q(info && info.websocket_status)}`);
    },
  }),
  "push-empty": go(({ server, log }, fd) => log(`push=${q(server.push(fd, ""))}`)),
  "push-types": go(({ server, log }, fd) => {
    const stringable = { toString: () => "str" };
    const values = { 123: 123, 1.5: 1.5, true: true, false: false, null: null, array: [1], stringable };
    for (const [name, value] of Object.entries(values)) {
      try {
        log(`${name} -> ${q(server.push(fd, value as unknown as string))}`);
      } catch (error) {
        log(`${name} -> ${error}`);
      }
    }
  }),
  "push-opcodes": go(({ server, log }, fd) => {
    for (let opcode = 0; opcode <= 16; opcode++) {
      const pushed = server.push(fd, `d${opcode}`, opcode);
      log(`op ${opcode} -> ${q(pushed)} err=${errorOf(server, pushed)}`);
    }
  }),
  "push-opcode-neg": go(({ server, log }, fd) => {
    for (const opcode of [-1, 256]) {
      const pushed = server.push(fd, "d", opcode);
      log(`${opcode} -> ${q(pushed)} err=${errorOf(server, pushed)}`);
    }
  }),
  "push-flags-null": go(({ server, log }, fd) => log(`null -> ${q(server.push(fd, "data", 1, undefined))}`)),
  "push-closeframe-long": go(({ server, log }, fd) => {
    for (const length of [123, 124, 125, 126]) {
      const frame = new CloseFrame();
      frame.reason = "r".repeat(length);
      const pushed = server.push(fd, frame);
      log(`${length} -> ${q(pushed)} err=${errorOf(server, pushed)}`);
    }
  }),
  "push-opcode8": go(({ server, log }, fd) => log(q(server.push(fd, "bye", 8)))),
  "push-opcode8-empty": go(({ server, log }, fd) => log(q(server.push(fd, "", 8)))),
  "push-ping-long": go(({ server, log }, fd) => {
    const pushed = server.push(fd, "p".repeat(126), 9);
    log(`${q(pushed)} err=${errorOf(server, pushed)}`);
    log(q(server.push(fd, "p".repeat(125), 9)));
  }),
  "push-ping-nofin": go(({ server, log }, fd) => log(q(server.push(fd, "pp", 9, 0)))),
  "disc-with-ondisconnect": (stage) => ({
    ...go(({ server, log }, fd) => log(`disc=${q(server.disconnect(fd, 4000, "bye"))}`))(stage),
    disconnect: nothing,
  }),
  "disc-unknown": go(({ server, log }) => {
    log(`disc=${q(server.disconnect(999))} err=${server.getLastError()}`);
    log(`disc0=${q(server.disconnect(0))} err=${server.getLastError()}`);
  }),
  "close-reset": go(({ server, log }, fd) => {
    server.push(fd, "x");
    log(`close=${q(server.close(fd, true))}`);
  }),
  "api-shutdown": go(({ server, log }) => log(`shutdown=${q(server.shutdown())}`)),
  "api-concurrent": ({ log, logged }) => ({
    async message(server, frame) {
      if (frame.data === "slow") await logged("done fast");
      server.push(frame.fd, `done ${frame.data}`);
      log(`done ${frame.data}`);
    },
  }),
  "api-connect-event": ({ log }) => ({ connect: (server, fd) => log(`status=${status(server, fd)}`) }),

  "pmd-push-default": go(({ server, log }, fd) => log(q(server.push(fd, "hello hello hello")))),
  "pmd-push-flag": go(({ server, log }, fd) =>
    log(q(server.push(fd, "Hello Swoole", 1, SWOOLE_WEBSOCKET_FLAG_FIN | SWOOLE_WEBSOCKET_FLAG_COMPRESS)))
  ),
  "pmd-push-flag-fin-only": go(({ server, log }, fd) => log(q(server.push(fd, "Hello Swoole", 1, SWOOLE_WEBSOCKET_FLAG_FIN)))),
  "pmd-push-ping": go(({ server, log }, fd) => {
    log(q(server.push(fd, "pppp", 9)));
    log(q(server.push(fd, "qqqq", 10)));
    log(q(server.push(fd, "rrrr", 8)));
  }),
  "pmd-recv-frame-echo": ({ log }) => ({ message: (server, frame) => log(q(server.push(frame.fd, frame))) }),

  "x-args": ({ server, log }) => {
    const names: Record<string, string> = {
      WebSocketServer: "Swoole\\WebSocket\\Server",
      HttpRequest: "Swoole\\Http\\Request",
      HttpResponse: "Swoole\\Http\\Response",
      Frame: "Swoole\\WebSocket\\Frame",
      CloseInfo: "CloseInfo",
    };
    const show = (value: unknown) => typeof value === "object" && value ? names[value.constructor.name] : String(value);
    const note = (event: string) => (...args: unknown[]) => log(`${event}: ${args.map(show).join(", ")}`);
    server.on("connect", note("connect"));
    server.on("beforehandshakeresponse", note("beforehandshakeresponse"));
    server.on("open", note("open"));
    server.on("message", note("message"));
    server.on("close", note("close"));
    server.on("disconnect", note("disconnect"));
    server.on("request", (...args) => {
      note("request")(...args);
      args[1].end("ok");
    });
    return { open: null, message: null, close: null };
  },
  "x-nodelay-trickle": go(({ server }, fd) => {
    for (let i = 0; i < 3; i++) server.push(fd, `n${i}`);
  }),
  // PHP needed a new response, made from the fd, to answer later.
  "x-detach": ({ server, log }) => ({
    request(_request, response) {
      log(`detach=${q(response.detach())}`);
      server.after(1, () => log(`end=${q(response.end("later"))}`));
    },
  }),
  "x-pause": ({ log, sent }) => ({
    async message(server, { fd, data }) {
      if (data !== "pause") return;
      log(`pause=${q(server.pause(fd))}`);
      await sent(2);
      log(`resume=${q(server.resume(fd))}`);
    },
  }),
  "x-reason-utf8": go(({ server, log }, fd) => log(q(server.disconnect(fd, 4000, "пока")))),
  "x-close-in-message-then-frames": ({ log }) => ({ message: (server, frame) => log(`close=${q(server.close(frame.fd))}`) }),

  "y-hsk-push-before-end": ({ server, log }) => ({
    handshake(request, response) {
      log(`st=${status(server, request.fd)} est=${q(server.isEstablished(request.fd))}`);
      log(`push=${q(server.push(request.fd, "early"))}`);
      response.status(101);
      log(`end=${q(response.end())}`);
      log(`st=${status(server, request.fd)}`);
    },
  }),
  "y-close-event-client-close-pending": afterClose,
  "y-close-frame-while-sleeping": afterClose,
  "y-reason-binary": ({ log }) => ({ message: (server, frame) => log(q(server.disconnect(frame.fd, 4000, "\xff\xfe"))) }),
  "y-close-code-types": ({ log }) => ({
    message(server, frame) {
      const close = new CloseFrame();
      close.code = "4001" as unknown as number;
      close.reason = 5 as unknown as string;
      log(q(server.push(frame.fd, close)));
    },
  }),
};

function afterClose({ log, logged }: Stage): Handlers {
  return {
    async message(server, frame) {
      await logged("close(fd=1, reactor=0)");
      log(`push=${q(server.push(frame.fd, "late"))} est=${q(server.isEstablished(frame.fd))}`);
    },
  };
}

/** All programs. */
export const HANDLERS: Readonly<Record<string, Program>> = {
  ...Object.fromEntries(IDLE.map((id) => [id, () => ({})])),
  ...Object.fromEntries(ECHO.map((id) => [id, () => ({ message: echo })])),
  ...Object.fromEntries(DISCONNECT.map((id) => [id, () => ({ disconnect: nothing })])),
  ...PROGRAMS,
};
