/**
 * SIGTERM and SIGINT stop the servers of the process, then the process.
 *
 * @module
 */

import { delayOf } from "../delay.ts";
import type { SignalControl, SignalName } from "../runtime.ts";

/** What a server has to offer to be stopped by a signal. */
export interface Stoppable {
  /** How long the program may take to end by itself once the server has stopped, in seconds; `Infinity` for ever. */
  readonly patience: number;
  /** Settles when the server has stopped. */
  readonly finished: Promise<void>;
  /** Whether something of it was cut off because its time was over. */
  readonly wasCutOff: boolean;
  /** Stops, in order. */
  stopSoon(): void;
}

const NUMBERS: Readonly<Record<SignalName, number>> = { SIGINT: 2, SIGTERM: 15 };

/** The listeners of a process: there as long as there are servers, and, once a signal has come, until the process ends. */
export class Signals {
  readonly #control: SignalControl;
  readonly #servers: Set<Stoppable> = new Set();
  #remove: (() => void)[] = [];
  #isEnding = false;

  constructor(control: SignalControl) {
    this.#control = control;
  }

  /** A server has started. */
  add(server: Stoppable): void {
    this.#servers.add(server);
    if (this.#remove.length > 0) return;
    for (const name of ["SIGTERM", "SIGINT"] as const) {
      this.#remove.push(this.#control.listen(name, () => this.#onSignal(name)));
    }
  }

  /** It has stopped. Without listeners the next signal does what it does to any program. */
  remove(server: Stoppable): void {
    this.#servers.delete(server);
    if (this.#servers.size > 0 || this.#isEnding) return;
    for (const remove of this.#remove.splice(0)) remove();
  }

  #onSignal(name: SignalName): void {
    if (this.#control.count(name) > 1) return; // the program has a listener of its own, and decides
    const code = 128 + NUMBERS[name];
    if (this.#isEnding) return this.#control.exit(code);
    this.#isEnding = true;
    const servers = [...this.#servers];
    for (const server of servers) server.stopSoon();
    Promise.all(servers.map((server) => server.finished)).then(() => {
      if (servers.some((server) => server.wasCutOff)) this.#control.failWith(code);
      const patience = Math.max(...servers.map((server) => server.patience));
      if (patience === Infinity) return;
      const timer = setTimeout(() => this.#control.exit(), delayOf(patience));
      (timer as unknown as { unref?(): void }).unref?.(); // a program with nothing left to do ends now
    });
  }
}

const known: WeakMap<SignalControl, Signals> = new WeakMap();

/** The listeners that the servers of a process share. */
export function signalsOf(control: SignalControl): Signals {
  let signals = known.get(control);
  if (signals === undefined) known.set(control, signals = new Signals(control));
  return signals;
}
