// The load of the soak. The argument is the plan, as JSON. Prints a line of JSON each time that something is asked for on standard
// input ("figures", "leave"), and ends when its input ends.

import http from "node:http";
import process from "node:process";
import { createInterface } from "node:readline";
import { Client, frame } from "./client.mjs";

const plan = JSON.parse(process.argv[2]);
const counts = {
  echoes: 0,
  broadcasts: 0,
  joins: 0,
  parts: 0,
  requests: 0,
  pings: 0,
  silentDropped: 0,
  silent: 0,
};
const problems = [];
let problemCount = 0;
const problem = (what) => {
  problemCount++;
  if (problems.length < 20) problems.push(what);
};
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
let seed = plan.seed ?? 1;
const random = () => (seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff) / 0x7fffffff;

let stopping = false;
const staying = new Set();

/** Sees to it that broadcasts come in order, without gaps. Gives whether it was one. */
function watchBroadcasts(name) {
  let next = -1;
  return (payload) => {
    if (
      payload[0] !== 98 || payload.toString("latin1", 0, 10) !== "broadcast "
    ) return false; // b
    const number = Number(
      payload.toString("latin1", 10, payload.indexOf(32, 10)),
    );
    if (next >= 0 && number !== next) {
      problem(`${name}: broadcast ${number} instead of ${next}`);
    }
    next = number + 1;
    counts.broadcasts++;
    return true;
  };
}

/** A connection that has to stay until the end. */
async function join(name) {
  const client = new Client(plan.port);
  client.onEnd = (why) => {
    if (!stopping && !client.leaving) problem(`${name} was dropped: ${why}`);
    staying.delete(client);
  };
  staying.add(client);
  if (!await client.opened) problem(`${name} did not get in: ${client.why}`);
  return client;
}

/** Many at a time, but not all at once. */
async function joinMany(count, name, then) {
  for (let done = 0; done < count; done += 100) {
    await Promise.all(
      Array.from({ length: Math.min(100, count - done) }, async () => then(await join(name))),
    );
  }
}

function beIdle(client) {
  const isBroadcast = watchBroadcasts("an idle connection");
  client.onMessage = (payload) => {
    if (!isBroadcast(payload)) {
      problem(`an idle connection got ${payload.toString("latin1", 0, 40)}`);
    }
  };
}

const PADDING = "y".repeat(65_536);

function beBusy(client) {
  const isBroadcast = watchBroadcasts("a busy connection");
  const sent = [];
  let number = 0;
  client.onMessage = (payload) => {
    if (isBroadcast(payload)) return;
    const wanted = sent.shift();
    if (payload.toString("latin1") !== wanted) {
      problem(
        `a busy connection got ${payload.toString("latin1", 0, 30)} instead of ${wanted?.slice(0, 30)}`,
      );
    }
    counts.echoes++;
  };
  const speak = () => {
    if (stopping) return;
    const size = random() < 0.01 ? 65_536 : Math.floor(random() * 1000);
    const text = `echo ${number++} ${PADDING.slice(0, size)}`;
    sent.push(text);
    client.send(text);
    setTimeout(speak, 100 + random() * 200);
  };
  client.isOwed = () => sent.length;
  speak();
}

function beSlow(client) {
  const isBroadcast = watchBroadcasts("a slow reader");
  let next = 0;
  let owed = 0;
  client.onMessage = (payload) => {
    if (isBroadcast(payload)) return;
    const number = Number(
      payload.toString("latin1", 5, payload.indexOf(32, 5)),
    );
    if (number !== next) {
      problem(`a slow reader got part ${number} instead of ${next}`);
    }
    next = number + 1;
    counts.parts++;
    if (--owed === 0) ask();
  };
  const ask = () => {
    if (stopping) return;
    owed = 20;
    client.send(`parts ${next} 20`);
  };
  // It reads about 128 KiB a second, of which it asks for 320 at a time.
  let taken = 0;
  client.socket.on("data", (chunk) => {
    taken += chunk.length;
    if (taken >= 131_072 && !stopping) client.socket.pause();
  });
  const read = () => {
    taken = 0;
    client.socket.resume();
    if (!stopping) setTimeout(read, 1000);
  };
  ask();
  read();
}

