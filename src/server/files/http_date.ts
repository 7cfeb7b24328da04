/**
 * Dates of HTTP (RFC 9110 section 5.6.7).
 *
 * @module
 */

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const MONTH = MONTHS.join("|");
const TIME = "([0-9]{2}):([0-9]{2}):([0-9]{2})";

/** `Sun, 06 Nov 1994 08:49:37 GMT`. */
const FIXED = new RegExp(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) (${MONTH}) ([0-9]{4}) ${TIME} GMT$`);
/** `Sunday, 06-Nov-94 08:49:37 GMT`. */
const RFC_850 = new RegExp(`^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, ([0-9]{2})-(${MONTH})-([0-9]{2}) ${TIME} GMT$`);
/** `Sun Nov  6 08:49:37 1994`. */
const ASCTIME = new RegExp(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (${MONTH}) ([ 0-3][0-9]) ${TIME} ([0-9]{4})$`);

/**
 * Reads a date in one of the three forms that there are, and nothing else: `Date.parse()` takes about anything.
 *
 * @param text The value of a field.
 * @returns Milliseconds since 1970; `NaN` for what is no date.
 */
export function parseHttpDate(text: string): number {
  let parts = FIXED.exec(text);
  if (parts !== null) return timeOf(Number(parts[3]), parts[2], parts[1], parts, 4);
  parts = ASCTIME.exec(text);
  if (parts !== null) return timeOf(Number(parts[6]), parts[1], parts[2], parts, 3);
  parts = RFC_850.exec(text);
  if (parts === null) return NaN;
  // Two digits are the year of that ending that is at most 50 years ahead.
  const year = Number(parts[3]);
  const last = new Date().getUTCFullYear() + 50;
  return timeOf(last - (((last - year) % 100) + 100) % 100, parts[2], parts[1], parts, 4);
}

function timeOf(year: number, month: string, day: string, parts: readonly string[], at: number): number {
  const [hours, minutes, seconds] = [0, 1, 2].map((i) => Number(parts[at + i]));
  const time = Date.UTC(year, MONTHS.indexOf(month), Number(day), hours, minutes, Math.min(seconds, 59)); // 60 is a leap second
  const isDate = hours < 24 && minutes < 60 && seconds < 61 && new Date(time).getUTCDate() === Number(day);
  return isDate && year >= 1000 ? time : NaN;
}
