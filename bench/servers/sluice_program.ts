/** The program under test: echo, and on `/broadcast` every message to all who are there. */

import { WebSocketServer } from "../../mod.ts";
import { compressionSettings } from "./compression.mjs";
import { ready } from "./support.mjs";

/** Starts it. */
export async function serve(): Promise<void> {
  const room = new Set<number>();
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set(compressionSettings);
  server.on("open", (_server, request) => {
    if (request.server.request_uri === "/broadcast") room.add(request.fd);
  });
  server.on("close", (_server, fd) => room.delete(fd));
  server.on("message", (server, frame) => {
    if (room.size === 0) server.push(frame.fd, frame.data, frame.opcode);
    else for (const fd of room) server.push(fd, frame.data, frame.opcode);
  });
  await server.start();
  ready(server.port);
}
