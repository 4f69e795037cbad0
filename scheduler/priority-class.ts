import { IndexedHeap } from "./indexed-heap.ts";
import { compareDue, compareUrgency, type Contender } from "./urgency.ts";
import type { TenantAccount } from "./virtual-token-counters.ts";

/** The waiting sequences of one tenant in one class. */
interface Lane<T> {
  readonly account: TenantAccount;
  /** The account's counter when the lane was last put in order. */
  counter: number;
  readonly waiting: IndexedHeap<T>;
}

/** Waiting sequences of one priority: those that go on with a stream, and a lane for each tenant. */
export class PriorityClass<T extends Contender> {
  readonly priority: number;
  readonly #resuming = new IndexedHeap<T>(compareUrgency);
  readonly #byAge = new IndexedHeap<T>(compareAge);
  readonly #lanes = new IndexedHeap<Lane<T>>(compareLanes);
  readonly #laneOf = new Map<TenantAccount, Lane<T>>();

  constructor(priority: number) {
    this.priority = priority;
  }

  get size(): number {
    return this.#byAge.size;
  }

  /** In no particular order. */
  get items(): Iterable<T> {
    return this.#byAge.items;
  }

  /** Whose turn it is. */
  first(): T | null {
    return this.#resuming.peek() ?? this.#leastServed()?.waiting.peek() ?? null;
  }

  /** Who has waited longest, classes of priority taken into account. */
  oldest(): T | null {
    return this.#byAge.peek();
  }

  hasLane(account: TenantAccount): boolean {
    return this.#laneOf.has(account);
  }

  /** The least service that a tenant with waiting sequences has had; null when none waits. */
  minCounter(): number | null {
    return this.#leastServed()?.counter ?? null;
  }

  push(item: T): void {
    this.#byAge.push(item);
    if (item.isResuming) this.#resuming.push(item);
    else this.#pushToLane(item);
  }

  remove(item: T): boolean {
    if (!this.#byAge.remove(item)) return false;
    if (!this.#resuming.remove(item)) this.#removeFromLane(item);
    return true;
  }

  #pushToLane(item: T): void {
    const { account } = item;
    const lane = this.#laneOf.get(account);
    if (lane !== undefined) {
      lane.waiting.push(item);
      this.#lanes.update(lane);
      return;
    }
    const created = { account, counter: account.counter, waiting: new IndexedHeap<T>(compareDue) };
    created.waiting.push(item);
    this.#laneOf.set(account, created);
    this.#lanes.push(created);
  }

  #removeFromLane(item: T): void {
    const lane = this.#laneOf.get(item.account)!;
    const isLast = lane.waiting.size === 1;
    // While it can still be compared, which takes a first item.
    if (isLast) this.#lanes.remove(lane);
    lane.waiting.remove(item);
    if (isLast) this.#laneOf.delete(item.account);
    else this.#lanes.update(lane);
  }

  /**
   * Counters only grow, so a lane is never worse placed than it should be: putting the first one in order until it
   * is up to date finds the least served, and nothing needs to be done when tokens are charged.
   */
  #leastServed(): Lane<T> | null {
    for (let lane = this.#lanes.peek(); lane !== null; lane = this.#lanes.peek()) {
      if (lane.counter === lane.account.counter) return lane;
      lane.counter = lane.account.counter;
      this.#lanes.update(lane);
    }
    return null;
  }
}

function compareAge(left: Contender, right: Contender): number {
  return left.agedArrivalMs - right.agedArrivalMs || left.arrivalIndex - right.arrivalIndex;
}

function compareLanes<T extends Contender>(left: Lane<T>, right: Lane<T>): number {
  return left.counter - right.counter || compareDue(left.waiting.peek()!, right.waiting.peek()!);
}
