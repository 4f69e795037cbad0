import { jainIndex } from "../measure/fairness.ts";

interface Account {
  /** Tokens asked for and not computed yet. */
  demand: number;
  /** Tokens computed in the current window. */
  service: number;
}

/**
 * How fairly tenants that compete are served. Time is cut into windows; in each in which two tenants or more have
 * unmet or met demand and not all of it is met, a tenant's service is divided by its max-min fair share of all service,
 * and Jain's index of these ratios says how even they are: 1 when nobody could get more without taking it from one that
 * has less, whatever each asks for. Service counts prompt and output tokens computed, each once.
 */
export class FairnessMeter {
  readonly #windowMs: number;
  readonly #accounts = new Map<string, Account>();
  #windowEndMs: number;
  #weightedJain = 0;
  #weight = 0;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
    this.#windowEndMs = windowMs;
  }

  /** A request has come, of so many prompt and output tokens. */
  ask(tenant: string, numTokens: number): void {
    this.#account(tenant).demand += numTokens;
  }

  serve(tenant: string, numTokens: number): void {
    const account = this.#account(tenant);
    account.demand -= numTokens;
    account.service += numTokens;
  }

  /** Tokens found in the cache: nothing to compute, so neither demand nor service. */
  waive(tenant: string, numTokens: number): void {
    this.#account(tenant).demand -= numTokens;
  }

  advance(nowMs: number): void {
    if (nowMs < this.#windowEndMs) return;
    this.#closeWindow();
    this.#windowEndMs = (Math.floor(nowMs / this.#windowMs) + 1) * this.#windowMs;
  }

  /** The mean over contended windows, weighted by service; null when tenants never competed. */
  jain(): number | null {
    return this.#weight === 0 ? null : this.#weightedJain / this.#weight;
  }

  #account(tenant: string): Account {
    let account = this.#accounts.get(tenant);
    if (account === undefined) this.#accounts.set(tenant, (account = { demand: 0, service: 0 }));
    return account;
  }

  #closeWindow(): void {
    const competing = [...this.#accounts.values()].filter(({ demand, service }) => demand + service > 0);
    const total = competing.reduce((sum, { service }) => sum + service, 0);
    const isContended = competing.length > 1 && competing.some(({ demand }) => demand > 0);
    if (isContended && total > 0) {
      const shares = maxMinShares(
        competing.map(({ demand, service }) => demand + service),
        total,
      );
      this.#weightedJain +=
        total * jainIndex(competing.map(({ service }, index) => service / shares[index]!));
      this.#weight += total;
    }
    for (const account of this.#accounts.values()) account.service = 0;
  }
}

/** Divides `total` so that the smallest share is as large as can be; nobody gets more than its demand. */
export function maxMinShares(demands: readonly number[], total: number): number[] {
  const shares = demands.map(() => 0);
  const order = demands.map((_, index) => index).sort((left, right) => demands[left]! - demands[right]!);
  let rest = total;
  for (const [position, index] of order.entries()) {
    const share = Math.min(demands[index]!, rest / (order.length - position));
    shares[index] = share;
    rest -= share;
  }
  return shares;
}
