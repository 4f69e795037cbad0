/** What a computed prompt token and a generated one count: a prompt's tokens are computed many at a time. */
export const INPUT_TOKEN_WEIGHT = 1;
export const OUTPUT_TOKEN_WEIGHT = 2;

/** Tenants remembered; who has been away for that long starts level with the others again. */
const MAX_ACCOUNTS = 4096;

/** The service that a tenant has had, in weighted tokens. Only grows. */
export interface TenantAccount {
  readonly tenantId: string;
  counter: number;
}

/**
 * Virtual token counters (VTC; Sheng et al., "Fairness in Serving Large Language Models", arXiv 2401.00588):
 * whoever has had the fewest weighted tokens goes first, so two tenants that both have work waiting get the same
 * service up to a bound, however many requests either sends and however long they are.
 */
export class VirtualTokenCounters {
  readonly #accounts = new Map<string, TenantAccount>();

  accountOf(tenantId: string): TenantAccount {
    const account = this.#accounts.get(tenantId) ?? { tenantId, counter: 0 };
    // The most recently used come last.
    this.#accounts.delete(tenantId);
    this.#accounts.set(tenantId, account);
    if (this.#accounts.size > MAX_ACCOUNTS) this.#forgetOldest();
    return account;
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
