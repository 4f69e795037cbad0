/** An item and its place, which changes often: looking it up in a table each time would cost more than the comparisons. */
interface Entry<T> {
  readonly item: T;
  index: number;
}

/** A binary heap that knows where each item is, so that removing or moving any of them costs O(log n) too. */
export class IndexedHeap<T> {
  readonly #compare: (left: T, right: T) => number;
  readonly #heap: Entry<T>[] = [];
  readonly #entries = new Map<T, Entry<T>>();

  /** `compare` is negative when `left` goes first. What it says of two items may change only with a call of `update`. */
  constructor(compare: (left: T, right: T) => number) {
    this.#compare = compare;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** In no particular order. */
  get items(): Iterable<T> {
    return this.#entries.keys();
  }

  peek(): T | null {
    return this.#heap[0]?.item ?? null;
  }

  push(item: T): void {
    const entry = { item, index: this.#heap.length };
    this.#entries.set(item, entry);
    this.#heap.push(entry);
    this.#siftUp(entry);
  }

  /** Returns false when the item isn't in the heap. */
  remove(item: T): boolean {
    const entry = this.#entries.get(item);
    if (entry === undefined) return false;
    this.#entries.delete(item);
    const last = this.#heap.pop()!;
    if (last === entry) return true;
    this.#place(last, entry.index);
    this.#siftUp(last);
    this.#siftDown(last);
    return true;
  }

  /** The item's place in the order has changed. */
  update(item: T): void {
    const entry = this.#entries.get(item);
    if (entry === undefined) return;
    this.#siftUp(entry);
    this.#siftDown(entry);
  }

  #place(entry: Entry<T>, index: number): void {
    this.#heap[index] = entry;
    entry.index = index;
  }

  #siftUp(entry: Entry<T>): void {
    let { index } = entry;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = this.#heap[parentIndex]!;
      if (this.#compare(parent.item, entry.item) <= 0) break;
      this.#place(parent, index);
      index = parentIndex;
    }
    this.#place(entry, index);
  }

  #siftDown(entry: Entry<T>): void {
    let { index } = entry;
    for (let childIndex = this.#firstChild(index); childIndex !== -1; childIndex = this.#firstChild(index)) {
      const child = this.#heap[childIndex]!;
      if (this.#compare(entry.item, child.item) <= 0) break;
      this.#place(child, index);
      index = childIndex;
    }
    this.#place(entry, index);
  }

  #firstChild(index: number): number {
    const left = 2 * index + 1;
    const right = left + 1;
    if (left >= this.#heap.length) return -1;
    if (right >= this.#heap.length) return left;
    return this.#compare(this.#heap[left]!.item, this.#heap[right]!.item) <= 0 ? left : right;
  }
}
