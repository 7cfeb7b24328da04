/**
 * The members of topics, over all servers that share a broker. Each server tells the others what its own connections show, and keeps
 * everything that the others have told: a program that lists members asks no other server.
 *
 * What a server tells is numbered. A server that has missed a number of another, or receives its first message, asks it for all that
 * it shows. Each server says now and then that it is there, with its last number. One that has been silent for too long has died, and
 * what it showed is gone. While the broker is down, no server is heard, and everything stays as it was.
 *
 * @module
 */

import { isRecord } from "../values.ts";
import type { BrokerClock } from "./kept_topics.ts";
import { type PresenceChange, PresenceTable, type Shown } from "./presence_table.ts";

/** How servers reach each other. */
export interface PresenceBus {
  /** Whether what is said reaches the others. */
  readonly isUp: boolean;
  /** Says something to all other servers. */
  say(text: string): void;
}

/** What presence needs to know. */
export interface PresenceOptions {
  /** The id of this server. */
  readonly id: string;
  /** How long a member without connections stays, in milliseconds. */
  readonly grace: number;
  /** The number of members of a topic up to which changes are told one by one. */
  readonly most: number;
  /** How long another server may be silent, in milliseconds; 0 if it is known at once when one has died, see `lose()`. */
  readonly lease: number;
  /** Called when something has changed. */
  onChange(change: PresenceChange): void;
}

/** What servers say to each other. A key of `null` means that the connection shows nothing any more. */
type Entry = readonly [fd: number, topic: string, key: string | null, info: unknown, at: number];
type Speech =
  | { readonly k: "diff"; readonly v: number; readonly c: readonly Entry[] }
  | { readonly k: "state"; readonly v: number; readonly i: number; readonly n: number; readonly c: readonly Entry[] }
  | { readonly k: "beat"; readonly v: number }
  | { readonly k: "ask"; readonly of: string }
  | { readonly k: "bye" };

/** What is known of another server. */
interface Other {
  /** The number of what it has told last, and was understood; -1 while it was not. */
  version: number;
  /** When it was heard last, and asked last. */
  heard: number;
  asked: number;
  /** The parts of its state that have arrived. */
  parts: Shown[];
  next: number;
}

/** The number of entries in one message, and of the UTF-16 units of all of them. */
const BATCH = 512;
const BATCH_SIZE = 16 * 1024;

/** The number of members from which changes of a topic are told together. */
const LARGE = 100;

/** The time in which changes of a large topic come together, and within which one is asked again, in milliseconds. */
const TOGETHER = 100;
const ASK_AGAIN = 1000;

/** The presence of one server. */
export class Presence {
  readonly table: PresenceTable;

  readonly #options: PresenceOptions;
  readonly #bus: PresenceBus | undefined;
  readonly #clock: BrokerClock;
  readonly #others: Map<string, Other> = new Map();
  #version = 0;
  #toTell: Entry[] = [];
  #cancelBeat: (() => void) | undefined = undefined;
  #cancelExpiry: (() => void) | undefined = undefined;
  #cancelSoon: (() => void) | undefined = undefined;
  #cancelTogether: (() => void) | undefined = undefined;
  #cancelState: (() => void) | undefined = undefined;
  #isClosed = false;

  /** @param bus Reaches other servers, if there may be any. */
  constructor(options: PresenceOptions, bus: PresenceBus | undefined, clock: BrokerClock) {
    this.#options = options;
    this.#bus = bus;
    this.#clock = clock;
    this.table = new PresenceTable(options.grace);
    if (bus !== undefined && options.lease > 0) this.#scheduleBeat();
  }

  // ---- this server --------------------------------------------------------------------------------------------------

