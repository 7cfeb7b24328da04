/**
 * The broker of a server in one of its workers. What is kept is in the memory of the master, see `BrokerHub`; a worker asks for it
 * over its link, and what it was told by then is known to be missing when the link is made again.
 *
 * @module
 */

import {
  type Appended,
  type Broker,
  BrokerError,
  type BrokerErrorCode,
  type BrokerHost,
  type BrokerMessage,
  type BrokerNode,
  type TopicHistory,
  type TopicPosition,
} from "../topics/broker.ts";
import { keptOptionsOf } from "../topics/brokers/broker_options.ts";
import { EMPTY } from "../transport/bytes.ts";
import { nextTurn } from "../transport/current_runtime.ts";
import { utf8Encoder } from "../values.ts";
import {
  fits,
  HISTORY_METHOD,
  POSITIONS_METHOD,
  readHistory,
  readMessage,
  readPositions,
  readTopics,
  REFUSED,
  REPEATED,
  UNKNOWN,
  writeMessage,
  writeTopics,
} from "./broker_frames.ts";
import type { Link } from "./link.ts";
import type { Mesh } from "./mesh.ts";
import type { RequestError, RequestFailure, Requests } from "./requests.ts";
import {
  APPEND,
  APPENDED,
  BodyReader,
  BodyWriter,
  BROKER_SUBSCRIBE,
  BROKER_SUBSCRIBED,
  BROKER_UNSUBSCRIBE,
  KEPT,
} from "./wire.ts";

/** The slot of the master. */
const MASTER = 0;

/** How many messages may wait for their reply. */
const MOST_PENDING = 10_000;

/** How many topics are subscribed to in one turn: thousands may come back together, and both processes have more to do. */
const BATCH = 512;

/** How many histories are read at the same time. */
const MOST_READ = 256;

/** The time between two ticks above which this process was busy, in milliseconds. */
const BUSY = 1000;

/** How often a worker looks whether the master replies, in milliseconds. */
const PROBE_INTERVAL = 5000;

/** The codes for requests without a reply. Nothing is changed by them. */
const CODES: Readonly<Record<RequestFailure, BrokerErrorCode>> = {
  gone: "BROKER_DOWN",
  late: "BROKER_UNKNOWN",
  full: "BROKER_BUSY",
  failed: "BROKER_REFUSED",
};

/** A message whose reply has not come yet. */
interface PendingAppend {
  /** When it was sent, and when the reply is late, in milliseconds. */
  readonly sent: number;
  readonly due: number;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: BrokerError) => void;
}

/** The broker of a worker. */
export class MeshBroker implements Broker {
  readonly isLocal = true;
  readonly options: Broker["options"];

  readonly #attach: (host: BrokerHost) => MeshNode;
  #node: MeshNode | undefined = undefined;

