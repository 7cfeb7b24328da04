// The server of the test of large bodies. Every answer tells, in one way or another, how much memory it took.

import process from "node:process";
import { HttpServer } from "../../mod.ts";
import { known } from "../support/known_fields.ts";
import { ResidentMemory } from "../support/resident_memory.ts";

const [folder, large] = process.argv.slice(2);
let memory = new ResidentMemory();

const server = new HttpServer("127.0.0.1", 0);
server.set({
  http_stream_body: true,
  http_parse_files: true,
  upload_tmp_dir: folder,
  upload_max_filesize: 2 ** 30,
  package_max_length: 64 * 1024,
});
server.on("request", async (request, response) => {
  const path = request.server.path_info;
  if (path === "/begin") {
    memory.end();
    memory = new ResidentMemory();
    response.end();
  } else if (path === "/memory") {
    response.end(String(memory.end()));
  } else if (path === "/file") {
    await response.sendfile(large);
  } else if (path === "/form") {
    const { file } = known(request.files);
    const some = [0, file.size / 2, file.size - 16].map((at) => file.slice(at, at + 16).text());
    response.end(JSON.stringify([file.size, file.error, file.tmp_name.startsWith(folder), ...await Promise.all(some)]));
  } else {
    let size = 0;
    for await (const piece of request.body) size += piece.length;
    response.end(String(size));
  }
});
await server.start();
console.log(server.port);
