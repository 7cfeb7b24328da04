// The same with Socket.IO and its adapter over streams of Redis.

import { createServer } from "node:http";
import process from "node:process";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.PACKAGES, "package.json"));
const { Server } = require("socket.io");
const { createAdapter } = require("@socket.io/redis-streams-adapter");
const { createClient } = require("redis");

const client = createClient({ url: process.env.REDIS });
await client.connect();
const http = createServer();
const io = new Server(http, { adapter: createAdapter(client), transports: ["websocket"], perMessageDeflate: false });
io.on("connection", (socket) => {
  const { topic } = socket.handshake.query;
  socket.join(topic);
  socket.on("say", (text) => io.to(topic).emit("said", text));
  socket.emit("said", "subscribed");
});
http.listen(0, "127.0.0.1", () => console.log(http.address().port));
