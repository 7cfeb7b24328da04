/**
 * Carries a case out against an echoing peer, and judges what it did with the suite's labels.
 *
 * @module
 */

import type { FrameSpec } from "../support/raw_client.ts";
import { type Answer, type Case, expand, type Frame, type Payload, type Step } from "./case.ts";
import type { Driver } from "./driver.ts";
import type { Endpoint, Received } from "./endpoint.ts";

/** The judgement on the answers, and the one on the close. */
export interface Verdict {
  readonly behavior: "OK" | "NON-STRICT" | "INFORMATIONAL" | "UNIMPLEMENTED" | "FAILED";
  readonly behaviorClose: "OK" | "INFORMATIONAL" | "FAILED" | "UNCLEAN" | "WRONG CODE" | "FAILED BY CLIENT";
}

/** A verdict with what happened, for people. */
export interface Result extends Verdict {
  readonly story: string;
}

/**
 * Runs one case.
 *
 * @param test The case.
 * @param driver How to get connections to the peer.
 * @param patience How long the case may take altogether, in milliseconds. Only a peer that fails the case uses it up.
 */
export async function runCase(test: Case, driver: Driver, patience = 60_000): Promise<Result> {
  const endpoint = await driver.connect(test.compression);
  const deadline = setTimeout(() => endpoint.drop(), patience);
  const run = new Run(test, endpoint, driver, patience);
  try {
    if (test.compression === undefined || endpoint.agreed !== undefined) await run.send();
    if (test.ending.by === "us") {
      await endpoint.until(() => endpoint.closedBy !== undefined || endpoint.answers.length >= run.expected.length);
      if (endpoint.closedBy === undefined) await endpoint.send([endpoint.close(new Uint8Array([1000 >> 8, 1000 & 255]))]);
    }
    await endpoint.whenEnded();
  } finally {
    clearTimeout(deadline);
    endpoint.release();
  }
  return judge(test, endpoint, run);
}

class Run {
  /** The answers to the present round. */
  expected: readonly Received[] = [];
  /** How many answers to earlier rounds there were. They were right, and are forgotten. */
  passed = 0;
  /** Whether the connection was closed where it had to stay open. */
  tooEarly = false;
  /** Whether the connection was still open where it had to be failed. */
  tooLate = false;

  readonly #test: Case;
  readonly #endpoint: Endpoint;
  readonly #driver: Driver;
  readonly #patience: number;

  constructor(test: Case, endpoint: Endpoint, driver: Driver, patience: number) {
    this.#test = test;
    this.#endpoint = endpoint;
    this.#driver = driver;
    this.#patience = patience;
  }

  get #rounds(): number {
    return this.#test.rounds ?? 1;
  }

  /** How many answers came plain to messages that were compressed, and should have been compressed too. */
  get plain(): number {
    return this.#test.steps.some((step) => "message" in step && step.compress) ? this.#endpoint.plain : 0;
  }

  /** Whether a round was left out. Nothing that comes is right then. */
  get isCutShort(): boolean {
    return this.passed + this.expected.length < this.#rounds * this.#test.expect.length;
  }

  async send(): Promise<void> {
    const { answers } = this.#endpoint;
    for (let round = 0; round < this.#rounds && !this.#endpoint.over; round++) {
      if (round > 0) this.passed += answers.splice(0).length;
      this.expected = this.#test.expect.map((answer) => withBytes(answer, round));
      await this.#sendRound(this.#test.steps, round);
      if (this.#rounds === 1) return;
      await this.#endpoint.until(() => answers.length >= this.expected.length);
      if (!areEqual(answers, this.expected)) return;
    }
  }

  /** Frames between two waits go out together, unless the case says otherwise. */
  async #sendRound(steps: readonly Step[], round: number): Promise<void> {
    let batch: Step[] = [];
    for (const step of steps) {
      if ("answers" in step || "stillOpen" in step || "failedByNow" in step) {
        await this.#write(batch);
        batch = [];
        await this.#wait(step);
      } else if ("message" in step) {
        batch.push(await this.#prepared(step, round));
      } else {
        batch.push(step);
      }
    }
    await this.#write(batch);
  }

  async #prepared(step: Extract<Step, { message: Payload }>, round: number): Promise<Step> {
    const message = expand(step.message, round);
    return { ...step, message: step.compress ? await this.#endpoint.compress(message, step.compress) : message };
  }

  async #write(steps: readonly Step[]): Promise<void> {
    const { chop, apart } = this.#test;
    if (chop !== undefined) await this.#endpoint.sendApart(inPieces(this.#frames(steps), chop));
    else if (apart) await this.#endpoint.sendApart(this.#frames(steps));
    else await this.#endpoint.send(this.#frames(steps));
  }

  *#frames(steps: readonly Step[]): Iterable<Uint8Array> {
    for (const step of steps) {
      if ("frame" in step) yield this.#endpoint.frame(spec(step.frame));
      else if ("close" in step) yield this.#endpoint.close(expand(step.close));
      else if ("part" in step) yield this.#endpoint.part(spec(step.part), step.from, step.to);
      else if ("message" in step) {
        const payload = expand(step.message);
        const fragment = step.fragment ?? payload.length;
        const one = payload.length <= fragment;
        // When the payload is used up by full frames, an empty one ends the message.
        const count = one ? 1 : Math.floor(payload.length / fragment) + 1;
        for (let i = 0; i < count; i++) {
          yield this.#endpoint.frame({
            opcode: i === 0 ? step.opcode : 0,
            fin: i === count - 1,
            rsv: i === 0 && step.compress ? 4 : 0,
            payload: payload.subarray(i * fragment, (i + 1) * fragment),
          });
        }
      }
    }
  }

  async #wait(step: Step): Promise<void> {
    const endpoint = this.#endpoint;
    if ("answers" in step) await endpoint.until(() => endpoint.answers.length >= step.answers);
    else if ("stillOpen" in step) {
      if (step.stillOpen === "here") await endpoint.probe();
      else await roundTripElsewhere(this.#driver);
      if (endpoint.over) this.tooEarly = true;
    } else {
      // Nothing but the peer's failing the connection can end this wait, so it is in vain only when the peer does not.
      const later = setTimeout(() => {
        this.tooLate = true;
        woken();
      }, this.#patience / 12);
      let woken = () => {};
      await Promise.race([endpoint.until(() => false), new Promise<void>((resolve) => woken = resolve)]);
      clearTimeout(later);
    }
  }
}

