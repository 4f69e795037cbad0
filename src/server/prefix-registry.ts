import { randomUUID } from "node:crypto";
import type { PinnedPrefix } from "../../scheduler/contracts.ts";
import type { Engine } from "../engine/generation.ts";
import { ApiError } from "./api-error.ts";
import type { PrefixStore, RegisteredPrefix } from "./prefix-store.ts";

const maxNumPrefixes = 64;

/** Prefixes pinned by POST /v1/prefixes, each until its time is over or it is deleted, over restarts of the server. */
export class PrefixRegistry {
  readonly #engine: Engine;
  readonly #store: PrefixStore | null;
  readonly #prefixes: Map<string, RegisteredPrefix>;

  constructor(engine: Engine, store: PrefixStore | null) {
    this.#engine = engine;
    this.#store = store;
    this.#prefixes = new Map(store?.load().map((prefix) => [prefix.id, prefix]));
  }

  /** Throws ApiError when the tenant has too many. */
  requireRoom(tenantId: string, nowMs: number): void {
    if (this.list(tenantId, nowMs).length < maxNumPrefixes) return;
    throw new ApiError(`${maxNumPrefixes} prefixes are pinned; delete one first.`, {
      status: 409,
      code: "too_many_prefixes",
    });
  }

  async add(prefix: Omit<RegisteredPrefix, "id">): Promise<RegisteredPrefix> {
    const added = { id: `prefix-${randomUUID().replaceAll("-", "")}`, ...prefix };
    this.#prefixes.set(added.id, added);
    await this.#save();
    return added;
  }

  /** Those of all tenants whose time is not over. */
  current(nowMs: number): RegisteredPrefix[] {
    for (const { id, expiresAtMs } of this.#prefixes.values()) {
      if (expiresAtMs <= nowMs) this.#prefixes.delete(id);
    }
    return [...this.#prefixes.values()];
  }

  list(tenantId: string, nowMs: number): RegisteredPrefix[] {
    return this.current(nowMs).filter((prefix) => prefix.tenantId === tenantId);
  }

  /** Resolves to false when the tenant has no such prefix. */
  async remove(id: string, tenantId: string, nowMs: number): Promise<boolean> {
    const prefix = this.list(tenantId, nowMs).find((it) => it.id === id);
    if (prefix === undefined) return false;
    this.#prefixes.delete(id);
    const kept = this.list(tenantId, nowMs).filter(({ cacheSalt }) => cacheSalt === prefix.cacheSalt);
    const toPin = ({ tokens, cacheSalt, expiresAtMs }: RegisteredPrefix): PinnedPrefix => ({
      tokens,
      cacheSalt,
      ttlMs: expiresAtMs - nowMs,
    });
    this.#engine.unpin(toPin(prefix), kept.map(toPin));
    await this.#save();
    return true;
  }

  async #save(): Promise<void> {
    await this.#store?.save([...this.#prefixes.values()]);
  }
}
