// A server made with the package ws, which echoes and takes orders. Prints its port, then each Close that it gets.

import { createRequire } from "node:module";

const { WebSocketServer } = createRequire(new URL("../../tools/package.json", import.meta.url))("ws");
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: { threshold: 0 } });

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
server.on("listening", () => console.log(server.address().port));
