import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { type Forwarded, readForwarded } from "../../src/http/forwarded.ts";
import { TrustedProxies } from "../../src/transport/ip_addresses.ts";

const proxies = new TrustedProxies(["loopback", "10.0.0.0/8", "2001:db8:aaaa::/48"]);

/** What is read, in short: the address, with the port if there is one, the scheme and the host. */
function read(header: Record<string, string>): (string | undefined)[] {
  const { client, scheme, host }: Forwarded = readForwarded(header, proxies);
  const address = client && `${client.hostname}${client.port === 0 ? "" : ` ${client.port}`}`;
  return [address, scheme, host];
}

const of = (address: string | undefined) => [address, undefined, undefined];

/** Lists of peers as `X-Forwarded-For` has them, and the client in them. */
const CHAINS: [list: string, client: string | undefined][] = [
  ["203.0.113.7", "203.0.113.7"],
  ["  203.0.113.7\t", "203.0.113.7"],
  ["203.0.113.7, 10.0.0.2", "203.0.113.7"],
  ["203.0.113.7,10.0.0.2,127.0.0.1", "203.0.113.7"],
  ["203.0.113.7, 2001:db8:aaaa::1", "203.0.113.7"],
  ["198.51.100.1, 203.0.113.7", "203.0.113.7"], // the left one is what the client says of itself
  ["127.0.0.1, 203.0.113.7", "203.0.113.7"],
  ["198.51.100.1, 203.0.113.7, 10.0.0.2", "203.0.113.7"],
  ["10.0.0.1, 203.0.113.7, 10.0.0.2", "203.0.113.7"],
  ["10.0.0.3, 10.0.0.2", "10.0.0.3"], // trusted ones only: the furthest is as far as can be known
  ["2001:db8::7", "2001:db8::7"],
  ["2001:DB8:0::7", "2001:db8::7"],
  ["[2001:db8::7]", "2001:db8::7"],
  ["[2001:db8::7]:4711", "2001:db8::7 4711"],
  ["::ffff:203.0.113.7", "203.0.113.7"],
  ["203.0.113.7:4711", "203.0.113.7 4711"],
  ["203.0.113.7:0", "203.0.113.7"],
  ["203.0.113.7:65535, 10.0.0.2:80", "203.0.113.7 65535"],
  ["203.0.113.7:_http", "203.0.113.7"], // RFC 7239 section 6.2: a port that is hidden
];

/** Items that are no address. What is left of them was added by nobody who can be trusted. */
const NO_ADDRESSES = [
  "",
  " ",
  "unknown",
  "_hidden",
  "unix:",
  "example.com",
  "203.0.113",
  "203.0.113.256",
  "203.0.113.07",
  "203.0.113.7:",
  "203.0.113.7:65536",
  "203.0.113.7:1:2",
  "203.0.113.7 10.0.0.2",
  "[203.0.113.7]",
  "[2001:db8::7",
  "2001:db8::7]",
  "[2001:db8::7]4711",
  "2001:db8::7%eth0",
  '"203.0.113.7"', // quoted as in Forwarded
  "203.0.113.7;",
  "for=203.0.113.7",
  "\xe9",
  "1".repeat(600),
  `203.0.113.7${" ".repeat(600)}x`,
];

test("X-Forwarded-For: the client is the first one from the right that is not trusted", () => {
  for (const [list, client] of CHAINS) assertEquals([list, ...read({ "x-forwarded-for": list })], [list, ...of(client)]);
});

test("X-Forwarded-For: the walk ends at what is no address, with the last peer that is known", () => {
  for (const item of NO_ADDRESSES) {
    assertEquals([item, ...read({ "x-forwarded-for": item })], [item, ...of(undefined)]);
    assertEquals([item, ...read({ "x-forwarded-for": `198.51.100.1, ${item}` })], [item, ...of(undefined)]);
    assertEquals([item, ...read({ "x-forwarded-for": `198.51.100.1, ${item}, 10.0.0.2` })], [item, ...of("10.0.0.2")]);
    assertEquals([item, ...read({ "x-forwarded-for": `${item}, 203.0.113.7` })], [item, ...of("203.0.113.7")]);
  }
});

