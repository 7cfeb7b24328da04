/**
 * The broker of a server with several processes, in its master: the master outlives its workers, so that what topics keep is in its
 * memory. Each worker is a node of the broker here, and says over its link what it wants; see `MeshBroker`.
 *
 * @module
 */

import type { Sharing } from "../transport/bytes.ts";
import {
  type Appended,
  type Broker,
  BrokerError,
  type BrokerHost,
  type BrokerMessage,
  type BrokerNode,
  type BrokerState,
  type KeptMessage,
  type TopicHistory,
  type TopicPosition,
} from "../topics/broker.ts";
import { keptOptionsOf } from "../topics/brokers/broker_options.ts";
import {
  fits,
  HISTORY_METHOD,
  POSITIONS_METHOD,
  readMessage,
  readTopics,
  REFUSED,
  REPEATED,
  STORED,
  UNKNOWN,
  writeHistory,
  writeMessage,
  writePositions,
  writeTopics,
} from "./broker_frames.ts";
import { frameOf, type Link } from "./link.ts";
import type { Mesh } from "./mesh.ts";
import type { Requests } from "./requests.ts";
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
import { utf8Decoder } from "../values.ts";

/** A message that is sent to several workers. */
interface SharedEntry {
  readonly entry: KeptMessage;
  readonly frame: Uint8Array;
  readonly sharing: Sharing;
}

/** The broker of all processes, for the server of this one and for its workers. */
export class BrokerHub implements Broker {
  readonly isLocal = true;
  readonly options: Broker["options"];

  readonly #broker: Broker;
  readonly #bufferSize: number;
  readonly #workers: Map<Link, HubWorker> = new Map();
  readonly #excepted: WeakMap<BrokerMessage, ReadonlySet<number>> = new WeakMap(); // for as long as the message is kept
  readonly #writer: BodyWriter = new BodyWriter();
  #shared: SharedEntry | undefined = undefined; // the last one

