/**
 * A chat on all cores: as many processes as there are processors, one server. What somebody says is heard in all of them.
 *
 * Start it with `deno run -A examples/workers.ts`, `bun run examples/workers.ts` or `node examples/workers.ts`. Then, in the console
 * of several browsers at http://localhost:9501/:
 * `ws = new WebSocket("/"); ws.onmessage = (event) => console.log(event.data)`, and `ws.send("hello")`.
 *
 * Kill a worker with `kill -9` and its number: its visitors are dropped, all others go on, and another worker takes its place.
 * `kill -USR1` and the number of the master starts all workers anew, with the program as it is then. Set `WORKERS` to have another
 * number of them.
 *
 * @module
 */

import { SWOOLE_PROCESS, WebSocketServer } from "../mod.ts";
import { giveUp, HOST, PORT, WORKERS } from "./environment.ts";

const server = new WebSocketServer(HOST, PORT, SWOOLE_PROCESS);
server.set({ worker_num: WORKERS });

server.on("request", (_request, response) => response.end(`This is worker ${server.worker_id}, process ${server.worker_pid}\n`));
server.on("open", (server, { fd }) => server.broadcast(`${fd} comes to worker ${server.worker_id}`));
server.on("message", (server, { fd, data }) => server.broadcast(`${fd} says ${data}`));
server.on("close", (server, fd) => server.broadcast(`${fd} goes`));
server.on("workerError", (server, id, pid) => server.broadcast(`worker ${id}, process ${pid}, has ended`));

await server.start().catch(giveUp);
console.log(`The chat is open at http://localhost:${server.port}/, its master is process ${server.master_pid}`);
