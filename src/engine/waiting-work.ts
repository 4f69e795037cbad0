import { CappedSum } from "./capped-sum.ts";

export interface WaitingTotals {
  readonly numSequences: number;
  readonly numTokens: number;
}

/** A sequence that waits or asks to. */
export interface WaitingItem {
  readonly tenantId: string;
  readonly priority: number;
  readonly numTokens: number;
  /** Decides on the order of one tenant's; see scheduler/urgency.ts. */
  readonly dueMs: number;
}

/** Sequences of one tenant and class. */
interface Lane {
  readonly tenantId: string;
  readonly priority: number;
  readonly items: Set<WaitingItem>;
  numTokens: number;
}

/** What is ahead of a class, and how much its lanes have. */
interface ClassTotals {
  readonly better: WaitingTotals;
  readonly numSequences: CappedSum;
  readonly numTokens: CappedSum;
}

export const NOTHING: WaitingTotals = { numSequences: 0, numTokens: 0 };

/** Sequences that wait, by tenant and class, to tell who would go before whom. */
export class WaitingWork {
  readonly #lanes = new Map<string, Lane>();
  /** As of the latest change. */
  readonly #classes = new Map<number, ClassTotals>();
  #numSequences = 0;
  #numTokens = 0;

  get totals(): WaitingTotals {
    return { numSequences: this.#numSequences, numTokens: this.#numTokens };
  }

  totalsOf(tenantId: string): WaitingTotals {
    return this.#sum((lane) => lane.tenantId === tenantId);
  }

  /** Of this class and all better ones. */
  upTo(priority: number): WaitingTotals {
    return this.#sum((lane) => lane.priority <= priority);
  }

  add(item: WaitingItem): void {
    const { tenantId, priority, numTokens } = item;
    const key = laneOf(item);
    const lane = this.#lanes.get(key) ?? { tenantId, priority, items: new Set(), numTokens: 0 };
    lane.items.add(item);
    this.#lanes.set(key, lane);
    this.#count(lane, 1, numTokens);
  }

  /** Takes the very item that was added. */
  remove(item: WaitingItem): void {
    const lane = this.#lanes.get(laneOf(item));
    if (lane?.items.delete(item) !== true) return;
    if (lane.items.size === 0) this.#lanes.delete(laneOf(item));
    this.#count(lane, -1, -item.numTokens);
  }

  /**
   * What is served before a newcomer of so many tokens: all of better classes, and what of its own tenant's is due
   * before it; of each other tenant in its class as much as its own tenant gets until then, since fairness makes them
   * take turns. `ownAhead` is what its tenant has before it, where that is known already.
   */
  ahead(item: WaitingItem, ownAhead: WaitingTotals | null = null): WaitingTotals {
    const lane = this.#lanes.get(laneOf(item));
    const own = ownAhead ?? dueBefore(lane, item.dueMs);
    const maxSequences = own.numSequences + 1;
    const maxTokens = own.numTokens + item.numTokens;
    const { better, numSequences, numTokens } = this.#classTotals(item.priority);
    const ownSequences = Math.min(lane?.items.size ?? 0, maxSequences);
    const ownTokens = Math.min(lane?.numTokens ?? 0, maxTokens);
    return {
      numSequences: better.numSequences + own.numSequences + numSequences.upTo(maxSequences) - ownSequences,
      numTokens: better.numTokens + own.numTokens + numTokens.upTo(maxTokens) - ownTokens,
    };
  }

  #classTotals(priority: number): ClassTotals {
    let totals = this.#classes.get(priority);
    if (totals === undefined) {
      const peers = [...this.#lanes.values()].filter((lane) => lane.priority === priority);
      totals = {
        better: this.#sum((lane) => lane.priority < priority),
        numSequences: new CappedSum(peers.map(({ items }) => items.size)),
        numTokens: new CappedSum(peers.map((lane) => lane.numTokens)),
      };
      this.#classes.set(priority, totals);
    }
    return totals;
  }

  #sum(isCounted: (lane: Lane) => boolean): WaitingTotals {
    let numSequences = 0;
    let numTokens = 0;
    for (const lane of this.#lanes.values()) {
      if (!isCounted(lane)) continue;
      numSequences += lane.items.size;
      numTokens += lane.numTokens;
    }
    return { numSequences, numTokens };
  }

  #count(lane: Lane, numSequences: number, numTokens: number): void {
    lane.numTokens += numTokens;
    this.#numSequences += numSequences;
    this.#numTokens += numTokens;
    this.#classes.clear();
  }
}

export function laneOf({ tenantId, priority }: WaitingItem): string {
  return `${priority}/${tenantId}`;
}

/** Who came earlier goes first where they are due at once. */
function dueBefore(lane: Lane | undefined, dueMs: number): WaitingTotals {
  if (lane === undefined) return NOTHING;
  let numSequences = 0;
  let numTokens = 0;
  for (const item of lane.items) {
    if (item.dueMs > dueMs) continue;
    numSequences += 1;
    numTokens += item.numTokens;
  }
  return { numSequences, numTokens };
}
