import { assert, assertEquals, assertFalse } from "@std/assert";
import { test } from "node:test";
import {
  formatIp,
  ipOfPeer,
  isIpv4,
  isLoopback,
  parseIp,
  proxyMistake,
  TrustedProxies,
} from "../../src/transport/ip_addresses.ts";
import type { Address } from "../../src/transport/runtime.ts";

test("IP addresses are written in one way, however they came", () => {
  const rows: [text: string, written: string][] = [
    ["0.0.0.0", "0.0.0.0"],
    ["192.0.2.1", "192.0.2.1"],
    ["255.255.255.255", "255.255.255.255"],
    ["::ffff:192.0.2.1", "192.0.2.1"], // mapped into IPv6
    ["::FFFF:c000:201", "192.0.2.1"],
    ["0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:DB8::0001", "2001:db8::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"], // RFC 5952 section 4.2.3: the first of two runs
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"], // the longest run
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"], // section 4.2.2: no run of one
    ["2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
    ["10:0:0:4:a0:0:0:0b", "10::4:a0:0:0:b"], // zeros at the end of a group are none
    ["0:0:0:4:0:0:0:0a", "::4:0:0:0:a"],
    ["1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7:0"],
    ["1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"],
    ["0:0:3:4:5:6:7:8", "::3:4:5:6:7:8"],
    ["::192.0.2.1", "::c000:201"], // of IPv6, and long out of use
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ];
  for (const [text, written] of rows) {
    const ip = parseIp(text);
    assert(ip !== undefined, text);
    assertEquals([text, formatIp(ip), isIpv4(ip)], [text, written, !written.includes(":")]);
    assertEquals(parseIp(written), ip);
  }
});

test("what is no IP address is none", () => {
  const wrong = [
    "",
    " 192.0.2.1",
    "192.0.2.1 ",
    "192.0.2",
    "192.0.2.1.1",
    "192.0.2.256",
    "192.0.2.01", // octal, for some
    "192.0.2.-1",
    "0x7f.0.0.1",
    "2130706433",
    "192.0.2.1:80",
    "[::1]",
    "fe80::1%eth0",
    ":",
    ":::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::",
    "::1:2:3:4:5:6:7:8",
    "1::2::3",
    "12345::",
    "g::",
    ":1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:",
    "::192.0.2",
    "192.0.2.1::",
    "::192.0.2.1:1",
    "1:2:3:4:5:6:7:192.0.2.1",
    "unknown",
  ];
  for (const text of wrong) assertEquals([text, parseIp(text)], [text, undefined]);
});

const tcp = (hostname: string): Address => ({ transport: "tcp", hostname, port: 1 });
const unix: Address = { transport: "unix", hostname: "", port: 0 };

test("the IP address of a peer has no zone, and that of a unix socket is none", () => {
  assertEquals(ipOfPeer(tcp("fe80::1%eth0")), parseIp("fe80::1"));
  assertEquals(ipOfPeer(tcp("example.com")), undefined);
  assertEquals(ipOfPeer(unix), undefined);
  assertEquals(ipOfPeer(undefined), undefined);
});

test("trusted_proxies: addresses, ranges and words, up to their first and last address", () => {
  const rows: [entries: string[], trusted: string[], others: string[]][] = [
    [["192.0.2.1"], ["192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201"], ["192.0.2.0", "192.0.2.2", "::c000:201"]],
    [["::ffff:192.0.2.1"], ["192.0.2.1", "::ffff:192.0.2.1"], ["192.0.2.2"]],
    [["2001:db8::1"], ["2001:db8::1", "2001:DB8:0:0::1"], ["2001:db8::2", "2001:db8::1:1", "3001:db8::1"]],
    [["10.0.0.0/8"], ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], ["9.255.255.255", "11.0.0.0", "::a00:1"]],
    [["172.16.0.0/12"], ["172.16.0.0", "172.31.255.255"], ["172.15.255.255", "172.32.0.0"]],
    [["192.0.2.128/25"], ["192.0.2.128", "192.0.2.255"], ["192.0.2.127", "192.0.3.128"]],
    [["192.0.2.6/31"], ["192.0.2.6", "192.0.2.7"], ["192.0.2.5", "192.0.2.8"]],
    [["192.0.2.6/32"], ["192.0.2.6"], ["192.0.2.7"]],
    [["0.0.0.0/0"], ["0.0.0.0", "255.255.255.255", "::ffff:192.0.2.1"], ["::1", "2001:db8::1"]],
    [["::/0"], ["::", "2001:db8::1", "192.0.2.1"], []],
    [["::ffff:10.0.0.0/104"], ["10.0.0.1", "::ffff:10.255.0.1"], ["11.0.0.1", "::1"]],
    [["2001:db8::/32"], ["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"], ["2001:db7:ffff::", "2001:db9::"]],
    [["2001:db8:8000::/33"], ["2001:db8:8000::", "2001:db8:ffff::1"], ["2001:db8:7fff:ffff::"]],
    [["2001:db8::4/127"], ["2001:db8::4", "2001:db8::5"], ["2001:db8::3", "2001:db8::6"]],
    [["loopback"], ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"], [
      "126.255.255.255",
      "128.0.0.0",
      "::2",
      "10.0.0.1",
    ]],
    [
      ["private"],
      ["10.0.0.1", "172.16.0.1", "172.31.0.1", "192.168.0.1", "fc00::1", "fdff::1"],
      ["127.0.0.1", "::1", "172.32.0.1", "192.169.0.1", "169.254.0.1", "100.64.0.1", "fe80::1", "fe00::1", "fbff::1"],
    ],
    [["loopback", "192.0.2.1"], ["127.0.0.1", "192.0.2.1"], ["192.0.2.2"]],
    [["fe80::/10"], ["fe80::1%eth0", "febf::1"], ["fec0::1"]],
    [[], [], ["127.0.0.1", "::1"]],
    [["unix"], [], ["127.0.0.1", "::1"]],
  ];
  for (const [entries, trusted, others] of rows) {
    const proxies = new TrustedProxies(entries);
    for (const entry of entries) assertEquals([entry, proxyMistake(entry)], [entry, undefined]);
    for (const address of trusted) assert(proxies.trusts(tcp(address)), `${entries} does not trust ${address}`);
    for (const address of others) assertFalse(proxies.trusts(tcp(address)), `${entries} trusts ${address}`);
    assertEquals([entries, proxies.trusts(unix)], [entries, entries.includes("unix")]);
    assertFalse(proxies.trusts(undefined));
    assertFalse(proxies.trusts(tcp("")));
  }
});

