import { assertEquals } from "@std/assert";
import { test } from "node:test";
import type { ServerSettings } from "../../mod.ts";
import { resolveSettings } from "../../src/server/settings/settings.ts";

test("Of several names of a setting the first one that is set counts, in whatever order they are given", () => {
  const rows: (keyof ServerSettings)[][] = [
    ["max_connection", "max_conn"],
    ["worker_max_concurrency", "max_concurrency"],
    ["package_body_offset", "package_body_start"],
    ["http_compression_level", "compression_level", "http_gzip_level"],
    ["http_compression_min_length", "compression_min_length"],
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
