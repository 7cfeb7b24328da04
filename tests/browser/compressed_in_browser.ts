/// <reference lib="dom" />
// Ten compressed messages in a row, of all kinds, with Chromium and Firefox, in all that can be agreed on.

import { assertEquals, assertMatch } from "@std/assert";
import { fileURLToPath } from "node:url";
import { answerOf, describe, VARIANTS } from "../interop/compressed_servers.ts";
import { testWith } from "../support/prerequisites.ts";
import { Program, runners } from "../support/program.ts";
import { launchBrowser, testInChromium } from "./browser.ts";
import { Firefox } from "./firefox.ts";

/** What is needed of a browser. */
interface Visitor {
  goto(url: string): Promise<unknown>;
  evaluate(work: () => Promise<string>): Promise<string>;
}

/** Runs in the page. */
async function talkToServer(): Promise<string> {
  const module = "/compressed_talk.mjs";
  const { talk } = await import(module);
  return talk(new WebSocket(location.href.replace("http:", "ws:")));
}

/**
 * Visits a server of each kind in each of the runtimes.
 *
 * @param tells Whether the browser tells what was agreed beside the name of the extension.
 */
async function visitAll(page: Visitor, tells: boolean): Promise<void> {
  for (const [runtime, ...command] of runners.filter(([name]) => ["Deno", "Bun", "Node 24"].includes(name))) {
    const program = new Program([...command, fileURLToPath(new URL("./compressed_program.ts", import.meta.url))]);
    try {
      const ports = (await program.line()).split(" ");
      for (const [i, variant] of VARIANTS.entries()) {
        const title = `${runtime}, ${describe(variant)}`;
        await page.goto(`http://127.0.0.1:${ports[i]}/`);
        const agreed = await page.evaluate(talkToServer).catch((error) => {
          throw new Error(`${title}: ${error.message} ${program.errors}`);
        });
        assertEquals([title, agreed], [title, tells ? answerOf(variant) : "permessage-deflate"]);
        // What does not shrink may come plain: empty, one character, a few words, noise.
        assertMatch(await program.line(), /^(3[39] ){3}39 39 39 3[39] 39 39 39$/, title);
      }
    } finally {
      await program.kill();
    }
  }
}

testInChromium("ten messages and Chromium", async () => {
  const browser = await launchBrowser();
  try {
    const context = await browser.newContext();
    await visitAll(await context.newPage(), true);
  } finally {
    await browser.close();
  }
});

async function checkFirefox(): Promise<void> {
  const firefox = await Firefox.launch();
  try {
    await visitAll(firefox, false);
  } finally {
    await firefox.close();
  }
}

testWith("firefox", "ten messages and Firefox", checkFirefox);
