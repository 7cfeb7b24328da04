/** Kept topics over the workers of one program, as real processes: one is killed, all are reloaded, the master is blocked. */

import { assert, assertEquals } from "@std/assert";
import process from "node:process";
import { test } from "node:test";
import { until } from "../support/activity.ts";
import { inThisRuntime, Program } from "../support/program.ts";
import { frame, RawClient } from "../support/raw_client.ts";

const FILE = new URL("./kept_program.ts", import.meta.url);
const isHere = process.platform === "linux"; // elsewhere workers are not promised

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Runs a test with the program. */
async function keeping(work: (port: number, program: Program) => Promise<void>, ...args: string[]): Promise<void> {
  const program = new Program(inThisRuntime(FILE, ...args));
  try {
    await work(Number((await program.line()).split(" ").at(-1)), program);
  } finally {
    program.process.kill("SIGTERM");
    await program.exited;
  }
}

/** A subscriber of one topic that comes back whenever its connection is lost, and goes on where it was. */
class Reader {
  readonly topic: string;
  readonly texts: string[] = [];
  readonly gaps: string[] = [];
  /** Why what it has heard is wrong. */
  readonly wrong: string[] = [];
  pid = 0;
  worker = -1;
  /** How often it has connected, and was told where it begins. */
  connections = 0;
  begun = 0;

  readonly #port: number;
  #position: { offset: number; epoch: string } | undefined;
  #socket!: WebSocket;
  #isOver = false;

  constructor(port: number, topic: string) {
    this.#port = port;
    this.topic = topic;
    this.#connect();
  }

  #connect(): void {
    this.connections++;
    const socket = this.#socket = new WebSocket(`ws://127.0.0.1:${this.#port}/`);
    socket.onopen = () => this.ask({ op: "begin", topic: this.topic, since: this.#position });
    socket.onclose = () => {
      if (!this.#isOver) setTimeout(() => this.#connect(), 20);
    };
    socket.onmessage = ({ data }) => this.#take(JSON.parse(String(data)));
  }

  // deno-lint-ignore no-explicit-any
  #take({ pid, worker, begun, status, offset, epoch, gap, text, isUp }: any): void {
    if (isUp !== undefined) return; // what it has appended is stored
    if (pid !== undefined) return void ([this.pid, this.worker] = [pid, worker]);
    if (begun !== undefined && status !== "subscribed") return this.#socket.close(); // it tries again
    if (begun !== undefined) this.begun++;
    if (gap !== undefined) this.gaps.push(gap);
    const last = this.#position;
    this.#position = { offset, epoch };
    if (text === undefined) {
      if (last !== undefined && gap === undefined && (offset !== last.offset || epoch !== last.epoch)) {
        this.wrong.push(`begins at ${offset}, not at ${last.offset}`);
      }
      return;
    }
    this.texts.push(text);
    if (offset !== last!.offset + 1 || epoch !== last!.epoch) this.wrong.push(`${offset} after ${last!.offset}`);
  }

  ask(what: object): void {
    this.#socket.send(JSON.stringify(what));
  }

  close(): void {
    this.#isOver = true;
    this.#socket.close();
  }
}

/** Appends numbers to a few topics, one after the other, each until it is stored. */
class Writer {
  readonly name: string;
  readonly topics: readonly string[];
  /** What was stored, by topic. */
  readonly stored: Map<string, string[]>;
  /** How often something had to be appended again. */
  repeated = 0;
  #socket: WebSocket | undefined;
  #settle: ((isStored: boolean) => void) | undefined;
  readonly #port: number;

  constructor(port: number, name: string, topics: readonly string[]) {
    this.#port = port;
    this.name = name;
    this.topics = topics;
    this.stored = new Map(topics.map((topic) => [topic, []]));
  }

  async #open(): Promise<WebSocket> {
    while (this.#socket?.readyState !== WebSocket.OPEN) {
      const socket = this.#socket = new WebSocket(`ws://127.0.0.1:${this.#port}/`);
      socket.onmessage = ({ data }) => {
        const { appended, status } = JSON.parse(String(data));
        if (appended !== undefined) this.#settle?.(status === "stored");
      };
      await new Promise((resolve) => socket.onopen = socket.onclose = resolve);
      socket.onclose = () => this.#settle?.(false);
      if (socket.readyState !== WebSocket.OPEN) await pause(20);
    }
    return this.#socket;
  }

