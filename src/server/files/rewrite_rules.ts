/**
 * Rewriting of the paths of requested files (Swoole's `url_rewrite_rules`).
 *
 * @module
 */

/** A rule that replaces paths. */
export interface RewriteRule {
  /** A path, which also matches all paths below it, or a pattern. */
  readonly from: string | RegExp;
  /** The replacement; `$1` is the match of the first group of a pattern. */
  readonly to: string;
}

/**
 * Parses rewrite rules.
 *
 * @param rules The rules. Keys are paths such as `/old`, or patterns between tildes such as `~^/post/([0-9]+)$~`.
 * @throws {TypeError} If a key is neither, or a pattern is invalid.
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

/** Applies the first rule that matches a path. A query in the result is dropped, since it does not name a file. */
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

/** Reports whether a path is another one, or below it. */
export function isAtOrBelow(path: string, other: string): boolean {
  return path.startsWith(other) && (other.endsWith("/") || path.length === other.length || path[other.length] === "/");
}
