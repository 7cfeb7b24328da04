/**
 * Runs adversaries against servers in a process of their own, while somebody else is served, and looks at what is left of them.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { inThisRuntime, Program } from "../support/program.ts";
import { frame, RawClient } from "../support/raw_client.ts";
import { type Figures, type Options, type ServerName, SERVERS } from "./options.ts";

/** Whether everything is to be tried that the gate tries a sample of. */
export const EVERYTHING: boolean = process.env.SLUICE_ADVERSARY === "all";

/** What the samples are drawn with. */
export const SEED: number = Number(process.env.SLUICE_SEED ?? 6455);

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export function randomNumbers(seed: number = SEED): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Waits for something that has to happen; far longer than it should take. */
export async function within<Result>(
  milliseconds: number,
  what: string,
  promise: Promise<Result>,
): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`Not within ${milliseconds} ms: ${what}`)),
      milliseconds,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks again and again whether something has come true. Gives the last refusal, or `undefined`. */
export async function becomes(
  milliseconds: number,
  refusal: () => Promise<string | undefined>,
): Promise<string | undefined> {
  for (const end = performance.now() + milliseconds;;) {
    const why = await refusal();
    if (why === undefined || performance.now() > end) return why;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const STATES: Record<string, string> = {
  "01": "ESTABLISHED",
  "04": "FIN_WAIT1",
  "05": "FIN_WAIT2",
  "08": "CLOSE_WAIT",
  "09": "LAST_ACK",
  "0B": "CLOSING",
};

let table = { at: -Infinity, lines: [] as string[] };

/** The table of sockets, at most 50 ms old: many ask for it at a time. */
function socketTable(): string[] {
  if (performance.now() - table.at > 50 && existsSync("/proc/net/tcp")) {
    table = {
      at: performance.now(),
      lines: readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1),
    };
  }
  return table.lines;
}

/** The sockets of a server as the kernel knows them: the peers' ports with the states. Empty where there is no /proc. */
export function socketsOf(port: number): Map<number, string> {
  const found = new Map<number, string>();
  const own = `:${port.toString(16).toUpperCase().padStart(4, "0")} `;
  for (const line of socketTable()) {
    if (!line.includes(own)) continue;
    const [, local, remote, state] = line.trim().split(/\s+/);
    if (parseInt(local.slice(9), 16) === port && STATES[state] !== undefined) {
      found.set(parseInt(remote.slice(9), 16), STATES[state]);
    }
  }
  return found;
}

/** The servers. */
export class Victim {
  /** Where each of them listens. */
  readonly ports: Record<ServerName, number>;
  readonly #program: Program;
  readonly #events: Map<string, number> = new Map();
  #wake: (() => void)[] = [];
  #figures: ((figures: Figures) => void)[] = [];

  private constructor(program: Program, ports: number[]) {
    this.#program = program;
    this.ports = Object.fromEntries(
      SERVERS.map((name, index) => [name, ports[index]]),
    ) as Record<ServerName, number>;
    this.#listen();
  }

  /** Starts them. */
  static async start(options: Options = {}): Promise<Victim> {
    const command = inThisRuntime(
      new URL("./program.ts", import.meta.url),
      JSON.stringify(options),
    );
    const program = new Program(command, {}, true);
    return new Victim(
      program,
      JSON.parse(await within(60_000, "the program starts", program.line())),
    );
  }

  async #listen(): Promise<void> {
    try {
      while (true) {
        const line = await this.#program.line();
        const { event, peer, figures } = line.startsWith("{") ? JSON.parse(line) : { event: line, peer: 0, figures: undefined };
        if (figures !== undefined) this.#figures.shift()!(figures);
        else {
          const key = `${event} ${peer}`;
          this.#events.set(key, (this.#events.get(key) ?? 0) + 1);
        }
        for (const wake of this.#wake.splice(0)) wake();
      }
    } catch {
      for (const wake of this.#wake.splice(0)) wake(); // the program has ended
    }
  }

  /** How often something has happened to a peer. */
  count(event: string, peer: number): number {
    return this.#events.get(`${event} ${peer}`) ?? 0;
  }

  /** All peers to whom something has happened. */
  peersOf(event: string): number[] {
    return [...this.#events.keys()].filter((key) => key.startsWith(`${event} `))
      .map((key) => Number(key.slice(event.length + 1)));
  }

  /** Waits until something has happened to a peer. */
  async seen(event: string, client: RawClient): Promise<void> {
    const peer = client.socket.localPort!;
    const happened = async () => {
      while (this.count(event, peer) === 0) {
        await new Promise<void>((resolve) => this.#wake.push(resolve));
      }
    };
    await within(20_000, `${event} for the peer ${peer}`, happened());
  }

  #ask(line: string): Promise<Figures> {
    return within(
      30_000,
      `the program says its figures ${this.#program.errors}`,
      new Promise((resolve) => {
        this.#figures.push(resolve);
        this.#program.tell(line);
      }),
    );
  }

  /** What it says of itself. */
  figures(): Promise<Figures> {
    return this.#ask("figures");
  }

  /** Measures memory and processor time from here on. */
  async mark(): Promise<void> {
    await this.#ask("mark");
  }

  /** Lets the handlers go on that wait. */
  release(): void {
    this.#program.tell("release");
  }

  /** Ends the program. */
  async stop(): Promise<void> {
    this.#program.process.kill("SIGKILL");
    await this.#program.exited;
  }
}

/** Somebody who behaves well, in a WebSocket and by one connection for each request, as long as it is not told to stop. */
export class Bystander {
  /** The longest that an echo or a response has taken, in milliseconds. */
  worst = 0;
  /** How many there were. */
  served = 0;
  readonly #port: number;
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(port: number) {
    this.#port = port;
    this.#done = this.#run();
    this.#done.catch(() => {}); // told by stop()
  }

  async #run(): Promise<void> {
    const socket = await RawClient.open(this.#port);
    try {
      while (!this.#stopped) {
        await this.#timed("an echo", async () => {
          socket.send(frame({ opcode: 1, payload: "are you there" }));
          let echo = await socket.readFrame();
          while (echo !== null && echo.opcode === 9) {
            socket.send(frame({ opcode: 10, payload: echo.payload }));
            echo = await socket.readFrame();
          }
          assertEquals(
            new TextDecoder().decode(echo?.payload),
            "are you there",
          );
        });
        await this.#timed("a response", async () => {
          const client = await RawClient.connect(this.#port);
          client.send(
            "GET /small HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
          );
          assertEquals((await client.readAnswer()).body, "small");
          client.destroy();
        });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    } finally {
      socket.destroy();
    }
  }

  async #timed(what: string, work: () => Promise<void>): Promise<void> {
    const begun = performance.now();
    await within(20_000, `the bystander gets ${what}`, work());
    this.worst = Math.max(this.worst, performance.now() - begun);
    this.served++;
  }

  /** Ends it. Throws when it was not served, or later than that. */
  async stop(patience = 10_000): Promise<void> {
    this.#stopped = true;
    await this.#done;
    assert(this.served > 0, "the bystander was not served at all");
    assert(
      this.worst < patience,
      `the bystander had to wait for ${this.worst.toFixed(0)} ms`,
    );
  }
}

