// A program that starts itself again, for workers_test.ts: `workers_program.ts <scene> …`. It prints what it sees.

import { readdirSync, readlinkSync } from "node:fs";
import net from "node:net";
import process from "node:process";
import "../../adapters/auto.ts";
import { loadRuntime } from "../../src/transport/current_runtime.ts";
import { type ChildProcess, type ProcessMessage, type SocketHandle, workerIdentity } from "../../src/transport/processes.ts";

const identity = workerIdentity(); // known before anything is awaited
const scene = process.argv[2];
const { processes } = await loadRuntime();
const never = new Promise<never>(() => {});

/** What a process sees of how it was started. */
const situation = () => ({
  role: identity?.role,
  variable: process.env.SLUICE_WORKER, // nobody but Sluice finds it
  args: process.argv.slice(3),
  folder: process.cwd(),
  greeting: process.env.GREETING,
});

/** The next message of a child. */
function answer(child: ChildProcess): Promise<ProcessMessage> {
  return new Promise((resolve) => child.onMessage(resolve));
}

const asWorker: Record<string, () => void | Promise<void>> = {
  async situation() {
    await identity!.parent.send({ type: "situation", ...situation() });
  },
  async late() {
    await new Promise((resolve) => setTimeout(resolve, 100));
    identity!.parent.onMessage(({ number }) => {
      console.log(number);
      if (number === 3) process.exit();
    });
  },
  exit() {
    process.exit(Number(identity!.role));
  },
  shown() {
    console.log(JSON.stringify(process.execArgv));
  },
  allowed() {
    const { Deno } = globalThis as unknown as { Deno: { permissions: { querySync(what: object): { state: string } } } };
    const names = ["env", "ffi", "import", "net", "read", "run", "sys", "write"];
    console.log(names.filter((name) => Deno.permissions.querySync({ name }).state === "granted").join());
  },
  async idle() {
    setInterval(() => {}, 1000);
    await identity!.parent.send({ type: "ready" });
  },
  async watching() {
    setInterval(() => {}, 1000);
    identity!.parent.onDisconnect(() => process.exit(7));
    await identity!.parent.send({ type: "ready" });
  },
  async talking() {
    setInterval(() => {}, 1000);
    identity!.parent.onDisconnect(() => process.exit(7));
    await identity!.parent.send({ type: "ready" });
    setTimeout(() => identity!.parent.send({ type: "unread" }), 100);
  },
  async blocked() {
    setInterval(() => {}, 1000);
    identity!.parent.onDisconnect(() => process.exit(7));
    await identity!.parent.send({ type: "ready" });
    for (const end = Date.now() + 1500; Date.now() < end;); // a loop that blocks
  },
  async own() {
    process.on("message", (message) => process.send!({ answered: message })); // a program that uses the channel itself
    identity!.parent.onMessage((message) => identity!.parent.send({ type: "echo", number: message.number }));
    await never;
  },
  quiet: () => {},
};

function isSocket(descriptor: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith("socket:");
  } catch {
    return false; // it is that of the list itself, or has been closed just now
  }
}