  /** Appends numbers until it is told to stop. */
  async write(isOver: () => boolean): Promise<void> {
    for (let n = 0; !isOver(); n++) {
      const topic = this.topics[n % this.topics.length];
      const text = `${this.name}.${n}`;
      while (true) {
        const socket = await this.#open();
        const isStored = new Promise<boolean>((resolve) => this.#settle = resolve);
        socket.send(JSON.stringify({ op: "append", topic, text, id: text }));
        if (await isStored) break;
        this.repeated++;
      }
      this.stored.get(topic)!.push(text);
      await pause(5);
    }
    this.#socket?.close();
  }
}

test(
  "300 clients of 30 topics: a worker is killed under load, then all are reloaded: each message once, in order, without a gap",
  { skip: !isHere },
  () =>
    keeping(async (port, program) => {
      const topics = Array.from({ length: 30 }, (_, i) => `room ${i}`);
      const readers = Array.from({ length: 300 }, (_, i) => new Reader(port, topics[i % 30]));
      try {
        await until("all have begun", () => readers.every(({ begun }) => begun > 0));
        let isOver = false;
        const writers = Array.from({ length: 10 }, (_, i) => new Writer(port, `w${i}`, topics.slice(i * 3, i * 3 + 3)));
        const written = writers.map((writer) => writer.write(() => isOver));
        await pause(700);
        const { pid } = readers[0];
        const [lost, left] = [readers.filter((reader) => reader.pid === pid), readers.filter((reader) => reader.pid !== pid)];
        process.kill(pid, "SIGKILL");
        await until("its clients are back", () => lost.every(({ begun }) => begun > 1));
        assertEquals(left.filter(({ connections }) => connections > 1), []);
        await pause(300);
        readers[1].ask({ op: "reload" });
        while (await program.line() !== "reloaded");
        await until("all clients are at other workers", () => readers.every(({ begun }) => begun > 1));
        await pause(300);
        isOver = true;
        await Promise.all(written);
        const stored = new Map(writers.flatMap((writer) => [...writer.stored]));
        let count = 0;
        for (const { topic, texts, gaps, wrong } of readers) {
          const expected = stored.get(topic)!;
          await until(`all of ${topic}`, () => texts.length >= expected.length);
          assertEquals(texts, expected);
          assertEquals([gaps, wrong], [[], []]);
          count += texts.length;
        }
        assert(count > 1000, `${count} messages were read`);
        assert([...stored.values()].every((texts) => texts.length > 5));
      } finally {
        for (const reader of readers) reader.close();
      }
    }),
);

test(
  "a slow reader of a worker is told of a gap, and everybody else gets everything at once",
  { skip: !isHere },
  () =>
    keeping(async (port) => {
      const readers = Array.from({ length: 8 }, () => new Reader(port, "room short"));
      const slow = await RawClient.open(port);
      try {
        await until("all have begun", () => readers.every(({ begun }) => begun > 0));
        slow.send(frame({ opcode: 1, payload: JSON.stringify({ op: "begin", topic: "room short" }) }));
        const hear = async () => JSON.parse(new TextDecoder().decode((await slow.readFrame())!.payload));
        let begun = await hear();
        while (begun.begun === undefined) begun = await hear();
        slow.socket.pause();
        const count = 2000; // 20 MB, more than sockets hold
        for (let n = 0; n < count; n += 50) {
          readers[0].ask({ op: "fill", topic: "room short", count: 50 });
          for (const { texts } of readers) await until("the others have it", () => texts.length >= n + 50);
        }
        for (const { texts, gaps, wrong } of readers) assertEquals([texts.length, gaps, wrong], [count, [], []]);
        slow.socket.resume();
        let last = begun.offset;
        const gaps: string[] = [];
        while (last < count) {
          const { offset, gap } = await hear();
          if (gap === undefined) assertEquals(offset, last + 1);
          else gaps.push(gap);
          last = offset;
        }
        assert(gaps.length > 0 && gaps.every((gap) => gap === "slow"), `${gaps}`);
      } finally {
        slow.destroy();
        for (const reader of readers) reader.close();
      }
    }),
);

test(
  "a master that is blocked: messages are unknown, then refused; others go on, and everything does later",
  { skip: !isHere },
  () =>
    keeping(async (port) => {
      const heard: string[] = [];
      const replies = new Map<string, { appended: string; status: string; isUp: boolean }>();
      const reader = new Reader(port, "room");
      const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
      socket.onmessage = ({ data }) => {
        if (!String(data).startsWith("{")) return void heard.push(String(data));
        const reply = JSON.parse(String(data));
        if (reply.appended !== undefined) replies.set(reply.appended, reply);
      };
      const ask = (what: object) => socket.send(JSON.stringify(what));
      const append = async (id: string) => {
        replies.delete(id);
        ask({ op: "append", topic: "room", text: id, id });
        await until(`a reply for ${id}`, () => replies.has(id));
        return replies.get(id)!;
      };
      try {
        await until("both are there", () => reader.begun > 0 && socket.readyState === WebSocket.OPEN);
        ask({ op: "subscribe", topic: "hall" });
        assertEquals((await append("1")).status, "stored");
        ask({ op: "block" });
        assertEquals(await append("2"), { appended: "2", status: "unknown", isUp: false });
        assertEquals(await append("3"), { appended: "3", status: "refused", isUp: false });
        reader.ask({ op: "publish", topic: "hall", text: "meanwhile" });
        await until("fleeting topics go on", () => heard.includes("meanwhile"));
        assertEquals((await append("4")).status, "refused");
        while ((await append("2")).status !== "stored") await pause(50); // the same id: it is stored once
        while (!(await append("5")).isUp) await pause(50); // until all workers have told that it is
        assertEquals(replies.get("5")!.status, "stored");
        await until("all is there", () => reader.texts.includes("5"));
        assertEquals([reader.texts, reader.gaps, reader.wrong, reader.connections], [["1", "2", "5"], [], [], 1]);
      } finally {
        socket.close();
        reader.close();
      }
    }),
);

test(
  "with SWOOLE_BASE each worker keeps topics of its own, and the log says so",
  { skip: !isHere },
  () =>
    keeping(async (port, program) => {
      const readers: Reader[] = [];
      try {
        do {
          readers.push(new Reader(port, "room"));
          await until("it has begun", () => readers.at(-1)!.begun > 0);
        } while (new Set(readers.map(({ worker }) => worker)).size < 2);
        for (const [i, reader] of readers.entries()) {
          reader.ask({ op: "append", topic: "room", text: `${i} of ${reader.worker}` });
        }
        for (const { worker, texts } of readers) {
          const expected = readers.flatMap((reader, i) => reader.worker === worker ? `${i} of ${worker}` : []);
          await until("what was said there is heard", () => texts.length >= expected.length);
          assertEquals(texts.toSorted(), expected.toSorted());
        }
        assert(program.errors.includes("Each worker keeps topics of its own"), program.errors);
        assertEquals(program.errors.split("Each worker").length, 2);
      } finally {
        for (const reader of readers) reader.close();
      }
    }, "base"),
);
