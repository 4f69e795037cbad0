import type { TenantAccount } from "./virtual-token-counters.ts";

/**
 * Who gives way when memory is short: the order of the sequences that have been admitted. It never changes, so the
 * most urgent one is never pushed out by another and always gets to its end: nothing deadlocks, nothing takes turns
 * in pushing each other out.
 *
 * Urgency is a point in time, that of the admission moved by `priorityAgeingMs` for each class of priority: who was
 * let in first keeps its place, unless a newcomer's class outweighs the time between them.
 */
export interface Urgent {
  /** Milliseconds; lower goes first. */
  readonly urgency: number;
  /** Breaks ties: first come, first served. */
  readonly arrivalIndex: number;
}

/** Classes of priority are -100 to 100. */
const MAX_PRIORITY = 100;

/** What lies beyond the best or worst class belongs to it. */
export function boundPriority(priority: number): number {
  return Math.min(MAX_PRIORITY, Math.max(-MAX_PRIORITY, priority));
}

/** At the latest a sequence is due after this much for each token left to prefill: short prompts first, for a while. */
const GRACE_MS_PER_TOKEN = 10;

/**
 * When a sequence should have its first token. What the client asks for, `withinMs` of its arrival, can only make it
 * earlier: nobody is served later for having said when is late enough.
 */
export function dueTime(arrivalMs: number, numTokens: number, withinMs: number = Infinity): number {
  return arrivalMs + Math.min(withinMs, numTokens * GRACE_MS_PER_TOKEN);
}

/** Negative when `left` goes first. */
export function compareUrgency(left: Urgent, right: Urgent): number {
  return left.urgency - right.urgency || left.arrivalIndex - right.arrivalIndex;
}

/** What decides whose tokens are computed next. */
export interface Contender extends Urgent {
  /** Class; lower goes first. */
  readonly priority: number;
  /** The arrival, moved back by `priorityAgeingMs` for each class of priority: decides when a wait outweighs a class. */
  readonly agedArrivalMs: number;
  /** Its client has read tokens of it: it only goes on with what it was doing. */
  readonly isResuming: boolean;
  readonly account: TenantAccount;
  /** When it should have its first token. */
  readonly dueMs: number;
}

/**
 * Within a class: streams that were interrupted, then the tenant with the least service, then the earliest due.
 * Due is the client's deadline or, if that is earlier, the arrival plus a grace that grows with what is left of the prompt:
 * earliest deadline and shortest remaining prefill in one order in which, as time goes by, everything comes first.
 */
export function compareWithinClass(left: Contender, right: Contender): number {
  if (left.isResuming !== right.isResuming) return left.isResuming ? -1 : 1;
  if (left.isResuming) return compareUrgency(left, right);
  return left.account.counter - right.account.counter || compareDue(left, right);
}

/** The order among the sequences of one tenant, or of tenants that have had the same service. */
export function compareDue(left: Contender, right: Contender): number {
  return left.dueMs - right.dueMs || left.arrivalIndex - right.arrivalIndex;
}

/** The order of turns at one moment: classes, in which a sequence that has waited long counts as one of a better class. */
export class TurnOrder {
  readonly priorityAgeingMs: number;
  nowMs = 0;

  constructor(priorityAgeingMs: number) {
    this.priorityAgeingMs = priorityAgeingMs;
  }

  /** Negative when `left` goes first. */
  compare(left: Contender, right: Contender): number {
    const best = Math.min(left.priority, right.priority);
    const isLeftIn = this.countsAs(left, best);
    if (isLeftIn !== this.countsAs(right, best)) return isLeftIn ? -1 : 1;
    return compareWithinClass(left, right);
  }

  /** The sequence is of this class or has waited for the right to compete in it. */
  countsAs({ priority, agedArrivalMs }: Contender, better: number): boolean {
    return priority <= better || agedArrivalMs <= this.nowMs + better * this.priorityAgeingMs;
  }
}