test("X-Forwarded-For: at most 32 proxies are followed, and long lists cost no more", () => {
  const list = (count: number) => Array.from({ length: count }, (_, i) => `10.0.0.${count - i}`).join(", ");
  assertEquals(read({ "x-forwarded-for": `203.0.113.7, ${list(31)}` }), of("203.0.113.7"));
  assertEquals(read({ "x-forwarded-for": `203.0.113.7, ${list(32)}` }), of("10.0.0.32"));
  assertEquals(read({ "x-forwarded-for": `${"198.51.100.1, ".repeat(4000)}203.0.113.7` }), of("203.0.113.7"));
  assertEquals(read({ "x-forwarded-for": ",".repeat(60_000) }), of(undefined));
});

test("X-Forwarded-Proto and X-Forwarded-Host: of the proxy that has seen the client", () => {
  const rows: [
    addresses: string | undefined,
    schemes: string,
    hosts: string,
    scheme: string | undefined,
    host: string | undefined,
  ][] = [
    ["203.0.113.7", "https", "a.example", "https", "a.example"],
    ["203.0.113.7", "HTTPS", "A.example:8443", "https", "A.example:8443"],
    ["203.0.113.7", "http", "[2001:db8::1]:80", "http", "[2001:db8::1]:80"],
    ["203.0.113.7", "wss", "a", "https", "a"],
    ["203.0.113.7", "ws", "a.example", "http", "a.example"],
    [undefined, "https", "a.example", "https", "a.example"],
    // The client has sent one itself, and the proxy appends.
    ["203.0.113.7", "http, https", "evil.example, a.example", "https", "a.example"],
    ["198.51.100.1, 203.0.113.7", "http, https", "evil.example, a.example", "https", "a.example"],
    // Two proxies, of which the second one replaces, or appends.
    ["203.0.113.7, 10.0.0.2", "https", "a.example", "https", "a.example"],
    ["203.0.113.7, 10.0.0.2", "https, http", "a.example, inner.example", "https", "a.example"],
    ["203.0.113.7, 10.0.0.2", "ftp, https, http", "evil.example, a.example, inner.example", "https", "a.example"],
    ["10.0.0.3, 10.0.0.2", "http, https, http", "evil.example, a.example, inner.example", "https", "a.example"],
    // What has no proper form is as if it were not there.
    ["203.0.113.7", "", "", undefined, undefined],
    ["203.0.113.7", "gopher", "a b", undefined, undefined],
    ["203.0.113.7", "constructor", "a.example/path", undefined, undefined],
    ["203.0.113.7", "https,", "a.example,", undefined, undefined],
    ["203.0.113.7", "http://", "http://a.example", undefined, undefined],
    ["203.0.113.7", "h".repeat(600), "a".repeat(600), undefined, undefined],
  ];
  for (const [addresses, schemes, hosts, scheme, host] of rows) {
    const header = { "x-forwarded-proto": schemes, "x-forwarded-host": hosts };
    const [, ...seen] = read(addresses === undefined ? header : { ...header, "x-forwarded-for": addresses });
    assertEquals([addresses, schemes, hosts, ...seen], [addresses, schemes, hosts, scheme, host]);
  }
});

test("Forwarded: the same client in the same chain, with IPv6 quoted or not", () => {
  for (const [list, client] of CHAINS) {
    for (const quote of ['"', ""]) {
      const field = list.split(",").map((node) => `for=${quote}${node.trim()}${quote}`).join(", ");
      assertEquals([field, ...read({ forwarded: field })], [field, ...of(client)]);
    }
  }
});

test("Forwarded: the walk ends at what is no address, and at an item that is malformed", () => {
  const items = [
    ...NO_ADDRESSES.filter((item) => !item.includes('"')).map((item) => `for="${item}"`),
    "for=unknown",
    "for=",
    "for",
    "proto=https",
    "for=203.0.113.7;for=198.51.100.1", // RFC 7239 section 4: once in an item
    'for="203.0.113.7',
    'for="203.0.113.7"x',
    "203.0.113.7",
    "=203.0.113.7",
    "f r=203.0.113.7",
    `for=203.0.113.7;by=${"x".repeat(600)}`,
  ];
  for (const item of items) {
    assertEquals([item, read({ forwarded: item })[0]], [item, undefined]);
    assertEquals([item, read({ forwarded: `for=198.51.100.1, ${item}` })[0]], [item, undefined]);
    assertEquals([item, read({ forwarded: `for=198.51.100.1, ${item}, for=10.0.0.2` })[0]], [item, "10.0.0.2"]);
    assertEquals([item, read({ forwarded: `${item}, for=203.0.113.7` })[0]], [item, "203.0.113.7"]);
  }
});

