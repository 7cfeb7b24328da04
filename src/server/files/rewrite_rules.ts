/**
 * Other paths for files than those that are asked for (Swoole's `url_rewrite_rules`).
 *
 * @module
 */

/** What is replaced, by what. */
export interface RewriteRule {
  /** A path, which counts for all below it too, or a pattern. */
  readonly from: string | RegExp;
  /** What stands there instead; `$1` is what the first group of a pattern has found. */
  readonly to: string;
}

/**
 * Reads rules.
 *
 * @param rules Keys are paths such as `/old`, or patterns between tildes such as `~^/post/([0-9]+)$~`.
 * @throws {TypeError} For a key that is neither, or a pattern that is none.
 */
export function readRules(rules: Readonly<Record<string, string>>): RewriteRule[] {
  return Object.entries(rules).map(([from, to]) => {
    if (from.startsWith("/")) return { from, to };
    const [, pattern, flags] = /^~(.+?)(?:~(i?))?$/s.exec(from) ?? [];
    if (pattern === undefined) throw new TypeError(`Cannot set url_rewrite_rules: ${from} is neither a path nor a pattern`);
    try {
      return { from: new RegExp(pattern, flags), to };
    } catch (cause) {
      throw new TypeError(`Cannot set url_rewrite_rules: ${from} is no pattern`, { cause });
    }
  });
}

/** A path after the first rule that is for it. A query in it tells nothing about a file, and is left out. */
export function rewrite(path: string, rules: readonly RewriteRule[]): string {
  for (const { from, to } of rules) {
    let other = path;
    if (typeof from === "string") {
      if (!isAtOrBelow(path, from)) continue;
      other = to + path.slice(from.length);
    } else {
      if (!from.test(path)) continue;
      other = path.replace(from, to);
    }
    return other.split("?", 1)[0];
  }
  return path;
}

/** Whether a path is another one, or below it. */
export function isAtOrBelow(path: string, other: string): boolean {
  return path.startsWith(other) && (other.endsWith("/") || path.length === other.length || path[other.length] === "/");
}