/** How many sockets a runtime may open for itself when it feels like it; Deno opens a pair. */
const RUNTIMES_OWN = 4;

/** What an attack may leave behind. */
export interface Bounds {
  /** How long the last connection may take to go, in milliseconds; 5,000 unless given. */
  patience?: number;
  /** How long the bystander may wait, in milliseconds; 3,000 unless given. */
  wait?: number;
  /** How much the memory may grow meanwhile, in bytes; not looked at unless given. */
  memory?: number;
  /** How much processor time it may take, in milliseconds; not looked at unless given. */
  cpu?: number;
}

/**
 * Runs an attack. Meanwhile somebody else is served; behind it all connections and descriptors are back, `close` was called once
 * for each, and nothing went unhandled.
 */
export async function surviving(
  options: Options,
  bounds: Bounds,
  attack: (victim: Victim) => Promise<void>,
): Promise<void> {
  const victim = await Victim.start(options);
  try {
    const first = new Bystander(victim.ports.event); // so that everything is loaded before it is measured
    await becomes(
      20_000,
      () => Promise.resolve(first.served > 5 ? undefined : "warming up"),
    );
    await first.stop(20_000);
    const atRest = async (sockets: number) =>
      await becomes(bounds.patience ?? 5000, async () => {
        const now = await victim.figures();
        const ours = Object.values(victim.ports).flatMap((
          port,
        ) => [...socketsOf(port).values()]);
        if (
          now.connections === 0 && ours.length === 0 &&
          now.sockets <= sockets + RUNTIMES_OWN
        ) return undefined;
        return `${now.connections} connections and ${now.sockets - sockets} more sockets are open: ${ours}`;
      });
    assertEquals(await atRest(Infinity), undefined);
    const before = await victim.figures();
    await victim.mark();
    const bystander = new Bystander(victim.ports.event);
    let problem: unknown;
    try {
      await attack(victim);
    } catch (error) {
      problem = error;
    }
    const figures = await victim.figures();
    await bystander.stop(bounds.wait).catch((error) => problem ??= error);
    if (problem !== undefined) throw problem;
    assertEquals(await atRest(before.sockets), undefined);
    assertEquals((await victim.figures()).faults, []);
    for (const peer of victim.peersOf("connect")) {
      assertEquals(
        victim.count("close", peer),
        victim.count("connect", peer),
        `close of the peer ${peer}`,
      );
    }
    const { memory = Infinity, cpu = Infinity } = bounds;
    assert(
      figures.grown < memory,
      `the memory grew by ${(figures.grown / 2 ** 20).toFixed(0)} MiB`,
    );
    assert(
      figures.cpu < cpu,
      `it took ${figures.cpu.toFixed(0)} ms of processor time`,
    );
  } finally {
    await victim.stop();
  }
}
