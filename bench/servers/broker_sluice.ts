// A server of bench/brokers.mjs: what a client says in a room goes to everybody in it, over Redis or among its workers.

import { createClient } from "redis";
import { redisBroker } from "../../adapters/redis.ts";
import { memoryBroker, SWOOLE_PROCESS, WebSocketServer } from "../../mod.ts";

const { process } = globalThis as unknown as {
  process: { env: Record<string, string>; cpuUsage(): { user: number; system: number } };
};
const server = new WebSocketServer("127.0.0.1", 0, SWOOLE_PROCESS);
const { REDIS, WORKERS = "1" } = process.env;
const kept = { "kept*": { size: 10_000 } };
const broker = REDIS !== ""
  ? redisBroker(createClient({ url: REDIS, ...redisBroker.options }), { kept })
  : WORKERS === "1"
  ? null
  : memoryBroker({ kept });
server.set({
  worker_num: Number(WORKERS),
  broker,
  websocket_compression: false,
  topic_envelope: (text, { offset, epoch }) => `${offset} ${epoch} ${text}`,
});
server.on("open", async (server, { fd, get: { topic, offset, epoch } }) => {
  const since = typeof epoch === "string" ? { offset: Number(offset), epoch } : undefined;
  const { status } = await server.subscribe(fd, topic as string, { since });
  server.push(fd, `${status} ${server.worker_id}`);
});
server.on("message", (server, frame) => {
  const [topic] = server.topics(frame.fd);
  server.publish(topic, frame);
});
server.on("request", (_request, response) => {
  const { user, system } = process.cpuUsage();
  response.end(JSON.stringify({ cpu: (user + system) / 1e6, ...server.stats().broker }));
});
await server.start();
console.log(server.port);
