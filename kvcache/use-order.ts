/** An item's neighbours; `UseOrder` alone changes them. */
export interface UseLinks<T> {
  older: T | null;
  newer: T | null;
}

/**
 * Items in order of use. A linked list: a `Map` whose entries are moved to its end keeps a gap for each move until it
 * is full of them, and whoever asks for the oldest walks over all gaps.
 */
export class UseOrder<T extends UseLinks<T>> implements Iterable<T> {
  #oldest: T | null = null;
  #newest: T | null = null;

  has(item: T): boolean {
    return item.newer !== null || item === this.#newest;
  }

  /** Adds an item as the newest, or makes it so. */
  touch(item: T): void {
    if (item === this.#newest) return;
    this.delete(item);
    item.older = this.#newest;
    if (this.#newest === null) this.#oldest = item;
    else this.#newest.newer = item;
    this.#newest = item;
  }

  /** Returns false when the item isn't there. */
  delete(item: T): boolean {
    if (!this.has(item)) return false;
    const { older, newer } = item;
    if (older === null) this.#oldest = newer;
    else older.newer = newer;
    if (newer === null) this.#newest = older;
    else newer.older = older;
    item.older = null;
    item.newer = null;
    return true;
  }

  /** Oldest first. Nothing may change meanwhile. */
  *[Symbol.iterator](): Iterator<T> {
    for (let item = this.#oldest; item !== null; item = item.newer) yield item;
  }
}
