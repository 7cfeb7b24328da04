// node:http: Node's own server, which Deno and Bun have too.

import { createServer } from "node:http";
import { body, echoes } from "./http_body.mjs";
import { ready } from "./support.mjs";

function hello(_request, response) {
  response.setHeader("Content-Type", "text/plain");
  response.end(body);
}

function echo(request, response) {
  let text = "";
  request.setEncoding("utf8");
  request.on("data", (piece) => text += piece);
  request.on("end", () => {
    response.setHeader("Content-Type", "text/plain");
    response.end(text);
  });
}

const server = createServer(echoes ? echo : hello);
server.listen(0, "127.0.0.1", () => ready(server.address().port));
