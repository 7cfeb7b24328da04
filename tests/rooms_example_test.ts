// The rooms of examples/rooms.ts as three servers, one in each runtime, that share a Redis, and as one with three workers and none.

import { assert, assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { eventually } from "./brokers/stage.ts";
import { testWith } from "./support/prerequisites.ts";
import { inThisRuntime, Program, runners } from "./support/program.ts";
import { RedisServer } from "./support/redis_server.ts";

const fileOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** How each runtime finds the packages of the tests. */
const FLAGS: Readonly<Record<string, string[]>> = {
  "Deno": ["--no-check", `--import-map=${fileOf("offline/import_map.json")}`],
  "Bun": [],
  "Node 24": ["--import", fileOf("offline/register.mjs")],
};

interface News {
  readonly room?: string;
  readonly gap?: string;
  readonly from?: string;
  readonly text?: string;
  readonly here?: readonly string[];
  readonly offset: number;
  readonly epoch: string;
}

/** Somebody in a room. */
class Guest {
  readonly heard: News[] = [];
  readonly socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.onmessage = ({ data }) => this.heard.push(JSON.parse(data));
  }

  /** Enters a room, at first or again. */
  static async enter(port: number, name: string, last?: News): Promise<Guest> {
    const token = await (await fetch(`http://127.0.0.1:${port}/?name=${name}`)).text();
    const query = last === undefined ? "" : `?offset=${last.offset}&epoch=${last.epoch}`;
    const guest = new Guest(new WebSocket(`ws://127.0.0.1:${port}/tea${query}`, ["rooms", token]));
    await eventually(`${name} is welcome`, () => {
      if (guest.socket.readyState > WebSocket.OPEN) throw new Error("The server has gone");
      return guest.begun !== undefined;
    });
    return guest;
  }

  /** What it was told when it had entered. Who comes may be told before. */
  get begun(): News | undefined {
    return this.heard.find(({ room }) => room !== undefined);
  }

  say(text: string): void {
    this.socket.send(text);
  }

  get lines(): string[] {
    return this.heard.flatMap(({ from, text }) => text === undefined ? [] : `${from}: ${text}`);
  }

  /** The last message with a position. */
  get last(): News {
    return this.heard.findLast(({ offset }) => offset !== undefined)!;
  }

  async hears(line: string): Promise<void> {
    await eventually(`"${line}" is heard`, () => this.lines.includes(line));
  }
}

testWith(
  "redis",
  "three servers with one Redis are one chat; one is killed, and nobody misses a line",
  () =>
    RedisServer.with(async (redis) => {
      const env = { REDIS: redis.url, SECRET: "one for all", PORT: "0", HOST: "127.0.0.1", WORKERS: "1" };
      const programs = runners.filter(([name]) => name in FLAGS).map(([name, ...command]) => {
        return new Program([...command, ...FLAGS[name], fileOf("../examples/rooms.ts")], env);
      });
      try {
        const ports = [];
        for (const program of programs) ports.push(Number(/localhost:(\d+)/.exec(await program.line())![1]));
        const [ada, bob, eve] = [
          await Guest.enter(ports[0], "Ada"),
          await Guest.enter(ports[1], "Bob"),
          await Guest.enter(ports[2], "Eve"),
        ];
        ada.say("one");
        for (const guest of [ada, bob, eve]) await guest.hears("Ada: one");
        eve.say("two");
        for (const guest of [ada, bob, eve]) await guest.hears("Eve: two");
        await programs[1].kill();
        for (const text of ["three", "four", "five"]) ada.say(text);
        await eve.hears("Ada: five");
        const again = await Guest.enter(ports[2], "Bob", bob.last);
        again.say("six");
        for (const guest of [ada, again, eve]) await guest.hears("Bob: six");
        assertEquals(bob.lines.concat(again.lines), ["Ada: one", "Eve: two", "Ada: three", "Ada: four", "Ada: five", "Bob: six"]);
        assertEquals(again.begun!.offset, bob.last.offset);
        let { here = [] } = again.begun!;
        for (let look = 0; look < 200 && !["Ada", "Bob", "Eve"].every((name) => here.includes(name)); look++) {
          const eveAgain = await Guest.enter(ports[2], "Eve"); // who is there is known in the end, not at once
          here = eveAgain.begun!.here!;
          eveAgain.socket.close();
        }
        assert(here.includes("Ada") && here.includes("Eve") && here.includes("Bob"), JSON.stringify(here));
        assertEquals(again.begun!.gap, undefined);
        for (const { socket } of [ada, again, eve]) socket.close();
      } finally {
        for (const program of programs) await program.kill();
      }
    }),
);

/** Returns the process IDs of the workers of a program. */
function workersOf({ process: { pid } }: Program): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter((text) => text !== "").map(Number);
}

test(
  "three workers without Redis are one chat; all of them are killed one after the other, and nobody misses a line",
  { skip: process.platform !== "linux" }, // elsewhere workers are not promised
  async () => {
    const program = new Program(inThisRuntime(new URL("../examples/rooms.ts", import.meta.url)), {
      PORT: "0",
      HOST: "127.0.0.1",
      WORKERS: "3",
    });
    try {
      const port = Number(/localhost:(\d+)/.exec(await program.line())![1]);
      const names = ["Ada", "Bob", "Cem", "Dan", "Eve", "Flo"];
      const before = names.map((): string[] => []); // what they have heard over connections that were lost
      const guests = await Promise.all(names.map((name) => Guest.enter(port, name)));
      const isThere = ({ socket }: Guest) => socket.readyState === WebSocket.OPEN;
      const enterAgain = async (index: number): Promise<void> => {
        const { last, lines } = guests[index];
        before[index].push(...lines);
        await eventually(`${names[index]} is back`, async () => {
          try {
            guests[index] = await Guest.enter(port, names[index], last);
            return true;
          } catch {
            return false; // the connection was one of the worker that was killed
          }
        });
        const { gap, offset } = guests[index].begun!;
        assertEquals([gap, offset], [undefined, last.offset]);
      };
      const expected: string[] = [];
      for (const pid of workersOf(program)) {
        process.kill(pid, "SIGKILL");
        await eventually(
          "another one has taken its place",
          () => !workersOf(program).includes(pid) && workersOf(program).length === 3,
        );
        // Who is still there speaks before all are back, at whichever workers there are by then.
        const survivor = guests.find(isThere);
        if (survivor === undefined) { for (const index of names.keys()) await enterAgain(index); }
        const speaker = survivor ?? guests[0];
        expected.push(`${names[guests.indexOf(speaker)]}: line ${expected.length}`);
        speaker.say(expected.at(-1)!.slice(5));
        await speaker.hears(expected.at(-1)!);
        for (const index of names.keys()) if (!isThere(guests[index])) await enterAgain(index);
        for (const guest of guests) await guest.hears(expected.at(-1)!);
      }
      assertEquals(expected.length, 3);
      for (const [index, { lines, socket }] of guests.entries()) {
        assertEquals([...before[index], ...lines], expected);
        socket.close();
      }
    } finally {
      program.process.kill("SIGTERM");
      await program.exited;
    }
  },
);
