/**
 * The numbers of the processes of a cluster, and the fds that each of them may give to connections.
 *
 * @module
 */

/** The number of slots, that of the master (0) included: an fd is `seq * SLOTS + slot`. */
export const SLOTS = 256;

/** Returns the slot of the process that an fd belongs to. */
export function slotOf(fd: number): number {
  return fd % SLOTS;
}

/** The number of fds in a block. A worker asks for the next one when half of them are used. */
const FD_BLOCK = 65_536;

/** A range of sequence numbers for fds. */
export interface FdBlock {
  /** The first one. */
  readonly first: number;
  /** How many there are. */
  readonly count: number;
}

/** The slots of a cluster, kept by its master. */
export class Slots {
  readonly #taken: Set<number> = new Set();
  readonly #next: number[]; // the first sequence number of the next block, by slot
  #last = 0;

  /** @param firstSeq The first sequence number. */
  constructor(firstSeq: number) {
    this.#next = new Array(SLOTS).fill(firstSeq);
  }

  /**
   * Takes a free slot; `undefined` if there is none. A slot is used again as late as possible, so that all processes know by then
   * that the process that had it is gone.
   */
  take(): number | undefined {
    for (let step = 1; step < SLOTS; step++) {
      const slot = (this.#last + step - 1) % (SLOTS - 1) + 1;
      if (this.#taken.has(slot)) continue;
      this.#taken.add(slot);
      return this.#last = slot;
    }
    return undefined;
  }

  /** The last sequence number that was reserved; the one before the first if there is none. */
  get lastSeq(): number {
    return Math.max(...this.#next) - 1;
  }

  /** Frees a slot. */
  free(slot: number): void {
    this.#taken.delete(slot);
  }

  /** Reserves fds for a process. They continue behind those of the process that had its slot before. */
  block(slot: number): FdBlock {
    const first = this.#next[slot];
    this.#next[slot] += FD_BLOCK;
    return { first, count: FD_BLOCK };
  }
}
