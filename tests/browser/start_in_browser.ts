// The chat of docs/start.md, on two phones.

import { assertEquals } from "@std/assert";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before } from "node:test";
import { Program } from "../support/program.ts";
import { adapted, commandOf, makeProject, snippetAt } from "../support/snippets.ts";
import { type Browser, launchBrowserIfHere, testInChromium } from "./browser.ts";
import { lastingPort } from "./start_example.ts";

let browser: Browser;
before(async () => {
  browser = (await launchBrowserIfHere())!;
});
after(() => browser?.close());

testInChromium("docs/start.md: two phones chat, and see that the server stops", async () => {
  const project = makeProject();
  const port = await lastingPort();
  const file = join(project, "chat.mjs");
  writeFileSync(file, adapted(snippetAt("docs/start.md, The chat").code, port));
  const program = new Program(commandOf(file));
  const contexts = [];
  try {
    assertEquals(await program.line(), `The chat is open at http://localhost:${port}/`);
    const phones = [];
    for (let count = 0; count < 2; count++) {
      const context = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
      contexts.push(context);
      context.setDefaultTimeout(60_000);
      const page = await context.newPage();
      page.on("pageerror", (error) => program.errors += error.message);
      await page.goto(`http://localhost:${port}/`);
      await page.locator("li", { hasText: "has come" }).waitFor();
      phones.push(page);
    }
    const [first, second] = phones;
    await first.locator("input").fill("<b>hello</b>");
    await first.locator("button").tap();
    await second.locator("li", { hasText: /^Guest \d+: <b>hello<\/b>$/ }).waitFor();
    await second.locator("input").fill("hello to you");
    await second.locator("button").tap();
    await first.locator("li", { hasText: /^Guest \d+: hello to you$/ }).waitFor();
    process.kill(program.process.pid!, "SIGINT");
    for (const phone of phones) await phone.locator("li", { hasText: "The chat is over." }).waitFor();
    assertEquals([await program.exited, program.errors], [0, ""]);
  } finally {
    for (const context of contexts) await context.close();
    await program.kill();
    rmSync(project, { recursive: true });
  }
});
