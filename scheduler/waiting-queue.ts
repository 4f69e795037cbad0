import { PriorityClass } from "./priority-class.ts";
import { compareWithinClass, type Contender, type TurnOrder } from "./urgency.ts";
import type { TenantAccount } from "./virtual-token-counters.ts";

/**
 * Who waits, in order of turns: by class, then as `compareWithinClass` says. What has waited long competes in the best
 * class that is waiting, through the oldest of each worse class. Changes cost O(log n), a look at the first O(classes).
 */
export class WaitingQueue<T extends Contender> {
  readonly #order: TurnOrder;
  /** Best first; none is empty. */
  readonly #classes: PriorityClass<T>[] = [];
  #size = 0;
  /** Service that the tenant whose sequence left last had had. */
  #lastCounter = 0;

  constructor(order: TurnOrder) {
    this.#order = order;
  }

  get size(): number {
    return this.#size;
  }

  /** In no particular order. */
  *[Symbol.iterator](): Iterator<T> {
    for (const { items } of this.#classes) yield* items;
  }

  peek(): T | null {
    let first: T | null = null;
    let best = 0;
    for (const waiting of this.#classes) {
      if (first === null) {
        first = waiting.first()!;
        best = waiting.priority;
        continue;
      }
      const oldest = waiting.oldest()!;
      if (this.#order.countsAs(oldest, best) && compareWithinClass(oldest, first) < 0) first = oldest;
    }
    return first;
  }

  /**
   * Brings a tenant with nothing waiting level with those that wait: time without requests earns no credit, else
   * it could be spent to lock the others out. No more than to win a tie: its turn is next, not after those of the
   * same service who came earlier with all they have.
   */
  level(account: TenantAccount): void {
    if (this.#classes.some((waiting) => waiting.hasLane(account))) return;
    const counters = this.#classes
      .map((waiting) => waiting.minCounter())
      .filter((counter) => counter !== null);
    const floor = counters.length > 0 ? Math.min(...counters) : this.#lastCounter;
    account.counter = Math.max(account.counter, floor - 1);
  }

  push(item: T): void {
    this.#size += 1;
    const index = this.#classes.findIndex(({ priority }) => priority >= item.priority);
    const found = this.#classes[index];
    if (found?.priority === item.priority) return found.push(item);
    const created = new PriorityClass<T>(item.priority);
    created.push(item);
    this.#classes.splice(index === -1 ? this.#classes.length : index, 0, created);
  }

  /** Returns false when the item isn't queued. */
  remove(item: T): boolean {
    const index = this.#classes.findIndex(({ priority }) => priority === item.priority);
    const found = this.#classes[index];
    if (found === undefined || !found.remove(item)) return false;
    if (found.size === 0) this.#classes.splice(index, 1);
    this.#size -= 1;
    this.#lastCounter = item.account.counter;
    return true;
  }
}
