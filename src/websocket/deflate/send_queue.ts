/**
 * The order of what is sent while compressing takes time.
 *
 * @module
 */

interface Job {
  readonly size: number;
  readonly run: () => void | PromiseLike<void>;
}

/** Does one thing after the other, at once as long as none of them takes time. */
export class SendQueue {
  /** Octets of what is being compressed and of all that waits behind it. */
  waitingBytes = 0;

  readonly #onIdle: () => void;
  readonly #onFailure: () => void;
  #jobs: Job[] | undefined = undefined;

  /**
   * @param onIdle Everything has been done.
   * @param onFailure Something that took time failed.
   */
  constructor(onIdle: () => void, onFailure: () => void) {
    this.#onIdle = onIdle;
    this.#onFailure = onFailure;
  }

  /** Whether something is being compressed. */
  get isBusy(): boolean {
    return this.#jobs !== undefined;
  }

  /**
   * Does something now, or when all that was asked for before is done.
   *
   * @param size How many octets wait for it.
   * @param run Does it; returns something to wait for if that takes time.
   */
  do(size: number, run: Job["run"]): void {
    if (this.#jobs !== undefined) {
      this.waitingBytes += size;
      this.#jobs.push({ size, run });
      return;
    }
    const pending = run();
    if (pending === undefined) return;
    this.waitingBytes = size;
    this.#follow(pending, size, this.#jobs = []);
  }

  /** Forgets what is not done yet. */
  drop(): void {
    this.#jobs = undefined;
    this.waitingBytes = 0;
  }

  #follow(pending: PromiseLike<void>, size: number, jobs: Job[]): void {
    pending.then(() => {
      if (jobs !== this.#jobs) return;
      this.waitingBytes -= size;
      this.#goOn(jobs);
    }, () => jobs === this.#jobs && this.#onFailure());
  }

  #goOn(jobs: Job[]): void {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
      const pending = job.run();
      if (jobs !== this.#jobs) return; // it has dropped the rest
      if (pending !== undefined) return this.#follow(pending, job.size, jobs);
      this.waitingBytes -= job.size;
    }
    this.#jobs = undefined;
    this.#onIdle();
  }
}
