// What a program sees of forms with files: nothing unless `http_parse_files` is set, and then the log says why.

import { assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type HttpRequest, HttpServer, type ServerSettings } from "../../mod.ts";
import * as coroutine from "../../src/coroutine/mod.ts";
import { inFolder } from "../support/folder.ts";
import { settle } from "../support/memory_client.ts";
import { serving } from "../support/serving.ts";

/** Asks a server of each style three times, and gives what it has logged. */
function logged(
  settings: ServerSettings,
  look: (request: HttpRequest) => unknown,
  count: number,
): Promise<Record<string, string[]>> {
  return inFolder(async (folder) => {
    const found: Record<string, string[]> = {};
    for (const style of ["event", "coroutine"]) {
      const log_file = join(folder, style);
      const server = style === "event" ? new HttpServer("127.0.0.1", 0) : new coroutine.HttpServer("127.0.0.1");
      server.set({ ...settings, log_file, log_date_format: "-", upload_tmp_dir: "" });
      const handler = async (request: HttpRequest, response: { end(text: string): boolean }) => {
        response.end(String(await look(request)));
      };
      if (server instanceof HttpServer) server.on("request", handler);
      else server.handle("/", handler);
      await serving(server, async (_server, port) => {
        const form = new FormData();
        form.append("a", "1");
        form.append("f", new File(["hello"], "a.txt", { type: "text/plain" }));
        for (const body of [form, form, new URLSearchParams([["a", "1"]])]) {
          await (await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body })).text();
        }
      });
      while (linesOf(log_file).length < count) await settle();
      found[style] = linesOf(log_file);
    }
    return found;
  });
}

function linesOf(path: string): string[] {
  return readFileSync(path, "utf8").split("\n").filter((line) => line !== "");
}

const LINE = "- request.post and request.files have nothing of a form that is sent as multipart/form-data: " +
  "set http_parse_files to true, or await request.formData()";

for (
  const [what, settings, look, lines] of [
    ["post", {}, (request) => request.post.a, [LINE]],
    ["files", {}, (request) => request.files.f, [LINE]],
    ["post with http_parse_post off", { http_parse_post: false }, (request) => request.post.a, [LINE]],
    ["formData() only", {}, async (request) => (await request.formData()).get("a"), []],
    ["the body only", {}, (request) => request.rawContent().length, []],
    ["nothing", {}, () => "", []],
    ["post and files, which are read", { http_parse_files: true }, ({ post, files }) => `${post.a} ${files.f}`, []],
  ] as [string, ServerSettings, (request: HttpRequest) => unknown, string[]][]
) {
  test(`a program that looks at ${what} of a form with files: ${lines.length} lines in the log, however often it does`, async () => {
    assertEquals(await logged(settings, look, lines.length), { event: lines, coroutine: lines });
  });
}

test("toJSON() of an UploadedFile: JSON.stringify() shows what Swoole has in files", async () => {
  const server = new HttpServer("127.0.0.1", 0);
  server.set({ http_parse_files: true, upload_tmp_dir: "" });
  server.on("request", (request, response) => response.end(JSON.stringify(request.files)));
  await serving(server, async (_server, port) => {
    const form = new FormData();
    form.append("f", new File(["hello"], "a.gif", { type: "image/gif" }));
    form.append("g[x]", new File([""], "b.bin", { type: "image/png" }));
    const response = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: form });
    assertEquals(await response.json(), {
      f: { name: "a.gif", type: "image/gif", tmp_name: "", error: 0, size: 5, full_path: "a.gif" },
      g: { x: { name: "b.bin", type: "image/png", tmp_name: "", error: 0, size: 0, full_path: "b.bin" } },
    });
  });
});
