// A server with workers and task workers that does what its clients ask for: they see whether each process reaches each connection.

import process from "node:process";
import { SWOOLE_PROCESS, WebSocketServer } from "../../mod.ts";

const server = new WebSocketServer("127.0.0.1", 0, SWOOLE_PROCESS);
server.set({ worker_num: 3, task_worker_num: 2, max_wait_time: 1, ...JSON.parse(process.argv[2] ?? "{}") });
const say = (fd: number, what: object) => server.push(fd, JSON.stringify(what));

server.on("open", (server, { fd }) => {
  server.subscribe(fd, "all");
  say(fd, { hello: fd, worker: server.worker_id, pid: process.pid });
});
server.on("message", async (server, frame) => {
  const { fd } = frame;
  const { op, fds, count, id, data } = JSON.parse(frame.data as string);
  for (let n = 0; n < count; n++) {
    const from = { from: fd, n };
    if (op === "push") { for (const to of fds) if (!say(to, from)) say(fd, { failed: server.getLastError() }); }
    if (op === "publish") server.publish("all", JSON.stringify(from));
    if (op === "broadcast") server.broadcast(JSON.stringify(from));
    if (op === "prepared") {
      const message = server.prepare(JSON.stringify(from));
      for (const to of fds) server.push(to, message);
    }
    if (n % 7 === 0) await null;
  }
  if (op === "list") say(fd, { list: [...server.connections], count: server.subscriberCount("all") });
  if (op === "send") say(fd, { sent: server.sendMessage({ fd, data }, id), code: server.getLastError() });
  if (op === "task") server.task({ fd, data });
  if (op === "taskwait") say(fd, { waited: await server.taskwait({ fd, data }, 20), code: server.getLastError() });
  if (op === "reload") say(fd, { reloads: server.reload(true) });
  if (op === "die") process.kill(process.pid, "SIGKILL");
});
server.on("pipeMessage", (server, from, { fd, data }) => {
  if (server.worker_id === -1) server.sendMessage({ fd, data: `${data} by the master` }, from);
  else say(fd, { pipe: data, from, worker: server.worker_id });
});
server.on("task", async (server, id, from, { fd, data }) => {
  if (data === "slow") await new Promise((resolve) => setTimeout(resolve, 500));
  if (data === "die") process.kill(process.pid, "SIGKILL");
  say(fd, { task: id, at: server.worker_id, isTask: server.taskworker }); // a task worker reaches connections, too
  return { fd, result: `${data} from ${from}`, pid: process.pid };
});
server.on("finish", (_server, id, { fd, result }) => say(fd, { finished: id, result }));
server.on("error", (_server, error) => console.log(`error: ${(error as Error).message}`));
server.on("afterReload", () => console.log("reloaded"));
server.on("workerError", (_server, id) => console.log(`died: ${id}`));

await server.start();
console.log(`listens on ${server.port}`);
process.on(
  "SIGUSR2",
  () => console.log(`master: ${server.broadcast(JSON.stringify({ from: -1, n: 0 }))} ${server.connections.size}`),
);
