// A server with one worker and two task workers that gives tasks as its clients ask for, and responds with what comes of them.

import process from "node:process";
import { HttpServer, Task, TaskResult } from "../../mod.ts";

const server = new HttpServer("127.0.0.1", 0);
const settings = { worker_num: 1, task_worker_num: 2, max_wait_time: 5, ...JSON.parse(process.argv[2] ?? "{}") };
server.set(settings);
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const who = () => server.worker_id === -1 ? "master" : server.taskworker ? `task worker ${server.worker_id}` : "worker 0";
const print = (what: string) => console.log(`${who()}: ${what}`);

let began = () => {};
let release = () => {};
let isPrepared = false;
server.on("workerStart", async () => {
  await later(20);
  isPrepared = true;
  if (server.worker_id === 0) print(`early ${await server.taskwait({ what: "who" }, 20, 1)}`); // task workers start no later
  else print(`runs as ${process.pid}`);
});
server.on("workerStop", () => print("workerStop"));
server.on("workerError", (_server, ...rest) => void (typeof rest[0] === "number" && print(`workerError ${rest[0]}`)));
server.on("afterReload", () => print("afterReload"));
server.on("error", (_server, error) => print(`error ${(error as Error).message.replace(/process \d+/, "process")}`));
server.on("pipeMessage", (server) => {
  if (server.worker_id === -1) server.task({ what: "block" }, 0);
  else if (server.taskworker) release();
  else began();
});
server.on("finish", (_server, ...rest: unknown[]) => {
  const [first, second] = rest;
  print(
    first instanceof TaskResult
      ? `result ${first.task_id} of ${first.task_worker_id}: ${first.data}`
      : `finish ${first}: ${second}`,
  );
});
server.on("task", async (server, ...rest: unknown[]) => {
  if (!isPrepared) throw new Error("too early");
  const task = rest[0] instanceof Task ? rest[0] : undefined;
  const { what, n, ms } = task?.data ?? rest[2];
  if (what === "number") return n;
  if (what === "who") return `${server.worker_id} ${server.taskworker} from ${task?.worker_id ?? rest[1]}`;
  if (what === "die") process.kill(process.pid, "SIGKILL");
  if (what === "throw") throw new Error("thrown by the task");
  if (what === "large") return new Uint8Array(n);
  if (what === "by hand") return void (task?.finish("by hand") ?? server.finish("by hand"));
  if (what === "wait") await later(ms);
  if (what === "block") {
    server.sendMessage("began", 0);
    await new Promise<void>((resolve) => release = resolve);
  }
  return `${what} ${n}`;
});

/** Gives 10,000 tasks to one task worker, as many at a time as may be. Returns what is wrong with the results. */
async function many(): Promise<string> {
  let next = 0;
  let refused = 0;
  let last = 0;
  for (let n = 0; n < 10_000; n++) {
    const data = { what: "number", n };
    while (server.task(data, 0, (_server, _id, result) => result === next ? next++ : last = result) === false) {
      if (server.getLastError() !== 506) return `code ${server.getLastError()}`;
      refused++;
      await later(1);
    }
  }
  while (next < 10_000 && last === 0) await later(1);
  return `${next} in order, some refused: ${refused > 0}`;
}

async function respondTo(what: string): Promise<unknown> {
  const code = () => server.getLastError();
  switch (what) {
    case "many":
      return await many();
    case "die":
      return [await server.taskwait({ what }, 20, 0), code(), await server.taskwait({ what: "number", n: 7 }, 20, 0)];
    case "give and die":
      return server.task({ what: "die" }, 0);
    case "full": {
      const before = server.stats().tasking_num; // one that was late may still run
      const given = Array.from({ length: 65 }, () => server.task({ what: "wait", ms: 2 }, 1));
      return [
        given.indexOf(false),
        code(),
        server.task({ what: "wait", ms: 1 }, 0) !== false,
        server.stats().tasking_num - before,
      ];
    }
    case "late":
      return [await server.taskwait({ what: "wait", ms: 300 }, 0.05, 0), code(), await server.taskwait({ what: "who" }, 20, 0)];
    case "throw":
      return [await server.taskwait({ what }, 20), code()];
    case "large":
      return [
        (await server.taskwait({ what, n: 60_000 }, 20)).length,
        await server.taskwait({ what, n: 70_000 }, 20),
        code(),
        server.task({ what, n: new Uint8Array(70_000) }),
        code(),
      ];
    case "function":
      try {
        return server.task(() => {});
      } catch (error) {
        return (error as Error).name;
      }
    case "several": {
      const all = [{ what: "number", n: 1 }, { what: "throw" }, { what: "by hand" }];
      return [await server.taskCo(all, 20), await server.taskWaitMulti(all, 20), server.task(0, 2), code(), server.finish(1)];
    }
    case "idle": {
      const isBlocked = new Promise<void>((resolve) => began = resolve);
      server.sendMessage("block", -1);
      await isBlocked;
      const all = [];
      for (let i = 0; i < 5; i++) all.push(await server.taskwait({ what: "who" }, 20));
      server.sendMessage("go on", 1);
      return all;
    }
    case "flow": { // tasks all the time, while task workers are replaced
      const wrong: unknown[] = [];
      for (let n = 0; n < 200; n++) {
        const result = await server.taskwait({ what: "number", n }, 20);
        if (result !== n) wrong.push([n, result, code()]);
        await later(5);
      }
      return wrong;
    }
    case "reload":
      return server.reload(true);
    case "give":
      return server.task({ what: "wait", n: 1, ms: 400 });
  }
}

server.on("request", async (request, response) => {
  response.end(JSON.stringify(await respondTo(decodeURIComponent(request.server.path_info.slice(1)))));
});
await server.start();
print(`listens on ${server.port}, ${await server.taskwait({ what: "who" }, 20)}`);
await server.finished;
print(`finished: ${server.task({})} ${server.getLastError()}, ${server.sendMessage(1, 0)} ${server.getLastError()}`);
