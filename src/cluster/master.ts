/**
 * The master of a cluster: starts the workers, replaces those that end, reloads them one after the other, and stops them.
 *
 * @module
 */

import type { ChildProcess, ProcessControl, ProcessExit, ProcessMessage, SocketHandle } from "../transport/processes.ts";
import { atMost, type Clock, systemClock } from "./clock.ts";
import { CLUSTER_FORMAT, limitOf, readWorkerMessage, secondsOf, type WorkerMessage, writeRole } from "./messages.ts";
import type { MasterHost, MasterOptions } from "./master_interfaces.ts";
import { SLOTS, Slots } from "./slots.ts";
import { type Post, WorkerProcess, YOUNG } from "./worker_process.ts";
import { WorkerCensus } from "./worker_census.ts";

/** Why a worker is replaced: the program or its files have changed, it has done enough, or it was told to stop. */
type Reason = "reload" | "retire" | "stop";

/** How many processes of one worker may die young one after the other. */
const MAX_DEATHS = 10;
/** The pause before the second one is started, and the longest one, in seconds. */
const FIRST_PAUSE = 0.1;
const LONGEST_PAUSE = 5;
/** How long a worker may take to give its listening sockets, in seconds. Its loop may be blocked. */
const GIVE_TIMEOUT = 5;
/** How long the workers of a start that has failed may take at most, for what they do in `workerStop`, in seconds. */
const FAILED_TIME = 3;
/** How much longer than its own limits a worker may take to end, in seconds. */
const GRACE = 2;

/** The master. */
export class Master {
  /** Whether a worker has cut something off at the end of the server. */
  wasCutOff = false;
  /** How the workers are. */
  readonly census: WorkerCensus;

  readonly #control: ProcessControl;
  readonly #options: MasterOptions;
  readonly #host: MasterHost;
  readonly #clock: Clock;
  readonly #slots: Slots;
  readonly #posts: Post[];
  /** All processes that have not ended. */
  readonly #processes: Set<WorkerProcess> = new Set();
  #state: "new" | "starting" | "running" | "stopping" = "new";
  readonly #stopping: AbortController = new AbortController();
  #ports: readonly number[];
  #launching = 0;
  #isReloading = false;
  #started: { resolve: (ports: readonly number[]) => void; reject: (error: Error) => void } | undefined = undefined;
  #idle: (() => void)[] = [];
  #killAt = Infinity;
  #cancelKill: (() => void) | undefined = undefined;
  #stopBy = Infinity; // when what workers do is cut off
  #cancelTasks: (() => void) | undefined = undefined;

