/**
 * The handlers of the coroutine style, by path.
 *
 * @module
 */

import { shown } from "../values.ts";

/**
 * Handlers by path prefix. A prefix matches whole segments: `/chat` matches `/chat` and `/chat/room`, but not `/chatter`. The
 * longest match wins, `/` matches all remaining paths, and case is ignored, as in Swoole.
 */
export class Router<T> {
  readonly #routes: Map<string, T> = new Map();
  #longest = 0; // length of the longest pattern; a path sent by a peer may be much longer

  /**
   * Adds a route, or replaces the one with the same pattern.
   *
   * @throws {TypeError} If the pattern is not a path, or has a wildcard, which would never match.
   */
  add(pattern: string, target: T): void {
    if (typeof pattern !== "string" || !pattern.startsWith("/") || /[?#]/.test(pattern)) {
      throw new TypeError(`Cannot add a handler: ${shown(pattern)} is no path; it begins with / and has no query`);
    }
    const wildcard = /\/(\*+|:\w+|\{\w+\})(?=\/|$)/.exec(pattern)?.[1];
    if (wildcard !== undefined) {
      throw new TypeError(
        `Cannot add a handler: there are no wildcards, and ${JSON.stringify(pattern)} has ${wildcard}; ` +
          "a path takes all below it, and request.server.path_info tells which it is",
      );
    }
    const prefix = normal(pattern);
    this.#routes.set(prefix, target);
    this.#longest = Math.max(this.#longest, prefix.length);
  }

  /** Returns the target of a path, or `undefined`. */
  find(path: string): T | undefined {
    let prefix = normal(path);
    if (prefix.length > this.#longest) prefix = prefix.slice(0, prefix.lastIndexOf("/", this.#longest));
    for (; prefix !== ""; prefix = prefix.slice(0, prefix.lastIndexOf("/"))) {
      const target = this.#routes.get(prefix);
      if (target !== undefined) return target;
    }
    return this.#routes.get("");
  }
}

/** Converts a path to lower case without trailing slashes: `/` becomes the empty string. */
function normal(path: string): string {
  let end = path.length;
  while (end > 0 && path[end - 1] === "/") end--;
  return path.slice(0, end).toLowerCase();
}
