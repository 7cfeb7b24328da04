/// <reference lib="dom" />
/**
 * The page's logic: it joins, sends, and makes sure that no sent message is lost. This runs in the browser: `page.ts` sends the
 * function as a string, so it can use only its arguments.
 *
 * @module
 */

import type { createControls } from "./controls.ts";
import type { createConversation } from "./conversation.ts";
import type { createDom } from "./dom.ts";
import type { createLink } from "./link.ts";
import type { ChatMessage, LIMITS, Person, ServerMessage } from "./protocol.ts";

/** The other parts of the page's script. */
export interface Parts {
  createControls: typeof createControls;
  createConversation: typeof createConversation;
  createDom: typeof createDom;
  createLink: typeof createLink;
}

/** Starts the chat on the page. */
export function startChat(parts: Parts, limits: typeof LIMITS): void {
  /** The time to wait for one's own message to come back before the connection is considered dead. */
  const ECHO_TIMEOUT = 10_000;
  /** The interval of typing notices to the others. */
  const TYPING_INTERVAL = 2_500;

  /** Messages that have not come back from the server yet, oldest first. */
  const outbox: { id: string; text: string }[] = [];
  const people: Map<number, Person> = new Map();
  const ownIds = new Set(JSON.parse(recall("sessionStorage", "own") ?? "[]") as string[]);
  let session = recall("sessionStorage", "session") ?? newSession();
  let name = recall("localStorage", "name") ?? "";
  let me: Person | undefined; // while in the room
  let connected = false;
  let lastTyping = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const dom = parts.createDom();
  const conversation = parts.createConversation(dom);
  const controls = parts.createControls(dom, limits, {
    onSay: say,
    onName: setName,
    onTyping: tellTyping,
    onRetry: () => link.reconnect(),
  });
  const link = parts.createLink({
    onState(state, retryAt) {
      clearTimeout(timer);
      connected = state === "open";
      me = undefined;
      if (connected) join();
      else controls.showState(state, retryAt);
    },
    onReplaced() {
      // This tab was duplicated, and the copy joined with the same session. With a new session both can stay.
      session = newSession();
    },
    onMessage: receive,
  });
  if (name === "") controls.askName();

  function join(): void {
    if (name !== "") link.send({ type: "join", name, session });
  }

  function receive(message: ServerMessage): void {
    if (message.type === "welcome") {
      me = message.you;
      people.clear();
      for (const person of message.people) people.set(person.id, person);
      controls.showState("open");
      for (const said of message.history) show(said);
      conversation.showHistoryEnd();
      if (me.name !== name) conversation.notice(`“${name}” is taken, so you are “${me.name}” now`);
      sendNext();
    } else if (message.type === "joined") {
      people.set(message.person.id, message.person);
      conversation.notice(`${message.person.name} joined`, message.at);
    } else if (message.type === "left") {
      people.delete(message.person.id);
      conversation.notice(`${message.person.name} left`, message.at);
    } else if (message.type === "renamed") {
      people.set(message.person.id, message.person);
      if (message.person.id === me?.id) me = message.person;
      conversation.notice(`${message.was} is now ${message.person.name}`, message.at);
    } else if (message.type === "said") {
      show(message.message);
      controls.stopTyping(message.message.from.id);
    } else if (message.type === "typing") {
      controls.showTyping(message.person);
    } else if (message.code === "bad_name") {
      controls.askName(message.reason);
    } else if (message.code === "too_fast" && message.id !== undefined) {
      clearTimeout(timer);
      timer = setTimeout(sendNext, message.retryAfter);
    } else if (message.id !== undefined) {
      conversation.refuse(message.id, message.reason);
      settle(message.id);
    } else {
      conversation.notice(message.reason);
    }
    if (me !== undefined && message.type !== "typing") controls.showPeople([...people.values()], me);
  }

  function show(message: ChatMessage): void {
    conversation.showMessage(message, ownIds.has(message.id));
    settle(message.id);
  }

  /** Queues a message written by the user. */
  function say(text: string): void {
    const id = newId();
    ownIds.add(id);
    remember("sessionStorage", "own", JSON.stringify([...ownIds].slice(-limits.history)));
    outbox.push({ id, text });
    conversation.showPending(id, text);
    lastTyping = 0;
    if (outbox.length === 1) sendNext();
  }

  /**
   * Sends the oldest message of the outbox. The next one follows once this one has come back, so order is kept and none is lost.
   */
  function sendNext(): void {
    clearTimeout(timer);
    if (outbox.length === 0 || me === undefined) return;
    link.send({ type: "say", ...outbox[0] });
    timer = setTimeout(() => link.reconnect(), ECHO_TIMEOUT);
  }

  /** Removes a message that came back or was refused from the outbox, and sends the next one. */
  function settle(id: string): void {
    const at = outbox.findIndex((message) => message.id === id);
    if (at < 0) return;
    outbox.splice(at, 1);
    sendNext();
  }

  function setName(wanted: string): void {
    name = wanted;
    remember("localStorage", "name", name);
    if (me !== undefined) link.send({ type: "rename", name });
    else if (connected) join();
  }

  function tellTyping(): void {
    if (me === undefined || Date.now() - lastTyping < TYPING_INTERVAL) return;
    lastTyping = Date.now();
    link.send({ type: "typing" });
  }

  function newSession(): string {
    const session = newId();
    remember("sessionStorage", "session", session);
    return session;
  }

  /** Returns a random identifier. `crypto.randomUUID()` is missing if the page is served over plain HTTP from another machine. */
  function newId(): string {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  // A browser may refuse to store anything; then the name is requested every time.

  function recall(storage: "localStorage" | "sessionStorage", key: string): string | null {
    try {
      return self[storage].getItem(`sluice-chat-${key}`);
    } catch {
      return null;
    }
  }

  function remember(storage: "localStorage" | "sessionStorage", key: string, value: string): void {
    try {
      self[storage].setItem(`sluice-chat-${key}`, value);
    } catch {
      // Storage is full, or not allowed.
    }
  }
}
