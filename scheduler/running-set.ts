import type { Sequence } from "./sequence.ts";
import { compareUrgency, type TurnOrder } from "./urgency.ts";
import type { TenantAccount } from "./virtual-token-counters.ts";

/** The running sequences in two orders. Both arrays are replaced, never changed, so loops may add and remove. */
export class RunningSet {
  #byUrgency: readonly Sequence[] = [];
  #bySeqId: readonly Sequence[] = [];
  /** Those that want gaps of no more than so long. */
  #withTokenGap: readonly Sequence[] = [];
  /** Of tenants that have some. */
  readonly #numSeats = new Map<TenantAccount, number>();

  get size(): number {
    return this.#byUrgency.length;
  }

  /** Most urgent first. */
  get byUrgency(): readonly Sequence[] {
    return this.#byUrgency;
  }

  /** Ascending sequence ids. */
  get bySeqId(): readonly Sequence[] {
    return this.#bySeqId;
  }

  add(sequence: Sequence): void {
    this.#byUrgency = inserted(this.#byUrgency, sequence, compareUrgency);
    this.#bySeqId = inserted(this.#bySeqId, sequence, (left, right) => left.seqId - right.seqId);
    if (sequence.tokenGapMs < Infinity) this.#withTokenGap = [...this.#withTokenGap, sequence];
    this.#changeSeats(sequence.account, 1);
  }

  remove(sequence: Sequence): void {
    this.#byUrgency = this.#byUrgency.filter((other) => other !== sequence);
    this.#bySeqId = this.#bySeqId.filter((other) => other !== sequence);
    this.#withTokenGap = this.#withTokenGap.filter((other) => other !== sequence);
    this.#changeSeats(sequence.account, -1);
  }

  /** The least gap between tokens that a decoding one wants; Infinity when none wants any. */
  leastTokenGapMs(): number {
    let leastMs = Infinity;
    for (const { isDecoding, tokenGapMs } of this.#withTokenGap) {
      if (isDecoding) leastMs = Math.min(leastMs, tokenGapMs);
    }
    return leastMs;
  }

  /** Who of a non-empty set gives way when memory is short: a paused sequence, for it makes no use of its blocks, else the least urgent. */
  victim(): Sequence {
    return this.pausedVictim() ?? this.#byUrgency.at(-1)!;
  }

  /**
   * Who is of a strictly worse class than a newcomer, the least urgent first. Who has been here long counts as one of a
   * better class, so each can be interrupted only for so long after its arrival; and each of these is less urgent than
   * the newcomer will be, so none takes back what it gave.
   */
  worseThan({ priority }: Sequence, order: TurnOrder): Sequence[] {
    return this.#byUrgency.filter((sequence) => !order.countsAs(sequence, priority)).toReversed();
  }

  /**
   * Who gives its seat to a newcomer whose tenant has at least two fewer: the least urgent sequence of another tenant,
   * of no better class. The exchange makes the smaller share larger and never the larger one the smaller.
   */
  unfairlySeated(newcomer: Sequence): Sequence | null {
    const numOwn = this.#seatsOf(newcomer.account);
    const givesWay = ({ account, priority }: Sequence): boolean =>
      priority >= newcomer.priority && isFarBehind(numOwn, this.#seatsOf(account));
    return this.#byUrgency.findLast(givesWay) ?? null;
  }

  /** The tenant of the first has at least two seats fewer than that of the second. */
  hasFewerSeats(first: Sequence, second: Sequence): boolean {
    return isFarBehind(this.#seatsOf(first.account), this.#seatsOf(second.account));
  }

  /** There are other tenants, and each has at least two seats more than this one's. */
  othersHaveMoreSeats({ account }: Sequence): boolean {
    const others = this.#seatsOfOthers(account);
    return others.length > 0 && others.every((count) => isFarBehind(this.#seatsOf(account), count));
  }

  /** This one's tenant has at least two seats, and two more than every other. */
  hasMostSeats({ account }: Sequence): boolean {
    return [0, ...this.#seatsOfOthers(account)].every((count) => isFarBehind(count, this.#seatsOf(account)));
  }

  /** The least urgent paused sequence. */
  pausedVictim(): Sequence | null {
    return this.#byUrgency.findLast((sequence) => sequence.isPaused) ?? null;
  }

  #seatsOf(account: TenantAccount): number {
    return this.#numSeats.get(account) ?? 0;
  }

  #seatsOfOthers(account: TenantAccount): number[] {
    return [...this.#numSeats].filter(([other]) => other !== account).map(([, count]) => count);
  }

  #changeSeats(account: TenantAccount, change: number): void {
    const numSeats = this.#seatsOf(account) + change;
    if (numSeats === 0) this.#numSeats.delete(account);
    else this.#numSeats.set(account, numSeats);
  }
}

/** So that a seat that changes hands leaves the smaller share no larger than the other. */
function isFarBehind(numSeats: number, numOthers: number): boolean {
  return numSeats + 2 <= numOthers;
}

/** A copy of a sorted array with one more item; who comes is mostly the last. */
function inserted<T>(items: readonly T[], item: T, compare: (left: T, right: T) => number): T[] {
  const index = items.findLastIndex((other) => compare(other, item) <= 0);
  return items.toSpliced(index + 1, 0, item);
}
