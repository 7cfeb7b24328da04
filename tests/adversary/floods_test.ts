// Floods, and `shutdown()` during each of them. Meanwhile other clients have to be served, memory has to stay within a multiple
// of the documented limits, and nothing may be left afterwards. SLUICE_ADVERSARY=all runs all floods on all lanes, for longer;
// SLUICE_FLOOD selects floods by a word in their name.

import { assert, assertEquals } from "@std/assert";
import process from "node:process";
import { test } from "node:test";
import { ownLanes } from "../support/lanes.ts";
import { inThisRuntime, Program } from "../support/program.ts";
import { signal } from "../support/serving.ts";
import { type Flood, FLOODED, FLOODS } from "./floods.ts";
import {
  becomes,
  Bystander,
  EVERYTHING,
  randomNumbers,
  RUNTIME_INDEX,
  RUNTIMES_OWN,
  SLACK,
  slackOfStreams,
  Victim,
  within,
} from "./harness.ts";

/** The minimum length of a flood in milliseconds, and the number of times the bystander has to be served during it. */
const LENGTH = EVERYTHING ? 5000 : 300;
const SERVED = EVERYTHING ? 20 : 5;

/** The documented time limit of `shutdown()`, and an allowance for a busy machine, in milliseconds. */
const DOCUMENTED = 1000 * (FLOODED.max_wait_time + FLOODED.websocket_close_timeout);
const ROOM = 8000;

/** The multiple of the documented limits that may be in memory: the received bytes, and the objects made from them. */
const MULTIPLE = 2;

const sleep = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

/** The servers and a flooder, each in a separate process. */
class Scene {
  readonly victim: Victim;
  readonly #flooder: Program;
  readonly #slack: number;
  #sockets = 0;

  private constructor(victim: Victim, lane: string) {
    this.victim = victim;
    this.#slack = SLACK + slackOfStreams(lane);
    const file = new URL("./flooder.ts", import.meta.url);
    this.#flooder = new Program(inThisRuntime(file, JSON.stringify(victim.ports)), {}, true);
  }

  static async open(lane: string): Promise<Scene> {
    const scene = new Scene(await Victim.start({ lane, settings: FLOODED, fileSize: 2 ** 20 }), lane);
    const bystander = new Bystander(scene.victim.ports.event); // load everything before measuring
    await within(20_000, "warming up", bystander.servedOften(10));
    await bystander.stop(20_000);
    scene.#sockets = (await scene.victim.figures()).sockets;
    return scene;
  }

  async #begin({ name }: Flood): Promise<void> {
    this.#flooder.tell(name);
    assertEquals(await within(30_000, `the flood begins ${this.#flooder.errors}`, this.#flooder.line()), "begun");
  }

  async #end(): Promise<void> {
    this.#flooder.tell("stop");
    assertEquals(await within(30_000, `the flood ends ${this.#flooder.errors}`, this.#flooder.line()), "stopped");
  }

  /** Waits until all connections are gone, with the memory held for them. */
  async #atRest(): Promise<void> {
    const kept = await becomes(15_000, async () => {
      const { connections, sockets, files } = await this.victim.figures();
      if (connections === 0 && sockets <= this.#sockets + RUNTIMES_OWN && files === 1) return undefined;
      return `${connections} connections, ${sockets - this.#sockets} more sockets and ${files - 1} temporary files are left`;
    });
    assertEquals(kept, undefined);
    assertEquals((await this.victim.figures()).faults, []);
    for (const peer of this.victim.peersOf("connect")) {
      assertEquals(this.victim.count("close", peer), this.victim.count("connect", peer), `close of the peer ${peer}`);
    }
  }

  /** Runs one flood, during which the bystander has to be served. */
  async flood(flood: Flood): Promise<void> {
    const { victim } = this;
    const bystander = new Bystander(victim.ports.event);
    await within(20_000, "the bystander is there", bystander.servedOften(1));
    await victim.mark();
    await this.#begin(flood);
    await Promise.all([sleep(LENGTH), within(120_000, `${SERVED} more times served`, bystander.servedOften(SERVED))]);
    const { grown } = await victim.figures();
    await this.#end();
    await bystander.stop();
    await this.#atRest();
    const bound = MULTIPLE * flood.peers * flood.servers.length * flood.limit + this.#slack;
    const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
    assert(grown < bound, `the memory grew by ${mib(grown)}, of ${mib(bound)} that it may`);
  }

  /** Runs one flood, and shuts the servers down during it. */
  async shutdown(flood: Flood): Promise<void> {
    await this.#begin(flood);
    await sleep(LENGTH / 3);
    const taken = await this.victim.shutdown();
    await this.#end();
    await this.#atRest();
    assert(taken < DOCUMENTED + ROOM, `finished settled after ${taken.toFixed(0)} ms`);
    await this.victim.restart();
  }

  async close(): Promise<void> {
    await this.#flooder.kill();
    await this.victim.stop();
  }
}

/** Runs all floods of a lane, one after the other. */
async function runAll(lane: string, floods: readonly Flood[], settle: (name: string, problem: unknown) => void): Promise<void> {
  let scene: Scene | undefined;
  for (const flood of floods) {
    for (const way of ["flood", "shutdown"] as const) {
      const title = `${way} ${flood.name}`;
      try {
        scene ??= await Scene.open(lane);
        await scene[way](flood);
        settle(title, undefined);
      } catch (error) {
        settle(title, error);
        await scene?.close(); // the next flood must not suffer from this one
        scene = undefined;
      }
    }
  }
  await scene?.close();
}

// All lanes run at the same time, because each flood ends by waiting for a bystander.
const outcomes = new Map<string, { promise: Promise<unknown>; resolve: (problem: unknown) => void }>();
let running: Promise<unknown> | undefined;
const random = randomNumbers();
const drawn = FLOODS.map(() => Math.floor(random() * ownLanes.length)); // the default run has each flood on one lane, in turn
const chosen = ownLanes.map(([lane], index) => ({
  lane,
  floods: FLOODS.filter(({ name }, i) =>
    (EVERYTHING || (drawn[i] + RUNTIME_INDEX) % ownLanes.length === index) && name.includes(process.env.SLUICE_FLOOD ?? "")
  ),
}));
for (const { lane, floods } of chosen) {
  for (const { name } of floods) {
    for (const way of ["flood", "shutdown"]) outcomes.set(`${lane} ${way} ${name}`, signal<unknown>());
  }
}
const runLanes = () =>
  running ??= Promise.all(chosen.map(({ lane, floods }) => {
    return runAll(lane, floods, (title, problem) => outcomes.get(`${lane} ${title}`)!.resolve(problem));
  }));

for (const { lane, floods } of chosen) {
  for (const { name } of floods) {
    const outcome = async (way: string) => {
      runLanes();
      const problem = await outcomes.get(`${lane} ${way} ${name}`)!.promise;
      if (problem !== undefined) throw problem;
    };
    const timeout = { timeout: EVERYTHING ? 600_000 : 300_000 };
    test(`a flood of ${name}: others are served, memory is bounded, nothing is left (${lane})`, timeout, () => outcome("flood"));
    test(`shutdown() in a flood of ${name} (${lane})`, timeout, () => outcome("shutdown"));
  }
}

test("nothing is left of floods", { timeout: 300_000 }, async () => {
  await running;
});
