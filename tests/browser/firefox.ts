/**
 * A real Firefox, driven through WebDriver BiDi (https://w3c.github.io/webdriver-bidi/).
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pathOf } from "../support/prerequisites.ts";

/** An answer of the browser to a command. */
interface Answer {
  id: number;
  type: "success" | "error";
  // deno-lint-ignore no-explicit-any
  result: any;
  message: string;
}

/** Firefox with one page. */
export class Firefox {
  readonly #process: ChildProcess;
  readonly #profile: string;
  #socket: WebSocket | undefined;
  #context = "";
  #id = 0;
  readonly #waiting: Map<number, (answer: Answer) => void> = new Map();

  private constructor(process: ChildProcess, profile: string) {
    this.#process = process;
    this.#profile = profile;
  }

  /** Starts Firefox without a window and with a profile of its own. */
  static async launch(): Promise<Firefox> {
    const path = pathOf("firefox");
    const profile = await mkdtemp(join(tmpdir(), "firefox-"));
    const child = spawn(path, ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, HOME: profile }, // root may not use the home of another
    });
    const firefox = new Firefox(child, profile);
    try {
      await firefox.#connect();
    } catch (error) {
      await firefox.close();
      throw error;
    }
    return firefox;
  }

  async #connect(): Promise<void> {
    const url = await new Promise<string>((resolve, reject) => {
      let printed = "";
      this.#process.stderr!.setEncoding("utf8").on("data", (text: string) => {
        printed += text;
        const found = /WebDriver BiDi listening on (ws:\S+)/.exec(printed);
        if (found !== null) resolve(found[1]);
      });
      this.#process.on("error", reject);
      this.#process.on("close", (code) => reject(new Error(`Firefox ended with code ${code}: ${printed}`)));
    });
    const socket = this.#socket = new WebSocket(`${url}/session`);
    socket.onmessage = ({ data }) => {
      const answer: Answer = JSON.parse(data);
      this.#waiting.get(answer.id)?.(answer); // events have no id
    };
    socket.onclose = () => {
      for (const [id, tell] of this.#waiting) tell({ id, type: "error", result: null, message: "Firefox has gone" });
    };
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error(`Firefox does not answer at ${url}`));
    });
    await this.#command("session.new", { capabilities: {} });
    this.#context = (await this.#command("browsingContext.create", { type: "tab" })).context;
  }

  // deno-lint-ignore no-explicit-any
  async #command(method: string, params: unknown): Promise<any> {
    const id = ++this.#id;
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve));
    this.#socket!.send(JSON.stringify({ id, method, params }));
    const { type, result, message } = await answered;
    this.#waiting.delete(id);
    if (type === "error") throw new Error(`${method}: ${message}`);
    return result;
  }

  /** Opens a page in place of the one that is open. */
  async goto(url: string): Promise<void> {
    await this.#command("browsingContext.navigate", { context: this.#context, url, wait: "complete" });
  }

  /** Runs a function in the page and gives the text that its promise resolves to. */
  async evaluate(work: () => Promise<string>): Promise<string> {
    const { type, result, exceptionDetails } = await this.#command("script.callFunction", {
      functionDeclaration: work.toString(),
      target: { context: this.#context },
      awaitPromise: true,
    });
    if (type === "exception") throw new Error(exceptionDetails.text);
    return result.value;
  }

  /** Ends Firefox and removes its profile. */
  async close(): Promise<void> {
    this.#socket?.close();
    if (this.#process.exitCode === null && this.#process.pid !== undefined) {
      const ended = new Promise((resolve) => this.#process.on("close", resolve));
      this.#process.kill("SIGKILL");
      await ended;
    }
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}