  /**
   * @param mesh The links to the workers, none of which has been made yet.
   * @param broker What keeps the messages.
   * @param bufferSize The number of bytes that the queue of a link holds.
   */
  constructor(mesh: Mesh, requests: Requests, broker: Broker, bufferSize: number) {
    this.#broker = broker;
    this.options = broker.options;
    this.#bufferSize = bufferSize;
    mesh.watch({ onLeft: (link) => this.#onLeft(link) });
    mesh.handle(BROKER_SUBSCRIBE, (link, bytes, start, end) => {
      this.#nodeOf(link).subscribe(readTopics(new BodyReader(bytes, start, end)));
    });
    mesh.handle(BROKER_UNSUBSCRIBE, (link, bytes, start, end) => {
      this.#nodeOf(link).unsubscribe(readTopics(new BodyReader(bytes, start, end)));
    });
    mesh.handle(APPEND, (link, bytes, start, end) => this.#onAppend(link, new BodyReader(bytes, start, end)));
    requests.serve(POSITIONS_METHOD, (link, body) => this.#positions(link, new BodyReader(body, 0, body.length)));
    requests.serve(HISTORY_METHOD, (link, body) => this.#read(link, new BodyReader(body, 0, body.length)));
  }

  attach(host: BrokerHost): BrokerNode {
    return new HubNode(this.#broker.attach(host), this);
  }

  #nodeOf(link: Link): BrokerNode {
    let worker = this.#workers.get(link);
    if (worker === undefined) {
      worker = new HubWorker(link, this, this.#bufferSize);
      worker.node = this.#broker.attach(worker);
      this.#workers.set(link, worker);
    }
    return worker.node!;
  }

  #onLeft(link: Link): void {
    const worker = this.#workers.get(link);
    this.#workers.delete(link);
    worker?.node?.close();
  }

  // ---- what workers ask for -----------------------------------------------------------------------------------------

  #onAppend(link: Link, body: BodyReader): void {
    const number = body.uint32();
    const topic = body.text();
    const id = utf8Decoder.decode(body.view(body.uint16()));
    const { message, except } = readMessage(body);
    this.append(this.#nodeOf(link), topic, message, id, except).then(
      ({ offset, epoch, isRepeated }) => {
        const reply = this.#writer.uint32(number).uint8(isRepeated ? REPEATED : STORED).fd(offset).text(epoch);
        link.tell(APPENDED, reply.take());
      },
      (error) => {
        const isRefused = error instanceof BrokerError && error.code !== "BROKER_UNKNOWN";
        const reply = new BodyWriter().uint32(number).uint8(isRefused ? REFUSED : UNKNOWN);
        link.tell(APPENDED, reply.text(String(error?.message ?? error)).take());
      },
    );
  }

  /** Appends a message of one of the processes. */
  append(node: BrokerNode, topic: string, message: BrokerMessage, id: string, except?: ReadonlySet<number>): Promise<Appended> {
    let refusal: string | undefined;
    if (!fits(message, except, this.#bufferSize)) {
      refusal = `The message has ${message.payload.length} bytes, more than worker_buffer_size allows`;
    } else if (!this.#keeps(topic)) {
      refusal = "The master does not keep this topic: it was started with other options of the broker";
    }
    if (refusal !== undefined) return Promise.reject(new BrokerError("BROKER_REFUSED", refusal));
    if (except !== undefined) this.#excepted.set(message, except);
    return node.append(topic, message, id);
  }

  #keeps(topic: string): boolean {
    return keptOptionsOf(this.options, topic) !== undefined;
  }

  async #positions(link: Link, body: BodyReader): Promise<Uint8Array> {
    const topics = readTopics(body);
    const kept = topics.filter((topic) => this.#keeps(topic));
    const positions = await this.#nodeOf(link).positions(kept);
    const known = new Map(kept.map((topic, index) => [topic, positions[index]]));
    return writePositions(topics.map((topic) => known.get(topic)));
  }

  async #read(link: Link, body: BodyReader): Promise<Uint8Array> {
    const topic = body.text();
    const since = body.fd();
    const limit = body.uint32();
    if (!this.#keeps(topic)) throw new Error("the master does not keep this topic");
    const history = await this.#nodeOf(link).read(topic, since, limit);
    return writeHistory(history, (message) => this.#excepted.get(message), this.#bufferSize);
  }

  // ---- what workers are sent ----------------------------------------------------------------------------------------

  /** Returns the frame of a message, the same for all workers; `undefined` if it fits into none. */
  share(topic: string, epoch: string, entry: KeptMessage, previous: number): SharedEntry | undefined {
    if (this.#shared?.entry === entry) return this.#shared;
    const { offset, message } = entry;
    const except = this.#excepted.get(message);
    if (!fits(message, except, this.#bufferSize)) return undefined; // another server of the program has appended it
    const head = writeMessage(this.#writer.text(topic).text(epoch).fd(offset).fd(previous), message, except).take();
    return this.#shared = { entry, frame: frameOf(KEPT, head, message.payload), sharing: { waits: 0 } };
  }
}

/** A worker, as a server of the broker. */
class HubWorker implements BrokerHost {
  readonly id = ""; // it is not asked for
  node: BrokerNode | undefined = undefined;

  readonly #link: Link;
  readonly #hub: BrokerHub;
  readonly #bufferSize: number;
  readonly #missed: Set<string> = new Set(); // topics of which messages were not taken, because the queue was full

  constructor(link: Link, hub: BrokerHub, bufferSize: number) {
    this.#link = link;
    this.#hub = hub;
    this.#bufferSize = bufferSize;
  }

  /** Messages of fleeting topics go from process to process. */
  deliver(): void {}

  deliverKept(topic: string, epoch: string, entry: KeptMessage, previous: number = entry.offset - 1): void {
    if (this.#missed.has(topic)) return;
    const shared = this.#hub.share(topic, epoch, entry, previous);
    if (shared === undefined) this.subscribed([topic]); // it finds a gap then
    else if (!this.#link.sendShared(shared.frame, shared.sharing)) this.#miss(topic);
  }

  /** Notes that a message was left out. When half of the queue is free, the worker is told, and reads what it has missed. */
  #miss(topic: string): void {
    this.#missed.add(topic);
    if (this.#missed.size > 1) return;
    this.#link.connection.whenTaken(this.#bufferSize / 2).then(() => {
      const topics = [...this.#missed];
      this.#missed.clear();
      this.subscribed(topics);
    });
  }

  subscribed(topics: readonly string[]): void {
    writeTopics(topics, (body) => this.#link.tell(BROKER_SUBSCRIBED, body));
  }

  warn(): void {} // the server of the master is told, too
}

/** The server of the master at its broker. */
class HubNode implements BrokerNode {
  readonly #node: BrokerNode;
  readonly #hub: BrokerHub;

  constructor(node: BrokerNode, hub: BrokerHub) {
    this.#node = node;
    this.#hub = hub;
  }

  get isUp(): boolean {
    return this.#node.isUp;
  }

  get state(): BrokerState {
    return this.#node.state;
  }

  subscribe(topics: readonly string[]): void {
    this.#node.subscribe(topics);
  }

  unsubscribe(topics: readonly string[]): void {
    this.#node.unsubscribe(topics);
  }

  publish(topic: string, message: BrokerMessage): boolean {
    return this.#node.publish(topic, message); // to other servers of the program
  }

  append(topic: string, message: BrokerMessage, id: string, except?: ReadonlySet<number>): Promise<Appended> {
    return this.#hub.append(this.#node, topic, message, id, except);
  }

  positions(topics: readonly string[]): Promise<readonly (TopicPosition | undefined)[]> {
    return this.#node.positions(topics);
  }

  read(topic: string, since: number, limit: number): Promise<TopicHistory> {
    return this.#node.read(topic, since, limit);
  }

  close(): Promise<void> {
    return this.#node.close();
  }
}
