// A server that does little, so that nothing but its connections takes descriptors: Deno does not survive it if it wants one for
// itself and there is none. Prints its port.

import { HttpServer } from "../../mod.ts";

const server = new HttpServer("127.0.0.1", 0);
server.on("request", (_request, response) => response.end("small"));
await server.start();
console.log(server.port);
