// The ws package, which is what a Node program uses.

import { createRequire } from "node:module";
import { ready } from "./support.mjs";

const { WebSocketServer } = createRequire(new URL("../../tools/package.json", import.meta.url))("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false }, () => ready(server.address().port));
server.on("connection", (socket, request) => {
  if (request.url !== "/broadcast") socket.on("message", (data, binary) => socket.send(data, { binary }));
  else {
    socket.on("message", (data, binary) => {
      for (const one of server.clients) one.send(data, { binary });
    });
  }
});
