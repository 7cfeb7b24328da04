// A program that has to end by itself, started by exit_test.ts: `exit_program.ts <lane> <scene>`. It prints what it reaches.

import process from "node:process";
import { Server, WebSocketServer } from "../../mod.ts";
import { lanes, startOn } from "../support/lanes.ts";

const [lane, scene, port] = process.argv.slice(2);
const runtime = lanes.find(([name]) => name === lane)![1];

if (scene === "taken") {
  const server = new Server("127.0.0.1", Number(port));
  server.on("receive", () => {});
  try {
    await startOn(runtime, server);
    console.log("started");
  } catch (error) {
    console.log((error as { code?: string }).code);
  }
} else {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ websocket_close_timeout: 0.5 });
  server.on("message", (server) => void server.shutdown());
  server.on("request", (_request, response) => {
    response.detach(); // never answered
    server.shutdown();
  });
  await startOn(runtime, server);
  server.tick(3_600_000, () => {});
  server.after(3_600_000, () => {});
  console.log(server.port);
  if (scene === "alone") server.shutdown();
  await server.finished;
  console.log("finished");
}
