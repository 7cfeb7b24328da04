import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { parseForm } from "../../src/http/form.ts";
import { known } from "../support/known_fields.ts";

/** Objects without a prototype as plain ones. */
const plain = (text: string, most = 1000) => JSON.parse(JSON.stringify(parseForm(text, most)));

test("names and values are decoded, of a repeated name the last value counts", () => {
  assertEquals(plain("a=1&b=x+y%21&%C3%A4=%F0%9F%98%80&a=2&c&d=&=x&&e=%zz%"), {
    a: "2",
    b: "x y!",
    "ä": "😀",
    c: "",
    d: "",
    e: "%zz%",
  });
});

test("empty brackets make a list", () => {
  assertEquals(plain("a[]=1&a[]=2&b%5B%5D=3"), { a: ["1", "2"], b: ["3"] });
});

test("keys in brackets make objects, numbers in order a list, as deep as wanted", () => {
  assertEquals(plain("a[k][x]=2&a[k][y]=3&a[l]=4"), { a: { k: { x: "2", y: "3" }, l: "4" } });
  assertEquals(plain("a[0]=x&a[1]=y"), { a: ["x", "y"] });
  assertEquals(plain("a[1]=x&a[2]=y"), { a: { 1: "x", 2: "y" } });
  assertEquals(plain("a[x]=p&a[1]=q"), { a: { x: "p", 1: "q" } });
  assertEquals(plain("a[5]=x&a[]=y"), { a: { 5: "x", 6: "y" } });
  assertEquals(plain("a[][x]=1&a[][x]=2"), { a: [{ x: "1" }, { x: "2" }] });
});

test("twice as many lists and objects are taken as parameters, at the limit and one past it", () => {
  const deep = (name: string, depth: number) => `${name}${"[x]".repeat(depth)}=1`;
  const names = (text: string) => Object.keys(plain(text, 5));
  assertEquals(names([deep("a", 5), deep("b", 5)].join("&")), ["a", "b"]);
  assertEquals(plain([deep("a", 5), deep("b", 5), "c=1", "d[]=1"].join("&"), 5).d, undefined);
  assertEquals(names([deep("a", 9), "b[]=1", "b[]=2", "c=3"].join("&")), ["a", "b", "c"]);
});

test("very many plus signs are blanks", () => {
  for (const length of [255, 256, 100_000]) {
    assertEquals(plain(`a=${"+".repeat(length)}&b=é${"+".repeat(length)}%21`), {
      a: " ".repeat(length),
      b: `é${" ".repeat(length)}!`,
    });
  }
});

test("a text and an array of the same name: the later one stays", () => {
  assertEquals(plain("a=1&a[b]=2"), { a: { b: "2" } });
  assertEquals(plain("a[b]=2&a=1"), { a: "1" });
});

test("brackets that are none are part of the name", () => {
  assertEquals(plain("[a]=1&b[=2&c]=3&d[x]y=4"), { "[a]": "1", "b[": "2", "c]": "3", d: { x: "4" } });
});

test("names of the prototype are names like others, at every depth", () => {
  const form = known(parseForm("__proto__[x]=1&constructor[prototype][x]=2&a[__proto__][x]=3&a[toString]=4&__proto__=5", 100));
  assertEquals(({} as Record<string, unknown>).x, undefined);
  assertEquals(Object.getPrototypeOf(form), null);
  assertEquals(Object.getPrototypeOf(form.a), null);
  assertEquals(form.__proto__, "5");
  assertEquals(form.constructor.prototype.x, "2");
  assertEquals(form.a.__proto__.x, "3");
  assertEquals(form.hasOwnProperty, undefined);
});

test("no more than so many parameters are taken", () => {
  assertEquals(Object.keys(parseForm("a=1&b=2&c=3", 3)).length, 3);
  assertEquals(Object.keys(parseForm("a=1&b=2&c=3", 2)), ["a", "b"]);
  assertEquals(known(parseForm("a[]=1&".repeat(5000), 1000)).a.length, 1000);
});

test("names that are nested deeper than 64 times are left out", () => {
  assert(plain(`a${"[x]".repeat(64)}=1`).a !== undefined);
  assertEquals(plain(`a${"[x]".repeat(65)}=1&b=2`), { b: "2" });
});

test("whatever comes, a form is read as URLSearchParams does where names have no brackets", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string({ minLength: 1, unit: "grapheme" }), fc.string({ unit: "grapheme" }))), (pairs) => {
      const flat = pairs.map(([name, value]) => [name.replaceAll("[", "("), value]);
      const text = new URLSearchParams(flat).toString();
      const expected = Object.create(null);
      for (const [name, value] of new URLSearchParams(text)) expected[name] = value;
      assertEquals({ ...parseForm(text, 1000) }, { ...expected });
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => {
    parseForm(text, 10);
  }));
});
