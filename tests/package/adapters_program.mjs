// An application that names its adapter, and makes a connection by itself.

import { HttpServer, setRuntime } from "@sluice/server";
import { runtime } from "@sluice/server/node";

setRuntime(runtime);
const server = new HttpServer("127.0.0.1", 0);
server.on("request", (_request, response) => response.end("by hand"));
await server.start();
console.log(`${runtime.name}: ${await (await fetch(`http://127.0.0.1:${server.port}/`)).text()}`);
server.shutdown();
await server.finished;
