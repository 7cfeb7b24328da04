/**
 * The members of topics by their keys, each with the connections of all servers that show it.
 *
 * This is computation: the time is an argument.
 *
 * @module
 */

/** A member of a topic. */
export interface TopicMember {
  /** Who it is: all connections with the same key are one member. */
  readonly key: string;
  /** What it shows of itself, the newest of its connections decides: a JSON value. */
  readonly info: unknown;
  /** The number of its connections; 0 if it has left, or may come back within `presence_grace`. */
  readonly connections: number;
}

/** The changes of the members of a topic. */
export interface PresenceChange {
  /** The topic. */
  readonly topic: string;
  /** The members that have come. Empty if there are more members than `presence_max`. */
  readonly joined: readonly TopicMember[];
  /** The members that show something else. Empty if there are more members than `presence_max`. */
  readonly updated: readonly TopicMember[];
  /** The members that have left. Empty if there are more members than `presence_max`. */
  readonly left: readonly TopicMember[];
  /** The number of members now. */
  readonly count: number;
}

/** What one connection shows in one topic. */
export interface Shown {
  readonly fd: number;
  readonly topic: string;
  readonly key: string;
  readonly info: unknown;
  /** When it was said, in milliseconds since 1970. */
  readonly at: number;
}

/** A member, with its connections and the source of its info. */
class MemberState {
  readonly key: string;
  info: unknown;
  /** When the info was said, and at which node: the newest one counts. */
  at: number;
  node: string;
  readonly connections: Set<string> = new Set();
  /** When it leaves, unless it comes back; 0 if it does not. */
  leavesAt = 0;

  constructor(key: string, info: unknown, at: number, node: string) {
    this.key = key;
    this.info = info;
    this.at = at;
    this.node = node;
  }

  get view(): TopicMember {
    return { key: this.key, info: this.info, connections: this.connections.size };
  }
}

/** The members of one topic, and those that have changed since the last `changes()`. */
class TopicMembers {
  readonly members: Map<string, MemberState> = new Map();
  readonly joined: Set<string> = new Set();
  readonly updated: Set<string> = new Set();
  readonly left: Map<string, TopicMember> = new Map();
}

/** The members of all topics. */
export class PresenceTable {
  readonly #grace: number; // milliseconds
  readonly #topics: Map<string, TopicMembers> = new Map();
  readonly #nodes: Map<string, Map<string, Shown>> = new Map(); // by node, then by fd and topic
  readonly #leaving: Map<MemberState, string> = new Map(); // with their topics, in the order in which they leave
  readonly #changed: Set<string> = new Set();

  /** @param grace How long a member without connections stays, in milliseconds. */
  constructor(grace: number) {
    this.#grace = grace;
  }

  /** The topics that have changed since `changes()`. */
  get changedTopics(): ReadonlySet<string> {
    return this.#changed;
  }

  /** Whether members wait for coming back. */
  get hasLeaving(): boolean {
    return this.#leaving.size > 0;
  }

  /** The number of entries of a node. */
  sizeOf(node: string): number {
    return this.#nodes.get(node)?.size ?? 0;
  }

