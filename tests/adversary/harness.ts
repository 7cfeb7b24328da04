/**
 * Runs attacks against servers in a separate process while a bystander is served, and checks for leftovers.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import type { Runtime } from "../../mod.ts";
import { inThisRuntime, Program } from "../support/program.ts";
import { frame, handshake, RawClient } from "../support/raw_client.ts";
import { connectTls } from "../support/tls_client.ts";
import { type Figures, type Options, type ServerName, SERVERS } from "./options.ts";

/** Whether to run everything, instead of the sample of the default run. */
export const EVERYTHING: boolean = process.env.SLUICE_ADVERSARY === "all";

/** The seed of the samples. */
export const SEED: number = Number(process.env.SLUICE_SEED ?? 6455);

/** Returns a generator of numbers from 0 to 1, which are the same for the same seed (mulberry32). */
export function randomNumbers(seed: number = SEED): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A number for each runtime, so that a test is drawn for another lane in the next one. */
export const RUNTIME_INDEX: number = "Deno" in globalThis ? 0 : "Bun" in globalThis ? 1 : 2;

/**
 * Returns a function that declares a test on a lane. In the default run each test is declared on one of the lanes only, which
 * depends on its title and the seed, and goes around in the runtimes.
 */
export function drawing(lanes: readonly (readonly [name: string, runtime: Runtime])[]): DeclareOnLane {
  return (lane, title, options, work) => {
    let sum = SEED;
    for (const character of title.replace(lane, "")) sum = (Math.imul(sum, 31) + character.charCodeAt(0)) | 0;
    const [drawn] = lanes[(Math.floor(randomNumbers(sum)() * lanes.length) + RUNTIME_INDEX) % lanes.length];
    if (EVERYTHING || lane === drawn) test(title, options, async () => void await work());
  };
}

/** Declares a test on a lane, whose name is in the title. */
type DeclareOnLane = (lane: string, title: string, options: { timeout?: number }, work: () => Promise<unknown>) => void;

/** Waits for a promise, and throws after a time far longer than it should take. */
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

/** Polls until a condition is met. Returns the last reason why it is not, or `undefined`. */
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

/** The ports and the state in a line of /proc/net/tcp, for those states. */
const ENDS = new RegExp(`:([0-9A-F]{4}) [0-9A-F]{8}:([0-9A-F]{4}) (${Object.keys(STATES).join("|")}) `, "g");

type Sockets = ReadonlyMap<number, string>;
const NONE: Sockets = new Map();
let table = { at: -Infinity, sockets: new Map<number, Map<number, string>>() };

/**
 * Returns the sockets of a server as seen by the kernel, at most 50 ms ago: the state of each by the port of the peer. Empty without
 * /proc. Many callers need them at the same time, and floods leave tens of thousands of sockets there that are over: they are read
 * once for all.
 */
export function socketsOf(port: number): Sockets {
  if (performance.now() - table.at > 50 && existsSync("/proc/net/tcp")) {
    const sockets = new Map<number, Map<number, string>>();
    for (const [, local, peer, code] of readFileSync("/proc/net/tcp", "utf8").matchAll(ENDS)) {
      const own = parseInt(local, 16);
      const peers = sockets.get(own) ?? new Map<number, string>();
      sockets.set(own, peers.set(parseInt(peer, 16), STATES[code]));
    }
    table = { at: performance.now(), sockets };
  }
  return table.sockets.get(port) ?? NONE;
}

/** The servers under attack, in a separate process. */
export class Victim {
  /** The port of each server. */
  readonly ports: Record<ServerName, number>;
  readonly #program: Program;
  readonly #events: Map<string, number> = new Map();
  #wake: (() => void)[] = [];
  #replies: ((reply: unknown) => void)[] = [];

  private constructor(program: Program, ports: number[]) {
    this.#program = program;
    this.ports = Object.fromEntries(
      SERVERS.map((name, index) => [name, ports[index]]),
    ) as Record<ServerName, number>;
    this.#listen();
  }

  /** Starts the process. */
  static async start(options: Options = {}): Promise<Victim> {
    const folder = mkdtempSync(join(tmpdir(), "sluice-adversary-")); // for the file that is sent, and for uploads
    const command = inThisRuntime(
      new URL("./program.ts", import.meta.url),
      JSON.stringify({ ...options, folder }),
    );
    const program = new Program(command, {}, true);
    program.exited.then(() => rmSync(folder, { recursive: true, force: true }));
    return new Victim(
      program,
      JSON.parse(await within(60_000, "the program starts", program.line())),
    );
  }

