/** What `start()` finds wrong with settings: TLS that is not spoken, files and folders that are not there, watermarks. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import process from "node:process";
import { test } from "node:test";
import {
  HttpServer,
  type Server,
  type ServerSettings,
  setRuntime,
  SWOOLE_BASE,
  SWOOLE_LOG_ROTATION_DAILY,
  SWOOLE_SOCK_TCP,
  SWOOLE_SSL,
  WebSocketServer,
} from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { resolveSettings } from "../../src/server/settings/settings.ts";
import { inFolder } from "../support/folder.ts";
import { startOn, testLanes } from "../support/lanes.ts";
import { MemoryClient } from "../support/memory_client.ts";
import { pair } from "../tls/stage.ts";

const SECURE = SWOOLE_SOCK_TCP | SWOOLE_SSL;

function httpServer(settings: ServerSettings, sockType: number = SWOOLE_SOCK_TCP): HttpServer {
  const server = new HttpServer("127.0.0.1", 0, SWOOLE_BASE, sockType);
  server.set(settings);
  server.on("request", (_request, response) => response.end("here"));
  return server;
}

async function startAndStop(server: Server | CoroutineServer): Promise<void> {
  await server.start();
  server.shutdown();
  await server.finished;
}

test("settings of TLS where none is spoken: start() refuses to serve in plain text", async () => {
  const rows: [settings: ServerSettings, name: string][] = [
    [pair("one"), "ssl_cert_file"],
    [{ ssl_key_file: "/none" }, "ssl_key_file"],
    [{ ssl_verify_peer: true }, "ssl_verify_peer"],
    [{ http_compression: false, ssl_protocols: 0 }, "ssl_protocols"],
  ];
  for (const [settings, name] of rows) {
    const state = `Cannot start the server: ${name} is set, but the server does not speak TLS; `;
    assertEquals(
      (await assertRejects(() => httpServer(settings).start(), TypeError)).message,
      `${state}add SWOOLE_SSL to the socket type`,
    );
    const server = new CoroutineServer("127.0.0.1");
    server.set(settings);
    assertEquals(
      (await assertRejects(() => server.start(), TypeError)).message,
      `${state}pass true as the third argument of HttpServer`,
    );
  }
  await startAndStop(httpServer({ ssl_compress: false } as ServerSettings));
});

test("settings of TLS of the server are for those of its ports that speak it; those of a port are for itself", async () => {
  const server = httpServer(pair("one"));
  server.listen("127.0.0.1", 0, SECURE);
  await startAndStop(server);
  const other = httpServer({}, SECURE);
  other.set(pair("one"));
  const port = other.listen("127.0.0.1", 0);
  port.set({ open_http_protocol: true, ssl_ciphers: "AES" });
  const message = "ssl_ciphers is set, but the port 127.0.0.1:0 does not speak TLS; add SWOOLE_SSL to the socket type";
  await assertRejects(() => other.start(), TypeError, message);
});

test("TLS without a certificate: start() says which setting is missing, in both styles", async () => {
  const message = "Cannot start the server: SWOOLE_SSL needs the setting ";
  await assertRejects(() => httpServer({}, SECURE).start(), TypeError, `${message}ssl_cert_file`);
  const { ssl_cert_file } = pair("one");
  await assertRejects(() => httpServer({ ssl_cert_file }, SECURE).start(), TypeError, `${message}ssl_key_file`);
  await assertRejects(() => new CoroutineServer("127.0.0.1", 0, true).start(), TypeError, `${message}ssl_cert_file`);
});

testLanes(
  "files and folders that are not there, or of another kind: start() names the setting and the path",
  (runtime) =>
    inFolder(async (folder) => {
      const [missing, file] = [join(folder, "missing"), join(folder, "file")];
      writeFileSync(file, "");
      const { ssl_cert_file, ssl_key_file } = pair("one");
      const rows: [settings: ServerSettings, message: string, sockType?: number][] = [
        [{ document_root: missing }, `Cannot use document_root: there is no folder ${missing}`],
        [{ document_root: file, enable_static_handler: true }, `Cannot use document_root: ${file} is not a folder`],
        [{ document_root: join(file, "x") }, `Cannot use document_root: there is no folder ${join(file, "x")}`],
        [{ enable_static_handler: true }, "Cannot start the server: enable_static_handler needs the setting document_root"],
        [{ http_parse_files: true, upload_tmp_dir: missing }, `Cannot use upload_tmp_dir: there is no folder ${missing}`],
        [{ http_parse_files: true, upload_tmp_dir: file }, `Cannot use upload_tmp_dir: ${file} is not a folder`],
        [{ http_parse_files: true, upload_tmp_dir: "/dev/null" }, "Cannot use upload_tmp_dir: /dev/null is not a folder"],
        [{ log_file: join(missing, "a.log") }, `Cannot use log_file: there is no folder ${missing}/`],
        [{ log_file: folder }, `Cannot use log_file: ${folder} is a folder`],
        [{ stats_file: folder }, `Cannot use stats_file: ${folder} is a folder`],
        [{ stats_file: join(missing, "a.prom") }, `Cannot use stats_file: there is no folder ${missing}/`],
        [{ ssl_cert_file: missing, ssl_key_file }, `Cannot read ssl_cert_file: ${missing} does not exist`, SECURE],
        [{ ssl_cert_file: folder, ssl_key_file }, `Cannot read ssl_cert_file: ${folder} is a folder`, SECURE],
        [{ ssl_cert_file, ssl_key_file: missing }, `Cannot read ssl_key_file: ${missing} does not exist`, SECURE],
        [{ ssl_cert_file, ssl_key_file: file }, `Cannot use ssl_key_file: ${file} is not in PEM format`, SECURE],
      ];
      for (const [settings, message, sockType] of rows) {
        const error = await assertRejects(() => startOn(runtime, httpServer(settings, sockType)), Error);
        assertEquals(error.message, message);
      }
    }),
);

test("files and folders that are there, or need not be, are taken", () =>
  inFolder(async (folder) => {
    const log = join(folder, "a.log");
    const rows: ServerSettings[] = [
      { document_root: folder, enable_static_handler: true },
      { http_parse_files: true, upload_tmp_dir: folder },
      { http_parse_files: true, upload_tmp_dir: "" },
      { upload_tmp_dir: join(folder, "missing") }, // no forms with files are read
      { log_file: log },
      { log_file: "/dev/null", stats_file: join(folder, "a.prom"), stats_timer_interval: 0x7fffffff },
      { log_file: relative(process.cwd(), log) },
      { log_file: log, log_rotation: SWOOLE_LOG_ROTATION_DAILY },
    ];
    for (const settings of rows) await startAndStop(httpServer(settings));
    writeFileSync(log, "a line\n");
    await startAndStop(httpServer({ log_file: log }));
    assertEquals(readFileSync(log, "utf8"), "a line\n");
    assertEquals(readdirSync(folder).filter((name) => !/^a\.log(\.\d{8})?$/.test(name)), []);
  }));

test("a document_root that may not be read is refused when files are to be served", () =>
  inFolder(async (folder) => {
    const runtime = await loadRuntime();
    const refusal = Object.assign(new Error("permission denied"), { code: "EACCES" });
    setRuntime({ ...runtime, openFile: () => Promise.reject(refusal) });
    try {
      const server = httpServer({ document_root: folder, enable_static_handler: true });
      await assertRejects(() => server.start(), Error, `Cannot use document_root: ${folder} may not be read`);
      await startAndStop(httpServer({ document_root: folder }));
    } finally {
      setRuntime(undefined);
    }
  }));

test("a server that could not start starts when the folder is there", () =>
  inFolder(async (folder) => {
    const server = httpServer({ document_root: join(folder, "later") });
    await assertRejects(() => server.start(), Error, "there is no folder");
    mkdirSync(join(folder, "later"));
    await startAndStop(server);
  }));

test("watermarks the wrong way round, or above socket_buffer_size, are refused", async () => {
  const rows: [settings: ServerSettings, message: string][] = [
    [{ buffer_high_watermark: 10, buffer_low_watermark: 11 }, "buffer_low_watermark (11) is above buffer_high_watermark (10)"],
    [{ socket_buffer_size: 10, buffer_low_watermark: 9 }, "buffer_low_watermark (9) is above buffer_high_watermark (8)"],
    [{ socket_buffer_size: 10, buffer_high_watermark: 11 }, "buffer_high_watermark (11) is above socket_buffer_size (10)"],
  ];
  for (const [settings, message] of rows) {
    await assertRejects(() => httpServer(settings).start(), RangeError, `Cannot start the server: ${message}`);
    assertThrows(() => new MemoryClient(httpServer(settings)), RangeError, message); // accept() needs no start()
    const server = httpServer({});
    server.listen("127.0.0.1", 0).set({ open_http_protocol: true, ...settings });
    await assertRejects(() => server.start(), RangeError, message);
  }
  await startAndStop(httpServer({ socket_buffer_size: 10, buffer_high_watermark: 10, buffer_low_watermark: 10 }));
});

test("a watermark alone is right: the other one follows", async () => {
  const defaults = { buffer_high_watermark: 256 * 1024, buffer_low_watermark: 128 * 1024 };
  const marks = (given: ServerSettings) => {
    const { buffer_high_watermark, buffer_low_watermark } = resolveSettings(given, defaults);
    return [buffer_high_watermark, buffer_low_watermark];
  };
  assertEquals(marks({}), [256 * 1024, 128 * 1024]);
  assertEquals(marks({ buffer_high_watermark: 1000 }), [1000, 500]);
  assertEquals(marks({ buffer_high_watermark: 200 * 1024 }), [200 * 1024, 128 * 1024]);
  for (const settings of [{ buffer_high_watermark: 1000 }, { socket_buffer_size: 1000 }]) {
    const server = new CoroutineServer("127.0.0.1");
    server.set(settings);
    await startAndStop(server);
  }
  const server = new WebSocketServer("127.0.0.1");
  server.set({ socket_buffer_size: 1000 });
  server.on("message", () => {});
  await startAndStop(server);
});
