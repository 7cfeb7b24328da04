// A server that does little, so that only its connections use descriptors: Deno does not survive a failure to get one for itself.
// Prints its port.

import { HttpServer } from "../../mod.ts";

const server = new HttpServer("127.0.0.1", 0);
server.on("request", (_request, response) => response.end("small"));
await server.start();
console.log(server.port);