  async #listen(): Promise<void> {
    try {
      while (true) {
        const line = await this.#program.line();
        const { event, peer, reply } = line.startsWith("{") ? JSON.parse(line) : { event: line, peer: 0, reply: undefined };
        if (reply !== undefined) this.#replies.shift()!(reply);
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

  /** Returns how often an event has happened to a peer. */
  count(event: string, peer: number): number {
    return this.#events.get(`${event} ${peer}`) ?? 0;
  }

  /** Returns all peers an event has happened to. */
  peersOf(event: string): number[] {
    return [...this.#events.keys()].filter((key) => key.startsWith(`${event} `))
      .map((key) => Number(key.slice(event.length + 1)));
  }

  /** Waits until an event has happened to a peer. */
  async seen(event: string, client: RawClient | number): Promise<void> {
    const peer = typeof client === "number" ? client : client.socket.localPort!;
    const happened = async () => {
      while (this.count(event, peer) === 0) {
        await new Promise<void>((resolve) => this.#wake.push(resolve));
      }
    };
    await within(20_000, `${event} for the peer ${peer}`, happened());
  }

  async #ask(line: string): Promise<unknown> {
    const reply = new Promise((resolve) => {
      this.#replies.push(resolve);
      this.#program.tell(line);
    });
    try {
      return await within(30_000, `the program replies to ${line}`, reply);
    } catch (error) {
      throw new Error(`${(error as Error).message}; it says: ${this.#program.errors}`, { cause: error });
    }
  }

  /** Returns the figures of the process. */
  async figures(): Promise<Figures> {
    return await this.#ask("figures") as Figures;
  }

  /** Calls `shutdown()` of all servers. Returns the milliseconds until all of them had stopped. */
  async shutdown(): Promise<number> {
    return await this.#ask("shutdown") as number;
  }

  /** Starts the servers again, on the same ports. */
  async restart(): Promise<void> {
    await this.#ask("start");
  }

  /** Starts measuring memory and processor time. */
  async mark(): Promise<void> {
    await this.#ask("mark");
  }

  /** Lets waiting handlers continue. */
  release(): void {
    this.#program.tell("release");
  }

  /** Kills the process. */
  async stop(): Promise<void> {
    await this.#program.kill();
  }
}

/** A well-behaved client, on one WebSocket and a new connection for each request. It runs until it is stopped. */
export class Bystander {
  /** The longest time an echo or a response has taken, in milliseconds. */
  worst = 0;
  /** The number of echoes and responses. */
  served = 0;
  readonly #port: number;
  readonly #tls: boolean;
  #stopped = false;
  readonly #done: Promise<void>;
  #waiting: { until: number; resolve: () => void }[] = [];

  constructor(port: number, tls = false) {
    this.#port = port;
    this.#tls = tls;
    this.#done = this.#run();
    this.#done.catch(() => {}); // reported by stop()
  }

  async #run(): Promise<void> {
    const socket = await this.#connect();
    socket.send(handshake());
    await socket.readHead();
    try {
      while (!this.#stopped) {
        await this.#timed("an echo", async () => {
          socket.send(frame({ opcode: 1, payload: "are you there" }));
          const echo = await socket.readPastPings();
          assertEquals(
            new TextDecoder().decode(echo?.payload),
            "are you there",
          );
        });
        await this.#timed("a response", async () => {
          const client = await this.#connect();
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

  #connect(): Promise<RawClient> {
    return this.#tls ? connectTls(this.#port) : RawClient.connect(this.#port);
  }

  async #timed(what: string, work: () => Promise<void>): Promise<void> {
    const begun = performance.now();
    await within(40_000, `the bystander gets ${what}`, work());
    this.worst = Math.max(this.worst, performance.now() - begun);
    this.served++;
    const { served } = this;
    for (const { resolve } of this.#waiting.filter(({ until }) => until <= served)) resolve();
    this.#waiting = this.#waiting.filter(({ until }) => until > served);
  }

  /** Waits until it has been served `times` more times. */
  async servedOften(times: number): Promise<void> {
    const enough = new Promise<void>((resolve) => this.#waiting.push({ until: this.served + times, resolve }));
    await Promise.race([enough, this.#done]); // rejects if it is no longer served
  }

  /** Stops the bystander. Throws if it was not served, or waited longer than `patience`. */
  async stop(patience = 20_000): Promise<void> {
    this.#stopped = true;
    await this.#done;
    assert(this.served > 0, "the bystander was not served at all");
    assert(
      this.worst < patience,
      `the bystander had to wait for ${this.worst.toFixed(0)} ms`,
    );
  }
}

/** The number of sockets a runtime may open for itself at any time; Deno opens a pair. */
export const RUNTIMES_OWN = 4;

/**
 * The garbage that V8 and JavaScriptCore accumulate before collecting it, in bytes: up to 130 MiB was seen. A flood sends several
 * times as much.
 */
export const SLACK: number = 192 * 2 ** 20;

/** Returns the additional garbage on lanes where each chunk passes through web streams, in bytes. */
export function slackOfStreams(lane: string): number {
  return lane.endsWith("streams") ? 64 * 2 ** 20 : 0;
}

/** The bounds that an attack must not exceed. */
export interface Bounds {
  /** The time until the last connection is gone, in milliseconds; 5,000 by default. */
  patience?: number;
  /** The longest time the bystander may wait, in milliseconds; 3,000 by default. */
  wait?: number;
  /** The growth of memory in bytes; not checked by default. */
  memory?: number;
  /** The processor time in milliseconds; not checked by default. */
  cpu?: number;
}

/**
 * Runs an attack while a bystander is served. Afterwards all connections and descriptors have to be released, `close` has to have
 * been called once for each connection, and there must be no unhandled errors.
 */
export async function surviving(
  options: Options,
  bounds: Bounds,
  attack: (victim: Victim) => Promise<void>,
): Promise<void> {
  const victim = await Victim.start(options);
  try {
    const first = new Bystander(victim.ports.event); // load everything before measuring
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
