/**
 * Formats times with the conversions of C's `strftime()`.
 *
 * @module
 */

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

const two = (number: number, fill = "0"): string => String(number).padStart(2, fill);

function zone(time: Date): string {
  const minutes = -time.getTimezoneOffset();
  return `${minutes < 0 ? "-" : "+"}${two(Math.floor(Math.abs(minutes) / 60))}${two(Math.abs(minutes) % 60)}`;
}

function dayOfYear(time: Date): number {
  return Math.round(
    (Date.UTC(time.getFullYear(), time.getMonth(), time.getDate()) - Date.UTC(time.getFullYear(), 0, 0)) / 86_400_000,
  );
}

const CONVERSIONS: Readonly<Record<string, (time: Date) => string>> = {
  Y: (time) => String(time.getFullYear()),
  C: (time) => two(Math.floor(time.getFullYear() / 100)),
  y: (time) => two(time.getFullYear() % 100),
  m: (time) => two(time.getMonth() + 1),
  d: (time) => two(time.getDate()),
  e: (time) => two(time.getDate(), " "),
  j: (time) => String(dayOfYear(time)).padStart(3, "0"),
  H: (time) => two(time.getHours()),
  I: (time) => two(time.getHours() % 12 || 12),
  M: (time) => two(time.getMinutes()),
  S: (time) => two(time.getSeconds()),
  p: (time) => time.getHours() < 12 ? "AM" : "PM",
  a: (time) => DAYS[time.getDay()].slice(0, 3),
  A: (time) => DAYS[time.getDay()],
  u: (time) => String(time.getDay() || 7),
  w: (time) => String(time.getDay()),
  b: (time) => MONTHS[time.getMonth()].slice(0, 3),
  h: (time) => MONTHS[time.getMonth()].slice(0, 3),
  B: (time) => MONTHS[time.getMonth()],
  z: zone,
  Z: zone,
  s: (time) => String(Math.floor(time.getTime() / 1000)),
  D: (time) => formatDate("%m/%d/%y", time),
  F: (time) => formatDate("%Y-%m-%d", time),
  R: (time) => formatDate("%H:%M", time),
  T: (time) => formatDate("%H:%M:%S", time),
  r: (time) => formatDate("%I:%M:%S %p", time),
  c: (time) => formatDate("%a %b %e %H:%M:%S %Y", time),
  x: (time) => formatDate("%m/%d/%y", time),
  X: (time) => formatDate("%H:%M:%S", time),
  n: () => "\n",
  t: () => "\t",
  "%": () => "%",
};

/**
 * Formats a time in the local time zone, with English names.
 *
 * @param format The format with conversions such as `%Y`; all other text is copied.
 */
export function formatDate(format: string, time: Date): string {
  return format.replace(/%([A-Za-z%])/g, (text, letter: string) => CONVERSIONS[letter]?.(time) ?? text);
}
