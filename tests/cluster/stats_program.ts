// A server with workers that tells its counters, and logs an error for each request that asks for one.

import process from "node:process";
import { HttpServer } from "../../mod.ts";

const server = new HttpServer("127.0.0.1", 0);
server.set({ worker_num: 3, max_wait_time: 1, ...JSON.parse(process.argv[2] ?? "{}") });
server.on("request", ({ server: { path_info } }, response) => {
  if (path_info === "/die") process.kill(process.pid, "SIGKILL");
  response.end(JSON.stringify(path_info === "/stats" ? server.stats() : { worker: server.worker_id }));
  if (path_info === "/warn") throw new Error("An error with a long text: " + "x".repeat(3000));
});
let hasDied = false;
server.on("workerError", () => void (hasDied = true));
await server.start();
console.log(`listens on ${server.port} and ${server.admin_port}`);
server.tick(50, () => {
  if (!hasDied || Array.from({ length: 3 }, (_, id) => server.getWorkerPid(id)).includes(0)) return;
  hasDied = false;
  console.log("replaced");
});
