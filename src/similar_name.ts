/**
 * Finds the name that was meant by one that does not exist.
 *
 * @module
 */

/**
 * Says which name may have been meant.
 *
 * @param name What was given.
 * @param names What there is.
 * @returns `; did you mean …?`, or nothing when no name is similar.
 */
export function suggestion(name: string, names: Iterable<string>): string {
  const given = plain(name);
  if (given.length > LONGEST) return "";
  let best: string | undefined;
  let least = Math.max(1, Math.floor(given.length / 4)) + 1;
  for (const one of names) {
    const distance = editDistance(given, plain(one));
    if (distance < least) [best, least] = [one, distance];
  }
  return best === undefined ? "" : `; did you mean ${best}?`;
}

/** A name that is longer is no typing error. */
const LONGEST = 64;

/** A name without what people spell differently: letter case, and the underscores of `snake_case`. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[_-]/g, "");
}

/** How many letters have to be put in, left out, replaced or swapped with their neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + same);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    before = last;
    last = row;
  }
  return last[b.length];
}
