import { randomUUID } from "node:crypto";
import type { PinnedPrefix } from "../../scheduler/contracts.ts";
import type { Engine } from "../engine/generation.ts";
import { ApiError } from "./api-error.ts";

/** A prompt that a tenant wants to have at hand. Times are Unix milliseconds. */
export interface RegisteredPrefix {
  readonly id: string;
  readonly name: string | null;
  readonly tenantId: string;
  readonly tokens: readonly number[];
  readonly cacheSalt: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
}

const maxNumPrefixes = 64;

/** Prefixes pinned by POST /v1/prefixes, each until its time is over or it is deleted. */
export class PrefixRegistry {
  readonly #engine: Engine;
  readonly #prefixes = new Map<string, RegisteredPrefix>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Throws ApiError when the tenant has too many. */
  requireRoom(tenantId: string, nowMs: number): void {
    if (this.list(tenantId, nowMs).length < maxNumPrefixes) return;
    throw new ApiError(`${maxNumPrefixes} prefixes are pinned; delete one first.`, {
      status: 409,
      code: "too_many_prefixes",
    });
  }

  add(prefix: Omit<RegisteredPrefix, "id">): RegisteredPrefix {
    const added = { id: `prefix-${randomUUID().replaceAll("-", "")}`, ...prefix };
    this.#prefixes.set(added.id, added);
    return added;
  }

  list(tenantId: string, nowMs: number): RegisteredPrefix[] {
    for (const { id, expiresAtMs } of this.#prefixes.values()) {
      if (expiresAtMs <= nowMs) this.#prefixes.delete(id);
    }
    return [...this.#prefixes.values()].filter((prefix) => prefix.tenantId === tenantId);
  }

  /** Returns false when the tenant has no such prefix. */
  remove(id: string, tenantId: string, nowMs: number): boolean {
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
    return true;
  }
}