  /** Returns what the connections of a node show. */
  shownBy(node: string): Shown[] {
    return [...this.#nodes.get(node)?.values() ?? []];
  }

  /** Returns the number of members of a topic. */
  count(topic: string): number {
    return this.#topics.get(topic)?.members.size ?? 0;
  }

  /**
   * Returns members of a topic, in the order of their keys.
   *
   * @param after The key after which to begin.
   */
  members(topic: string, limit: number, after: string): TopicMember[] {
    const keys = [...this.#topics.get(topic)?.members.keys() ?? []].filter((key) => key > after).sort();
    return keys.slice(0, limit).map((key) => this.#topics.get(topic)!.members.get(key)!.view);
  }

  /** Notes what a connection shows. */
  show(node: string, shown: Shown, now: number): void {
    const { fd, topic, key, info, at } = shown;
    let entries = this.#nodes.get(node);
    if (entries === undefined) this.#nodes.set(node, entries = new Map());
    const place = `${fd} ${topic}`;
    const before = entries.get(place);
    if (before !== undefined && before.key !== key) this.#disconnect(node, before, now);
    entries.set(place, shown);
    let members = this.#topics.get(topic);
    if (members === undefined) this.#topics.set(topic, members = new TopicMembers());
    let member = members.members.get(key);
    if (member === undefined) {
      members.members.set(key, member = new MemberState(key, info, at, node));
      if (members.left.delete(key)) members.updated.add(key); // its leave was not told yet
      else members.joined.add(key);
      this.#changed.add(topic);
    } else {
      if (member.leavesAt !== 0) this.#leaving.delete(member);
      member.leavesAt = 0;
      if (at > member.at || (at === member.at && node >= member.node)) {
        const isSame = JSON.stringify(member.info) === JSON.stringify(info);
        [member.info, member.at, member.node] = [info, at, node];
        if (!isSame) {
          if (!members.joined.has(key)) members.updated.add(key);
          this.#changed.add(topic);
        }
      }
    }
    member.connections.add(`${node} ${fd}`);
  }

  /** Notes that a connection shows nothing any more in a topic. Returns whether it did. */
  hide(node: string, fd: number, topic: string, now: number): boolean {
    const entries = this.#nodes.get(node);
    const shown = entries?.get(`${fd} ${topic}`);
    if (shown === undefined) return false;
    entries!.delete(`${fd} ${topic}`);
    if (entries!.size === 0) this.#nodes.delete(node);
    this.#disconnect(node, shown, now);
    return true;
  }

  #disconnect(node: string, { fd, topic, key }: Shown, now: number): void {
    const member = this.#topics.get(topic)?.members.get(key);
    if (member === undefined) return;
    member.connections.delete(`${node} ${fd}`);
    if (member.connections.size > 0) return;
    member.leavesAt = now + this.#grace;
    this.#leaving.set(member, topic);
    if (this.#grace === 0) this.expire(now);
  }

  /** Replaces everything that a node shows. */
  replace(node: string, all: readonly Shown[], now: number): void {
    const places = new Set(all.map(({ fd, topic }) => `${fd} ${topic}`));
    for (const shown of all) this.show(node, shown, now);
    for (const { fd, topic } of this.shownBy(node)) if (!places.has(`${fd} ${topic}`)) this.hide(node, fd, topic, now);
  }

  /** Removes the members whose time is over. */
  expire(now: number): void {
    for (const [member, topic] of this.#leaving) {
      if (member.leavesAt > now) return;
      const members = this.#topics.get(topic)!;
      const { key } = member;
      this.#leaving.delete(member);
      members.members.delete(key);
      members.updated.delete(key);
      if (!members.joined.delete(key)) members.left.set(key, member.view); // else its arrival was not told yet
      this.#changed.add(topic);
    }
  }

  /** Returns what has changed in a topic since the last time; `undefined` if nothing has. */
  changes(topic: string, most: number): PresenceChange | undefined {
    this.#changed.delete(topic);
    const members = this.#topics.get(topic);
    if (members === undefined) return undefined;
    const viewsOf = (keys: Iterable<string>) => [...keys].map((key) => members.members.get(key)!.view);
    const change = {
      topic,
      joined: viewsOf(members.joined),
      updated: viewsOf(members.updated),
      left: [...members.left.values()],
      count: members.members.size,
    };
    members.joined.clear();
    members.updated.clear();
    members.left.clear();
    if (members.members.size === 0) this.#topics.delete(topic);
    if (change.joined.length + change.updated.length + change.left.length === 0) return undefined;
    return change.count > most ? { ...change, joined: [], updated: [], left: [] } : change;
  }
}
