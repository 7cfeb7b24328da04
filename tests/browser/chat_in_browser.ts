/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
import { assert, assertEquals } from "@std/assert";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { findFaults, findPaleText } from "./accessibility.ts";
import { type Browser, type Context, type ContextOptions, launchBrowserIfHere, type Page, testInChromium } from "./browser.ts";
import { type Example, lastingPort, startExample } from "./start_example.ts";

const tool = (name: string): string => fileURLToPath(new URL(`../../tools/node_modules/${name}`, import.meta.url));

const RUNTIMES: Record<string, readonly string[]> = {
  Deno: [tool(".bin/deno"), "run", "-A"],
  Bun: [tool(".bin/bun"), "run"],
  "Node.js": [tool("n24/bin/node")],
};

const PHONE: ContextOptions = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

let browser: Browser;
before(async () => {
  browser = (await launchBrowserIfHere())!;
});
after(() => browser?.close());

/** A chat in one of the runtimes, and the browsers of the people in it. */
class Chat {
  server!: Example;
  /** What the pages complained about. */
  readonly complaints: string[] = [];
  readonly #command: readonly string[];
  readonly #contexts: Context[] = [];

  constructor(command: readonly string[]) {
    this.#command = command;
  }

  /** Starts the server, after a kill on the same port as before. */
  async start(): Promise<void> {
    this.server = await startExample("chat.ts", this.server?.port ?? await lastingPort(), this.#command);
  }

  /** Opens the page in a browser of its own. */
  async open(options: ContextOptions = { viewport: { width: 1280, height: 800 } }): Promise<Page> {
    const context = await browser.newContext(options);
    this.#contexts.push(context);
    context.setDefaultTimeout(60_000);
    return this.openIn(context);
  }

  /** Opens the page in one more tab. */
  async openIn(context: Context): Promise<Page> {
    const page = await context.newPage();
    page.on("pageerror", (error) => this.complaints.push(error.stack ?? error.message));
    page.on("console", (message) => {
      // A server that is away is part of some tests; a violated policy, say, is part of none.
      if (message.type() !== "log" && !message.text().includes("ERR_CONNECTION_")) this.complaints.push(message.text());
    });
    await page.goto(`http://localhost:${this.server.port}/`);
    return page;
  }

  /** Opens the page and joins. */
  async join(name: string, options?: ContextOptions): Promise<Page> {
    const page = await this.open(options);
    await page.locator("#name").fill(name);
    await page.keyboard.press("Enter");
    await page.locator("[data-state=open]").waitFor();
    return page;
  }

  async end(): Promise<void> {
    for (const context of this.#contexts) await context.close();
    await this.server?.kill();
  }
}

/** Runs a test in each of the runtimes. */
function testInAll(name: string, work: (chat: Chat, runtime: string) => Promise<void>): void {
  for (const [runtime, command] of Object.entries(RUNTIMES)) {
    testInChromium(`${runtime}: ${name}`, async () => {
      const chat = new Chat(command);
      try {
        await chat.start();
        await work(chat, runtime);
        assertEquals(chat.complaints, []);
      } finally {
        await chat.end();
      }
    });
  }
}

/** Writes a message, without waiting for anything. */
async function write(page: Page, text: string): Promise<void> {
  await page.locator("#text").fill(text);
  await page.keyboard.press("Enter");
}

/** The texts of all messages, without their times. */
function messages(page: Page): Promise<string[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll("#messages .message .text")].map((text) => {
      const copy = text.cloneNode(true) as Element;
      copy.querySelector(".time")!.remove();
      return copy.textContent!;
    })
  );
}

/** Waits until a page shows a number of messages, then tells which. */
async function hear(page: Page, count: number): Promise<string[]> {
  try {
    await page.waitForFunction((count) => document.querySelectorAll("#messages .message").length >= count, count);
  } catch (cause) {
    const rest = await page.evaluate(
      () => [document.querySelector("#outbox")?.textContent, document.querySelector("main")?.dataset],
    );
    throw new Error(`Instead of ${count} messages there are ${JSON.stringify([await messages(page), ...rest])}`, { cause });
  }
  return messages(page);
}

async function seePeople(page: Page, names: string[]): Promise<void> {
  await page.waitForFunction(
    (names) => [...document.querySelectorAll("#people-list bdi")].map(({ textContent }) => textContent).join() === names,
    names.join(),
  );
}

const notice = (page: Page, text: string): Promise<void> => page.locator(".notice", { hasText: text }).waitFor();

