/** What a computed prompt token and a generated one count: a prompt's tokens are computed many at a time. */
export const INPUT_TOKEN_WEIGHT = 1;
export const OUTPUT_TOKEN_WEIGHT = 2;

/** Tenants remembered; who has been away for that long starts level with the others again. */
const MAX_ACCOUNTS = 4096;

/** The service that a tenant has had, in weighted tokens. Only grows. */
export interface TenantAccount {
  readonly tenantId: string;
  counter: number;
  /** Of the latest request. */
  arrivalMs: number;
}

/**
 * Virtual token counters (VTC; Sheng et al., "Fairness in Serving Large Language Models", arXiv 2401.00588):
 * whoever has had the fewest weighted tokens goes first, so two tenants that both have work waiting get the same
 * service up to a bound, however many requests either sends and however long they are.
 */
export class VirtualTokenCounters {
  readonly #accounts = new Map<string, TenantAccount>();
  /** The last two to send a request, the later one first. */
  #latest: readonly TenantAccount[] = [];

  /** The account of a tenant whose request arrives. */
  arrive(tenantId: string, nowMs: number): TenantAccount {
    const account = this.#accounts.get(tenantId) ?? { tenantId, counter: 0, arrivalMs: nowMs };
    account.arrivalMs = nowMs;
    // The most recently used come last.
    this.#accounts.delete(tenantId);
    this.#accounts.set(tenantId, account);
    if (this.#accounts.size > MAX_ACCOUNTS) this.#forgetOldest();
    if (this.#latest[0] !== account) this.#latest = [account, ...this.#latest.slice(0, 1)];
    return account;
  }

  /** When another tenant than this one sent its latest request. */
  lastArrivalOfOthersMs(account: TenantAccount): number {
    return this.#latest.find((other) => other !== account)?.arrivalMs ?? -Infinity;
  }

  #forgetOldest(): void {
    for (const tenantId of this.#accounts.keys()) {
      this.#accounts.delete(tenantId);
      return;
    }
  }
}

export function chargeInput(account: TenantAccount, numTokens: number): void {
  account.counter += INPUT_TOKEN_WEIGHT * numTokens;
}

export function chargeOutput(account: TenantAccount, numTokens: number): void {
  account.counter += OUTPUT_TOKEN_WEIGHT * numTokens;
}
