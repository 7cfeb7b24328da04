import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import {
  type CookieAttributes,
  cookieHeader,
  decodeCookie,
  encodeCookie,
  parseCookies,
  parseSetCookie,
  serializeCookie,
} from "../../src/http/cookies.ts";

const PLAIN = { secure: false, httpOnly: false };

test("parseSetCookie() reads names and values (RFC 6265 section 5.2)", () => {
  const cases: [value: string, name: string, cookieValue: string][] = [
    ["a=b", "a", "b"],
    [" \ta \t= b c\t ", "a", "b c"],
    ["a=", "a", ""],
    ["a=b=c", "a", "b=c"],
    ['a="b"', "a", '"b"'],
    ["a=b;", "a", "b"],
    ["a=b;;; ;", "a", "b"],
    ["a=b, c=d", "a", "b, c=d"],
    ["__proto__=b", "__proto__", "b"],
    ["a=\xe4", "a", "\xe4"],
  ];
  for (const [value, name, cookieValue] of cases) {
    assertEquals(parseSetCookie(value), { name, value: cookieValue, ...PLAIN }, value);
  }
});

test("parseSetCookie() reads no cookie where there is none", () => {
  for (const value of ["", ";", "a", "=b", " =b", "; a=b", "a; b=c", "a=b\x00", "a=b\r\nX: y", "a=\x7f", "a=b; path=/\x01"]) {
    assertEquals(parseSetCookie(value), undefined, JSON.stringify(value));
  }
});

test("parseSetCookie() reads the attributes, in any letter case and with blanks", () => {
  const expires = "Wed, 21 Oct 2026 07:28:00 GMT";
  assertEquals(
    parseSetCookie(
      `a=b; EXPIRES=${expires};max-AGE=60 ; Domain=.Ex.ORG; path = /x ;Secure;HttpOnly=no; SameSite=lAX; Priority=High`,
    ),
    {
      name: "a",
      value: "b",
      secure: true,
      httpOnly: true,
      expires,
      maxAge: 60,
      domain: "ex.org",
      path: "/x",
      sameSite: "Lax",
    },
  );
});

test("parseSetCookie() passes over malformed attributes; of two of a kind the last one counts", () => {
  const cases: [attributes: string, rest: object][] = [
    ["Max-Age=-1", { maxAge: -1 }],
    ["Max-Age=1.5; Max-Age=; Max-Age=x; Max-Age=+1; Max-Age=--1", {}],
    ["Max-Age=1; Max-Age=2; Max-Age=x", { maxAge: 2 }],
    ["Domain=; Domain=.", {}],
    ["Domain=a; Domain=b; Domain=", { domain: "b" }],
    ["Path=x; Path=", {}],
    ["Path=/a; Path=/b", { path: "/b" }],
    ["Path=/a; Path=b", {}], // section 5.2.4: the default path
    ["SameSite=constructor", {}],
    ["SameSite=Strict; SameSite=none", { sameSite: "None" }],
    ["SameSite=Strict; SameSite=x", {}],
    ["Expires", {}],
    ["Secured; HttpOnly2; name=c; value=d; __proto__=e", {}],
  ];
  for (const [attributes, rest] of cases) {
    assertEquals(parseSetCookie(`a=b; ${attributes}`), { name: "a", value: "b", ...PLAIN, ...rest }, attributes);
  }
});

test("parseSetCookie() takes any text", () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.string({ unit: "binary" })), (text) => {
    const cookie = parseSetCookie(text);
    if (cookie !== undefined) assertEquals([cookie.name === "", /;/.test(cookie.name + cookie.value)], [false, false]);
  }));
});

test("serializeCookie() writes what Swoole does", () => {
  const cases: [args: Parameters<typeof serializeCookie>, text: string][] = [
    [["a", "b", {}, false], "a=b"],
    [
      ["a", "b c", { expires: 0, path: "/", domain: "ex.org", secure: true, httponly: true, samesite: "Lax" }, false],
      "a=b%20c; path=/; domain=ex.org; secure; HttpOnly; SameSite=Lax",
    ],
    [
      ["a", "b", { samesite: "None", priority: "High", partitioned: true }, false],
      "a=b; SameSite=None; Priority=High; Partitioned",
    ],
    [["a", "b", { path: "", domain: "", samesite: "", priority: "", secure: false }, false], "a=b"],
    [["a[b]", "a/b?c=d&e", {}, false], "a[b]=a%2Fb%3Fc%3Dd%26e"],
    [["r", "a/b?c=d&e%20+", {}, true], "r=a/b?c=d&e%20+"],
    [["r", '"q"', {}, true], 'r="q"'],
    [["a", ";,\r\n\x00", {}, false], "a=%3B%2C%0D%0A%00"],
    [["a", "b", { expires: 1792567680 }, false], "a=b; expires=Wed, 21 Oct 2026 07:28:00 GMT"],
    [["a", "b", { expires: 160, path: "/" }, true, 100.5], "a=b; expires=Thu, 01 Jan 1970 00:02:40 GMT; Max-Age=59; path=/"],
    [["a", "b", { expires: 99 }, false, 100], "a=b; expires=Thu, 01 Jan 1970 00:01:39 GMT; Max-Age=0"],
  ];
  for (const [args, text] of cases) assertEquals(serializeCookie(...args), text);
});