testInAll("two people meet, talk, and a third one reads what they said", async (chat, runtime) => {
  const ada = await chat.join("Ada");
  const grace = await chat.join("Grace");
  await notice(ada, "Grace joined");
  await seePeople(ada, ["Ada", "Grace"]);
  await seePeople(grace, ["Grace", "Ada"]);
  assertEquals(await ada.locator(".served").allInnerTexts(), [`Served by Sluice in ${runtime}`]);

  const texts = [
    "Hello Grace! 👩🏽‍🚀🏳️‍🌈",
    "مرحبا، كيف الحال؟",
    "<b>bold?</b> <script>document.title = 'hacked'</script> &amp; <img src=x onerror=alert(1)>",
    "One\n  two\n\nthree",
    "See https://example.com/a_(b)?c=d#e, (http://example.org) or javascript:alert(1).",
    "🎉🌊",
  ];
  for (const [at, text] of texts.entries()) {
    await write(at % 2 === 0 ? ada : grace, text);
    assertEquals(await hear(ada, at + 1), texts.slice(0, at + 1));
    assertEquals(await hear(grace, at + 1), texts.slice(0, at + 1));
  }
  assertEquals(await ada.title(), "Sluice chat");
  assertEquals(await grace.evaluate(() => document.querySelectorAll("#messages :is(b, script, img)").length), 0);
  assertEquals(
    await grace.evaluate(() =>
      [...document.querySelectorAll("#messages a")].map((a) => [a.getAttribute("href"), a.getAttribute("rel")])
    ),
    ["https://example.com/a_(b)?c=d#e", "http://example.org"].map((href) => [href, "noopener noreferrer nofollow"]),
  );
  // Each one's own messages are marked as such, and right-to-left text runs from right to left.
  const own = (page: Page) =>
    page.evaluate(() => [...document.querySelectorAll(".message")].map((item) => item.classList.contains("own")));
  assertEquals(await own(ada), [true, false, true, false, true, false]);
  assertEquals(await own(grace), [false, true, false, true, false, true]);
  assertEquals(
    await ada.evaluate(() => [...document.querySelectorAll(".text")].slice(0, 2).map((text) => getComputedStyle(text).direction)),
    ["ltr", "rtl"],
  );

  const late = await chat.join("Ada");
  await seePeople(late, ["Ada 2", "Ada", "Grace"]);
  await notice(late, "“Ada” is taken, so you are “Ada 2” now");
  assertEquals(await messages(late), texts);
  await late.locator("#me").click();
  await late.locator("#name").fill("Late");
  await late.locator("#name-submit").click();
  await notice(ada, "Ada 2 is now Late");
  await seePeople(grace, ["Grace", "Ada", "Late"]);
  await late.context().close();
  await notice(ada, "Late left");
  await seePeople(ada, ["Ada", "Grace"]);

  // The name and what is one's own outlive a reload.
  await ada.reload();
  await ada.locator("[data-state=open]").waitFor();
  assertEquals(await hear(ada, texts.length), texts);
  assertEquals(await own(ada), [true, false, true, false, true, false]);
  assertEquals(await ada.locator("dialog[open]").count(), 0);
});

testInAll("the server dies and comes back: so do the pages, and nothing is lost or said twice", async (chat) => {
  const ada = await chat.join("Ada");
  const grace = await chat.join("Grace", PHONE);
  await write(ada, "before");
  await hear(grace, 1);

  // Nobody knows whether the old server got this one.
  await write(ada, "on the edge");
  await chat.server.kill();
  for (const page of [ada, grace]) await page.locator("[data-state=waiting] #retry").waitFor();

  // More than the server takes at once.
  const texts = Array.from({ length: 25 }, (_, number) => `offline ${number}.`); // the time of day stands right behind it
  for (const text of texts) await write(ada, text);
  await ada.waitForFunction(() => document.querySelectorAll("#outbox .pending").length >= 25);

  await chat.start();
  for (const page of [ada, grace]) await page.locator("[data-state=open]").waitFor();
  await grace.locator("#text").fill("after");
  await grace.locator(".send").tap();
  const all = ["before", "on the edge", ...texts];
  for (const page of [ada, grace]) {
    for (const text of ["after", texts.at(-1)!]) await page.locator("#messages .message", { hasText: text }).waitFor();
    const heard = await messages(page);
    // A server that dies while it tells people something may have told its author and nobody else.
    const known = page === grace && !heard.includes("on the edge") ? all.filter((text) => text !== "on the edge") : all;
    assertEquals(heard.filter((text) => text !== "after"), known);
    assertEquals(heard.length, known.length + 1);
    assertEquals(await page.locator("#outbox li").count(), 0);
  }
  await seePeople(ada, ["Ada", "Grace"]);
});

