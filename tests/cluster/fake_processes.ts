/** Processes and a clock in memory, for tests of the master and its workers. */

import type { Clock } from "../../src/cluster/clock.ts";
import { readRole, type WorkerRole } from "../../src/cluster/messages.ts";
import { WorkerLife } from "../../src/cluster/worker.ts";
import type {
  ChildProcess,
  ProcessChannel,
  ProcessControl,
  ProcessExit,
  ProcessMessage,
  ProcessOptions,
  SocketHandle,
} from "../../src/transport/processes.ts";

/** Waits until all that is under way without a timer is done: a later turn of the event loop. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** A clock that is moved by the test. */
export class FakeClock implements Clock {
  now = 1000;
  readonly #timers: Set<{ readonly at: number; readonly call: () => void }> = new Set();

  after(seconds: number, call: () => void): () => void {
    const timer = { at: this.now + seconds, call };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** The number of timers that are set. */
  get size(): number {
    return this.#timers.size;
  }

  /** Moves the clock, and calls what is due in order. */
  async move(seconds: number): Promise<void> {
    const end = this.now + seconds;
    await settled();
    for (;;) {
      const next = [...this.#timers].sort((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      this.#timers.delete(next);
      this.now = Math.max(this.now, next.at);
      next.call();
      await settled();
    }
    this.now = end;
    await settled();
  }
}

/** A socket that notes whether it is closed. */
export class FakeSocket implements SocketHandle {
  isClosed = false;
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  close(): void {
    this.isClosed = true;
  }
}

/** One end of a channel. What it sends arrives in a later microtask, as JSON; a socket as a copy. */
class FakeChannel implements ProcessChannel {
  peer!: FakeChannel;
  isConnected = true;
  #receive: ((message: ProcessMessage, socket: SocketHandle | undefined) => void) | undefined = undefined;
  #early: [ProcessMessage, SocketHandle | undefined][] = [];
  #onDisconnect: (() => void) | undefined = undefined;

  send(message: ProcessMessage, socket?: SocketHandle): Promise<boolean> {
    if (!this.isConnected) return Promise.resolve(false);
    const text = JSON.stringify(message);
    const copy = socket && new FakeSocket((socket as FakeSocket).name);
    return Promise.resolve().then(() => {
      if (!this.isConnected) return false;
      this.peer.#arrive(JSON.parse(text), copy);
      return true;
    });
  }

  #arrive(message: ProcessMessage, socket: SocketHandle | undefined): void {
    if (this.#receive === undefined) this.#early.push([message, socket]);
    else this.#receive(message, socket);
  }

  onMessage(receive: (message: ProcessMessage, socket: SocketHandle | undefined) => void): void {
    this.#receive = receive;
    for (const [message, socket] of this.#early.splice(0)) receive(message, socket);
  }

  onDisconnect(call: () => void): void {
    this.#onDisconnect = call;
    if (!this.isConnected) call();
  }

  disconnect(): void {
    if (!this.isConnected) return;
    this.isConnected = false;
    this.peer.isConnected = false;
    this.#onDisconnect?.();
    this.peer.#onDisconnect?.();
  }
}

/** A process in memory. By default it is a worker of a program that behaves; a test can have it do anything else. */
export class FakeProcess {
  readonly pid: number;
  readonly role: WorkerRole;
  readonly child: ChildProcess;
  readonly parent: FakeChannel = new FakeChannel();
  readonly exited: Promise<ProcessExit>;
  readonly signals: string[] = [];
  /** What the master wants: `retire 3 10`, `shutdown 0 0`, … in order. */
  readonly orders: string[] = [];
  /** The listening sockets, by port. */
  readonly listening: Map<number, FakeSocket> = new Map();
  /** The connections that were passed to it. */
  readonly taken: FakeSocket[] = [];
  pids: readonly number[] = [];
  peers: readonly number[] = [];
  /** The slots of processes that have ended. */
  readonly gone: number[] = [];
  fds: { readonly first: number; readonly count: number }[] = [];
  isAlive = true;
  status: ProcessExit | undefined = undefined;
  life: WorkerLife | undefined = undefined;
  connections = 0;
  readonly #exit: (exit: ProcessExit) => void;

  constructor(pid: number, role: string) {
    this.pid = pid;
    this.role = readRole(role);
    let exit!: (exit: ProcessExit) => void;
    const exited = this.exited = new Promise<ProcessExit>((resolve) => exit = resolve);
    this.#exit = exit;
    const channel = new FakeChannel();
    channel.peer = this.parent;
    this.parent.peer = channel;
    this.child = {
      pid,
      exited,
      send: (message, socket) => channel.send(message, socket),
      onMessage: (receive) => channel.onMessage(receive),
      onDisconnect: (call) => channel.onDisconnect(call),
      kill: (signal) => {
        this.signals.push(signal);
        if (!this.isAlive) return false;
        if (signal === "SIGKILL") this.end(0, 9);
        else if (this.life === undefined) this.end(0, 15);
        return true;
      },
    };
  }

  /** Ends the process. */
  end(code: number, signal = 0): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    this.status = { code, signal };
    for (const socket of this.listening.values()) socket.close();
    this.parent.disconnect();
    this.#exit({ code, signal });
  }

  /** Starts a server with workers, as a program does. `hooks` replaces parts of what a worker does. */
  run(hooks: WorkerHooks = {}): void {
    const life = this.life = new WorkerLife(this.parent, {
      prepare: async (fds, peers) => {
        this.fds.push(fds);
        this.peers = peers;
        await hooks.prepare?.();
      },
      listen: async (ports, passed, sockets) => {
        await hooks.listen?.();
        ports.forEach((port, index) => {
          if (passed[index]) return;
          const socket = sockets.get(index) as FakeSocket | undefined;
          this.listening.set(index, socket ?? new FakeSocket(`${this.pid}:${port}`));
        });
        return ports.map((port, index) => port || 9501 + index);
      },
      sockets: this.listening,
      take: (_port, socket) => {
        this.taken.push(socket as FakeSocket);
        this.connections++;
      },
      addFds: (fds) => this.fds.push({ first: fds.first, count: fds.count }),
      connections: 0,
      onWorkers: (pids) => this.pids = pids,
      onGone: (slot) => void this.gone.push(slot),
      retire: (wait, drain) => {
        this.orders.push(`retire ${wait} ${drain}`);
        for (const socket of this.listening.values()) socket.close();
        if (!hooks.stays) life.leave(false);
      },
      shutdown: (wait, tell) => {
        this.orders.push(`shutdown ${wait} ${tell}`);
        if (!hooks.stays) life.leave(hooks.cutsOff ?? false);
      },
      cleanUp: () => Promise.resolve(),
      exit: (status) => this.end(status),
    });
    life.start(hooks.ports ?? 1).catch((error) => life.fail(error));
  }
}

/** What a worker of a test does differently. */
export interface WorkerHooks {
  /** Called while it prepares. */
  prepare?(): void | Promise<void>;
  /** Called while it binds. */
  listen?(): void | Promise<void>;
  /** Whether it does not end when it is told to. */
  readonly stays?: boolean;
  /** Whether it cuts something off when it ends. */
  readonly cutsOff?: boolean;
  /** The number of its ports. */
  readonly ports?: number;
}

/** Starts processes in memory. */
export class FakeControl implements ProcessControl {
  /** All processes that were started, in order. */
  readonly processes: FakeProcess[] = [];
  /** The program: called in each process that is started. */
  program: (process: FakeProcess) => void;
  /** Called before a process is started; may throw. */
  beforeStart: (options: ProcessOptions) => void | Promise<void> = () => {};
  readonly sharesPorts = true;

  constructor(program: (process: FakeProcess) => void = (process) => process.run()) {
    this.program = program;
  }

  /** The processes that have not ended. */
  get living(): FakeProcess[] {
    return this.processes.filter(({ isAlive }) => isAlive);
  }

  processorCount(): number {
    return 4;
  }

  async start(options: ProcessOptions): Promise<ChildProcess> {
    await this.beforeStart(options);
    const process = new FakeProcess(101 + this.processes.length, options.role);
    this.processes.push(process);
    queueMicrotask(() => process.isAlive && this.program(process));
    return process.child;
  }

  makeFolder(): Promise<string> {
    return Promise.resolve("/run/cluster");
  }

  removeFolder(): Promise<void> {
    return Promise.resolve();
  }

  serialize(value: unknown): Uint8Array {
    return new TextEncoder().encode(JSON.stringify(value));
  }

  deserialize(bytes: Uint8Array): unknown {
    return JSON.parse(new TextDecoder().decode(bytes));
  }

  acceptSockets(..._: Parameters<ProcessControl["acceptSockets"]>): ReturnType<ProcessControl["acceptSockets"]> {
    return Promise.reject(new Error("there is no network"));
  }
}
