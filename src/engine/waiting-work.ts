/** Sequences of one tenant and class. */
interface Lane {
  readonly tenantId: string;
  readonly priority: number;
  numSequences: number;
  numTokens: number;
}

export interface WaitingTotals {
  readonly numSequences: number;
  readonly numTokens: number;
}

/** A sequence that waits or asks to. */
export interface WaitingItem {
  readonly tenantId: string;
  readonly priority: number;
  readonly numTokens: number;
}

/** Sequences that wait, by tenant and class, to tell who would go before whom. */
export class WaitingWork {
  readonly #lanes = new Map<string, Lane>();
  #numSequences = 0;
  #numTokens = 0;

  get totals(): WaitingTotals {
    return { numSequences: this.#numSequences, numTokens: this.#numTokens };
  }

  totalsOf(tenantId: string): WaitingTotals {
    return sum([...this.#lanes.values()].filter((lane) => lane.tenantId === tenantId));
  }

  /** Of this class and all better ones. */
  upTo(priority: number): WaitingTotals {
    return sum([...this.#lanes.values()].filter((lane) => lane.priority <= priority));
  }

  add({ tenantId, priority, numTokens }: WaitingItem): void {
    this.#change({ tenantId, priority, numTokens }, 1);
  }

  remove(item: WaitingItem): void {
    this.#change(item, -1);
  }

  /**
   * What is served before a newcomer of so many tokens: all of better classes and its own tenant's; of each other
   * tenant in its class as much as its own tenant gets until then, since fairness makes them take turns.
   * `ownAhead` is what its tenant has waiting before it; all there is, unless told otherwise.
   */
  ahead(
    { tenantId, priority, numTokens }: WaitingItem,
    ownAhead: WaitingTotals | null = null,
  ): WaitingTotals {
    const lanes = [...this.#lanes.values()];
    const better = sum(lanes.filter((lane) => lane.priority < priority));
    const peers = lanes.filter((lane) => lane.priority === priority);
    const own = ownAhead ?? sum(peers.filter((lane) => lane.tenantId === tenantId));
    const others = peers.filter((lane) => lane.tenantId !== tenantId);
    const shared = sum(
      others.map((lane) => ({
        numSequences: Math.min(lane.numSequences, own.numSequences + 1),
        numTokens: Math.min(lane.numTokens, own.numTokens + numTokens),
      })),
    );
    return sum([better, own, shared]);
  }

  #change({ tenantId, priority, numTokens }: WaitingItem, sign: 1 | -1): void {
    const key = `${priority}/${tenantId}`;
    const lane = this.#lanes.get(key) ?? { tenantId, priority, numSequences: 0, numTokens: 0 };
    lane.numSequences += sign;
    lane.numTokens += sign * numTokens;
    this.#numSequences += sign;
    this.#numTokens += sign * numTokens;
    if (lane.numSequences === 0) this.#lanes.delete(key);
    else this.#lanes.set(key, lane);
  }
}

function sum(parts: readonly WaitingTotals[]): WaitingTotals {
  let numSequences = 0;
  let numTokens = 0;
  for (const part of parts) {
    numSequences += part.numSequences;
    numTokens += part.numTokens;
  }
  return { numSequences, numTokens };
}
