// The server of tools/workers.mjs: its clients tell the workers what to send.

import { fileURLToPath } from "node:url";
import { SWOOLE_PROCESS, SWOOLE_SOCK_TCP, SWOOLE_SSL, WebSocketServer } from "../../mod.ts";

const server = new WebSocketServer("127.0.0.1", 0, SWOOLE_PROCESS);
server.set({
  worker_num: 4,
  max_wait_time: 3,
  reload_drain_time: 1,
  max_request: 0,
});

const path = (name: string) => fileURLToPath(new URL(`../../tests/tls/${name}.pem`, import.meta.url));
const secure = server.listen("127.0.0.1", 0, SWOOLE_SOCK_TCP | SWOOLE_SSL);
secure.set({ open_websocket_protocol: true, ssl_cert_file: path("cert"), ssl_key_file: path("key") });

server.on("open", (server, { fd }) => {
  server.subscribe(fd, `topic ${fd % 10}`);
  server.push(fd, `hello ${fd} ${server.worker_id} ${server.worker_pid}`);
});

server.on(
  "request",
  (_request, response) => response.end(`${server.worker_id} ${server.worker_pid}`),
);

// "push 25": 25 messages from number 0 on to each WebSocket; "broadcast 25"; "publish 25": 25 to each topic; "exist 257".
server.on("message", async (server, { fd, data }) => {
  const [what, given, first = 0] = String(data).split(" ");
  const who = server.worker_pid;
  const count = Number(given);
  let failed = 0;
  if (what === "count") {
    return server.push(
      fd,
      `count ${[...server.connections].filter((each) => server.isEstablished(each)).length}`,
    );
  }
  if (what === "exist") return server.push(fd, `exist ${server.exist(count)}`);
  const all = [...server.connections].filter((each) => server.isEstablished(each));
  for (let number = Number(first); number < Number(first) + count; number++) {
    if (what === "push") {
      for (
        const each of all
      ) if (!server.push(each, `push ${who} ${number}`)) failed++;
    }
    if (what === "broadcast") server.broadcast(`broadcast ${who} ${number}`);
    if (what === "publish") {
      for (let topic = 0; topic < 10; topic++) {
        server.publish(`topic ${topic}`, `publish-${topic} ${who} ${number}`);
      }
    }
    if (number % 5 === 4) {
      await new Promise((resolve) => setTimeout(resolve, 0)); // others have their turn
    }
  }
  server.push(fd, `done ${failed}`);
});

server.on("afterReload", () => console.log("reloaded"));
server.on("workerStart", (_server, id) => console.log(`worker ${id}`));
server.on(
  "workerError",
  (_server, id, pid) => console.log(`ended ${id} ${pid}`),
);

await server.start();
let ticks = 0;
server.tick(100, () => server.broadcast(`tick 0 ${ticks++}`)); // by the master
console.log(`port ${server.port} ${secure.port} ${server.master_pid}`);
