/**
 * The one order of who goes first. Admission, prefill and preemption all obey it, so the most urgent sequence
 * is never kept from running by another: that is the proof that nothing starves and nothing deadlocks.
 *
 * Urgency is a point in time, the arrival moved by `priorityAgeingMs` for each step of priority: a waiting
 * sequence outranks every one that arrives later than its handicap. Ageing thus needs no clock and no re-sorting.
 */
export interface Urgent {
  /** Milliseconds; lower goes first. */
  readonly urgency: number;
  /** Breaks ties: first come, first served. */
  readonly arrivalIndex: number;
}

/** Negative when `left` goes first. */
export function compareUrgency(left: Urgent, right: Urgent): number {
  return left.urgency - right.urgency || left.arrivalIndex - right.arrivalIndex;
}
