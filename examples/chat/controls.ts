/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * The parts of the page around the conversation: the connection state, the list of people, the message field, the name dialog.
 * This runs in the browser: `page.ts` sends the function as a string, so it can use only its arguments.
 *
 * @module
 */

import type { Dom } from "./dom.ts";
import type { LIMITS, Person } from "./protocol.ts";

/** Events caused by the user. */
export interface ControlEvents {
  onSay(text: string): void;
  onName(name: string): void;
  onTyping(): void;
  onRetry(): void;
}

/** The controls, as seen by the rest of the script. */
export interface Controls {
  /** Shows the connection state. `retryAt` is the time of the next attempt while `waiting`. */
  showState(state: "connecting" | "open" | "waiting", retryAt?: number): void;
  showPeople(people: Person[], me: Person): void;
  /** Shows that a person is typing, for a limited time. */
  showTyping(person: Person): void;
  stopTyping(id: number): void;
  askName(problem?: string): void;
}

/** Creates the controls. */
export function createControls(dom: Dom, limits: typeof LIMITS, events: ControlEvents): Controls {
  const TYPING_TIME = 4_000;
  const STATES = { connecting: "Connecting…", open: "Connected", waiting: "Offline" };
  const { find, make } = dom;
  const text = find<HTMLTextAreaElement>("#text");
  const dialog = find<HTMLDialogElement>("#name-dialog");
  const nameInput = find<HTMLInputElement>("#name");

  const typists: Map<number, { name: string; timer: ReturnType<typeof setTimeout> }> = new Map();
  let myName = "";
  let countdown: ReturnType<typeof setInterval> | undefined;

  // ---- the connection -----------------------------------------------------------------------------------------------

  function showState(state: "connecting" | "open" | "waiting", retryAt = 0): void {
    // Keep the state during retries: a screen reader would announce every change.
    if (state === "connecting" && !find("#offline").hidden) {
      state = "waiting";
      retryAt = 0;
    }
    const hadFocus = document.activeElement === find("#retry");
    if (find("#app").dataset.state !== state) find("#state").textContent = STATES[state];
    find("#app").dataset.state = state;
    find("#offline").hidden = state !== "waiting";
    if (hadFocus && state === "open") dom.focusHome();
    clearInterval(countdown);
    if (state !== "waiting") return;
    for (const id of typists.keys()) stopTyping(id);
    const tell = () => {
      const seconds = Math.ceil((retryAt - Date.now()) / 1000);
      find("#countdown").textContent = seconds > 0 ? `Trying again in ${seconds} s.` : "Trying now.";
    };
    tell();
    countdown = setInterval(tell, 1000);
  }

  find("#retry").addEventListener("click", () => events.onRetry());

  // ---- people -------------------------------------------------------------------------------------------------------

  function showPeople(people: Person[], me: Person): void {
    myName = me.name;
    const sorted = people.toSorted((a, b) => Number(b.id === me.id) - Number(a.id === me.id) || a.name.localeCompare(b.name));
    find("#people-list").replaceChildren(...sorted.map((person) => {
      const item = make("li", {}, dom.avatar(person.name), make("bdi", {}, person.name));
      if (person.id === me.id) item.append(make("span", { className: "you" }, "you"));
      return item;
    }));
    for (const count of document.querySelectorAll(".count")) count.textContent = String(people.length);
    find("#people-button").ariaLabel = `People here: ${people.length}`;
    const button = find("#me");
    button.hidden = false;
    button.ariaLabel = `You are ${me.name}. Change your name`;
    find("#me .name").textContent = me.name;
    find("#me .avatar").replaceWith(dom.avatar(me.name));
    for (const id of typists.keys()) if (!people.some((person) => person.id === id)) stopTyping(id);
  }

  function showTyping({ id, name }: Person): void {
    clearTimeout(typists.get(id)?.timer);
    typists.set(id, { name, timer: setTimeout(() => stopTyping(id), TYPING_TIME) });
    sayTyping();
  }

  function stopTyping(id: number): void {
    clearTimeout(typists.get(id)?.timer);
    if (typists.delete(id)) sayTyping();
  }

  function sayTyping(): void {
    const [first, second, ...others] = [...typists.values()].map(({ name }) => name);
    find("#typing").textContent = first === undefined
      ? ""
      : second === undefined
      ? `${first} is typing`
      : others.length === 0
      ? `${first} and ${second} are typing`
      : "Several people are typing";
  }

  // ---- writing ------------------------------------------------------------------------------------------------------

  /** Makes the field as high as its text, up to the limit in the style sheet. */
  function fit(): void {
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight}px`;
    const left = limits.text - text.value.length;
    find("#room-left").textContent = left < 200 ? `${left} left` : "";
  }

  text.addEventListener("input", () => {
    fit();
    if (text.value.trim() !== "") events.onTyping();
  });
  text.addEventListener("keydown", (event) => {
    // A soft keyboard has no Shift, so there Enter starts a new line. An input method uses Enter for itself.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || (dom.touch && !event.ctrlKey)) return;
    event.preventDefault();
    find<HTMLFormElement>("#composer").requestSubmit();
  });
  find("#composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const content = text.value.trim();
    text.value = "";
    fit();
    text.focus();
    if (content !== "") events.onSay(content);
  });
  // iOS lays its keyboard over the page instead of shrinking the page.
  visualViewport?.addEventListener("resize", () => {
    if (!dom.touch || visualViewport!.scale !== 1) return;
    document.documentElement.style.setProperty("--height", `${visualViewport!.height}px`);
    scrollTo(0, 0);
  });

  // ---- the name -----------------------------------------------------------------------------------------------------

  function askName(problem = ""): void {
    const first = myName === "";
    find("#name-title").textContent = first ? "What is your name?" : "Change your name";
    find("#name-submit").textContent = first ? "Join" : "Save";
    find("#name-cancel").hidden = first;
    if (!dialog.open) {
      dialog.returnValue = "";
      nameInput.value = myName;
      dialog.showModal();
    }
    find("#name-problem").textContent = problem;
    nameInput.select();
  }

  find("#me").addEventListener("click", () => askName());
  find("#name-cancel").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    if (myName === "" && dialog.returnValue === "") askName(); // a name is required
  });
  find("#name-form").addEventListener("submit", (event) => {
    event.preventDefault();
    // The same normalization as on the server, so that both use the same name.
    const name = nameInput.value.normalize("NFC").trim().replace(/\s+/gu, " ");
    if (name === "") return askName("A name needs at least one character");
    dialog.close("named");
    events.onName(name);
  });

  if (!dom.touch) text.focus();
  fit();
  return { showState, showPeople, showTyping, stopTyping, askName };
}
