import { assert, assertEquals } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { resolveClientSettings } from "../src/client/client_settings.ts";
import { checkPortSettings, checkSettings, resolveSettings, type ServerSettings } from "../src/server/settings/settings.ts";
import { memoryBroker } from "../src/topics/brokers/memory_broker.ts";
import { COMPRESSION_DEFAULTS } from "../src/websocket/connection/compression_policy.ts";

const root = new URL("../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");

/** What docs/settings.md says of a setting, in the line below its heading. */
interface Entry {
  readonly type: string;
  readonly shown: string;
  readonly scope: string;
}

function readEntries(): Map<string, Entry> {
  const text = read("docs/settings.md");
  const entries = new Map<string, Entry>();
  const line = new RegExp(
    [
      /^### `([a-z0-9_]+)`\n\n/,
      /\*\*Type:\*\* ([^·\n]+) · \*\*Default:\*\* ([^·\n]+) · \*\*Scope:\*\* (server, port|server)/,
      /(?: · \*\*Style:\*\* (?:event|coroutine))?(?: · \*\*Also called:\*\* ([a-z_`, ]+))?\n\n[^#\n]/,
    ].map(({ source }) => source).join(""),
    "gm",
  );
  for (const [, name, type, value, scope, also = ""] of text.matchAll(line)) {
    for (const one of [name, ...[...also.matchAll(/`([a-z_]+)`/g)].map(([, alias]) => alias)]) {
      assert(!entries.has(one), `${one} is listed twice`);
      entries.set(one, { type, shown: value.replaceAll("`", ""), scope });
    }
  }
  // A heading whose line cannot be read would be left out in silence.
  for (const [, name] of text.matchAll(/^### `(.+)`$/gm)) assert(entries.has(name), `${name} has no proper line of its type`);
  return entries;
}

test("docs/settings.md lists every setting with its default, and no other", () => {
  const listed = readEntries();
  const defaults = resolveSettings({});
  assertEquals([...listed.keys()].sort(), Object.keys(defaults).sort());
  const inWords = new Map([
    ["", ["none", "the console"]],
    ["6710886", ["80 % of socket_buffer_size"]],
    [
      "same-origin",
      ['"same-origin"'],
    ],
    ["close", ['"close"']],
    ["inherit", ['"inherit"']],
    ["\r\n", ["CR LF"]],
    ["null", ["none"]],
  ]);
  for (const [name, value] of Object.entries(defaults)) {
    if (name === "max_conn") continue; // another name of max_connection
    const text = JSON.stringify(value) === "{}" ? "" : String(value);
    const { shown } = listed.get(name)!;
    assert(shown === text || inWords.get(text)?.includes(shown), `${name}: ${shown} is documented, ${text} is the default`);
  }
});

test("docs/settings.md says of what type each setting is, and whether a port takes it", () => {
  const defaults = resolveSettings({}) as Readonly<Record<string, unknown>>;
  const takes = (name: string, value: unknown) => {
    try {
      checkSettings({ [name]: value } as ServerSettings);
      return true;
    } catch {
      return false;
    }
  };
  for (const [name, { type, scope }] of readEntries()) {
    const value = defaults[name];
    const isNumber = typeof value === "number";
    const isHalf = takes(name, 0.5);
    const [, from, to] = /^number, (-?\d+) (?:to (\d+)|or more)$/.exec(type) ?? [];
    const range = from === undefined ? undefined : [Number(from), Number(to ?? Number.MAX_SAFE_INTEGER)];
    if (range !== undefined) {
      const limits = [range[0] - 1, range[0], range[1], range[1] + 1].map((limit) => takes(name, limit));
      assertEquals(limits, [false, true, true, false], `${name} has another range than ${type}`);
    }
    const isRight: Record<string, boolean> = {
      "boolean": typeof value === "boolean" && takes(name, true) && takes(name, false),
      "seconds": isNumber && isHalf && takes(name, 0) && !takes(name, -1),
      "milliseconds": isNumber && !isHalf && name.endsWith("_interval"),
      "bytes": isNumber && !isHalf && takes(name, 0) && !takes(name, -1) && takes(name, Number.MAX_SAFE_INTEGER),
      "number": isNumber && !isHalf,
      "string": typeof value === "string" && !takes(name, []),
      "string or list of strings": takes(name, "null") && takes(name, ["null"]) && !takes(name, 1),
      "address or list of addresses": takes(name, "127.0.0.1") && takes(name, ["::1"]) && !takes(name, "null") && !takes(name, 1),
      "string or object": typeof value === "string" && takes(name, value) && takes(name, {}) && !takes(name, []),
      "string or bytes": takes(name, "a") && takes(name, new Uint8Array(1)) && !takes(name, []),
      "function": takes(name, () => 0) && !takes(name, "a"),
      "broker": value === null && takes(name, memoryBroker()) && !takes(name, {}),
      "object": takes(name, {}) && !takes(name, []),
      'number from 1 to 127, or "auto"': [1, 127, "auto"].every((one) => takes(name, one)) &&
        ![0, 128, 1.5, "all", "4"].some((one) => takes(name, one)),
      '"inherit" or list of strings': takes(name, "inherit") && takes(name, []) && takes(name, ["-A"]) && !takes(name, "-A"),
    };
    assert(range !== undefined || isRight[type], `${name} is not of the type ${type}`);
    let ofPort = true;
    try {
      checkPortSettings({ [name]: value } as ServerSettings);
    } catch {
      ofPort = false;
    }
    assertEquals(scope, ofPort ? "server, port" : "server", `the scope of ${name}`);
  }
});

test("docs/coroutine.md lists every setting of the client with its default, and no other", () => {
  const listed = new Map<string, string>();
  const entries = read("docs/coroutine.md").matchAll(/^- \*\*`([a-z0-9_]+)`\*\* \(([a-z ]+),\s+default\s+([^)]+)\): /gm);
  for (const [, name, , value] of entries) {
    assert(!listed.has(name), `${name} is listed twice`);
    listed.set(name, value.replaceAll("`", ""));
  }
  const shared = Object.keys(COMPRESSION_DEFAULTS); // these are in docs/settings.md
  const defaults = Object.entries(resolveClientSettings({})).filter(([name]) => !shared.includes(name));
  assertEquals([...listed.keys()].sort(), defaults.map(([name]) => name).sort());
  for (const [name, value] of defaults) {
    const shown = listed.get(name)!;
    const expected = String(value) === "" ? [name === "ssl_ciphers" ? "the runtime's" : "none"] : [String(value)];
    assert(expected.includes(shown), `${name}: ${shown} is documented, ${value} is the default`);
  }
});

test("every setting takes its own default and refuses what none can be", () => {
  for (const [name, value] of Object.entries(resolveSettings({}))) {
    checkSettings({ [name]: value });
    let refused = "";
    try {
      checkSettings({ [name]: 1n } as unknown as ServerSettings);
    } catch (error) {
      refused = (error as Error).message;
    }
    assert(refused.includes(name), `${name} takes a bigint`);
  }
});

test("links between the documents lead somewhere", () => {
  const pages = readdirSync(new URL("docs/", root)).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`);
  for (const file of ["README.md", "bench/README.md", ...pages]) {
    const text = read(file).replaceAll(/^```.*?^```$/gms, ""); // without code
    for (const [, target] of text.matchAll(/\]\(([^)#]+)[^)]*\)/g)) {
      if (target.includes("://")) continue;
      const url = new URL(target, new URL(file, root));
      assert(target.endsWith("/") ? readdirSync(url).length > 0 : readFileSync(url).length > 0);
    }
  }
});
