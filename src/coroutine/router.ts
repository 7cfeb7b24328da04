/**
 * Which handler a path belongs to.
 *
 * @module
 */

/**
 * Handlers by path prefix. A prefix ends where a segment ends: `/chat` takes `/chat` and `/chat/room`, not `/chatter`. The
 * longest one that fits wins, `/` takes what is left, and letter case is ignored, as in Swoole.
 */
export class Router<T> {
  readonly #routes: Map<string, T> = new Map();
  #longest = 0; // length of the longest pattern: what a peer sends may be much longer

  /**
   * Adds a route, or replaces the one with the same pattern.
   *
   * @throws {TypeError} If the pattern is no path.
   */
  add(pattern: string, target: T): void {
    if (typeof pattern !== "string" || !pattern.startsWith("/") || /[?#]/.test(pattern)) {
      throw new TypeError(`Cannot add a handler: ${JSON.stringify(pattern)} is no path; it begins with / and has no query`);
    }
    const prefix = normal(pattern);
    this.#routes.set(prefix, target);
    this.#longest = Math.max(this.#longest, prefix.length);
  }

  /** The target for a path, or `undefined`. */
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

/** In lower case, without a slash at the end: `/` is the empty string. */
function normal(path: string): string {
  let end = path.length;
  while (end > 0 && path[end - 1] === "/") end--;
  return path.slice(0, end).toLowerCase();
}