test("Forwarded: whatever a client sends, the item of the proxy after it is read", () => {
  const sent = ['for="', 'for="\\', 'for="\\"', '"', '\\"', "\\", ",", ",,", ";", "for=1.2.3.4;proto=http", '"," ,"', "\xe9"];
  for (const first of sent) {
    for (const second of sent) {
      const field = `${first}, ${second}, for="[2001:db8::7]:80";proto=https;host="a.example:8443"`;
      assertEquals([field, ...read({ forwarded: field })], [field, "2001:db8::7 80", "https", "a.example:8443"]);
      const two = `${first}, ${second}, for=203.0.113.7;proto=https;host=a.example, for=10.0.0.2;proto=http;by=10.0.0.1`;
      assertEquals([two, ...read({ forwarded: two })], [two, "203.0.113.7", "https", "a.example"]);
    }
  }
});

test("Forwarded: a comma in a quoted string separates nothing, wherever the string ends", () => {
  const strings = ['"a, for=198.51.100.1"', '"a,b\\"c"', '"a,b\\\\"', '"a,b\\\\\\"c"', '"a,b\\\\\\\\"', '",,"', '"\\",\\""'];
  for (const string of strings) {
    for (
      const field of [`for=203.0.113.7;by=${string}`, `by=${string};for=203.0.113.7`, `for=203.0.113.7,for=10.0.0.2;by=${string}`]
    ) {
      assertEquals([field, read({ forwarded: field })[0]], [field, "203.0.113.7"]);
      assertEquals([field, read({ forwarded: `for=198.51.100.1,${field}` })[0]], [field, "203.0.113.7"]);
    }
  }
});

test("an item has at most 512 characters", () => {
  const long = (length: number) => `for=203.0.113.7;by=${"x".repeat(length - 19)}`;
  assertEquals(read({ forwarded: long(512) })[0], "203.0.113.7");
  assertEquals(read({ forwarded: long(513) })[0], undefined);
  assertEquals(read({ forwarded: `for=198.51.100.1,${long(512)}` })[0], "203.0.113.7");
});

test("Forwarded: proto and host of the proxy that has seen the client, or of the next one that tells them", () => {
  const rows: [field: string, scheme: string | undefined, host: string | undefined][] = [
    ["for=203.0.113.7;proto=https;host=a.example", "https", "a.example"],
    ["FOR=203.0.113.7;Proto=HTTPS;HOST=a.example", "https", "a.example"],
    ["proto=http;host=evil.example, for=203.0.113.7;proto=https;host=a.example", "https", "a.example"],
    ["for=203.0.113.7;proto=https;host=a.example, for=10.0.0.2;proto=http;host=inner.example", "https", "a.example"],
    ["for=203.0.113.7;proto=https, for=10.0.0.2;proto=http;host=a.example", "https", "a.example"],
    ["proto=http;host=evil.example, for=203.0.113.7, for=10.0.0.2;proto=https;host=a.example", "https", "a.example"],
    ["for=unknown;proto=https;host=a.example", "https", "a.example"],
    ["proto=https;host=a.example", "https", "a.example"],
    ["for=203.0.113.7;proto=gopher;host=a b", undefined, undefined],
    ['for=203.0.113.7;proto=constructor;host=""', undefined, undefined],
    ["for=203.0.113.7", undefined, undefined],
    ["", undefined, undefined],
  ];
  for (const [field, scheme, host] of rows) {
    const [, ...seen] = read({ forwarded: field });
    assertEquals([field, ...seen], [field, scheme, host]);
  }
});

test("Forwarded is not read where one of the others is there, and nothing is read of nothing", () => {
  const forwarded = "for=198.51.100.1;proto=http;host=evil.example";
  assertEquals(read({ forwarded, "x-forwarded-for": "203.0.113.7" }), of("203.0.113.7"));
  assertEquals(read({ forwarded, "x-forwarded-proto": "https" }), [undefined, "https", undefined]);
  assertEquals(read({ forwarded, "x-forwarded-host": "a.example" }), [undefined, undefined, "a.example"]);
  assertEquals(read({ forwarded, "x-forwarded-for": "" }), of(undefined));
  assertEquals(read({}), of(undefined));
  assertEquals(read({ "x-real-ip": "203.0.113.7", "x-forwarded": "for=203.0.113.7" }), of(undefined));
});