test("serializeCookie() deletes a cookie of no value, at its path and domain", () => {
  for (const raw of [false, true]) {
    assertEquals(
      serializeCookie("a", "", { expires: 5e9, path: "/x", domain: "ex.org" }, raw, 1),
      "a=deleted; expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0; path=/x; domain=ex.org",
    );
  }
});

test("serializeCookie() writes the dates that Date does", () => {
  const second = fc.oneof(
    fc.integer({ min: 1, max: 253402300799 }),
    fc.integer({ min: 1, max: 80_000 }).map((day) => day * 86400),
  );
  fc.assert(fc.property(second, (expires) => {
    assertEquals(serializeCookie("a", "b", { expires }, false), `a=b; expires=${new Date(expires * 1000).toUTCString()}`);
  }));
});

test("serializeCookie() refuses times that have no date", () => {
  for (const expires of [-1, NaN, Infinity, 253402300800]) {
    assertThrows(() => serializeCookie("a", "b", { expires }, false), RangeError);
  }
});

test("serializeCookie() refuses what would end a part early, and says which part it is", () => {
  const bad = [" ", ",", ";", "\t", "\r", "\n", "\v", "\f", "\0", "\x7f", "\x80", "\xe4", "\u20ac", "\ud83d\ude00", "\ud800"];
  for (const character of bad) {
    const text = `a${character}b`;
    const refused = (part: string, name: string, value: string, attributes: CookieAttributes) => {
      const { message } = assertThrows(() => serializeCookie(name, value, attributes, true), TypeError);
      assertEquals(message, `Cannot set a cookie: the ${part} has a ${JSON.stringify(character)}`);
    };
    refused("name", text, "b", {});
    refused("value", "a", text, {});
    refused("path", "a", "b", { path: text });
    refused("domain", "a", "b", { domain: text });
    refused("samesite", "a", "b", { samesite: text });
    refused("priority", "a", "b", { priority: text });
  }
  assertThrows(() => serializeCookie("a=b", "c", {}, false), TypeError);
  assertMatch(assertThrows(() => serializeCookie("", "c", {}, false), TypeError).message, /the name is empty/);
});

test("a cookie that was serialised is read as it was", () => {
  const name = fc.stringMatching(/^[!-+\--:<>-~]{1,10}$/);
  fc.assert(fc.property(name, fc.string({ unit: "binary", minLength: 1 }), fc.boolean(), (name, value, secure) => {
    const cookie = parseSetCookie(serializeCookie(name, value, { path: "/a", secure, samesite: "Strict" }, false))!;
    assertEquals([cookie.name, decodeCookie(cookie.value), cookie.path, cookie.secure], [name, value, "/a", secure]);
    assertEquals(cookie.sameSite, "Strict");
  }));
});

test("encodeCookie() leaves nothing that a cookie may not hold, decodeCookie() undoes percent escapes and nothing else", () => {
  const ascii = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code)).join("");
  const expected = Array.from(
    ascii,
    (character) =>
      /[\w.-]/.test(character) ? character : `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  ).join("");
  assertEquals(encodeCookie(ascii), expected);
  assertEquals(decodeCookie(expected), ascii);
  assertEquals(encodeCookie("\xe4\u20ac\ud83d\ude00"), "%C3%A4%E2%82%AC%F0%9F%98%80");
  assertEquals(encodeCookie("\ud800"), "%EF%BF%BD");
  assertEquals(decodeCookie("%C3%a4+%%2&b=c%zz;"), "\xe4+%%2&b=c%zz;");
  assertEquals(decodeCookie("ab+c/d=="), "ab+c/d==");
  assertEquals(decodeCookie("%ff%41"), "\ufffdA");
});

test("parseCookies() takes the first of a name, and so many", () => {
  assertEquals({ ...parseCookies("a=1; b=%202 ;a=3; c; =x;;d=e=f", 100) }, { a: "1", b: " 2", "": "x", d: "e=f" });
  assertEquals({ ...parseCookies("", 100) }, {});
  const many = Array.from({ length: 30 }, (_, i) => `c${i}=${i}`).join(";");
  assertEquals([Object.keys(parseCookies(many, 30)).length, Object.keys(parseCookies(many, 29)).length], [30, 29]);
  assertEquals(Object.entries(parseCookies("__proto__=1; toString=2", 9)), [["__proto__", "1"], ["toString", "2"]]);
});

test("cookieHeader() writes the pairs in order, values encoded", () => {
  assertEquals(cookieHeader({}), "");
  assertEquals(cookieHeader({ a: "b c" }), "a=b%20c");
  assertEquals(cookieHeader({ b: "c", a: "1;2=3", e: "" }), "b=c; a=1%3B2%3D3; e=");
  for (const name of ["", "a=b", "a b", "a;b", "a\r\nb", "\xe4"]) {
    assertThrows(() => cookieHeader({ [name]: "x" }), TypeError);
  }
});