testInAll("the network changes: the page goes on with a new connection, and nobody notices", async (chat) => {
  const ada = await chat.join("Ada");
  const grace = await chat.join("Grace");
  await write(ada, "one");
  await write(grace, "two");
  await hear(ada, 2);
  for (let number = 3; number <= 7; number++) {
    // The answer to this message may be lost with the connection.
    await write(ada, `number ${number}`);
    await ada.evaluate(() => dispatchEvent(new Event("online")));
    await ada.locator("[data-state=open]").waitFor();
    await hear(ada, number);
    assertEquals(await ada.locator("#outbox li").count(), 0);
  }
  await write(grace, "last");
  const all = ["one", "two", "number 3", "number 4", "number 5", "number 6", "number 7", "last"];
  assertEquals(await hear(ada, 8), all);
  assertEquals(await hear(grace, 8), all);
  assertEquals(await grace.locator(".notice").count(), 0);
  assertEquals(await ada.locator(".notice", { hasText: /Ada|left/ }).count(), 0);
});

testInAll("everything can be done with the keyboard", async (chat) => {
  const page = await chat.open();
  const focused = () => page.evaluate(() => document.activeElement!.id);
  const { keyboard } = page;
  // There is no way around a name.
  assertEquals(await focused(), "name");
  await keyboard.press("Escape");
  await keyboard.press("Escape");
  await page.locator("dialog[open]").waitFor();
  await keyboard.press("Enter");
  assertEquals(await page.locator("dialog[open]").count(), 1);
  await keyboard.type("Ada");
  await keyboard.press("Enter");
  await page.locator("[data-state=open]").waitFor();

  await page.waitForFunction(() => document.activeElement!.id === "text");
  await keyboard.type("one");
  await keyboard.press("Shift+Enter");
  await keyboard.type("two");
  await keyboard.press("Enter");
  assertEquals(await hear(page, 1), ["one\ntwo"]);
  assertEquals(await focused(), "text");

  // Through the page, in the order in which one sees it.
  await page.locator("#me").focus();
  for (const next of ["me", "scroll", "text", "send"]) {
    assertEquals(await page.evaluate(() => document.activeElement!.id || document.activeElement!.className), next);
    assert(
      await page.evaluate(() => {
        const element = document.activeElement!.closest(".composer") ?? document.activeElement!;
        const { outlineStyle, boxShadow } = getComputedStyle(element);
        return outlineStyle !== "none" || boxShadow !== "none";
      }),
      `${next} does not show that it has the focus`,
    );
    await keyboard.press("Tab");
  }

  await page.locator("#me").focus();
  await keyboard.press("Enter");
  await page.locator("dialog[open]").waitFor();
  await keyboard.press("Escape");
  await page.waitForFunction(() => document.activeElement!.id === "me");
  await keyboard.press("Enter");
  await keyboard.type("Countess");
  await keyboard.press("Enter");
  await notice(page, "Ada is now Countess");

  // The focus does not get lost with the button that had it.
  await chat.server.kill();
  await page.locator("[data-state=waiting] #retry").waitFor(); // a button that is not shown yet takes no focus
  await page.locator("#retry").focus();
  await chat.start();
  await keyboard.press("Enter");
  await page.locator("[data-state=open]").waitFor();
  await page.waitForFunction(() => document.activeElement!.id === "text");
});

testInAll("nothing keeps people out: names, landmarks, sizes, contrast", async (chat) => {
  const page = await chat.open();
  const grace = await chat.join("Grace");
  const inBoth = async (target: Page, what: string) => {
    assertEquals(await target.evaluate(findFaults), [], what);
    for (const colorScheme of ["light", "dark"] as const) {
      await target.emulateMedia({ colorScheme });
      assertEquals(await target.evaluate(findPaleText), [], `${what}, ${colorScheme}`);
    }
  };
  await inBoth(page, "the question for the name");
  await page.locator("#name").fill("Ada");
  await page.keyboard.press("Enter");
  await page.locator("[data-state=open]").waitFor();
  await inBoth(page, "the empty room");
  await write(page, "Mine, with https://example.com in it");
  await hear(page, 1);
  await grace.keyboard.type("Yours, with https://example.org in it");
  await page.locator("#typing", { hasText: "Grace is typing" }).waitFor();
  await page.locator("#text").fill("x".repeat(1900));
  await grace.keyboard.press("Enter");
  await hear(page, 2);
  await inBoth(page, "a conversation");
  await page.locator("#me").click();
  await inBoth(page, "the new name");
  await page.keyboard.press("Escape");
  await chat.server.kill();
  await page.locator("[data-state=waiting]").waitFor();
  await write(page, "Not yet sent");
  await page.waitForFunction(() =>
    document.querySelector(".pending .bubble")?.getAnimations().every(({ playState }) => playState === "finished")
  );
  await inBoth(page, "no connection");
  // What others say is news, what was said before is not.
  assertEquals(await page.evaluate(() => document.querySelector("[role=log]")!.ariaBusy), "false");
});

