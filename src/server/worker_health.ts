/**
 * Whether all processes of a server are ready. Each of them can answer a health check.
 *
 * @module
 */

import type { Link } from "../cluster/link.ts";
import type { Mesh } from "../cluster/mesh.ts";
import type { RequestError, Requests } from "../cluster/requests.ts";
import { EMPTY } from "../transport/bytes.ts";
import { utf8Decoder, utf8Encoder } from "../values.ts";
import type { AllHealth, Unreadiness } from "./all_processes.ts";
import type { ServerContext } from "./server_context.ts";
import { SharedResult } from "./shared_result.ts";

/** The method of requests to tell how a process is. */
const HEALTH = 49;

/** How long another process may take to do so, in milliseconds. */
const TIMEOUT = 1000;

/** How a process is. */
interface Health {
  /** See `ServerContext`. */
  readonly state: string;
  /** The recent delay of its event loop, in seconds. */
  readonly delay: number;
  /** In the master, the numbers of the workers that do not serve. */
  readonly missing?: readonly number[];
}

/** The health of all processes, in one of them. */
export class WorkerHealth implements AllHealth {
  readonly #context: ServerContext;
  readonly #mesh: Mesh;
  readonly #requests: Requests;
  readonly #workers: number;
  readonly #taskWorkers: number;
  readonly #silentSince: Map<Link, number> = new Map();
  readonly #shared: SharedResult<Unreadiness> = new SharedResult(() => this.#check());

  /**
   * @param workers The number of workers that are not task workers.
   * @param taskWorkers The number of task workers.
   */
  constructor(context: ServerContext, mesh: Mesh, requests: Requests, workers: number, taskWorkers: number) {
    this.#context = context;
    this.#mesh = mesh;
    this.#requests = requests;
    this.#workers = workers;
    this.#taskWorkers = taskWorkers;
    requests.serve(HEALTH, () => utf8Encoder.encode(JSON.stringify(this.#own)));
    mesh.watch({ onLeft: (link) => void this.#silentSince.delete(link) });
  }

  get #own(): Health {
    const { census, loopDelay, state } = this.#context;
    return { state, delay: loopDelay, missing: census?.missing };
  }

  check(): Promise<Unreadiness> {
    return this.#shared.get();
  }

  async #check(): Promise<Unreadiness> {
    const limit = this.#context.settings.readyz_max_delay || Infinity;
    const master = this.#mesh.linkOf(0);
    const others = limit === Infinity ? [] : this.#serving;
    const [first, ...rest] = await Promise.all([master, ...others].map((link) => link && this.#ask(link)));
    const head = master === undefined ? this.#own : first;
    const missing = head?.missing ?? this.#withoutProcess;
    const late = others.filter((link, index) => this.#isLate(link, rest[index], limit)).map(({ peer }) => peer!.id);
    if (master !== undefined && this.#isLate(master, first, limit)) late.unshift(-1);
    const reasons: string[] = [];
    if (head !== undefined && head.state !== "running") reasons.push(head.state === "starting" ? "starting" : "stopping");
    if (missing.length > 0) reasons.push("workers");
    if (late.length > 0) reasons.push("event_loop_delay");
    return { reasons, workers: [...new Set([...late, ...missing])].sort((a, b) => a - b) };
  }

  /** The links to the other workers that serve. Task workers are there to be busy. */
  get #serving(): Link[] {
    const links: Link[] = [];
    for (let id = 0; id < this.#workers; id++) {
      const link = this.#mesh.linkOfWorker(id);
      if (link !== undefined && link.peer!.pid === this.#mesh.pidOf(id)) links.push(link);
    }
    return links;
  }

  /** The numbers of the workers that do not run, as the master has told. */
  get #withoutProcess(): number[] {
    const ids = Array.from({ length: this.#workers + this.#taskWorkers }, (_, id) => id);
    return ids.filter((id) => !this.#mesh.pidOf(id));
  }

  /** Resolves to how a process is; to `undefined` if it has not replied. */
  async #ask(link: Link): Promise<Health | undefined> {
    try {
      const reply = await this.#requests.ask(link, HEALTH, EMPTY, TIMEOUT);
      this.#silentSince.delete(link);
      return JSON.parse(utf8Decoder.decode(reply));
    } catch (error) {
      const isSilent = (error as RequestError).failure !== "gone" && !this.#silentSince.has(link);
      if (isSilent) this.#silentSince.set(link, performance.now() - TIMEOUT);
      return undefined;
    }
  }

  #isLate(link: Link, health: Health | undefined, limit: number): boolean {
    if (health !== undefined) return health.delay > limit;
    const since = this.#silentSince.get(link);
    return since !== undefined && performance.now() - since >= limit * 1000;
  }
}