  /**
   * @param mesh The links to the other processes, none of which has been made yet.
   * @param broker The broker of the program, of which this worker uses no more than its options.
   * @param bufferSize The number of bytes that the queue of a link holds.
   */
  constructor(mesh: Mesh, requests: Requests, broker: Broker, bufferSize: number) {
    this.options = broker.options;
    const timeout = (broker.timeout ?? 0) * 1000 || Infinity;
    this.#attach = (host) => new MeshNode(mesh, requests, broker.options, { timeout, bufferSize }, host);
    const isMaster = ({ peer }: Link) => peer!.slot === MASTER;
    mesh.watch({
      onJoined: (link) => isMaster(link) && this.#node?.onJoined(link),
      onLeft: (link) => this.#node?.onLeft(link),
      onTick: (now) => this.#node?.onTick(now),
    });
    mesh.handle(BROKER_SUBSCRIBED, (_link, bytes, start, end) => {
      this.#node?.onSubscribed(readTopics(new BodyReader(bytes, start, end)));
    });
    mesh.handle(APPENDED, (_link, bytes, start, end) => this.#node?.onAppended(new BodyReader(bytes, start, end)));
    mesh.handle(KEPT, (_link, bytes, start, end) => this.#node?.onKept(new BodyReader(bytes, start, end)));
  }

  attach(host: BrokerHost): BrokerNode {
    return this.#node = this.#attach(host);
  }
}

/** What a node needs to know besides its options. */
interface NodeLimits {
  /** How long the master may take for a reply, in milliseconds. */
  readonly timeout: number;
  readonly bufferSize: number;
}

/** A worker at the broker of its master. */
class MeshNode implements BrokerNode {
  readonly state: { lag: number; reconnects: number; malformed: number } = { lag: 0, reconnects: 0, malformed: 0 };

  readonly #mesh: Mesh;
  readonly #requests: Requests;
  readonly #options: Broker["options"];
  readonly #limits: NodeLimits;
  readonly #host: BrokerHost;
  readonly #wanted: Set<string> = new Set(); // kept topics
  readonly #untold: Set<string> = new Set(); // those of them that the master does not know yet
  #isTelling = false; // the next of them in the next turn
  readonly #pending: Map<number, PendingAppend> = new Map(); // by number, oldest first
  readonly #toRead: (() => void)[] = [];
  readonly #writer: BodyWriter = new BodyWriter();
  #link: Link | undefined;
  #last = 0; // number of a message
  #reading = 0;
  #isStuck = false; // the master has not replied in time
  #tickedAt = 0;
  #wasBusy = false; // this process, before the last tick
  #probeAt = 0;
  #isClosed = false;

  constructor(mesh: Mesh, requests: Requests, options: Broker["options"], limits: NodeLimits, host: BrokerHost) {
    this.#mesh = mesh;
    this.#requests = requests;
    this.#options = options;
    this.#limits = limits;
    this.#host = host;
    this.#link = mesh.linkOf(MASTER);
  }

  // ---- the link -----------------------------------------------------------------------------------------------------

  get isUp(): boolean {
    return !this.#isStuck && (this.#link?.isOpen ?? false);
  }

  /** Called when the master is joined, for the first time or again. */
  onJoined(link: Link): void {
    if (this.#link !== undefined) this.onLeft(this.#link);
    if (this.#isClosed) return;
    this.#link = link;
    for (const topic of this.#wanted) this.#untold.add(topic);
    this.#subscribe();
  }

  /** Called when a link has ended. */
  onLeft(link: Link): void {
    if (link !== this.#link) return;
    this.#link = undefined;
    this.#isStuck = false;
    this.state.reconnects++;
    this.#giveUp("The link to the master has ended");
  }

  #giveUp(reason: string): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(new BrokerError("BROKER_UNKNOWN", reason));
  }

  /** Gives up messages whose reply is late. */
  onTick(now: number): void {
    this.#wasBusy = now - this.#tickedAt > BUSY;
    this.#tickedAt = now;
    if (this.#wasBusy) return; // it has not read the replies
    if (now >= this.#probeAt) this.#probe(now);
    for (const [number, { due, reject }] of this.#pending) {
      if (due > now) return;
      this.#pending.delete(number);
      reject(new BrokerError("BROKER_UNKNOWN", "The master has not replied in time"));
      this.#onLate();
    }
  }

  /** Asks the master for nothing, to find out whether it replies: who only listens would not know. */
  #probe(now: number): void {
    this.#probeAt = now + PROBE_INTERVAL;
    if (!this.isUp) return;
    const sent = performance.now();
    this.#ask(POSITIONS_METHOD, EMPTY).then(() => this.state.lag = (performance.now() - sent) / 1000, () => {});
  }

  /** Notes that the master does not reply: whatever was sent to it waits, and more is refused until it runs again. */
  #onLate(): void {
    if (this.#isStuck) return;
    this.#isStuck = true;
    this.state.reconnects++;
    this.#host.warn("broker master", "The master does not reply: messages of kept topics are refused until it does");
    const link = this.#link;
    this.#requests.ask(link, POSITIONS_METHOD, EMPTY, Infinity).then(() => {
      if (link === this.#link) this.#isStuck = false;
    }, () => {}); // the link has ended
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#wanted.clear();
    this.#untold.clear();
    this.#giveUp("The server stops");
    return Promise.resolve();
  }

  // ---- subscriptions ------------------------------------------------------------------------------------------------

  subscribe(topics: readonly string[]): void {
    for (const topic of topics) {
      if (this.#wanted.has(topic) || keptOptionsOf(this.#options, topic) === undefined) continue;
      this.#wanted.add(topic);
      this.#untold.add(topic);
    }
    this.#subscribe();
  }

  /** Subscribes to a batch of what the master does not know yet, and to the others in later turns. */
  #subscribe(): void {
    if (this.#isTelling || this.#link === undefined) return;
    const batch: string[] = [];
    for (const topic of this.#untold) {
      if (batch.push(topic) === BATCH) break;
    }
    for (const topic of batch) this.#untold.delete(topic);
    this.#tell(BROKER_SUBSCRIBE, batch);
    if (this.#untold.size === 0) return;
    this.#isTelling = true;
    nextTurn(() => {
      this.#isTelling = false;
      this.#subscribe();
    });
  }

  unsubscribe(topics: readonly string[]): void {
    this.#tell(BROKER_UNSUBSCRIBE, topics.filter((topic) => this.#wanted.delete(topic) && !this.#untold.delete(topic)));
  }

  #tell(kind: number, topics: Iterable<string>): void {
    writeTopics(topics, (body) => this.#link?.tell(kind, body));
  }

  onSubscribed(topics: readonly string[]): void {
    this.#isStuck = false;
    this.#host.subscribed(topics.filter((topic) => this.#wanted.has(topic) && !this.#untold.has(topic)));
  }

  onKept(body: BodyReader): void {
    this.#isStuck = false;
    const topic = body.text();
    const epoch = body.text();
    const offset = body.fd();
    const previous = body.fd();
    const { message, except } = readMessage(body);
    this.#host.deliverKept(topic, epoch, { offset, message, except }, previous);
  }

  // ---- messages -----------------------------------------------------------------------------------------------------

  /** Messages of fleeting topics go from process to process, see `Peers`. */
  publish(): boolean {
    return true;
  }

  append(topic: string, message: BrokerMessage, id: string, except?: ReadonlySet<number>): Promise<Appended> {
    return new Promise((resolve, reject) => {
      const fail = (code: BrokerErrorCode, text: string) => reject(new BrokerError(code, text));
      const link = this.#link;
      if (link === undefined || !link.isOpen) return fail("BROKER_DOWN", "There is no link to the master");
      if (this.#isStuck) return fail("BROKER_DOWN", "The master does not reply");
      const { bufferSize, timeout } = this.#limits;
      if (!fits(message, except, bufferSize)) {
        return fail("BROKER_REFUSED", `The message has ${message.payload.length} bytes, more than worker_buffer_size allows`);
      }
      if (this.#pending.size >= MOST_PENDING) return fail("BROKER_BUSY", `${MOST_PENDING} messages wait for the master`);
      const number = (this.#last + 1) >>> 0;
      const name = utf8Encoder.encode(id);
      const head = this.#writer.uint32(number).text(topic).uint16(name.length).add(name);
      if (!link.send(APPEND, writeMessage(head, message, except).take(), message.payload)) {
        return fail("BROKER_BUSY", "There is no room in the queue of the link to the master");
      }
      this.#last = number;
      this.#pending.set(number, { sent: performance.now(), due: this.#mesh.now + timeout, resolve, reject });
    });
  }

  onAppended(body: BodyReader): void {
    this.#isStuck = false;
    const number = body.uint32();
    const status = body.uint8();
    const pending = this.#pending.get(number);
    if (pending === undefined) return; // it was late
    this.#pending.delete(number);
    if (status === REFUSED || status === UNKNOWN) {
      const code = status === REFUSED ? "BROKER_REFUSED" : "BROKER_UNKNOWN";
      return pending.reject(new BrokerError(code, body.text()));
    }
    this.state.lag = (performance.now() - pending.sent) / 1000;
    pending.resolve({ offset: body.fd(), epoch: body.text(), isRepeated: status === REPEATED });
  }

  // ---- positions and histories --------------------------------------------------------------------------------------

  async positions(topics: readonly string[]): Promise<readonly (TopicPosition | undefined)[]> {
    const writer = new BodyWriter();
    for (const topic of topics) writer.text(topic);
    return readPositions(await this.#ask(POSITIONS_METHOD, writer.take()));
  }

  async read(topic: string, since: number, limit: number): Promise<TopicHistory> {
    if (this.#reading >= MOST_READ) await new Promise<void>((resolve) => this.#toRead.push(resolve));
    this.#reading++;
    try {
      return readHistory(await this.#ask(HISTORY_METHOD, new BodyWriter().text(topic).fd(since).uint32(limit).take()));
    } finally {
      this.#reading--;
      this.#toRead.shift()?.();
    }
  }

  async #ask(method: number, body: Uint8Array): Promise<BodyReader> {
    try {
      const reply = await this.#requests.ask(this.#link, method, body, this.#limits.timeout);
      return new BodyReader(reply, 0, reply.length);
    } catch (error) {
      const { failure, message } = error as RequestError;
      if (failure === "late" && !this.#wasBusy) this.#onLate();
      throw new BrokerError(CODES[failure], `The master has not replied: ${message}`, error);
    }
  }
}
