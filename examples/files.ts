/**
 * Plain HTTP: a server for sharing files. Uploads are written to disk while they arrive, downloads are read from there in pieces,
 * and server-sent events announce new files to every open page.
 *
 * Start it with `deno run -A examples/files.ts`, `bun run examples/files.ts` or `node examples/files.ts`, and open
 * http://localhost:9501/. `FOLDER` is the directory of the files; by default a temporary one, which is removed at the end.
 *
 * @module
 */

import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type HttpResponse, HttpServer, UploadedFile } from "../mod.ts";
import { giveUp, HOST, PORT } from "./environment.ts";

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Files</title>
<h1>Files</h1>
<form method="post" action="/upload" enctype="multipart/form-data"><input type="file" name="files[]" multiple required> <button>Leave</button></form>
<p><a href="/files/">All files</a></p>
<ul></ul>
<script>
  new EventSource("/events").onmessage = ({ data }) => {
    const link = Object.assign(document.createElement("a"), JSON.parse(data));
    document.querySelector("ul").appendChild(document.createElement("li")).append(link);
  };
</script>
`;

const root = process.env.FOLDER ?? await mkdtemp(join(tmpdir(), "sluice-files-"));
await mkdir(join(root, "files"), { recursive: true });

/** Returns the names of the files. Other files in the same directory, whose names `nameFor()` did not make, are not shown. */
async function listFiles(): Promise<string[]> {
  return (await readdir(join(root, "files"))).filter((name) => /^\d+-[\w.-]*$/.test(name));
}

const server = new HttpServer(HOST, PORT);
server.set({
  http_parse_files: true,
  upload_tmp_dir: tmpdir(),
  upload_max_filesize: 1024 * 1024 * 1024,
});

const readers = new Set<HttpResponse>();
let count = Math.max(0, ...(await listFiles()).map((name) => parseInt(name)));

server.on("request", async (request, response) => {
  const route = `${request.getMethod()} ${request.server.request_uri}`;
  if (route === "GET /") {
    response.header("Content-Type", "text/html; charset=utf-8");
    response.end(PAGE);
  } else if (route === "GET /files/") {
    response.header("Content-Type", "text/html; charset=utf-8");
    response.end((await listFiles()).map((name) => `<li><a href="${name}">${name}</a></li>\n`).join(""));
  } else if (/^GET \/files\/\d+-[\w.-]*$/.test(route)) {
    // An uploaded file may be a page with a script. It must not run as part of this site: browsers save it, and show it nowhere.
    response.header("Content-Security-Policy", "sandbox; default-src 'none'");
    response.header("Content-Type", "application/octet-stream");
    response.header("Content-Disposition", "attachment");
    response.header("X-Content-Type-Options", "nosniff");
    if (await response.sendfile(join(root, route.slice("GET ".length)))) return;
    response.status(404);
    response.end("There is no such file\n");
  } else if (route === "GET /events") {
    response.header("Content-Type", "text/event-stream");
    response.header("Cache-Control", "no-store");
    response.write(": hello\n\n");
    response.detach(); // stays open after the handler returns
    readers.add(response);
  } else if (route === "POST /upload") {
    const files = request.files.files;
    for (const file of Array.isArray(files) ? files : []) {
      if (!(file instanceof UploadedFile) || file.error !== 0) continue;
      const name = nameFor(file);
      await file.moveTo(join(root, "files", name));
      tell({ href: `/files/${name}`, textContent: `${file.name}, ${file.size} bytes` });
    }
    response.redirect("/", 303);
  } else {
    response.status(404);
    response.end("There is no such page\n");
  }
});

server.on("close", (_server, fd) => {
  for (const reader of readers) if (reader.fd === fd) readers.delete(reader);
});

/**
 * Returns the name under which an upload is stored. The client chose its name, so it is reduced to characters that cannot form a
 * path, and numbered so that it overwrites no other file.
 */
function nameFor(file: UploadedFile): string {
  return `${++count}-${file.name.replace(/[^\w.-]+/g, "_").slice(-80)}`;
}

/** Sends an event to every page. A page that does not read misses it: its connection is closed, and the browser reconnects. */
function tell(link: { href: string; textContent: string }): void {
  for (const reader of readers) {
    if (reader.write(`data: ${JSON.stringify(link)}\n\n`)) continue;
    readers.delete(reader);
    reader.close();
  }
}

// Streams of events never end by themselves: the shutdown would wait for them, then cut them off.
server.on("beforeShutdown", () => {
  for (const reader of readers) reader.end();
});

await server.start().catch(giveUp);
console.log(`http://localhost:${server.port}/, with what is in ${root}`);

await server.finished; // after Ctrl+C
if (process.env.FOLDER === undefined) await rm(root, { recursive: true });
