// A server of the contract tests, as a process of its own or with several workers: it does for clients what they say.

import process from "node:process";
import { SWOOLE_PROCESS, WebSocketServer } from "../../mod.ts";
import { type BrokerName, makeBroker } from "./stage.ts";

const { BROKER, BROKER_URL } = process.env;
const isWorkers = BROKER === "workers";
const server = new WebSocketServer("127.0.0.1", 0, SWOOLE_PROCESS);
server.set({
  worker_num: isWorkers ? 3 : 1,
  presence_grace: 0.2,
  // On a busy machine, Redis may take longer than it usually has.
  broker: makeBroker(BROKER as BrokerName, BROKER_URL ?? "", {
    timeout: 30,
    probeInterval: 60,
    lease: 4,
    kept: { "room*": { size: 10_000 } },
  }),
  topic_envelope: (text, { topic, offset }) => `${topic}|${offset}|${text}`,
});
server.on("message", async (server, { fd, data }) => {
  const [work, topic, text] = (data as string).split("|");
  if (work === "who") server.push(fd, `pid|${process.pid}`);
  else if (work === "show") {
    server.subscribe(fd, topic);
    server.show(fd, topic, text);
  } else if (work === "members") server.push(fd, `members|${server.members(topic).members.map(({ key }) => key).join()}`);
  else if (work === "subscribe") server.push(fd, `begun|${JSON.stringify(await server.subscribe(fd, topic, {}))}`);
  else if (topic.startsWith("room")) server.push(fd, `appended|${(await server.append(topic, text)).status}`);
  else server.publish(topic, `${topic}|0|${text}`);
});
server.on("presence", (server, { fds, left }) => {
  for (const fd of fds) for (const { key } of left) server.push(fd, `left|${key}`);
});
await server.start();
console.log(server.port);