const asMaster: Record<string, () => Promise<void>> = {
  async situation() {
    process.chdir("/"); // workers start where the program was started
    process.env.GREETING = "hello";
    const child = await processes!.start({ role: 'a "role", ünïcode 🚰' });
    console.log(JSON.stringify(await answer(child)));
    console.log(JSON.stringify(situation()));
    console.log(JSON.stringify(await child.exited));
  },
  async options() {
    const child = await processes!.start({ role: "x", execArgv: process.argv.slice(3) });
    console.log(JSON.stringify(await child.exited));
  },
  async late() {
    const child = await processes!.start({ role: "late" });
    for (const number of [1, 2, 3]) child.send({ type: "n", number });
    console.log(JSON.stringify(await child.exited));
  },
  async exit() {
    const codes = await Promise.all(
      [0, 3, 255].map(async (code) => (await processes!.start({ role: `${code}` })).exited),
    );
    console.log(JSON.stringify(codes));
  },
  async idle() {
    const child = await processes!.start({ role: "idle" });
    let lost = false;
    child.onDisconnect(() => lost = true);
    await answer(child);
    const kills = [child.kill("SIGTERM"), child.kill("SIGKILL")]; // twice: the first one has not ended it yet
    console.log(JSON.stringify([...kills, await child.exited]));
    while (!lost) await new Promise((resolve) => setTimeout(resolve, 5));
    const late = await new Promise<string>((resolve) => child.onDisconnect(() => resolve("gone")));
    console.log(JSON.stringify([late, child.kill("SIGTERM"), await child.send({ type: "x" })]));
  },
  async own() {
    const child = await processes!.start({ role: "own" });
    const echo = answer(child);
    child.send({ type: "x", number: 5 });
    console.log(JSON.stringify(await echo));
    child.kill("SIGKILL");
    await child.exited;
  },
  async shown() {
    await (await processes!.start({ role: "shown" })).exited;
  },
  async allowed() {
    await (await processes!.start({ role: "allowed" })).exited;
  },
  async "options allowed"() {
    await (await processes!.start({ role: "allowed", execArgv: process.argv.slice(3) })).exited;
  },
  async stops() {
    const children = await Promise.all(process.argv[3].split(",").map((role) => processes!.start({ role })));
    await Promise.all(children.map(answer));
    console.log(children.map(({ pid }) => pid).join());
    for (const end = Date.now() + 1500; Date.now() < end;); // nothing is read any more
    process.kill(process.pid, "SIGKILL");
  },
  async "unread socket"() {
    const child = await processes!.start({ role: "blocked" });
    let lost = false;
    child.onDisconnect(() => lost = true);
    await answer(child);
    const sent = [1, 2, 3].map((number) => child.send({ type: "n", number }));
    const place = { transport: "tcp", hostname: "127.0.0.1", port: 0, backlog: 1 } as const;
    const socket = await new Promise<SocketHandle>((resolve) => {
      processes!.acceptSockets(place, resolve, console.log).then(({ address }) => {
        net.connect(address.port, address.hostname).on("error", () => {}).on("close", () => {});
      });
    });
    sent.push(child.send({ type: "socket" }, socket));
    child.kill("SIGKILL");
    await child.exited;
    await Promise.all(sent);
    while (!lost) await new Promise((resolve) => setTimeout(resolve, 5));
    console.log(JSON.stringify([lost, await child.send({ type: "x" })]));
    process.exit();
  },
  async quiet() {
    const child = await processes!.start({ role: "quiet" });
    console.log(JSON.stringify(await child.exited));
  },
  async unread() {
    const open = () => readdirSync("/proc/self/fd").filter(isSocket).length; // runtimes open files of their caches later
    let first = Infinity;
    for (let count = 0; count < 3; count++) {
      const child = await processes!.start({ role: "idle" });
      const gone = new Promise<void>((resolve) => child.onDisconnect(resolve));
      await answer(child);
      process.kill(child.pid, "SIGSTOP");
      const sent = child.send({ type: "x", text: "x".repeat(1e6) }); // more than the system takes
      child.kill("SIGKILL");
      await Promise.all([child.exited, gone, sent]);
      while (open() > first) await new Promise((resolve) => setTimeout(resolve, 5));
      if (count > 0) continue;
      await new Promise((resolve) => setTimeout(resolve, 2000)); // what the runtime keeps for all processes is open by then
      first = open();
    }
    console.log("closed");
  },
  async starts() {
    const children = await Promise.all(process.argv[3].split(",").map((role) => processes!.start({ role })));
    await Promise.all(children.map(answer));
    console.log(children.map(({ pid }) => pid).join());
    await never;
  },
};

const timer = setInterval(() => {}, 1000); // a promise alone does not keep a program alive
try {
  if (identity === undefined) await asMaster[scene]();
  else await (asWorker[scene] ?? asWorker[identity.role] ?? asWorker.quiet)();
} catch (error) {
  console.log((error as Error).message);
}
clearInterval(timer);
