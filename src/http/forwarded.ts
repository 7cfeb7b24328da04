/**
 * What proxies say of the request that they pass on: `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host`, and `Forwarded`
 * (RFC 7239).
 *
 * Each proxy appends to these fields, and a client may send them too. Only the right end of a field is therefore known to come
 * from a trusted proxy. Everything here goes from right to left, and looks at no more than that.
 *
 * @module
 */

import { formatIp, type IpAddress, parseIp, type TrustedProxies } from "../transport/ip_addresses.ts";
import type { Address } from "../transport/runtime.ts";
import { parseParameters } from "./field_values.ts";
import { isHost, trim } from "./request_head.ts";

/** What trusted proxies say of a request. What they do not say, or not in a proper form, is `undefined`. */
export interface Forwarded {
  /** The address of the client: the first one from the right that is not a trusted proxy, or else the last one that is known. */
  readonly client: Address | undefined;
  /** The scheme that the client used. */
  readonly scheme: "http" | "https" | undefined;
  /** The host that the client asked for, with its port, if any. */
  readonly host: string | undefined;
}

/** The number of proxies that are followed: a chain that comes back to itself has no end. */
const MOST_PROXIES = 32;

/** The length of the longest item that is looked at, in characters. */
const LONGEST_ITEM = 512;

/** Programs that pass on WebSockets may call the scheme by that of a WebSocket. */
const SCHEMES: ReadonlyMap<string, "http" | "https"> = new Map([
  ["http", "http"],
  ["https", "https"],
  ["ws", "http"],
  ["wss", "https"],
]);

/**
 * Reads what proxies say of a request. `X-Forwarded-*` takes precedence: where one of the three is there, `Forwarded` is not read.
 *
 * @param header The header fields of a request that a trusted proxy has sent.
 */
export function readForwarded(header: Readonly<Record<string, string>>, proxies: TrustedProxies): Forwarded {
  const { "x-forwarded-for": addresses, "x-forwarded-proto": schemes, "x-forwarded-host": hosts, forwarded } = header;
  if (addresses === undefined && schemes === undefined && hosts === undefined) return readStandard(forwarded ?? "", proxies);
  const { client, last } = follow(itemsOf(addresses ?? ""), proxies);
  // A proxy that replaces the field leaves one item, one that appends leaves one for each proxy.
  const itemOf = (field: string | undefined) => {
    let item = "";
    let at = 0;
    for (const one of itemsOf(field ?? "")) {
      item = one;
      if (at++ === last) break;
    }
    return item;
  };
  return { client, scheme: SCHEMES.get(itemOf(schemes).toLowerCase()), host: hostIn(itemOf(hosts)) };
}

/** Reads `Forwarded`: each item has parameters, of which `for` is the peer of the proxy that has added it. */
function readStandard(field: string, proxies: TrustedProxies): Forwarded {
  const items: ReadonlyMap<string, string>[] = [];
  const nodes = function* () {
    for (const item of itemsOf(field)) {
      const parameters = parseParameters(`;${item}`)?.parameters;
      if (parameters === undefined) return;
      items.push(parameters);
      yield parameters.get("for") ?? "";
    }
  };
  const { client } = follow(nodes(), proxies);
  // A proxy need not repeat what the one before it has said.
  const find = (name: string) => items.findLast((item) => item.has(name))?.get(name) ?? "";
  return { client, scheme: SCHEMES.get(find("proto").toLowerCase()), host: hostIn(find("host")) };
}

/**
 * Follows the proxies of a request to its client. The walk ends at the first peer that is not trusted, or is not known: it may be
 * called `unknown`, by a name that hides it, or not have the form of an address.
 *
 * @param nodes The peers, from right to left.
 * @returns The last peer that is known, and the number of the item at which the walk ended.
 */
function follow(nodes: Iterable<string>, proxies: TrustedProxies): { client: Address | undefined; last: number } {
  let client: Address | undefined;
  let count = 0;
  for (const text of nodes) {
    count++;
    const node = parseNode(text);
    if (node === undefined) break;
    client = { transport: "tcp", hostname: formatIp(node.ip), port: node.port };
    if (count === MOST_PROXIES || !proxies.trustsIp(node.ip)) break;
  }
  return { client, last: Math.max(0, count - 1) };
}

/** Iterates over the items of a list, from right to left. A list without a value has none. */
function* itemsOf(list: string): Generator<string, void, undefined> {
  for (let end = list.length; end > 0;) {
    const start = startOfItem(list, end);
    yield end - start > LONGEST_ITEM ? "" : trim(list.slice(start, end));
    end = start - 1;
  }
}

/** Returns the index of the first character of the item that ends at `end`. A comma in a quoted string separates nothing. */
function startOfItem(list: string, end: number): number {
  let isQuoted = false;
  for (let i = end - 1; i >= 0; i--) {
    if (list[i] === '"' && !isEscaped(list, i)) isQuoted = !isQuoted;
    else if (list[i] === "," && !isQuoted) return i + 1;
  }
  return 0;
}

function isEscaped(text: string, at: number): boolean {
  let count = 0;
  while (text[at - count - 1] === "\\") count++;
  return count % 2 === 1;
}

/** An address with an optional port (RFC 7239 section 6). A port may be hidden behind a name, too. */
const NODE = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+))(?::(\d{1,5}|_[\w.-]+))?$/i;

function parseNode(text: string): { readonly ip: IpAddress; readonly port: number } | undefined {
  const bare = parseIp(text); // also an address of IPv6 without brackets
  if (bare !== undefined) return { ip: bare, port: 0 };
  const [, v6, v4, port = "0"] = NODE.exec(text) ?? [];
  const ip = v6 === undefined ? parseIp(v4 ?? "") : v6.includes(":") ? parseIp(v6) : undefined;
  if (ip === undefined || Number(port) > 65535) return undefined;
  return { ip, port: port.startsWith("_") ? 0 : Number(port) };
}

function hostIn(text: string): string | undefined {
  return text !== "" && isHost(text) ? text : undefined;
}
