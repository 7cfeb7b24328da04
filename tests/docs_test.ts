import { assert, assertEquals } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { checkSettings, resolveSettings, type ServerSettings } from "../src/server/settings/settings.ts";

const root = new URL("../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");

test("docs/settings.md lists every setting with its default, and no other", () => {
  const listed = new Map<string, string>();
  const [ours] = read("docs/settings.md").split("## Taken, without effect here"); // that table has a test of its own
  for (const [, names, value] of ours.matchAll(/^\| (`[a-z_`, ]+`) +\| ([^|]+)\|/gm)) {
    for (const [, name] of names.matchAll(/`([a-z_]+)`/g)) listed.set(name, value.trim().replaceAll("`", ""));
  }
  const defaults = resolveSettings({});
  assertEquals([...listed.keys()].sort(), Object.keys(defaults).sort());
  const inWords = new Map([["", ["none", "the console"]], ["6710886", ["80 % of it"]], ["same-origin", ['"same-origin"']], [
    "\r\n",
    ["CR LF"],
  ], ["null", ["none"]]]);
  for (const [name, value] of Object.entries(defaults)) {
    if (name === "max_conn") continue; // another name of max_connection
    const text = JSON.stringify(value) === "{}" ? "" : String(value);
    const shown = listed.get(name)!;
    assert(shown === text || inWords.get(text)?.includes(shown), `${name}: ${shown} is documented, ${text} is the default`);
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
  for (const file of ["README.md", "bench/README.md", ...readdirSync(new URL("docs/", root)).map((name) => `docs/${name}`)]) {
    for (const [, target] of read(file).matchAll(/\]\(([^)#]+)[^)]*\)/g)) {
      if (target.includes("://")) continue;
      const url = new URL(target, new URL(file, root));
      assert(target.endsWith("/") ? readdirSync(url).length > 0 : readFileSync(url).length > 0);
    }
  }
});
