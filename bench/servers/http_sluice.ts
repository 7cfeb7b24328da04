// Sluice's event style.

import { HttpServer } from "../../mod.ts";
import { body, echoes } from "./http_body.mjs";
import { ready } from "./support.mjs";

const server = new HttpServer("127.0.0.1", 0);
server.on("request", (request, response) => {
  response.header("Content-Type", "text/plain");
  response.end(echoes ? request.getContent() : body);
});
await server.start();
ready(server.port);
