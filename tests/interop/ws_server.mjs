// Servers made with the package ws, which echo and take orders. Each argument is the options of one, as JSON. Prints their ports,
// then each Close that they get.

import { createRequire } from "node:module";
import { once } from "node:events";

const { WebSocketServer } = createRequire(new URL("../../tools/package.json", import.meta.url))("ws");
const [, , options = "{}", ...more] = process.argv;

for (const json of [options, ...more]) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: { threshold: 0, ...JSON.parse(json) } });
  server.on("connection", (socket) => {
    socket.on("message", (data, isBinary) => {
      const text = isBinary || data.length > 100 ? "" : data.toString();
      const [order, code, ...reason] = text.split(" ");
      if (order === "disconnect") socket.close(Number(code), reason.join(" "));
      else if (order === "ping") socket.ping(code);
      else if (order === "drop") socket.terminate();
      else socket.send(data, { binary: isBinary });
    });
    socket.on("pong", (payload) => socket.send(`pong ${payload}`));
    socket.on("close", (code, reason) => console.log(`${code} ${reason}`));
  });
  await once(server, "listening");
  console.log(server.address().port);
}
