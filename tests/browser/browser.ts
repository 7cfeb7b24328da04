/**
 * A real Chromium, driven through playwright-core from `tools/node_modules`.
 *
 * @module
 */

import { createRequire } from "node:module";
import { isHere, pathOf, testWith } from "../support/prerequisites.ts";

// The part of playwright-core that is used here, so that this file type-checks without it.

/** What a locator finds, when it is used. */
export interface Locator {
  click(): Promise<void>;
  tap(): Promise<void>;
  fill(text: string): Promise<void>;
  focus(): Promise<void>;
  waitFor(options?: { state: "visible" | "hidden" }): Promise<void>;
  count(): Promise<number>;
  allInnerTexts(): Promise<string[]>;
}

/** A page. */
export interface Page {
  readonly keyboard: { press(key: string): Promise<void>; type(text: string): Promise<void> };
  goto(url: string): Promise<unknown>;
  reload(): Promise<unknown>;
  title(): Promise<string>;
  locator(selector: string, options?: { hasText?: string | RegExp }): Locator;
  evaluate<Result, Argument = undefined>(
    work: (argument: Argument) => Result,
    argument?: Argument,
  ): Promise<Awaited<Result>>;
  waitForFunction<Argument>(work: (argument: Argument) => unknown, argument?: Argument): Promise<unknown>;
  emulateMedia(options: { colorScheme: "light" | "dark" }): Promise<void>;
  context(): Context;
  on(event: "console", handler: (message: { type(): string; text(): string }) => void): void;
  on(event: "pageerror", handler: (error: Error) => void): void;
}

/** A browser profile of its own: nothing stored is shared with another. */
export interface Context {
  newPage(): Promise<Page>;
  addInitScript(work: (argument: string) => void, argument: string): Promise<void>;
  setDefaultTimeout(milliseconds: number): void;
  close(): Promise<void>;
}

/** How a page looks at the world. */
export interface ContextOptions {
  viewport?: { width: number; height: number };
  hasTouch?: boolean;
  isMobile?: boolean;
  colorScheme?: "light" | "dark";
}

/** The browser. */
export interface Browser {
  newContext(options?: ContextOptions): Promise<Context>;
  close(): Promise<void>;
}

/** A test in Chromium; where there is none it is left out, and says so. */
export function testInChromium(name: string, work: () => Promise<void>): void {
  testWith("chromium", name, work);
}

/** Starts Chromium for the tests of a file, if there is one. */
export async function launchBrowserIfHere(): Promise<Browser | undefined> {
  return isHere("chromium") ? await launchBrowser() : undefined;
}

/** Starts Chromium without a window. */
export function launchBrowser(): Promise<Browser> {
  const executablePath = pathOf("chromium");
  const require = createRequire(new URL("../../tools/package.json", import.meta.url));
  return require("playwright-core").chromium.launch({
    executablePath,
    // Without a sandbox it runs as root too; the rest keeps it from talking to anybody but the tests.
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}
