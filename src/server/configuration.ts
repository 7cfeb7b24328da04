/**
 * What a program configures: settings, and handlers of events, of a server or of one of its ports.
 *
 * @module
 */

import { describe, suggestion } from "../values.ts";
import { mergeSettings, type ResolvedSettings, resolveSettings, type ServerSettings } from "./settings/settings.ts";

/** A handler of any event. */
export type Handler = (...args: unknown[]) => unknown;

/** The settings and handlers of a server, or of one of its ports, which inherits those of its server. */
export class Configuration {
  /** The settings passed to `set()`. */
  readonly given: ServerSettings = {};
  /** Whether `set()` was called. */
  hasSettings = false;
  /** Defaults of settings that differ from the common ones. */
  defaults: ServerSettings | undefined = undefined;

  readonly #parent: Configuration | undefined;
  readonly #handlers: Map<string, Handler> = new Map();
  #settings: ResolvedSettings | undefined = undefined;

  /** @param parent The configuration of the server, for that of a port. */
  constructor(parent?: Configuration) {
    this.#parent = parent;
  }

  // ---- settings -----------------------------------------------------------------------------------------------------

  /** Changes settings, which have been checked. */
  change(settings: ServerSettings): void {
    Object.assign(this.given, settings);
    this.hasSettings = true;
  }

  /** The settings passed to `set()`, those of the server included. */
  get allGiven(): ServerSettings {
    return { ...this.#parent?.given, ...this.given };
  }

  /** The effective settings. */
  get settings(): ResolvedSettings {
    return this.#settings ?? this.resolve();
  }

  /** Computes the effective settings. */
  resolve(): ResolvedSettings {
    const parent = this.#parent;
    if (parent === undefined) return resolveSettings(this.given, this.defaults);
    return resolveSettings(mergeSettings(parent.given, this.given), parent.defaults);
  }

  /** Fixes the effective settings, because connections depend on them; `undefined` lets them change again. */
  fix(settings: ResolvedSettings | undefined): void {
    this.#settings = settings;
  }

  // ---- handlers -----------------------------------------------------------------------------------------------------

  /**
   * Registers a handler.
   *
   * @param names The events that exist.
   * @throws {TypeError} If there is no such event, or the handler is not a function.
   */
  register(event: string, handler: unknown, names: readonly string[]): void {
    if (typeof event !== "string") throw new TypeError(`Cannot register a handler: an event is a string, not ${describe(event)}`);
    const key = event.toLowerCase();
    if (!names.some((name) => name.toLowerCase() === key)) {
      throw new TypeError(`Cannot register a handler: ${explainAbsentEvent(event, names)}`);
    }
    if (typeof handler !== "function") throw new TypeError(`Cannot register a handler for ${event}: it is no function`);
    this.#handlers.set(key, handler as Handler);
  }

  /** Returns the handler of an event, or else the server's. The name is in lower case. */
  handler(event: string): Handler | undefined {
    return this.#handlers.get(event) ?? this.#parent?.handler(event);
  }

  /** Returns the handler of an event without looking at the server's. The name is in lower case. */
  ownHandler(event: string): Handler | undefined {
    return this.#handlers.get(event);
  }

  /** The events that have a handler here, in lower case. */
  get ownEvents(): Iterable<string> {
    return this.#handlers.keys();
  }
}

const CONNECTION_EVENTS = ["connect", "receive", "packet", "close", "bufferFull", "bufferEmpty", "drain"];
const WEBSOCKET_EVENTS = ["open", "message", "authenticate", "handshake", "beforeHandshakeResponse", "disconnect"];
const WORKER_EVENTS = ["workerStart", "workerStop", "workerExit", "workerError", "beforeReload", "afterReload"];
const SERVER_EVENTS = [
  ...CONNECTION_EVENTS,
  ...WORKER_EVENTS,
  "start",
  "managerStart",
  "managerStop",
  "error",
  "refuse",
  "beforeShutdown",
  "shutdown",
  "pipeMessage",
  "task",
  "finish",
];

/** The names of the events for which a port may have handlers of its own. */
export const PORT_EVENT_NAMES: readonly string[] = [...CONNECTION_EVENTS, "request", ...WEBSOCKET_EVENTS];

/** The event names of each class. */
export const EVENT_NAMES: Readonly<Record<"server" | "http" | "websocket" | "coroutine", readonly string[]>> = {
  server: SERVER_EVENTS,
  http: [...SERVER_EVENTS, "request"],
  websocket: [...SERVER_EVENTS, "request", ...WEBSOCKET_EVENTS, "slowReader", "topicGap", "presence"],
  coroutine: ["authenticate", "error", "refuse", "slowReader", "topicGap", "presence", ...WORKER_EVENTS],
};

/** The classes that add events, with all their events. */
const CLASSES = [["HttpServer", EVENT_NAMES.http], ["WebSocketServer", EVENT_NAMES.websocket]] as const;

/**
 * Explains why an event does not exist, and suggests a similar name.
 *
 * @param names The events that exist: of a class of servers, or of one of its ports.
 */
function explainAbsentEvent(event: string, names: readonly string[]): string {
  const key = event.toLowerCase();
  const isEventStyle = names.includes("connect");
  const has = (events: readonly string[]) => isEventStyle && events.some((name) => name.toLowerCase() === key);
  if (!names.includes("start") && has([...SERVER_EVENTS, "slowReader", "topicGap", "presence"])) {
    return `a port has no event ${event}, its server has it`;
  }
  const owner = CLASSES.find(([, events]) => has(events))?.[0];
  if (owner !== undefined) return `only a ${owner} has the event ${event}`;
  const meant = suggestion(key.startsWith("on") ? event.slice(2) : event, names);
  return `there is no event ${event}${meant || `; there ${names.length === 1 ? "is only" : "are"} ${names.join(", ")}`}`;
}
