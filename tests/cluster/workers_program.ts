// A server with workers. Its arguments say how; it prints a line for each thing that happens in one of its processes.

import { existsSync } from "node:fs";
import process from "node:process";
import { SWOOLE_BASE, SWOOLE_PROCESS, SWOOLE_SSL, WebSocketServer } from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";

const [style, settings, ...does] = process.argv.slice(2);
const host = does.find((one) => one.startsWith("unix:"));
const port = Number(does.find((one) => one.startsWith("port="))?.slice(5) ?? 0);
const server = style === "coroutines" ? new CoroutineServer(host ?? "127.0.0.1", port) : new WebSocketServer(
  host?.slice(5) ?? "127.0.0.1",
  port,
  does.includes("base") ? SWOOLE_BASE : SWOOLE_PROCESS,
  (host === undefined ? 1 : 5) | (does.includes("tls") ? SWOOLE_SSL : 0),
);

const who = server.worker_id === -1 ? "master" : `worker ${server.worker_id}`;
const print = (what: string) => console.log(`${who}: ${what}`);
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

print(`runs as ${process.pid}`);
if (does.includes("crash") && who !== "master") process.exit(7);
if (does.includes("crash-1") && who === "worker 1") process.exit(7);
if (does.includes("hang") && who !== "master") await new Promise((resolve) => setTimeout(resolve, 1e6));

server.set({ worker_num: 2, reload_drain_time: 0.2, max_wait_time: 0.5, ...JSON.parse(settings ?? "{}") });
// deno-lint-ignore no-explicit-any
const on = server.on.bind(server) as (event: string, handler: (...args: any[]) => unknown) => void;
on("workerStart", async (_server, id) => {
  await later(50);
  const held = `${process.env.TMPDIR}/held-${id}`;
  if (existsSync(held)) print(`is held ${id}`);
  while (existsSync(held)) await later(20);
  if (existsSync(`${process.env.TMPDIR}/broken-${id}`)) throw new Error("there is no database");
  print(`workerStart ${id} ${process.pid}`);
});
on("workerStop", async (_server, id) => {
  await later(50);
  print(`workerStop ${id}`);
});
on("workerExit", (_server, id) => print(`workerExit ${id}`));
on("workerError", (_server, ...rest) => print(`workerError ${JSON.stringify(rest)}`));
on("beforeReload", () => {
  print("beforeReload");
  if (does.includes("never-reloads")) return new Promise(() => {});
});
on("afterReload", () => print("afterReload"));

function fail(): never {
  throw new Error("outside of handlers");
}

/** Does what a client asks for. */
function obey(path: string): string {
  if (path === "/reload") return String(server.reload());
  if (path.startsWith("/stop/")) return String(server.stop(Number(path.slice(6))));
  if (path === "/stop") return String(server.stop());
  if (path === "/shutdown") return String(server.shutdown());
  if (path === "/block") { for (const end = Date.now() + 3000; Date.now() < end;); }
  if (path === "/hang") {
    print("hangs");
    const sleep = new Int32Array(new SharedArrayBuffer(4));
    while (!existsSync(`${process.env.TMPDIR}/go-on`)) Atomics.wait(sleep, 0, 0, 10);
  }
  if (path === "/throw") setTimeout(() => fail(), 0);
  if (path === "/reject") setTimeout(() => void Promise.reject(new Error("outside of handlers")), 0);
  if (path === "/crash") setTimeout(() => process.exit(5), 0);
  return `${server.worker_id} ${server.worker_pid} ${server.master_pid}`;
}

if (server instanceof WebSocketServer) {
  for (const event of ["start", "managerStart", "managerStop", "beforeShutdown", "shutdown"] as const) {
    server.on(event, () => print(event));
  }
  server.on("open", (server, request) => server.push(request.fd, `fd ${request.fd} ${server.worker_id}`));
  server.on("message", (server, frame) => server.push(frame.fd, frame.data));
  server.on("request", async (request, response) => {
    const { path_info } = request.server;
    if (path_info === "/certificates") return response.end(`${await server.reloadCertificates()} ${server.getLastError()}`);
    response.end(obey(path_info));
  });
} else {
  server.handle("/ws", async (request, ws) => {
    await ws.upgrade();
    await ws.push(`fd ${request.fd} ${server.worker_id}`);
    for await (const frame of ws) await ws.push(frame);
  });
  server.handle("/", (request, response) => response.end(obey(request.server.path_info)));
}

try {
  await server.start();
} catch (error) {
  print(`cannot start: ${(error as Error).message}`);
  process.exit(3);
}
print(`listens on ${server.port} with ${server.master_pid}`);
if (does.includes("second")) {
  const second = new CoroutineServer("127.0.0.1");
  second.set({ worker_num: 2 });
  await second.start().catch((error) => print(`second: ${error.message}`));
  const third = new CoroutineServer("127.0.0.1");
  await third.start();
  third.shutdown();
  await third.finished;
  print("third: stopped");
}
await server.finished;
print("finished");
if (does.includes("again")) {
  await server.start();
  print(`listens on ${server.port} with ${server.master_pid}`);
  await server.finished;
  print("finished again");
}
