/**
 * How many requests may be in work at a time: `max_concurrency` and `worker_max_concurrency`.
 *
 * @module
 */

/** No limit: Swoole's default. */
export const UNLIMITED = 0xffffffff;

/** A request that waits. */
interface Waiting {
  readonly isWanted: () => boolean;
  readonly work: () => void | Promise<void>;
  readonly done: (result: void | Promise<void>) => void;
}

/** Below this many requests nobody looks whether they are still wanted. */
const FEW = 64;

/** The requests of a server, of all its ports. Those that are too many wait, or are refused. */
export class RequestQueue {
  readonly #most: number;
  readonly #mostRunning: number;
  #running = 0;
  #waiting: Waiting[] = [];
  #first = 0; // of those that wait
  #goesOn = false;
  #tidyAt = FEW;
  #refused = 0; // since somebody looked

  /**
   * @param most How many there may be, running or waiting.
   * @param mostRunning How many may run.
   */
  constructor(most: number, mostRunning: number) {
    this.#most = most;
    this.#mostRunning = mostRunning;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting.length - this.#first;
  }

  /**
   * Does the work for a request, now or when it is its turn.
   *
   * @param isWanted Whether somebody still waits for it; when nobody does, its turn is left out.
   * @param work Handles the request. Neither throws nor rejects.
   * @returns A promise, unless all is done at once; `false` when there are too many.
   */
  enter(isWanted: () => boolean, work: () => void | Promise<void>): void | Promise<void> | false {
    if (this.waiting >= this.#tidyAt) this.#tidy();
    if (this.#running + this.waiting >= this.#most && !this.#findsRoom()) return false;
    if (this.#running < this.#mostRunning) return this.#run(work);
    return new Promise((done) => this.#waiting.push({ isWanted, work, done }));
  }

  /** Looks whether somebody has left, once for as many refusals as there are to look at. */
  #findsRoom(): boolean {
    if (this.waiting === 0 || ++this.#refused <= this.waiting) return false;
    this.#refused = 0;
    this.#tidy();
    return this.#running + this.waiting < this.#most;
  }

  #run(work: () => void | Promise<void>): void | Promise<void> {
    this.#running++;
    const result = work();
    if (result === undefined) this.#leave();
    else return result.then(() => this.#leave());
  }

  #leave(): void {
    this.#running--;
    if (this.#goesOn) return; // the loop below sees to the next one
    this.#goesOn = true;
    while (this.#running < this.#mostRunning && this.waiting > 0) {
      const { isWanted, work, done } = this.#waiting[this.#first++];
      done(isWanted() ? this.#run(work) : undefined);
    }
    this.#goesOn = false;
    if (this.#first * 2 > this.#waiting.length) this.#forget();
  }

  /** Forgets those that had their turn. */
  #forget(): void {
    this.#waiting.splice(0, this.#first);
    this.#first = 0;
  }

  /** Forgets those that nobody waits for any more, so that clients that come and go do not fill the queue. */
  #tidy(): void {
    this.#forget();
    this.#waiting = this.#waiting.filter(({ isWanted, done }) => isWanted() || done());
    this.#tidyAt = Math.max(FEW, this.waiting * 2);
  }
}