  /** Shows a connection of this server in a topic, or shows something else of it. */
  show(fd: number, topic: string, key: string, info: unknown): void {
    const at = Date.now();
    this.table.show(this.#options.id, { fd, topic, key, info, at }, this.#clock.now());
    this.#tell([fd, topic, key, info, at]);
    this.#onTouched();
  }

  /** Shows a connection of this server no more. Returns whether it was shown. */
  hide(fd: number, topic: string): boolean {
    if (!this.table.hide(this.#options.id, fd, topic, this.#clock.now())) return false;
    this.#tell([fd, topic, null, null, 0]);
    this.#onTouched();
    return true;
  }

  /** Tells the others what has changed in this turn. */
  #tell(entry: Entry): void {
    if (this.#bus === undefined || this.#isClosed) return;
    this.#toTell.push(entry);
    if (this.#toTell.length > 1) return;
    queueMicrotask(() => {
      const entries = this.#toTell;
      this.#toTell = [];
      for (const part of partsOf(entries)) {
        if (!this.#isClosed) this.#bus!.say(`{"k":"diff","v":${++this.#version},"c":[${part}]}`);
      }
    });
  }

  #say(speech: Speech): void {
    if (!this.#isClosed) this.#bus?.say(JSON.stringify(speech));
  }

  // ---- telling the program ------------------------------------------------------------------------------------------

  #onTouched(): void {
    if (this.#isClosed) return;
    if (this.table.hasLeaving) {
      this.#cancelExpiry ??= this.#clock.after(Math.max(10, this.#options.grace / 8), () => {
        this.#cancelExpiry = undefined;
        this.table.expire(this.#clock.now());
        this.#onTouched();
      });
    }
    for (const topic of this.table.changedTopics) {
      if (this.table.count(topic) > LARGE) this.#cancelTogether ??= this.#clock.after(TOGETHER, () => this.#flushAll());
      else this.#cancelSoon ??= this.#clock.after(0, () => this.#flushSmall());
    }
  }

  #flushAll(): void {
    this.#cancelTogether = undefined;
    for (const topic of [...this.table.changedTopics]) this.#flush(topic);
  }

  #flushSmall(): void {
    this.#cancelSoon = undefined;
    for (const topic of [...this.table.changedTopics]) if (this.table.count(topic) <= LARGE) this.#flush(topic);
  }

  #flush(topic: string): void {
    const change = this.table.changes(topic, this.#options.most);
    if (change !== undefined && !this.#isClosed) this.#options.onChange(change);
  }

  // ---- other servers ------------------------------------------------------------------------------------------------

  /** Called when others can be heard, again after each loss of the connection. */
  onReady(): void {
    const now = this.#clock.now();
    for (const other of this.#others.values()) other.heard = now;
    this.#say({ k: "ask", of: "" });
    this.#sendState();
  }

  #scheduleBeat(): void {
    this.#cancelBeat = this.#clock.after(this.#options.lease / 3, () => {
      this.#beat();
      this.#scheduleBeat();
    });
  }

  #beat(): void {
    const now = this.#clock.now();
    if (this.#bus!.isUp) {
      this.#say({ k: "beat", v: this.#version });
      for (const [node, { heard }] of this.#others) if (now - heard >= this.#options.lease) this.lose(node);
    } else {
      for (const other of this.#others.values()) other.heard = now; // no server can be heard
    }
  }

  /** Forgets a server that has died. */
  lose(node: string): void {
    if (this.#isClosed || !this.#others.delete(node)) return;
    this.table.replace(node, [], this.#clock.now());
    this.#onTouched();
  }

  /** Sends everything that this server shows, in a moment: several may have asked. */
  #sendState(): void {
    this.#cancelState ??= this.#clock.after(Math.random() * TOGETHER, () => {
      this.#cancelState = undefined;
      for (const text of this.describe()) if (!this.#isClosed) this.#bus?.say(text);
    });
  }

  /** Returns everything that this server shows, in the words of servers. */
  *describe(): Iterable<string> {
    const entries = this.table.shownBy(this.#options.id).map((
      { fd, topic, key, info, at },
    ): Entry => [fd, topic, key, info, at]);
    const parts = partsOf(entries);
    if (parts.length === 0) parts.push("");
    // What is still to be told is in it; it is told again, which changes nothing.
    for (const [i, part] of parts.entries()) {
      yield `{"k":"state","v":${this.#version},"i":${i},"n":${parts.length},"c":[${part}]}`;
    }
  }

  #ask(node: string, other: Other): void {
    const now = this.#clock.now();
    if (now - other.asked < ASK_AGAIN) return;
    other.asked = now;
    this.#say({ k: "ask", of: node });
  }