test("addresses of this machine", () => {
  for (const host of ["localhost", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"]) {
    assertEquals([host, isLoopback(host)], [host, true]);
  }
  for (const host of ["0.0.0.0", "::", "::2", "128.0.0.1", "10.0.0.1", "example.com", "localhost.example", ""]) {
    assertEquals([host, isLoopback(host)], [host, false]);
  }
});

test("entries of trusted_proxies that are wrong are named, with the right form", () => {
  const none = 'is no IP address, no range such as "10.0.0.0/8", and none of the words loopback, private, unix';
  const rows: [entry: string, mistake: string][] = [
    ["", none],
    ["example.com", none],
    ["Loopback", none],
    ["constructor", none],
    ["10.0.0.1, 10.0.0.2", none],
    ["[::1]", none],
    ["127.0.0.1:80", none],
    ["10.0.0", none],
    ["10.0.0.0/", "is no range: the number after the slash has to be one from 0 to 32"],
    ["10.0.0.0/33", "is no range: the number after the slash has to be one from 0 to 32"],
    ["10.0.0.0/08", "is no range: the number after the slash has to be one from 0 to 32"],
    ["10.0.0.0/8/8", "is no range: the number after the slash has to be one from 0 to 32"],
    ["/8", none],
    ["10.0.0.0/8/", "is no range: the number after the slash has to be one from 0 to 32"],
    ["10.0.0.0/255.0.0.0", "is no range: the number after the slash has to be one from 0 to 32"],
    ["::/129", "is no range: the number after the slash has to be one from 0 to 128"],
    ["::/-1", "is no range: the number after the slash has to be one from 0 to 128"],
    [
      "10.0.0.1/8",
      'is no range, because it has bits after its first 8; write "10.0.0.0/8", or "10.0.0.1" for that address alone',
    ],
    [
      "2001:db8::1/64",
      'is no range, because it has bits after its first 64; write "2001:db8::/64", or "2001:db8::1" for that address alone',
    ],
    [
      "128.0.0.0/0",
      'is no range, because it has bits after its first 0; write "0.0.0.0/0", or "128.0.0.0" for that address alone',
    ],
    [
      "2001:db8::8000:0:0:1/65",
      'is no range, because it has bits after its first 65; write "2001:db8:0:0:8000::/65", or "2001:db8::8000:0:0:1" for that address alone',
    ],
    [
      "::ffff:10.0.0.1/104",
      'is no range, because it has bits after its first 104; write "::ffff:10.0.0.0/104", or "::ffff:10.0.0.1" for that address alone',
    ],
  ];
  for (const [entry, mistake] of rows) assertEquals(proxyMistake(entry), `${JSON.stringify(entry)} ${mistake}`);
});
