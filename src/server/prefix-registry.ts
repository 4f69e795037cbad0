import { randomUUID } from "node:crypto";
import type { Engine } from "../engine/generation.ts";
import { ApiError } from "./api-error.ts";
import type { PrefixStore, RegisteredPrefix } from "./prefix-store.ts";

const maxNumPrefixes = 64;

/** Prefixes of POST /v1/prefixes, each until its time is over or it is deleted, over restarts of the server. */
export class PrefixRegistry {
  readonly #store: PrefixStore | null;
  readonly #prefixes: Map<string, RegisteredPrefix>;
  /** Tenants of places that are taken while their prefixes are computed, by the ids these will have. */
  readonly #reserved = new Map<string, string>();

  constructor(store: PrefixStore | null) {
    this.#store = store;
    this.#prefixes = new Map(store?.load().map((prefix) => [prefix.id, prefix]));
  }

  /** Takes a place until it is added to or released, and returns its id. Throws ApiError when the tenant has too many. */
  reserve(tenantId: string, nowMs: number): string {
    const numReserved = [...this.#reserved.values()].filter((holder) => holder === tenantId).length;
    if (this.list(tenantId, nowMs).length + numReserved >= maxNumPrefixes) throw tooManyPrefixes();
    const id = `prefix-${randomUUID().replaceAll("-", "")}`;
    this.#reserved.set(id, tenantId);
    return id;
  }

  /** Harmless when the place has been put to use. */
  release(id: string): void {
    this.#reserved.delete(id);
  }

  async add(prefix: RegisteredPrefix): Promise<void> {
    this.#reserved.delete(prefix.id);
    this.#prefixes.set(prefix.id, prefix);
    await this.#store?.add(prefix);
  }

  has(id: string): boolean {
    return this.#prefixes.has(id);
  }

  /** Those of all tenants whose time is not over. */
  current(nowMs: number): RegisteredPrefix[] {
    for (const { id, expiresAtMs } of this.#prefixes.values()) {
      if (expiresAtMs > nowMs) continue;
      this.#prefixes.delete(id);
      void this.#store?.remove(id);
    }
    return [...this.#prefixes.values()];
  }

  list(tenantId: string, nowMs: number): RegisteredPrefix[] {
    return this.current(nowMs).filter((prefix) => prefix.tenantId === tenantId);
  }

  /** Returns what was removed; null when the tenant has no such prefix. */
  async remove(id: string, tenantId: string, nowMs: number): Promise<RegisteredPrefix | null> {
    const prefix = this.list(tenantId, nowMs).find((it) => it.id === id);
    if (prefix === undefined) return null;
    this.#prefixes.delete(id);
    await this.#store?.remove(id);
    return prefix;
  }
}

function tooManyPrefixes(): ApiError {
  const message = `${maxNumPrefixes} prefixes are pinned; delete one first.`;
  return new ApiError(message, { status: 409, code: "too_many_prefixes" });
}

/** Lets the engine forget a prefix, where no request and no other prefix wants it. */
export function unpin(
  { id, tokens, cacheSalt }: Pick<RegisteredPrefix, "id" | "tokens" | "cacheSalt">,
  engine: Engine,
): void {
  engine.unpin({ tokens, cacheSalt, owner: id });
}
