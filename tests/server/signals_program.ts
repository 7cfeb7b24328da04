// A program that signals are sent to. Its arguments say what it does; it prints a line for each thing that happens.

import process from "node:process";
import { HttpServer, WebSocketServer } from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";

const [style, ...does] = process.argv.slice(2);
const print = (line: string) => console.log(line);
const settings = { max_wait_time: does.includes("brief") ? 0.2 : 30, enable_signal_handlers: !does.includes("off") };

if (does.includes("own")) process.once("SIGTERM", () => print("own"));
if (does.includes("interval")) setInterval(() => {}, 3_600_000);

const slowly = async () => {
  print("called");
  if (does.includes("stuck")) await new Promise(() => {});
  await new Promise((resolve) => setTimeout(resolve, 50));
  print("settled");
};

let server: HttpServer | CoroutineServer;
if (style === "coroutines") {
  server = new CoroutineServer("127.0.0.1", 0);
  server.handle("/slow", async (_request, response) => {
    response.end("at once");
    await slowly();
  });
  server.handle("/", async (_request, ws) => {
    await ws.upgrade();
    for await (const _frame of ws);
    print("closed");
  });
} else {
  const events = server = new WebSocketServer("127.0.0.1", 0);
  events.on("message", () => {});
  events.on("close", () => print("closed"));
  events.on("disconnect", () => {});
  events.on("request", (_request, response) => {
    response.end("at once");
    return slowly();
  });
}
server.set(settings);
await server.start();

if (does.includes("two")) {
  const second = new HttpServer("127.0.0.1", 0);
  second.set(settings);
  second.on("request", () => {});
  second.on("shutdown", () => print("second"));
  await second.start();
}

print(`${server.port} ${process.pid}`);
if (does.includes("stop")) {
  server.shutdown();
  await server.finished;
  print("stopped");
} else if (!does.includes("deaf")) {
  await server.finished;
  print("finished");
  if (does.includes("code")) process.exitCode = 7;
}
