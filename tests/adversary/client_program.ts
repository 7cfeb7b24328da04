// Our client in a separate process, so that its memory can be measured. Its argument is JSON with the lane and the port of each
// misbehaving server. Prints each outcome, and finally the growth of its memory.

import process from "node:process";
import { setRuntime } from "../../mod.ts";
import { HttpClient } from "../../src/coroutine/mod.ts";
import { lanes } from "../support/lanes.ts";
import { MISBEHAVIOURS } from "./client_floods.ts";

const { lane, ports, warm }: { lane: string; ports: Record<string, number>; warm: number } = JSON.parse(process.argv[2]);
process.on("unhandledRejection", (error) => console.log(JSON.stringify({ fault: String((error as Error)?.stack ?? error) })));
process.on("uncaughtException", (error) => console.log(JSON.stringify({ fault: String(error.stack) })));
setRuntime(lanes.find(([name]) => name === lane)![1]);

// Load everything before measuring.
const first = new HttpClient("127.0.0.1", warm);
await first.get("/");
first.close();

const before = process.memoryUsage().rss;
let most = before;
const timer = setInterval(() => most = Math.max(most, process.memoryUsage().rss), 20);
await Promise.all(
  Object.entries(ports).map(async ([name, port]) => {
    const { settings = {}, ask } = MISBEHAVIOURS.find((it) => it.name === name)!;
    const client = new HttpClient("127.0.0.1", port);
    client.set({ read_timeout: 60, ...settings });
    const told = await ask(client).catch((error) => String(error.stack));
    console.log(JSON.stringify({ name, told }));
    client.close();
  }),
);
clearInterval(timer);
console.log(JSON.stringify({ grown: most - before }));
