// The examples of authentication in a browser: it sends cookies, cannot set header fields, and insists on its subprotocol.

import { assertEquals } from "@std/assert";
import { after, before } from "node:test";
import { runners } from "../support/program.ts";
import { type Browser, launchBrowserIfHere, type Page, testInChromium } from "./browser.ts";
import { startExample } from "./start_example.ts";

let browser: Browser;
before(async () => {
  browser = (await launchBrowserIfHere())!;
});
after(() => browser?.close());

/** Runs a test with an example in each runtime, and pages of a browser that nobody has used. */
function testExample(
  example: string,
  name: string,
  env: Record<string, string>,
  work: (port: number, open: () => Promise<Page>) => Promise<void>,
): void {
  for (const [runtime, ...command] of runners.filter(([name]) => ["Deno", "Bun", "Node 24"].includes(name))) {
    testInChromium(`${runtime}: ${name}`, async () => {
      const { port, kill } = await startExample(example, 0, command, env);
      const context = await browser.newContext();
      const errors: string[] = [];
      try {
        context.setDefaultTimeout(60_000);
        await work(port, async () => {
          const page = await context.newPage();
          page.on("pageerror", (error) => void errors.push(error.message));
          return page;
        });
        assertEquals(errors, []);
      } finally {
        await context.close();
        await kill();
      }
    });
  }
}

testExample(
  "auth_cookie.ts",
  "the page of auth_cookie.ts logs in, chats, and logs out in all its windows",
  {},
  async (port, open) => {
    const page = await open();
    await page.goto(`http://localhost:${port}/`);
    const opens = await page.evaluate(() =>
      new Promise<boolean>((resolve) => {
        const socket = new WebSocket(location.href.replace(/^http/, "ws"));
        socket.onopen = () => resolve(true);
        socket.onerror = () => resolve(false);
      })
    );
    assertEquals(opens, false);
    await page.locator("input[name=user]").fill("Ada");
    await page.locator("input[name=password]").fill("open sesame");
    await page.locator("button").click();
    await page.locator("li", { hasText: "Hello Ada" }).waitFor();
    const second = await open();
    await second.goto(`http://localhost:${port}/`);
    await second.locator("li", { hasText: "Hello Ada" }).waitFor();
    await page.locator("#say input").fill("<b>hello</b>");
    await page.keyboard.press("Enter");
    await second.locator("li", { hasText: "Ada: <b>hello</b>" }).waitFor();
    assertEquals(await page.evaluate(() => document.cookie), ""); // scripts do not see it
    await page.locator("form[action='/logout'] button").click();
    await second.locator("li", { hasText: "You have logged out" }).waitFor();
    await page.locator("input[name=user]").waitFor();
  },
);

testExample(
  "auth_subprotocol.ts",
  "the page of auth_subprotocol.ts speaks the subprotocol, and stays",
  {},
  async (port, open) => {
    const page = await open();
    await page.goto(`http://localhost:${port}/`);
    await page.locator("li", { hasText: "Hello Ada" }).waitFor();
    await page.locator("button").click();
    await page.locator("li", { hasText: "You may stay" }).waitFor();
    assertEquals(await page.locator("li").allInnerTexts(), ["We speak chat", "Hello Ada", "You may stay"]);
  },
);

testExample("auth_subprotocol.ts", "the page of auth_subprotocol.ts is told that its token has expired", {
  SECONDS: "2",
}, async (port, open) => {
  const page = await open();
  let last: string | undefined;
  do { // again, if the machine was so slow that the token had expired before the page could use it
    await page.goto(`http://localhost:${port}/`);
    await page.locator("li", { hasText: /The token has expired|The chat is over/ }).waitFor();
    last = (await page.locator("li").allInnerTexts()).at(-1);
  } while (last !== "The token has expired");
});
