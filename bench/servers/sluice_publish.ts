// Sluice with topics: what is sent to many is published.

import { WebSocketServer } from "../../mod.ts";
import { compressionSettings } from "./compression.mjs";
import { ready } from "./support.mjs";

const server = new WebSocketServer("127.0.0.1", 0);
server.set(compressionSettings);
server.on("open", (server, request) => {
  if (request.server.request_uri === "/broadcast") server.subscribe(request.fd, "room");
});
server.on("message", (server, frame) => server.publish("room", frame.data, { opcode: frame.opcode }));
await server.start();
ready(server.port);
