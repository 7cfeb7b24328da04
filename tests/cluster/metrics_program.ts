// A server with workers, of either style, with the pages of metrics and health on its port and on an address of their own.

import process from "node:process";
import { WebSocketServer } from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";

const [style, settings] = process.argv.slice(2);
const server = style === "coroutine" ? new CoroutineServer("127.0.0.1") : new WebSocketServer("127.0.0.1", 0);
server.set({
  worker_num: 3,
  max_wait_time: 1,
  reload_drain_time: 0.2,
  log_file: "/dev/null",
  admin_server: "127.0.0.1:0",
  metrics_path: "/metrics",
  readyz_path: "/readyz",
  livez_path: "/livez",
  ...JSON.parse(settings ?? "{}"),
});

/** Does what a client asks for. */
function obey(path: string): string {
  if (path === "/die") process.kill(process.pid, "SIGKILL");
  if (path === "/metrics-here") return server.metrics();
  return `${server.worker_id} ${process.pid}`;
}

if (server instanceof WebSocketServer) {
  server.on("message", (server, frame) => server.push(frame.fd, frame));
  server.on("request", (request, response) => response.end(obey(request.server.path_info)));
} else {
  server.handle("/ws", async (_request, ws) => {
    await ws.upgrade();
    for await (const message of ws) await ws.push(message);
  });
  server.handle("/", (request, response) => response.end(obey(request.server.path_info)));
}
// deno-lint-ignore no-explicit-any
const on = server.on.bind(server) as (event: string, handler: (...args: any[]) => unknown) => void;
on("workerError", () => console.log("died"));
on("afterReload", () => console.log("reloaded"));
if (style === "dying") on("workerStart", (_server, id) => void (id === 1 && setTimeout(() => process.exit(1), 100)));
process.on("SIGHUP", () => server.reload()); // Deno opens its debugger when it gets SIGUSR1
await server.start();
console.log(`listens on ${server.port} and ${server.admin_port}`);
