// A server with workers that keeps topics in the memory of its master, and does for clients what they ask for.

import process from "node:process";
import { memoryBroker, SWOOLE_BASE, SWOOLE_PROCESS, WebSocketServer } from "../../mod.ts";

const server = new WebSocketServer("127.0.0.1", 0, process.argv[2] === "base" ? SWOOLE_BASE : SWOOLE_PROCESS);
server.set({
  worker_num: 4,
  max_wait_time: 0.5,
  reload_drain_time: 0.5,
  topic_slow_readers: { "room*": "gap" },
  topic_buffer_size: 64 * 1024,
  broker: memoryBroker({ kept: { "room*": { size: 100_000 }, "room short": { size: 50 } }, linger: 0.2, timeout: 1 }),
  topic_envelope: (text, { topic, offset, epoch }) => JSON.stringify({ topic, offset, epoch, text }),
});
server.on("open", (server, { fd }) => server.push(fd, JSON.stringify({ worker: server.worker_id, pid: process.pid })));
server.on("message", async (server, frame) => {
  const { fd } = frame;
  const { op, topic, text, since, id, count } = JSON.parse(frame.data as string);
  if (op === "begin") server.push(fd, JSON.stringify({ begun: topic, ...await server.subscribe(fd, topic, { since }) }));
  if (op === "subscribe") server.subscribe(fd, topic);
  if (op === "publish") server.publish(topic, text);
  if (op === "fill") { for (let n = 0; n < count; n++) server.publish(topic, `${n}`.padEnd(10_000)); }
  if (op === "append") {
    const { status } = await server.append(topic, text, { id });
    server.push(fd, JSON.stringify({ appended: id, status, isUp: server.stats().broker!.is_up }));
  }
  if (op === "reload") server.reload();
  if (op === "block") server.sendMessage("block", -1);
});
server.on("topicGap", (server, { topic, fds, reason, offset, epoch }) => {
  for (const fd of fds) server.push(fd, JSON.stringify({ topic, gap: reason, offset, epoch }));
});
server.on("pipeMessage", () => {
  const end = performance.now() + 4000;
  while (performance.now() < end);
});
server.on("afterReload", () => console.log("reloaded"));

await server.start();
console.log(`listens on ${server.port}`);