/** Somebody who comes, says something and leaves, in one of four ways. */
async function visit() {
  const client = new Client(plan.port);
  counts.joins++;
  if (!await client.opened) {
    return void (stopping || problem(`a visitor did not get in: ${client.why}`));
  }
  const isBroadcast = watchBroadcasts("a visitor");
  const echo = new Promise((resolve) => {
    client.onMessage = (payload) => isBroadcast(payload) || resolve(payload.toString());
    client.onEnd = () => resolve("the end");
  });
  client.send("hello");
  const heard = await echo;
  if (heard !== "hello" && !stopping) problem(`a visitor got ${heard}`);
  await sleep(random() * 3000);
  client.leaving = true;
  const way = random();
  if (way < 0.3) client.socket.destroy();
  else if (way < 0.6) client.socket.resetAndDestroy();
  else if (way < 0.95 || stopping) {
    client.socket.write(frame(8, Buffer.from([3, 232])));
  } else {
    counts.silent++;
    client.answersPings = false; // it neither speaks nor answers: the server has to find out
    client.onEnd = () => counts.silentDropped++;
    silent.add(client);
  }
}
const silent = new Set();

// The server ends connections that are idle for 60 s, perhaps while a request is on its way: who keeps one that long may lose it.
const agent = new http.Agent({ keepAlive: true, maxSockets: 4, timeout: 30_000 });
function request(path, body = "", wanted = String(body.length)) {
  return new Promise((resolve) => {
    const sent = http.request({
      port: plan.port,
      host: "127.0.0.1",
      path,
      method: "POST",
      agent,
    }, (response) => {
      let size = 0;
      let text = "";
      response.on("data", (chunk) => {
        size += chunk.length;
        if (size < 100) text += chunk;
      });
      response.on("end", () => {
        counts.requests++;
        if (path === "/large" ? size !== 1_000_000 : text !== wanted) {
          problem(`${path}: ${size} bytes, ${text}`);
        }
        resolve();
      });
    });
    sent.on("error", (error) => {
      if (!stopping) {
        const on = sent.reusedSocket ? "one that was used before" : "a new connection";
        problem(`${path}: ${error.message}, on ${on}`);
      }
      resolve();
    });
    sent.end(body);
  });
}

process.on(
  "uncaughtException",
  (error) => problem(`in the load itself: ${error.stack}`),
);
createInterface({ input: process.stdin }).on("line", async (line) => {
  if (line === "leave") {
    stopping = true;
    for (const client of staying) client.socket.resume();
    // What was sent still has to come back.
    for (
      let i = 0;
      i < 100 && [...staying].some((client) => client.isOwed?.() > 0);
      i++
    ) await sleep(100);
    for (const client of staying) {
      if (client.isOwed?.() > 0) {
        problem(`a busy connection lacks ${client.isOwed()} echoes`);
      }
      counts.pings += client.pings;
      client.leaving = true;
      client.socket.destroy();
    }
    for (const client of silent) client.socket.destroy();
    agent.destroy();
  }
  console.log(
    JSON.stringify({
      ...counts,
      staying: staying.size,
      problemCount,
      problems,
    }),
  );
}).on("close", () => process.exit());

await joinMany(plan.idle, "an idle connection", beIdle);
await joinMany(plan.busy, "a busy connection", beBusy);
await joinMany(plan.slow, "a slow reader", beSlow);
console.log(JSON.stringify({ ready: true }));
setInterval(() => stopping || visit(), 1000 / plan.visits);
setInterval(() => stopping || request("/small", "abc"), 200);
setInterval(() => stopping || request("/slow", "x".repeat(50_000)), 500);
setInterval(() => stopping || request("/large"), 1000);
