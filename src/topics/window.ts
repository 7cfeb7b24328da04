/**
 * A list that grows at one end and shrinks at the other.
 *
 * @module
 */

/** The items of a list, of which the oldest can be removed at little cost. */
export class Window<Item> {
  #items: Item[] = [];
  #head = 0; // index of the oldest

  /** The number of items. */
  get size(): number {
    return this.#items.length - this.#head;
  }

  /** Returns an item by its place: 0 is the oldest. */
  at(index: number): Item | undefined {
    return this.#items[this.#head + index];
  }

  /** Adds the newest item. */
  push(item: Item): void {
    this.#items.push(item);
  }

  /** Removes the oldest item; there has to be one. */
  shift(): Item {
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined as Item;
    if (this.#head >= 32 && this.#head * 2 >= this.#items.length) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Adds items that are older than all others. */
  prepend(items: readonly Item[]): void {
    this.#items = [...items, ...this.#items.slice(this.#head)];
    this.#head = 0;
  }

  /** Returns items by their places. */
  slice(from: number, to: number): Item[] {
    return this.#items.slice(this.#head + from, this.#head + to);
  }
}
