import { assertEquals } from "@std/assert";
import { after, before } from "node:test";
import { runners } from "../support/program.ts";
import { type Browser, launchBrowserIfHere, testInChromium } from "./browser.ts";
import { startExample } from "./start_example.ts";

let browser: Browser;
before(async () => {
  browser = (await launchBrowserIfHere())!;
});
after(() => browser?.close());

for (const [runtime, ...command] of runners.filter(([name]) => ["Deno", "Bun", "Node 24"].includes(name))) {
  testInChromium(
    `${runtime}: the page of the coroutine style connects, and logs what it hears until the server is gone`,
    async () => {
      const example = await startExample("coroutine_echo.ts", 0, command);
      const context = await browser.newContext();
      try {
        context.setDefaultTimeout(60_000);
        const page = await context.newPage();
        const logged: string[] = [];
        let wake = () => {};
        const log = (line: string) => {
          logged.push(line);
          wake();
        };
        page.on("console", (message) => log(`${message.type()}: ${message.text()}`));
        page.on("pageerror", (error) => log(error.message));
        const lines = async (count: number) => {
          while (logged.length < count) await new Promise<void>((resolve) => wake = resolve);
          return logged;
        };
        await page.goto(`http://localhost:${example.port}/`);
        assertEquals(await page.locator("h1").allInnerTexts(), ["Swoole WebSocket Server"]);
        const expected = [
          "log: Connected to WebSocket server.",
          "log: Retrieved data from server: Hello hello!",
          "log: Retrieved data from server: How are you, hello?",
        ];
        assertEquals(await lines(3), expected);
        await example.kill();
        assertEquals(await lines(4), [...expected, "log: Disconnected"]);
      } finally {
        await context.close();
        await example.kill();
      }
    },
  );
}
