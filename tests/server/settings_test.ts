import { assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { HttpServer, type ServerSettings } from "../../mod.ts";
import { checkSettings, resolveSettings } from "../../src/server/settings/settings.ts";

test("Of several names of a setting the first one that is set counts, in whatever order they are given", () => {
  const rows: (keyof ServerSettings)[][] = [
    ["max_connection", "max_conn"],
    ["worker_max_concurrency", "max_concurrency"],
    ["package_body_offset", "package_body_start"],
    ["http_compression_level", "compression_level", "http_gzip_level"],
    ["http_compression_min_length", "compression_min_length"],
    ["http_header_timeout", "http_request_timeout"],
    ["http_body_timeout", "http_request_timeout"],
    ["socket_read_timeout", "socket_recv_timeout", "socket_timeout"],
    ["socket_write_timeout", "socket_send_timeout", "socket_timeout"],
  ];
  for (const names of rows) {
    for (let from = 0; from < names.length; from++) {
      const entries = names.slice(from).map((name, i) => [name, i + 3]);
      for (const given of [entries, entries.toReversed()]) {
        assertEquals(resolveSettings(Object.fromEntries(given))[names[0]], 3, `${given.join(" ")}`);
      }
    }
  }
  const types = { http_compression_types: ["a/b"], compression_types: ["c/d"] };
  assertEquals(resolveSettings(types).http_compression_types, ["a/b"]);
  assertEquals(resolveSettings({ compression_types: ["c/d"] }).http_compression_types, ["c/d"]);
  assertEquals(resolveSettings({ socket_timeout: 0, socket_recv_timeout: 4 }).socket_read_timeout, 4);
});

test("The settings of time and rate of HTTP: what they are unless set, and what they take", () => {
  const defaults: ServerSettings = {
    http_header_timeout: 10,
    http_body_timeout: 10,
    http_body_min_rate: 1024,
    http_handler_timeout: 0,
    http_keepalive_timeout: 60,
    http_send_timeout: 60,
    websocket_handshake_timeout: 10,
    http_allow_half_open: false,
  };
  const resolved = resolveSettings({});
  for (const [name, value] of Object.entries(defaults)) {
    assertEquals([name, resolved[name as keyof ServerSettings]], [name, value]);
    const isBoolean = typeof value === "boolean";
    for (const fine of isBoolean ? [true, false] : name.endsWith("rate") ? [0, 1e9] : [0, 0.5, 1e9]) {
      checkSettings({ [name]: fine });
    }
    for (const wrong of isBoolean ? [1, "yes"] : ["1", null, true]) {
      assertThrows(() => checkSettings({ [name]: wrong } as never), TypeError, name);
    }
    if (!isBoolean) {
      for (const wrong of [-1, NaN, Infinity]) assertThrows(() => checkSettings({ [name]: wrong }), Error, name);
    }
  }
});

test("The settings of a server are a copy that cannot be changed", () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.set({ max_connection: 5 });
  const { setting } = server;
  assertThrows(() => (setting as ServerSettings).max_connection = -5, TypeError);
  server.set({ backlog: 7 });
  assertEquals([server.setting, setting, server.ports[0].setting], [
    { max_connection: 5, backlog: 7 },
    { max_connection: 5 },
    { max_connection: 5, backlog: 7 },
  ]);
});
