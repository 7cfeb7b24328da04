/**
 * The room: its people and the conversation.
 *
 * @module
 */

import type { WebSocketServer } from "../../mod.ts";
import { type ChatMessage, type ClientMessage, LIMITS, type Person, problem, type ServerMessage } from "./protocol.ts";

/** The close code for a connection replaced by a newer one of the same session. 4000 to 4999 are for applications. */
const REPLACED = 4000;

/** The time in milliseconds for which a place is kept after its connection is lost: long enough to reload a page. */
const GRACE = 2_000;

/** A person in the room, as known to the server. */
interface Member extends Person {
  session: string;
  /** The timer that removes the member after the connection was lost. */
  leaving?: number;
}

/** A chat room. People are identified by the number of their connection, which the server calls `fd`. */
export class Room {
  readonly #server: WebSocketServer;
  readonly #members: Map<number, Member> = new Map();
  readonly #history: ChatMessage[] = [];
  #lastId = 0;

  constructor(server: WebSocketServer) {
    this.#server = server;
  }

  /** Handles a message of a connection. */
  handle(fd: number, message: ClientMessage): void {
    const member = this.#members.get(fd);
    if (message.type === "join") {
      if (member === undefined) this.#join(fd, message.name, message.session);
      else this.tell(fd, problem("bad_message", "You are in the room already"));
    } else if (member === undefined) {
      this.tell(fd, problem("not_joined", "Join first"));
    } else if (message.type === "rename") {
      this.#rename(member, message.name);
    } else if (message.type === "say") {
      this.#say(fd, member, message.id, message.text);
    } else {
      this.#tellAll({ type: "typing", person: shown(member) }, fd);
    }
  }

  /** Handles a lost connection. A member who does not return within the grace period has left. */
  leave(fd: number): void {
    const member = this.#members.get(fd);
    if (member === undefined) return; // never joined, or replaced by a newer connection
    member.leaving = this.#server.after(GRACE, () => {
      this.#members.delete(fd);
      this.#tellAll({ type: "left", person: shown(member), at: Date.now() });
    });
  }

  /** Sends a message to one connection. */
  tell(fd: number, message: ServerMessage): void {
    this.#server.push(fd, JSON.stringify(message));
  }

  #join(fd: number, name: string, session: string): void {
    // A person who returns gets the same place. The old connection may still exist: after a phone changes networks, it takes a
    // while until the old one is known to be dead.
    const known = [...this.#members].find(([, member]) => member.session === session);
    const member = known?.[1] ?? { id: ++this.#lastId, name: "", session };
    if (known !== undefined) {
      if (member.leaving !== undefined) this.#server.clearTimer(member.leaving);
      member.leaving = undefined;
      this.#members.delete(known[0]);
      this.#server.disconnect(known[0], REPLACED, "joined again from elsewhere");
      this.#rename(member, name);
    } else {
      member.name = this.#freeName(name, member);
      this.#tellAll({ type: "joined", person: shown(member), at: Date.now() });
    }
    this.#members.set(fd, member);
    const people = [...this.#members.values()].map(shown);
    this.tell(fd, { type: "welcome", you: shown(member), people, history: this.#history });
  }

  #rename(member: Member, name: string): void {
    const was = member.name;
    member.name = this.#freeName(name, member);
    if (member.name === was) return;
    this.#tellAll({ type: "renamed", person: shown(member), was, at: Date.now() });
  }

  #say(fd: number, member: Member, id: string, text: string): void {
    // A page that lost its connection before its message came back sends the message again.
    const known = this.#history.find((message) => message.id === id);
    if (known !== undefined) return this.tell(fd, { type: "said", message: known });

    const message: ChatMessage = { id, at: Date.now(), from: shown(member), text };
    this.#history.push(message);
    if (this.#history.length > LIMITS.history) this.#history.shift();
    this.#tellAll({ type: "said", message });
  }

  /** Returns the requested name, with a number appended if another person has it. */
  #freeName(wanted: string, owner: Member): string {
    const taken = new Set<string>();
    for (const other of this.#members.values()) {
      if (other !== owner && other.leaving === undefined) taken.add(comparable(other.name));
    }
    let name = wanted;
    for (let number = 2; taken.has(comparable(name)); number++) {
      const end = ` ${number}`;
      // Cut whole characters only, never half of an emoji.
      let start = [...wanted];
      while (start.join("").length + end.length > LIMITS.name) start = start.slice(0, -1);
      name = start.join("").trimEnd() + end;
    }
    return name;
  }

  #tellAll(message: ServerMessage, except?: number): void {
    const text = JSON.stringify(message);
    for (const fd of this.#members.keys()) {
      if (fd !== except) this.#server.push(fd, text);
    }
  }
}

/** Returns the public part of a member. The session stays on the server. */
function shown(member: Member): Person {
  return { id: member.id, name: member.name };
}

/** Normalizes a name, so that similar names compare equal: `Ada`, `ADA` and `Ａｄａ`. */
function comparable(name: string): string {
  return name.normalize("NFKC").toLowerCase();
}
