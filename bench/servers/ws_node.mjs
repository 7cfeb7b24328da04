// The ws package, which is what a Node program uses, and one in Deno that wants compression.

import { createRequire } from "node:module";
import { wsOptions } from "./compression.mjs";
import { ready } from "./support.mjs";

const { WebSocketServer } = createRequire(new URL("../../tools/package.json", import.meta.url))("ws");

const options = { host: "127.0.0.1", port: 0, perMessageDeflate: wsOptions };
const server = new WebSocketServer(options, () => ready(server.address().port));
server.on("connection", (socket, request) => {
  if (request.url !== "/broadcast") socket.on("message", (data, binary) => socket.send(data, { binary }));
  else {
    socket.on("message", (data, binary) => {
      for (const one of server.clients) one.send(data, { binary });
    });
  }
});
