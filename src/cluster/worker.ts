/**
 * The life of a worker, as its master directs it: from its first message until it exits.
 *
 * @module
 */

import type { ProcessChannel, ProcessMessage, SocketHandle } from "../transport/processes.ts";
import {
  CLUSTER_FORMAT,
  EXIT_STATUS,
  limitOf,
  type MasterMessage,
  readMasterMessage,
  secondsOf,
  type WorkerMessage,
} from "./messages.ts";
import type { FdBlock } from "./slots.ts";

/** What a worker needs of its server. */
export interface WorkerHost {
  /** Opens the sockets to the other processes, waits for their directories, and calls `workerStart`. */
  prepare(fds: FdBlock, peers: readonly number[], ports: readonly number[]): Promise<void>;
  /**
   * Accepts connections on all ports.
   *
   * @param ports Their numbers; 0 for a free one.
   * @param passed Which of them get connections from the master.
   * @param sockets The listening sockets that there are already, by the index of the port.
   * @returns The numbers of the ports.
   */
  listen(
    ports: readonly number[],
    passed: readonly boolean[],
    sockets: ReadonlyMap<number, SocketHandle>,
  ): Promise<readonly number[]>;
  /** The listening sockets that can be sent to another process, by the index of the port. */
  readonly sockets: ReadonlyMap<number, SocketHandle>;
  /** Serves a connection that the master has accepted. */
  take(port: number, socket: SocketHandle): void;
  /** Gets further fds. */
  addFds(fds: FdBlock): void;
  /** The number of connections. */
  readonly connections: number;
  /** Called with the process IDs of all workers when they have changed. */
  onWorkers(pids: readonly number[]): void;
  /** Called when the process with a slot has ended. */
  onGone(slot: number): void;
  /** Stops accepting. Connections stay for `wait` seconds and are closed within `drain` seconds then; afterwards the server stops. */
  retire(wait: number, drain: number): void;
  /** Stops the server. */
  shutdown(wait: number, tell: number): void;
  /** Removes what a master leaves behind that could not do so itself, unless it still runs. */
  cleanUp(): Promise<void>;
  /** Ends the process. */
  exit(status: number): void;
}

/** How often a worker tells how many connections it has, in milliseconds. */
const LOAD_INTERVAL = 100;

/** How long a worker without a master may take to remove what that has left, in milliseconds. */
const CLEAN_UP_TIMEOUT = 500;

/** A worker. */
export class WorkerLife {
  readonly #parent: ProcessChannel;
  readonly #host: WorkerHost;
  readonly #sockets: Map<number, SocketHandle> = new Map();
  #stage: "new" | "preparing" | "prepared" | "listening" | "ready" | "leaving" = "new";
  #passed: readonly boolean[] = [];
  #taken = 0;
  #told = "";
  #loadTimer: ReturnType<typeof setInterval> | undefined = undefined;
  #isOver = false;
  #settle: { resolve: () => void; reject: (error: unknown) => void } | undefined = undefined;

  constructor(parent: ProcessChannel, host: WorkerHost) {
    this.#parent = parent;
    this.#host = host;
  }

