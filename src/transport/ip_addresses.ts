/**
 * IP addresses: their text, ranges of them, and the peers that a server trusts to speak for others.
 *
 * @module
 */

import type { Address } from "./runtime.ts";

/** An IP address: eight groups of 16 bits. An address of IPv4 is mapped into IPv6, as `::ffff:192.0.2.1`. */
export type IpAddress = readonly number[];

const IPV4 = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

/** The groups before the two of an address of IPv4. */
export const MAPPED: IpAddress = [0, 0, 0, 0, 0, 0xffff];

/** Parses an IP address, without brackets, port and zone. Returns `undefined` if the text is none. */
export function parseIp(text: string): IpAddress | undefined {
  if (!text.includes(":")) {
    const pair = parseIpv4(text);
    return pair && [...MAPPED, ...pair];
  }
  const parts = text.split("::");
  if (parts.length > 2) return undefined;
  const head = parseGroups(parts[0], parts.length === 1);
  const tail = parts.length === 1 ? [] : parseGroups(parts[1], true);
  if (head === undefined || tail === undefined) return undefined;
  const gap = 8 - head.length - tail.length;
  if (parts.length === 1 ? gap !== 0 : gap < 1) return undefined;
  return [...head, ...new Array<number>(gap).fill(0), ...tail];
}

/** Returns the two groups of an address of IPv4. Leading zeros are not allowed, because some programs read them as octal. */
function parseIpv4(text: string): number[] | undefined {
  const bytes = IPV4.exec(text)?.slice(1).map(Number);
  if (bytes === undefined || bytes.some((byte) => byte > 255)) return undefined;
  return [bytes[0] << 8 | bytes[1], bytes[2] << 8 | bytes[3]];
}

/** @param mayEndInIpv4 Whether the last group may be an address of IPv4. */
function parseGroups(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) {
      groups.push(parseInt(part, 16));
      continue;
    }
    const pair = mayEndInIpv4 && i === parts.length - 1 ? parseIpv4(part) : undefined;
    if (pair === undefined) return undefined;
    groups.push(...pair);
  }
  return groups;
}

/** Reports whether an address is one of IPv4. */
export function isIpv4(ip: IpAddress): boolean {
  return MAPPED.every((group, i) => ip[i] === group);
}

/** Returns the text of an address as RFC 5952 recommends it; an address of IPv4 as such. */
export function formatIp(ip: IpAddress): string {
  if (isIpv4(ip)) return [ip[6] >> 8, ip[6] & 255, ip[7] >> 8, ip[7] & 255].join(".");
  const text = ip.map((group) => group.toString(16)).join(":");
  let longest: RegExpMatchArray | undefined; // the first of the longest runs of zeros; a single one is not shortened
  for (const run of text.matchAll(/\b0(?::0)+\b/g)) if (longest === undefined || run[0].length > longest[0].length) longest = run;
  if (longest === undefined) return text;
  const at = longest.index!;
  return `${text.slice(0, Math.max(0, at - 1))}::${text.slice(at + longest[0].length + 1)}`;
}

/** Returns the IP address of a peer, without its zone; `undefined` for unix sockets and unknown addresses. */
export function ipOfPeer(address: Address | undefined): IpAddress | undefined {
  if (address === undefined || address.transport === "unix") return undefined;
  return parseIp(address.hostname.split("%")[0]);
}

/** A range of addresses: those that begin with the same bits. */
interface IpRange {
  /** The first address. */
  readonly first: IpAddress;
  /** The number of bits that all have in common, from 0 to 128. */
  readonly bits: number;
}

function includes({ first, bits }: IpRange, ip: IpAddress): boolean {
  const whole = bits >> 4;
  for (let i = 0; i < whole; i++) if (ip[i] !== first[i]) return false;
  const rest = 16 - (bits & 15);
  return ip[whole] >> rest === first[whole] >> rest;
}

/** The words of `trusted_proxies`, with their ranges. */
const WORDS: Readonly<Record<string, readonly string[]>> = {
  loopback: ["127.0.0.0/8", "::1"],
  private: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"], // RFC 1918, RFC 4193
  unix: [],
};

/** Parses an address or a range. Returns a description of the mistake if it is neither. */
function parseRange(entry: string): IpRange | string {
  const quoted = JSON.stringify(entry);
  const [text, ...prefixes] = entry.split("/");
  const ip = parseIp(text);
  if (ip === undefined) {
    return `${quoted} is no IP address, no range such as "10.0.0.0/8", and none of the words ${Object.keys(WORDS).join(", ")}`;
  }
  if (prefixes.length === 0) return { first: ip, bits: 128 };
  const isV6 = text.includes(":");
  const prefix = prefixes.join("/");
  const most = isV6 ? 128 : 32;
  if (!/^(?:0|[1-9]\d{0,2})$/.test(prefix) || Number(prefix) > most) {
    return `${quoted} is no range: the number after the slash has to be one from 0 to ${most}`;
  }
  const bits = Number(prefix) + (isV6 ? 0 : 96);
  const first = ip.map((group, i) => {
    const rest = 16 - Math.max(0, Math.min(16, bits - 16 * i));
    return group >> rest << rest;
  });
  if (first.every((group, i) => group === ip[i])) return { first, bits };
  const right = isV6 && isIpv4(first) ? `::ffff:${formatIp(first)}` : formatIp(first);
  return `${quoted} is no range, because it has bits after its first ${prefix}; write ` +
    `${JSON.stringify(`${right}/${prefix}`)}, or ${JSON.stringify(text)} for that address alone`;
}

/** Returns a description of the mistake in an entry of `trusted_proxies`; `undefined` if it is right. */
export function proxyMistake(entry: string): string | undefined {
  const range = Object.hasOwn(WORDS, entry) ? undefined : parseRange(entry);
  return typeof range === "string" ? range : undefined;
}

/** The peers that may speak for others: the proxies that `trusted_proxies` names. */
export class TrustedProxies {
  readonly #ranges: readonly IpRange[];
  readonly #unix: boolean;

  /** @param entries Entries without a mistake. */
  constructor(entries: Iterable<string>) {
    const list = [...entries];
    this.#unix = list.includes("unix");
    this.#ranges = list.flatMap((entry) => WORDS[entry] ?? [entry]).map((entry) => parseRange(entry) as IpRange);
  }

  /** Reports whether a peer is trusted. */
  trusts(peer: Address | undefined): boolean {
    if (peer?.transport === "unix") return this.#unix;
    const ip = ipOfPeer(peer);
    return ip !== undefined && this.trustsIp(ip);
  }

  /** Reports whether the peer with an IP address is trusted. */
  trustsIp(ip: IpAddress): boolean {
    return this.#ranges.some((range) => includes(range, ip));
  }
}

const LOOPBACK = new TrustedProxies(["loopback"]);

/** Reports whether only programs of this machine can reach what listens on a host. */
export function isLoopback(host: string): boolean {
  const ip = parseIp(host);
  return host === "localhost" || (ip !== undefined && LOOPBACK.trustsIp(ip));
}