testInAll("it fits a phone", async (chat) => {
  const page = await chat.join("Wolfeschlegelsteinhausen", { ...PHONE, viewport: { width: 320, height: 568 } });
  const other = await chat.join("Wolfeschlegelsteinhausen", PHONE);
  await write(page, ""); // Enter does not send on a phone
  await page.keyboard.type("x".repeat(300));
  await page.keyboard.press("Enter");
  await page.keyboard.type("https://example.com/".padEnd(200, "y"));
  assertEquals((await messages(page)).length, 0);
  await page.locator(".send").tap();
  await hear(page, 1);
  for (let number = 0; number < 15; number++) {
    await other.locator("#text").fill(`Line ${number}`);
    await other.locator(".send").tap();
    await hear(page, number + 2);
  }
  const overflow = () =>
    page.evaluate(() =>
      [...document.querySelectorAll("body *")].filter((element) => {
        const { left, right } = element.getBoundingClientRect();
        return element.checkVisibility() && !element.matches(".hidden, .hidden *, bdi, svg *") &&
          (left < -0.5 || right > innerWidth + 0.5);
      }).map((element) => element.outerHTML.slice(0, 200)).concat(
        document.documentElement.scrollWidth > innerWidth ? ["the page scrolls sideways"] : [],
      )
    );
  assertEquals(await overflow(), []);
  assertEquals(await page.evaluate(findFaults), []);
  // The latest message is in sight, above the field.
  const atEnd = () =>
    page.evaluate(() =>
      document.querySelector("#messages li:last-child")!.getBoundingClientRect().bottom <=
        document.querySelector("#composer")!.getBoundingClientRect().top
    );
  assert(await atEnd());

  // Who reads further up is not moved, but told.
  await page.evaluate(() => document.querySelector("#scroll")!.scrollTop = 0);
  await page.waitForFunction(() => document.querySelector("#scroll")!.scrollTop === 0);
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  await other.locator("#text").fill("Look down");
  await other.locator(".send").tap();
  await page.locator("#newer", { hasText: "1 new message" }).waitFor();
  assertEquals(await page.evaluate(() => document.querySelector("#scroll")!.scrollTop), 0);
  await page.locator("#newer").tap();
  await page.locator("#newer").waitFor({ state: "hidden" });
  assert(await atEnd());

  await page.locator("#people-button").tap();
  await page.locator("#people").waitFor();
  assertEquals((await page.locator("#people-list bdi").allInnerTexts()).length, 2);
  assertEquals(await overflow(), []);
  assertEquals(await page.evaluate(findPaleText), []);
  await page.keyboard.press("Escape");
  await page.locator("#people").waitFor({ state: "hidden" });
  await chat.server.kill();
  await page.locator("[data-state=waiting]").waitFor();
  assertEquals(await overflow(), []);
});

testInAll("the title counts what was said while nobody looked, and a copied tab gets a place of its own", async (chat) => {
  const ada = await chat.join("Ada");
  const grace = await chat.join("Grace");
  const hide = (hidden: boolean) =>
    ada.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await hide(true);
  await write(grace, "one");
  await write(grace, "two");
  await hear(ada, 2);
  assertEquals(await ada.title(), "(2) Sluice chat");
  await hide(false);
  assertEquals(await ada.title(), "Sluice chat");

  // A tab that is duplicated takes what its session has stored along.
  const session = await ada.evaluate(() => sessionStorage.getItem("sluice-chat-session")!);
  await ada.context().addInitScript((session) => sessionStorage.setItem("sluice-chat-session", session), session);
  const copy = await chat.openIn(ada.context());
  await copy.locator("[data-state=open]").waitFor();
  await notice(copy, "Ada 2 joined");
  await seePeople(ada, ["Ada 2", "Ada", "Grace"]);
  await seePeople(copy, ["Ada", "Ada 2", "Grace"]);
});
