/** A binary heap that knows where each item is, so that removing or moving any of them costs O(log n) too. */
export class IndexedHeap<T> {
  readonly #compare: (left: T, right: T) => number;
  readonly #heap: T[] = [];
  readonly #indexOf = new Map<T, number>();

  /** `compare` is negative when `left` goes first. What it says of two items may change only with a call of `update`. */
  constructor(compare: (left: T, right: T) => number) {
    this.#compare = compare;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** In no particular order. */
  get items(): readonly T[] {
    return this.#heap;
  }

  peek(): T | null {
    return this.#heap[0] ?? null;
  }

  push(item: T): void {
    this.#heap.push(item);
    this.#siftUp(this.#heap.length - 1);
  }

  /** Returns false when the item isn't in the heap. */
  remove(item: T): boolean {
    const index = this.#indexOf.get(item);
    if (index === undefined) return false;
    this.#indexOf.delete(item);
    const last = this.#heap.pop()!;
    if (last === item) return true;
    this.#place(last, index);
    this.#siftDown(this.#siftUp(index));
    return true;
  }

  /** The item's place in the order has changed. */
  update(item: T): void {
    const index = this.#indexOf.get(item);
    if (index !== undefined) this.#siftDown(this.#siftUp(index));
  }

  #place(item: T, index: number): void {
    this.#heap[index] = item;
    this.#indexOf.set(item, index);
  }

  /** Returns where the item ends up. */
  #siftUp(start: number): number {
    const item = this.#heap[start]!;
    let index = start;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = this.#heap[parentIndex]!;
      if (this.#compare(parent, item) <= 0) break;
      this.#place(parent, index);
      index = parentIndex;
    }
    this.#place(item, index);
    return index;
  }

  #siftDown(start: number): void {
    const item = this.#heap[start]!;
    let index = start;
    for (let child = this.#firstChild(index); child !== -1; child = this.#firstChild(index)) {
      if (this.#compare(item, this.#heap[child]!) <= 0) break;
      this.#place(this.#heap[child]!, index);
      index = child;
    }
    this.#place(item, index);
  }

  #firstChild(index: number): number {
    const left = 2 * index + 1;
    const right = left + 1;
    if (left >= this.#heap.length) return -1;
    if (right >= this.#heap.length) return left;
    return this.#compare(this.#heap[left]!, this.#heap[right]!) <= 0 ? left : right;
  }
}