  /** Takes what another server has said. */
  onMessage(node: string, text: string): void {
    if (node === this.#options.id || this.#isClosed) return;
    const speech = parse(text);
    if (speech === undefined) return;
    if (speech.k === "bye") return this.lose(node);
    const now = this.#clock.now();
    let other = this.#others.get(node);
    if (other === undefined) {
      this.#others.set(node, other = { version: -1, heard: now, asked: -Infinity, parts: [], next: 0 });
    }
    other.heard = now;
    if (speech.k === "ask") {
      if (speech.of === "" || speech.of === this.#options.id) this.#sendState();
      if (other.version < 0) this.#ask(node, other);
    } else if (speech.k === "state") this.#onState(node, other, speech);
    else if (speech.k === "beat") {
      if (speech.v !== other.version) this.#ask(node, other);
    } else if (speech.v > other.version) {
      if (other.version < 0 || speech.v !== other.version + 1) return this.#ask(node, other);
      other.version = speech.v;
      for (const [fd, topic, key, info, at] of speech.c) {
        if (key === null) this.table.hide(node, fd, topic, now);
        else this.table.show(node, { fd, topic, key, info, at }, now);
      }
      this.#onTouched();
    }
  }

  #onState(node: string, other: Other, { v, i, n, c }: Extract<Speech, { k: "state" }>): void {
    if (i === 0) [other.parts, other.next] = [[], 0];
    if (i !== other.next) return this.#ask(node, other); // a part was lost
    other.next++;
    for (const [fd, topic, key, info, at] of c) if (key !== null) other.parts.push({ fd, topic, key, info, at });
    if (other.next < n) return;
    if (v >= other.version) {
      other.version = v;
      this.table.replace(node, other.parts, this.#clock.now());
      this.#onTouched();
    }
    [other.parts, other.next] = [[], 0];
  }

  /** Takes leave of the others: what this server shows is gone at once. */
  close(): void {
    this.#say({ k: "bye" });
    this.#isClosed = true;
    for (const cancel of [this.#cancelBeat, this.#cancelExpiry, this.#cancelSoon, this.#cancelTogether, this.#cancelState]) {
      cancel?.();
    }
  }
}

/** Returns entries as JSON, with commas between them, in parts of which each is one message. */
function partsOf(entries: readonly Entry[]): string[] {
  const parts: string[] = [];
  let part: string[] = [];
  let size = 0;
  for (const entry of entries) {
    const text = JSON.stringify(entry);
    if (part.length === BATCH || (part.length > 0 && size + text.length > BATCH_SIZE)) {
      parts.push(part.join());
      [part, size] = [[], 0];
    }
    part.push(text);
    size += text.length + 1;
  }
  if (part.length > 0) parts.push(part.join());
  return parts;
}

/** Reads what a server has said; `undefined` if it is nothing that is known. */
function parse(text: string): Speech | undefined {
  try {
    const speech: unknown = JSON.parse(text);
    if (!isRecord(speech)) return undefined;
    const { k, v, i, n, c, of } = speech;
    if (k === "bye" || (k === "ask" && typeof of === "string")) return speech as Speech;
    if (!Number.isSafeInteger(v)) return undefined;
    if (k === "beat") return speech as Speech;
    if (!Array.isArray(c) || !c.every(isEntry)) return undefined;
    if (k === "diff" || (k === "state" && Number.isSafeInteger(i) && Number.isSafeInteger(n))) return speech as Speech;
  } catch {
    // it is no JSON
  }
  return undefined;
}

function isEntry(entry: unknown): boolean {
  if (!Array.isArray(entry)) return false;
  const [fd, topic, key, , at] = entry;
  return Number.isSafeInteger(fd) && typeof topic === "string" && (key === null || typeof key === "string") &&
    typeof at === "number";
}