  constructor(control: ProcessControl, options: MasterOptions, host: MasterHost, clock: Clock = systemClock) {
    this.#control = control;
    this.#options = options;
    this.#host = host;
    this.#clock = clock;
    this.#ports = options.ports;
    this.#slots = new Slots(options.firstSeq);
    this.#posts = Array.from({ length: options.workers + options.taskWorkers }, (_, id) => {
      return { id, current: undefined, replacing: undefined, isFilling: false, deaths: 0, cancel: undefined };
    });
    this.census = new WorkerCensus(this.#posts, this.#processes, options.workers, clock);
  }

  // ---- what it knows ------------------------------------------------------------------------------------------------

  /** The workers to which connections may be passed, by their numbers. */
  get ready(): WorkerProcess[] {
    const { workers } = this.#options;
    return this.#posts.slice(0, workers).flatMap(({ current }) => current?.isReady ? [current] : []);
  }

  /** The process IDs of the workers, by their numbers; 0 for one that does not run. */
  get pids(): number[] {
    return this.#posts.map(({ current }) => current?.isReady ? current.pid : 0);
  }

  /** The last sequence number that was reserved. */
  get lastSeq(): number {
    return this.#slots.lastSeq;
  }

  /** Reserves fds for the master itself. */
  ownFds(): { readonly first: number; readonly count: number } {
    return this.#slots.block(0);
  }

  // ---- start --------------------------------------------------------------------------------------------------------

  /**
   * Starts the task workers and the first worker, which binds the ports, then the others.
   *
   * @returns The numbers of the ports, once all workers accept connections.
   * @throws {Error} If a worker cannot start. All processes have ended by then.
   */
  async start(): Promise<readonly number[]> {
    this.#state = "starting";
    try {
      return await new Promise((resolve, reject) => {
        this.#started = { resolve, reject };
        for (const post of this.#posts) if (post.id === 0 || this.#isTaskWorker(post)) this.#fill(post);
      });
    } catch (error) {
      await this.shutdown(Math.min(this.#options.waitTime, FAILED_TIME), 0);
      throw error;
    }
  }

  #giveUp(error: Error): void {
    if (this.#state === "stopping") return;
    if (this.#started !== undefined) this.#started.reject(error);
    else this.#host.onGivenUp(error);
    this.#started = undefined;
  }

  /** Starts a process for a post that has none. */
  async #fill(post: Post): Promise<void> {
    post.cancel = undefined;
    post.isFilling = true;
    let worker: WorkerProcess | undefined;
    try {
      worker = await this.#launch(post.id, (worker) => post.current = worker);
    } catch (error) {
      post.isFilling = false;
      if (this.#state === "starting") return this.#giveUp(error as Error);
      this.#host.warn(`Cannot start worker ${post.id}: ${(error as Error).message}`);
      return this.#onDeath(post, true);
    }
    post.isFilling = false;
    if (worker === undefined || !await worker.reached("prepared")) return;
    // Task workers are told the ports when the first worker has bound them.
    if (this.#state === "starting" && this.#isTaskWorker(post) && !this.#posts[0].current?.isReady) return;
    this.#letListen(worker);
  }

  /**
   * Starts a process.
   *
   * @param made Called with it before it can have ended.
   * @returns The process; `undefined` if the server stops.
   * @throws {Error} If there is no slot for it, or the runtime cannot start it.
   */
  async #launch(id: number, made?: (worker: WorkerProcess) => void): Promise<WorkerProcess | undefined> {
    const { token, folder, execArgv, startTimeout, masterPid } = this.#options;
    const slot = this.#slots.take();
    if (slot === undefined) throw new Error(`there are ${SLOTS - 1} processes already`);
    const role = writeRole({ id, slot, token, folder, master: masterPid });
    let child: ChildProcess;
    this.#launching++;
    try {
      child = await this.#control.start({ role, execArgv });
    } catch (error) {
      this.#launching--;
      this.#slots.free(slot);
      this.#checkIdle();
      throw error;
    }
    this.#launching--;
    const worker = new WorkerProcess(id, slot, child, this.#clock.now);
    this.#processes.add(worker);
    child.onMessage((message, socket) => this.#onMessage(worker, message, socket));
    child.exited.then((exit) => this.#onExit(worker, exit));
    if (this.#state === "stopping") {
      worker.kill("SIGKILL");
      return undefined;
    }
    made?.(worker);
    const cancel = startTimeout === 0 ? () => {} : this.#clock.after(startTimeout, () => {
      worker.kill("SIGKILL");
      this.#onFailed(worker, `it was not ready after ${startTimeout} s, see worker_start_timeout`);
    });
    worker.reached("ready").then(cancel);
    return worker;
  }

  #letListen(worker: WorkerProcess): void {
    worker.advance("listening");
    worker.send({ type: "listen", ports: this.#ports });
  }

  #onReady(worker: WorkerProcess, ports: readonly number[]): void {
    if (worker.stage !== "listening") return;
    if (this.#state === "starting" && worker.id === 0) this.#ports = ports;
    worker.readyAt = this.#clock.now;
    worker.advance("ready");
    if (this.#state === "stopping") return;
    this.#tellPids();
    this.#host.onReady();
    if (this.#state !== "starting") return;
    if (this.#posts.every(({ current }) => current?.isReady)) {
      this.#state = "running";
      this.#started?.resolve(this.#ports);
      this.#started = undefined;
    } else if (worker.id === 0) {
      for (const post of this.#posts) {
        if (post.current?.stage === "prepared") this.#letListen(post.current);
        else if (post.current === undefined && post.cancel === undefined && !post.isFilling) this.#fill(post);
      }
    }
  }

  #tellPids(): void {
    const { pids } = this;
    for (const worker of this.#processes) if (worker.isMember) worker.send({ type: "workers", pids });
  }

  // ---- messages -----------------------------------------------------------------------------------------------------

  #onMessage(worker: WorkerProcess, received: ProcessMessage, socket: SocketHandle | undefined): void {
    const message = readWorkerMessage(received);
    if (message === undefined) return socket?.close(); // the program's own, or that of a later version
    if (message.type === "give") return void worker.give(message.port, socket);
    socket?.close();
    this.#obey(worker, message);
  }

  #obey(worker: WorkerProcess, message: WorkerMessage): void {
    switch (message.type) {
      case "hello":
        return this.#admit(worker, message.format, message.ports);
      case "prepared":
        return worker.advance("prepared");
      case "ready":
        return this.#onReady(worker, message.ports);
      case "failed":
        return this.#onFailed(worker, message.message, message.code);
      case "fds":
        return void worker.send({ type: "fds", ...this.#slots.block(worker.slot) });
      case "given":
        return worker.endGiving();
      case "load":
        return worker.setLoad(message.connections, message.taken);
      case "retire":
        return this.#onRetire(worker);
      case "stop":
        return void this.stop(message.id);
      case "reload":
        return void this.reload(message.onlyTasks);
      case "shutdown":
        return this.#host.onShutdown(secondsOf(message.wait), secondsOf(message.tell));
      case "stopped":
        this.wasCutOff ||= message.wasCutOff && worker.readyAt > 0 && this.#state === "stopping"; // one that starts has no clients
    }
  }

  /** Makes a process a member of the mesh. It connects to those that are members already. */
  #admit(worker: WorkerProcess, format: number, ports: number): void {
    if (worker.stage !== "loading") return;
    const { passed } = this.#options;
    if (format !== CLUSTER_FORMAT || ports !== passed.length) {
      worker.kill("SIGKILL");
      return this.#onFailed(worker, "it has other ports than its master, or another version of Sluice; restart the program");
    }
    const peers = [0, ...[...this.#processes].filter(({ isMember }) => isMember).map(({ slot }) => slot)];
    worker.advance("joining");
    if (this.#state === "stopping") return this.#end(worker, 0, 0);
    worker.send({ type: "setup", ...this.#slots.block(worker.slot), peers, ports: this.#ports, passed });
  }

  /** @param code The code of the error that the worker reports; `undefined` if the reason is ours. */
  #onFailed(worker: WorkerProcess, reason: string, code?: string): void {
    if (this.#state !== "starting") {
      return this.#host.warn(`Worker ${worker.id} (process ${worker.pid}) cannot start: ${reason}`);
    }
    const error = new Error(code === undefined ? `Cannot start worker ${worker.id}: ${reason}` : reason);
    this.#giveUp(code ? Object.assign(error, { code }) : error);
  }

  // ---- ends ---------------------------------------------------------------------------------------------------------

  #onExit(worker: WorkerProcess, exit: ProcessExit): void {
    const { id, pid } = worker;
    this.#processes.delete(worker);
    this.#slots.free(worker.slot);
    worker.advance("gone");
    this.#host.onExit(worker.slot, pid);
    for (const other of this.#processes) if (other.isMember) other.send({ type: "gone", slot: worker.slot });
    const isInOrder = exit.code === 0 && exit.signal === 0;
    this.census.addExit(isInOrder && worker.isAsked);
    if (!isInOrder && this.#state !== "stopping") {
      const how = exit.signal === 0 ? `with status ${exit.code}` : `by signal ${exit.signal}`;
      this.#host.warn(`Worker ${id} (process ${pid}) was ended ${how}`);
      this.#host.onWorkerError(id, pid, exit);
    } else if (!isInOrder && worker.readyAt > 0) this.wasCutOff = true;
    this.#checkIdle();
    const post = this.#posts[id];
    if (post.current !== worker) return;
    post.current = undefined;
    if (this.#state === "stopping") return;
    this.#tellPids();
    if (isInOrder && !worker.isAsked) this.#host.warn(`Worker ${id} (process ${pid}) has ended by itself`);
    const isYoung = worker.readyAt === 0 || this.#clock.now - worker.readyAt < YOUNG;
    this.#onDeath(post, isYoung && !worker.isAsked);
  }

  /** Starts another process for a post that has lost its own. If that was young, not at once. */
  #onDeath(post: Post, isYoung: boolean): void {
    post.deaths = isYoung ? post.deaths + 1 : 0;
    if (this.#state === "stopping") return;
    if (post.deaths >= MAX_DEATHS) {
      return this.#giveUp(new Error(`Worker ${post.id} keeps dying: ${post.deaths} times in a row before it was ${YOUNG} s old`));
    }
    if (post.replacing !== undefined) return; // the next one takes over
    const pause = post.deaths === 0 ? 0 : Math.min(FIRST_PAUSE * 2 ** (post.deaths - 1), LONGEST_PAUSE);
    post.cancel = this.#clock.after(pause, () => this.#fill(post));
  }

  /** Tells a process to end. One that does not know yet that it is a worker gets a signal. */
  #end(worker: WorkerProcess, wait: number, tell: number): void {
    worker.isAsked = true;
    if (worker.stage === "loading") worker.kill("SIGTERM");
    else worker.send({ type: "shutdown", wait: limitOf(wait), tell: limitOf(tell) });
  }

  /**
   * Stops all workers. Another call can shorten the time.
   *
   * @param wait The time in seconds after which handlers and responses are cut off.
   * @param tell The time after which WebSockets that may still finish are told to close.
   * @returns A promise that resolves when all of them have ended.
   */
  shutdown(wait: number, tell: number): Promise<void> {
    this.#state = "stopping";
    this.#stopping.abort();
    this.#started?.reject(new Error("Cannot start the server: it was shut down meanwhile"));
    this.#started = undefined;
    for (const post of this.#posts) {
      post.cancel?.();
      post.cancel = undefined;
    }
    for (const worker of this.#processes) if (!this.#isTaskWorker(worker)) this.#end(worker, wait, tell);
    this.#stopBy = Math.min(this.#stopBy, this.#clock.now + wait);
    this.#cancelTasks?.();
    if (wait !== Infinity) this.#cancelTasks = this.#clock.after(wait, () => this.#endTaskWorkers());
    this.#endTaskWorkers();
    this.#killIn(Math.max(wait, tell) + this.#options.closeTimeout + GRACE);
    return new Promise((resolve) => {
      this.#idle.push(resolve);
      this.#checkIdle();
    });
  }

  #isTaskWorker({ id }: { readonly id: number }): boolean {
    return id >= this.#options.workers;
  }

  /** Tells task workers to end: when the workers are gone that may give them tasks, or have had their time. */
  #endTaskWorkers(): void {
    const { now } = this.#clock;
    const all = [...this.#processes];
    if (now < this.#stopBy && !all.every((worker) => this.#isTaskWorker(worker))) return;
    for (const worker of all) {
      const isToEnd = this.#isTaskWorker(worker) && (!worker.isAsked || now >= this.#stopBy);
      if (isToEnd) this.#end(worker, Math.max(0, this.#stopBy - now), 0);
    }
  }

  /** Kills what is left after a time. */
  #killIn(seconds: number): void {
    const at = this.#clock.now + seconds;
    if (at >= this.#killAt) return;
    this.#killAt = at;
    this.#cancelKill?.();
    this.#cancelKill = this.#clock.after(seconds, () => {
      for (const worker of this.#processes) worker.kill("SIGKILL");
    });
  }

  #checkIdle(): void {
    if (this.#state !== "stopping") return;
    if (this.#processes.size > 0 || this.#launching > 0) return this.#endTaskWorkers();
    this.#cancelKill?.();
    this.#cancelTasks?.();
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  // ---- replacing ----------------------------------------------------------------------------------------------------

  /**
   * Replaces all workers, one after the other, by processes with the program as it is now.
   *
   * @param onlyTasks Whether to replace task workers only.
   * @returns `false` if the server is not running, or reloads already.
   */
  reload(onlyTasks = false): boolean {
    if (this.#state !== "running" || this.#isReloading) return false;
    this.#isReloading = true;
    this.#reloadAll(onlyTasks);
    return true;
  }

  async #reloadAll(onlyTasks: boolean): Promise<void> {
    const begun = this.#clock.now;
    const { waitTime } = this.#options;
    const late = `The beforeReload handler has not settled for ${waitTime} s, see max_wait_time: the reload goes on`;
    const before = this.#host.onReload("beforereload");
    await atMost(this.#clock, waitTime, before, () => this.#host.warn(late), this.#stopping.signal);
    for (const post of this.#posts.slice(onlyTasks ? this.#options.workers : 0)) {
      await post.replacing;
      const { current } = post;
      // A worker without a process will have the new program anyway, as has one that was started meanwhile.
      if (current === undefined || current.startedAt > begun || !await current.reached("ready")) continue;
      if (this.#state !== "running") return;
      if (await this.#replace(post, "reload")) continue;
      if (this.#state !== "running") return;
      this.#host.warn(`The reload has ended: no process could take the place of worker ${post.id}`);
      break;
    }
    this.#isReloading = false;
    await this.#host.onReload("afterreload");
  }

  /** Called when a worker has done enough. It asks again if it cannot be replaced now. */
  #onRetire(worker: WorkerProcess): void {
    const post = this.#posts[worker.id];
    if (post.current === worker && this.#state === "running") this.#replace(post, "retire");
  }

  /**
   * Replaces a worker, then stops it.
   *
   * @returns Whether it runs.
   */
  stop(id: number): boolean {
    const post = this.#posts[id];
    const { current } = post ?? {};
    if (this.#state !== "running" || current === undefined || !current.isReady) return false;
    const isUnderWay = post.replacing !== undefined;
    this.#replace(post, "stop").then((isReplaced) => {
      if (isReplaced && !isUnderWay) return; // it was told to leave
      if (this.#state === "running" && current.stage !== "gone") this.#end(current, this.#options.waitTime, 0);
    });
    return true;
  }

  /**
   * Replaces the process of a worker, unless that is under way.
   *
   * @returns Whether there is a new one. If not, the old one stays.
   */
  #replace(post: Post, reason: Reason): Promise<boolean> {
    return post.replacing ??= this.#exchange(post, reason).then((isReplaced) => {
      post.replacing = undefined;
      if (!isReplaced && post.current === undefined) this.#onDeath(post, true); // the old one has died meanwhile
      return isReplaced;
    });
  }

  /** Starts another process. When it has the listening sockets and accepts connections, the old one may leave. */
  async #exchange(post: Post, reason: Reason): Promise<boolean> {
    const old = post.current!;
    let next: WorkerProcess | undefined;
    try {
      next = await this.#launch(post.id);
    } catch (error) {
      this.#host.warn(`Cannot replace worker ${post.id}: ${(error as Error).message}`);
    }
    if (next === undefined || !await next.reached("prepared")) return false;
    await this.#handOver(old, next);
    this.#letListen(next);
    if (!await next.reached("ready") || this.#state !== "running") return false;
    post.current = next;
    this.#tellPids();
    if (old.stage !== "gone") this.#retire(old, reason);
    return true;
  }

  /** Has the listening sockets sent from one process to another, so that no connection that waits to be accepted is lost. */
  async #handOver(old: WorkerProcess, next: WorkerProcess): Promise<void> {
    if (old.stage === "gone" || this.#options.passed.every(Boolean)) return;
    old.heir = next;
    const given = old.whenGiven();
    old.send({ type: "give" });
    await atMost(this.#clock, GIVE_TIMEOUT, given, () => old.endGiving(), this.#stopping.signal);
  }

  /** Tells a process that was replaced to leave. */
  #retire(old: WorkerProcess, reason: Reason): void {
    const { waitTime, stayTime, drainTime, closeTimeout } = this.#options;
    const stay = reason === "reload" ? stayTime : reason === "stop" ? 0 : Infinity;
    const drain = reason === "stop" ? 0 : drainTime;
    old.isAsked = true;
    old.advance("leaving");
    old.send({ type: "retire", wait: limitOf(stay), drain });
    const longest = stay + drain + 2 * waitTime + closeTimeout + GRACE; // for new connections, and for responses
    if (longest === Infinity) return;
    const cancel = this.#clock.after(longest, () => old.kill("SIGKILL"));
    old.reached("gone").then(cancel);
  }
}