/** By the time that a later connection was served, what had arrived on an earlier one has been seen too. */
export async function roundTripElsewhere(driver: Driver): Promise<void> {
  const other = await driver.connect();
  try {
    for (let i = 0; i < 3; i++) {
      if (!await other.probe()) throw new Error(`Cannot use another connection: ${other.violation ?? "it was closed"}`);
    }
    await other.send([other.close(new Uint8Array(0))]);
    await other.whenEnded();
  } finally {
    other.drop();
  }
}

function* inPieces(wholes: Iterable<Uint8Array>, size: number): Iterable<Uint8Array> {
  for (const whole of wholes) {
    for (let at = 0; at < whole.length; at += size) yield whole.subarray(at, at + size);
  }
}

function spec(frame: Frame): FrameSpec {
  return { ...frame, payload: expand(frame.payload ?? "") };
}

function withBytes(answer: Answer, round = 0): Received {
  return { type: answer.type, payload: expand(answer.payload, round) };
}

function judge(test: Case, endpoint: Endpoint, run: Run): Result {
  const story = tell(endpoint, run);
  if (test.informational) return { behavior: "INFORMATIONAL", behaviorClose: "INFORMATIONAL", story };
  const behaviorClose = judgeClose(test, endpoint);
  return { behavior: judgeAnswers(test, endpoint, run, behaviorClose), behaviorClose, story };
}

function judgeAnswers(test: Case, endpoint: Endpoint, run: Run, close: Verdict["behaviorClose"]): Verdict["behavior"] {
  const { ending, tolerate } = test;
  if (endpoint.violation !== undefined || run.tooEarly) return "FAILED";
  if (test.compression !== undefined && endpoint.agreed === undefined) return "UNIMPLEMENTED";
  if (run.isCutShort) return "FAILED";
  if (ending.spoiledBy === "side" && endpoint.closedBy !== ending.by) return "FAILED";
  if (ending.spoiledBy === "code" && close === "WRONG CODE") return "FAILED";
  if (areEqual(endpoint.answers, run.expected)) return run.tooLate || run.plain > 0 ? "NON-STRICT" : "OK";
  return tolerate !== undefined && areEqual(endpoint.answers, tolerate.map((answer) => withBytes(answer)))
    ? "NON-STRICT"
    : "FAILED";
}

function judgeClose({ ending }: Case, endpoint: Endpoint): Verdict["behaviorClose"] {
  if (endpoint.violation !== undefined || endpoint.closedBy !== ending.by) return "FAILED";
  const clean = endpoint.peerClose !== undefined && endpoint.error === undefined && !endpoint.dropped;
  if (ending.clean && !clean) return "UNCLEAN";
  const code = endpoint.peerClose?.code;
  if (code !== undefined && !ending.codes.includes(code)) return "WRONG CODE";
  if (!endpoint.dropped) return "OK";
  // As a server the suite would not see that a client never ends TCP; we do.
  return endpoint.role === "client" ? "FAILED BY CLIENT" : "UNCLEAN";
}

function areEqual(some: readonly Received[], others: readonly Received[]): boolean {
  return some.length === others.length && some.every(({ type, payload }, i) => {
    const other = others[i];
    if (type !== other.type || payload.length !== other.payload.length) return false;
    for (let at = 0; at < payload.length; at++) if (payload[at] !== other.payload[at]) return false;
    return true;
  });
}

function tell(endpoint: Endpoint, run: Run): string {
  const answers = endpoint.answers.slice(0, 12).map(({ type, payload }) => `${type} of ${payload.length}`);
  const { peerClose, closedBy, violation, error } = endpoint;
  return [
    `${run.passed + endpoint.answers.length} of ${run.passed + run.expected.length} answers (${answers.join(", ")})`,
    peerClose === undefined ? "no Close" : `Close ${peerClose.code ?? "without a code"}`,
    `closed by ${closedBy ?? "nobody"}`,
    ...(violation === undefined ? [] : [violation]),
    ...(run.plain === 0 ? [] : [`${run.plain} answers could have been compressed`]),
    ...(run.isCutShort ? ["the next messages were left out"] : []),
    ...(run.tooEarly ? ["closed too early"] : []),
    ...(run.tooLate ? ["failed too late"] : []),
    ...(endpoint.dropped ? ["TCP was not ended"] : []),
    ...(error === undefined ? [] : [String(error)]),
  ].join("; ");
}
