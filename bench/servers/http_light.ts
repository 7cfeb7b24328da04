// Sluice with an application of the fetch style that makes light responses.

import { fromFetch, HttpServer, LightResponse } from "../../mod.ts";
import { body, echoes } from "./http_body.mjs";
import { ready } from "./support.mjs";

const init = { headers: { "Content-Type": "text/plain" } };
const server = new HttpServer("127.0.0.1", 0);
server.on(
  "request",
  fromFetch(echoes ? async (request) => new LightResponse(await request.text(), init) : () => new LightResponse(body, init)),
);
await server.start();
ready(server.port);
