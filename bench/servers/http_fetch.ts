// Sluice with an application of the fetch style.

import { fromFetch, HttpServer } from "../../mod.ts";
import { application } from "./http_app.ts";
import { ready } from "./support.mjs";

const server = new HttpServer("127.0.0.1", 0);
// A text of Bun's `Response` does not tell that it is one.
server.on("request", fromFetch(application({ headers: { "Content-Type": "text/plain" } })));
await server.start();
ready(server.port);