  /**
   * Starts the worker.
   *
   * @param ports The number of its ports.
   * @returns A promise that resolves when it accepts connections, and rejects if it cannot.
   */
  start(ports: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#parent.onDisconnect(() => this.orphan());
      this.#parent.onMessage((message, socket) => this.#onMessage(message, socket));
      this.send({ type: "hello", format: CLUSTER_FORMAT, ports });
    });
  }

  /** Gives up to start. No effect later. */
  cancel(error: Error): void {
    this.#settle?.reject(error);
  }

  /** Sends a message to the master. Resolves to whether it has been reached. */
  send(message: WorkerMessage): Promise<boolean> {
    return this.#parent.send(message as ProcessMessage);
  }

  /** Asks the master to stop the server. */
  askForShutdown(wait: number, tell: number): void {
    this.send({ type: "shutdown", wait: limitOf(wait), tell: limitOf(tell) });
  }

  /** Tells the master that it has stopped, and exits. */
  async leave(wasCutOff: boolean): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#loadTimer);
    await this.send({ type: "stopped", wasCutOff });
    this.#host.exit(EXIT_STATUS.stopped);
  }

  /** Tells the master why it cannot start, and exits. */
  async fail(error: unknown): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    const { message, code } = error as { message?: unknown; code?: unknown };
    await this.send({
      type: "failed",
      message: typeof message === "string" ? message : String(error),
      code: typeof code === "string" ? code : "",
    });
    this.#host.exit(EXIT_STATUS.failed);
  }

  /** The master has ended without a word: nobody would replace, reload or stop this worker any more. It exits. */
  orphan(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#loadTimer);
    const exit = () => {
      clearTimeout(timer);
      this.#host.exit(EXIT_STATUS.orphaned);
    };
    const timer = setTimeout(exit, CLEAN_UP_TIMEOUT);
    this.#host.cleanUp().then(exit, exit);
  }

  #onMessage(received: ProcessMessage, socket: SocketHandle | undefined): void {
    const message = readMasterMessage(received);
    if (message === undefined || this.#isOver) return socket?.close();
    if (socket !== undefined) return this.#onSocket(message, socket);
    this.#obey(message);
  }

  #onSocket(message: MasterMessage, socket: SocketHandle): void {
    if (message.type === "connection" && this.#stage === "ready") {
      this.#taken++;
      this.#host.take(message.port, socket);
    } else if (message.type === "take" && this.#stage === "prepared" && !this.#sockets.has(message.port)) {
      this.#sockets.set(message.port, socket);
    } else socket.close();
  }

  #obey(message: MasterMessage): void {
    switch (message.type) {
      case "setup":
        return void this.#prepare(message.first, message.count, message.peers, message.ports, message.passed);
      case "fds":
        return this.#host.addFds(message);
      case "workers":
        return this.#host.onWorkers(message.pids);
      case "gone":
        return this.#host.onGone(message.slot);
      case "give":
        return this.#give();
      case "listen":
        return void this.#listen(message.ports);
      case "retire":
        return this.#retire(secondsOf(message.wait), message.drain);
      case "shutdown":
        return this.#host.shutdown(secondsOf(message.wait), secondsOf(message.tell));
    }
  }

  async #prepare(
    first: number,
    count: number,
    peers: readonly number[],
    ports: readonly number[],
    passed: readonly boolean[],
  ): Promise<void> {
    if (this.#stage !== "new") return;
    this.#stage = "preparing";
    this.#passed = passed;
    try {
      await this.#host.prepare({ first, count }, peers, ports);
    } catch (error) {
      return this.#settle?.reject(error);
    }
    this.#stage = "prepared";
    this.send({ type: "prepared" });
  }

  async #listen(ports: readonly number[]): Promise<void> {
    if (this.#stage !== "prepared") return;
    this.#stage = "listening";
    let bound: readonly number[];
    try {
      bound = await this.#host.listen(ports, this.#passed, this.#sockets);
    } catch (error) {
      return this.#settle?.reject(error);
    }
    this.#stage = "ready";
    if (this.#passed.some(Boolean)) {
      this.#loadTimer = setInterval(() => this.#tellLoad(), LOAD_INTERVAL);
      (this.#loadTimer as unknown as { unref?(): void }).unref?.(); // the channel keeps the worker alive
    }
    this.#settle?.resolve();
    this.send({ type: "ready", ports: bound });
  }

  /** Tells how many connections there are, if that has changed. */
  #tellLoad(): void {
    const { connections } = this.#host;
    const load = `${connections} ${this.#taken}`;
    if (load === this.#told) return;
    this.#told = load;
    this.send({ type: "load", connections, taken: this.#taken });
  }

  /** Sends copies of the listening sockets. Both processes accept connections until this one is told to retire. */
  #give(): void {
    for (const [port, socket] of this.#host.sockets) this.#parent.send({ type: "give", port }, socket);
    this.send({ type: "given" });
  }

  #retire(wait: number, drain: number): void {
    if (this.#stage !== "ready") return this.#host.shutdown(0, 0);
    this.#stage = "leaving";
    clearInterval(this.#loadTimer);
    this.#host.retire(wait, drain);
  }
}
