/**
 * Limits for concurrent requests: `max_concurrency` and `worker_max_concurrency`.
 *
 * @module
 */

/** No limit: Swoole's default. */
export const UNLIMITED = 0xffffffff;

/** A request that waits for its turn. */
interface Waiting {
  readonly isWanted: () => boolean;
  readonly work: () => void | Promise<void>;
  readonly done: (result: void | Promise<void>) => void;
}

/** With fewer waiting requests than this, abandoned ones are removed only to make room. */
const FEW = 64;

/** The requests of a server, on all its ports. Requests above the limits wait, or are refused. */
export class RequestQueue {
  readonly #most: number;
  readonly #mostRunning: number;
  #running = 0;
  #waiting: Waiting[] = [];
  #first = 0; // index of the first waiting request
  #goesOn = false;
  #tidyAt = FEW;
  #refused = 0; // since the last check for room

  /**
   * @param most The maximum number of requests, running or waiting.
   * @param mostRunning The maximum number of running requests.
   */
  constructor(most: number, mostRunning: number) {
    this.#most = most;
    this.#mostRunning = mostRunning;
  }

  /** The number of waiting requests. */
  get waiting(): number {
    return this.#waiting.length - this.#first;
  }

  /**
   * Handles a request, now or when it is its turn.
   *
   * @param isWanted Reports whether the client still waits; if not, the request is skipped.
   * @param work Handles the request. It neither throws nor rejects.
   * @returns A promise, unless everything was done synchronously; `false` if there are too many requests.
   */
  enter(isWanted: () => boolean, work: () => void | Promise<void>): void | Promise<void> | false {
    if (this.waiting >= this.#tidyAt) this.#tidy();
    if (this.#running + this.waiting >= this.#most && !this.#findsRoom()) return false;
    if (this.#running < this.#mostRunning) return this.#run(work);
    return new Promise((done) => this.#waiting.push({ isWanted, work, done }));
  }

  /** Removes abandoned requests to make room, at most once per `waiting` refusals (amortized O(1)). */
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
    if (this.#goesOn) return; // the loop below starts the next one
    this.#goesOn = true;
    while (this.#running < this.#mostRunning && this.waiting > 0) {
      const { isWanted, work, done } = this.#waiting[this.#first++];
      done(isWanted() ? this.#run(work) : undefined);
    }
    this.#goesOn = false;
    if (this.#first * 2 > this.#waiting.length) this.#forget();
  }

  /** Removes the requests that had their turn. */
  #forget(): void {
    this.#waiting.splice(0, this.#first);
    this.#first = 0;
  }

  /** Removes abandoned requests, so that clients that come and go do not fill the queue. */
  #tidy(): void {
    this.#forget();
    this.#waiting = this.#waiting.filter(({ isWanted, done }) => isWanted() || done());
    this.#tidyAt = Math.max(FEW, this.waiting * 2);
  }
}
