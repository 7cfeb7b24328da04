/**
 * Plain HTTP: a place to leave files for others. Uploads go to disk while they arrive, files are sent from there piece by piece,
 * and server-sent events tell every open page what has come.
 *
 * Start it with `deno run -A examples/files.ts`, `bun run examples/files.ts` or `node examples/files.ts`, and open
 * http://localhost:9501/. `FOLDER` says where the files are; without it they are in a folder of their own that is temporary.
 *
 * @module
 */

import { mkdir, mkdtemp, readdir } from "node:fs/promises";
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

const server = new HttpServer(HOST, PORT);
server.set({
  http_parse_files: true,
  upload_max_filesize: 1024 * 1024 * 1024,
});

const readers = new Set<HttpResponse>();
let count = 0;

server.on("request", async (request, response) => {
  const route = `${request.getMethod()} ${request.server.request_uri}`;
  if (route === "GET /") {
    response.header("Content-Type", "text/html; charset=utf-8");
    response.end(PAGE);
  } else if (route === "GET /files/") {
    response.header("Content-Type", "text/html; charset=utf-8");
    const names = await readdir(join(root, "files")); // names as `nameFor()` makes them, which need no escapes
    response.end(names.map((name) => `<li><a href="${name}">${name}</a></li>\n`).join(""));
  } else if (/^GET \/files\/[\w-][\w.-]*$/.test(route)) {
    // Whoever has left a file may have left a page with a script: it is not to run as a part of this site.
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
    response.detach(); // it stays open behind this handler
    readers.add(response);
  } else if (route === "POST /upload") {
    const files = request.files.files;
    for (const file of Array.isArray(files) ? files : []) {
      if (!(file instanceof UploadedFile) || file.error !== 0) continue;
      const name = nameFor(file);
      await file.moveTo(join(root, "files", name));
      tell({ href: `/files/${name}`, textContent: `${file.name}, ${file.size} octets` });
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

/** The name is the client's. What is kept of it cannot be a path, nor be in another's way. */
function nameFor(file: UploadedFile): string {
  return `${++count}-${file.name.replace(/[^\w.-]+/g, "_").slice(-80)}`;
}

/** Sends an event to every page. One that does not read has missed it: its connection is closed, and it will come again. */
function tell(link: { href: string; textContent: string }): void {
  for (const reader of readers) {
    if (reader.write(`data: ${JSON.stringify(link)}\n\n`)) continue;
    readers.delete(reader);
    reader.close();
  }
}

await server.start().catch(giveUp);
console.log(`http://localhost:${server.port}/, with what is in ${root}`);
