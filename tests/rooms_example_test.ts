// The rooms of examples/rooms.ts as three servers, one in each runtime, that share a Redis.

import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { eventually } from "./brokers/stage.ts";
import { testWith } from "./support/prerequisites.ts";
import { Program, runners } from "./support/program.ts";
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
    await eventually(`${name} is welcome`, () => guest.heard.length > 0);
    return guest;
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
      const env = { REDIS: redis.url, SECRET: "one for all", PORT: "0", HOST: "127.0.0.1" };
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
        assertEquals(again.heard[0].offset, bob.last.offset);
        let [{ here = [] }] = again.heard;
        for (let look = 0; look < 200 && !["Ada", "Bob", "Eve"].every((name) => here.includes(name)); look++) {
          const eveAgain = await Guest.enter(ports[2], "Eve"); // who is there is known in the end, not at once
          here = eveAgain.heard[0].here!;
          eveAgain.socket.close();
        }
        assert(here.includes("Ada") && here.includes("Eve") && here.includes("Bob"), JSON.stringify(here));
        assertEquals(again.heard[0].gap, undefined);
        for (const { socket } of [ada, again, eve]) socket.close();
      } finally {
        for (const program of programs) await program.kill();
      }
    }),
);
