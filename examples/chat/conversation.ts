/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * The conversation on the page: messages, notices and scrolling. This runs in the browser: `page.ts` sends the function as a
 * string, so it can use only its arguments.
 *
 * @module
 */

import type { Dom } from "./dom.ts";
import type { ChatMessage } from "./protocol.ts";

/** The conversation, as seen by the rest of the script. */
export interface Conversation {
  /** Shows a message, only once even if called repeatedly. It replaces the pending message with the same id. */
  showMessage(message: ChatMessage, isOwn: boolean): void;
  /** Shows a message that has not reached the server yet. */
  showPending(id: string, text: string): void;
  /** Shows why a pending message will not be sent. */
  refuse(id: string, reason: string): void;
  /** Shows a notice that is not a message. */
  notice(text: string, at?: number): void;
  /** Marks the end of the history: everything shown from now on is new. */
  showHistoryEnd(): void;
}

/** Creates the conversation. */
export function createConversation(dom: Dom): Conversation {
  /** Messages of one person within this time are grouped. */
  const GROUP_TIME = 5 * 60_000;
  const MOST_ITEMS = 1_000;
  const { find, make } = dom;
  const title = document.title;
  const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
  const calendar = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

  const scroll = find("#scroll");
  const messages = find("#messages");
  const shown: Set<string> = new Set();
  const pending: Map<string, HTMLElement> = new Map();
  let last: ChatMessage | undefined; // the message at the end, unless something else follows it
  let day = "";
  let live = false; // whether the history has ended and items are new
  let unread = 0; // new items while the page was hidden
  let atEnd = true;
  let below = 0; // new items while scrolled up

  function append(item: HTMLElement): void {
    find("#empty").hidden = true;
    messages.append(item);
    if (messages.childElementCount > MOST_ITEMS) messages.firstElementChild!.remove();
    keepEnd();
  }

  function showMessage(message: ChatMessage, isOwn: boolean): void {
    pending.get(message.id)?.remove();
    pending.delete(message.id);
    if (shown.has(message.id)) return;
    shown.add(message.id);
    showDay(message.at);

    const { from, at, text } = message;
    const follows = last?.from.id === from.id && last.from.name === from.name && at - last.at < GROUP_TIME;
    last = message;
    const author = make("span", { className: "author" }, make("bdi", {}, isOwn ? "You" : from.name));
    dom.paint(author, from.name);
    const item = bubble(text, isOwn, author, time(at));
    if (isOwn || follows) author.classList.add("hidden"); // screen readers still announce the author
    else item.prepend(dom.avatar(from.name));
    item.classList.toggle("follows", follows);
    append(item);

    if (!live || isOwn) return;
    if (document.hidden) document.title = `(${++unread}) ${title}`;
    if (!atEnd) showBelow(below + 1);
  }

  function showPending(id: string, text: string): void {
    const item = bubble(text, true, "", make("span", { className: "time" }, "Waiting"));
    item.classList.add("pending");
    pending.set(id, item);
    find("#empty").hidden = true;
    find("#outbox").append(item);
    atEnd = true;
    keepEnd();
  }

  function refuse(id: string, reason: string): void {
    const item = pending.get(id);
    if (item === undefined) return;
    pending.delete(id);
    last = undefined;
    item.classList.replace("pending", "refused");
    item.querySelector(".time")!.textContent = `Not sent: ${reason}`;
    append(item);
  }

  function bubble(text: string, isOwn: boolean, author: Node | string, time: HTMLElement): HTMLElement {
    const words = make("div", { className: "text", dir: "auto" }, ...withLinks(text), time);
    const item = make("li", { className: "message" }, make("div", { className: "bubble" }, author, words));
    item.classList.toggle("own", isOwn);
    item.classList.toggle("big", /^(\p{Extended_Pictographic}[\u200d\ufe0f\u{1f3fb}-\u{1f3ff}]*){1,5}$/u.test(text));
    return item;
  }

  /** Splits a text into strings and links. Only http and https become links: `javascript:` would run code. */
  function withLinks(text: string): (Node | string)[] {
    const parts: (Node | string)[] = [];
    let end = 0;
    for (const match of text.matchAll(/\bhttps?:\/\/[^\s<>"]+/gi)) {
      // Punctuation at the end of a sentence is not part of the link; a closing bracket only if the link contains the opening
      // one.
      let address = match[0].replace(/[.,:;!?'’”»]+$/u, "");
      while (address.endsWith(")") && address.split(")").length > address.split("(").length) address = address.slice(0, -1);
      if (!URL.canParse(address)) continue;
      parts.push(text.slice(end, match.index));
      parts.push(make("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, address));
      end = match.index + address.length;
    }
    parts.push(text.slice(end));
    return parts;
  }

  function notice(text: string, at: number = Date.now()): void {
    showDay(at);
    last = undefined;
    append(make("li", { className: "notice" }, make("span", { dir: "auto" }, text), " ", time(at)));
  }

  function showDay(at: number): void {
    const name = calendar.format(at);
    if (name === day) return;
    day = name;
    last = undefined;
    append(make("li", { className: "day" }, make("span", {}, name === calendar.format(Date.now()) ? "Today" : name)));
  }

  function time(at: number): HTMLElement {
    const when = new Date(at);
    const properties = { className: "time", dateTime: when.toISOString(), title: when.toLocaleString() };
    return make("time", properties, make("bdi", {}, clock.format(when)));
  }

  function showHistoryEnd(): void {
    live = true;
    find("[role=log]").ariaBusy = "false";
  }

  // ---- scrolling ----------------------------------------------------------------------------------------------------

  /** Keeps the latest messages in view, unless the user has scrolled up. */
  function keepEnd(): void {
    if (!atEnd) return;
    scroll.scrollTop = scroll.scrollHeight;
    showBelow(0);
  }

  function showBelow(count: number): void {
    below = count;
    const button = find("#newer");
    const hadFocus = document.activeElement === button;
    button.hidden = count === 0;
    button.textContent = count === 1 ? "1 new message" : `${count} new messages`;
    if (hadFocus && button.hidden) dom.focusHome();
  }

  scroll.addEventListener("scroll", () => {
    atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
    if (atEnd) showBelow(0);
  }, { passive: true });
  new ResizeObserver(keepEnd).observe(scroll);
  find("#newer").addEventListener("click", () => {
    atEnd = true;
    keepEnd();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    unread = 0;
    document.title = title;
  });

  return { showMessage, showPending, refuse, notice, showHistoryEnd };
}
