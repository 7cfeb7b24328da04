/** The program under test: echo, and on `/broadcast` every message to all who are there. */

import { type Frame, type PreparedMessage, WebSocketServer } from "../../mod.ts";
import { compressionSettings } from "./compression.mjs";
import { ready } from "./support.mjs";

/**
 * Starts it.
 *
 * @param prepare Makes what all receivers of a message get; without it, each gets the data of the frame.
 */
export async function serve(prepare?: (server: WebSocketServer, frame: Frame) => PreparedMessage): Promise<void> {
  const room = new Set<number>();
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set(compressionSettings);
  server.on("open", (_server, request) => {
    if (request.server.request_uri === "/broadcast") room.add(request.fd);
  });
  server.on("close", (_server, fd) => room.delete(fd));
  server.on("message", (server, frame) => {
    if (room.size === 0) server.push(frame.fd, frame.data, frame.opcode);
    else if (prepare === undefined) { for (const fd of room) server.push(fd, frame.data, frame.opcode); }
    else {
      const message = prepare(server, frame);
      for (const fd of room) server.push(fd, message);
    }
  });
  await server.start();
  ready(server.port);
}
