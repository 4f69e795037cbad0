import { DiskTier, type DiskTierOptions } from "../../src/engine/disk-tier.ts";
import type { KvCacheOptions } from "../../kvcache/kv-cache-options.ts";
import { REQUESTS, type PrefixPin } from "../../kvcache/pins.ts";
import { createKvCacheManager } from "./scheduler-builders.ts";

export interface DiskMachineOptions extends Partial<DiskTierOptions> {
  readonly kv?: Partial<KvCacheOptions>;
  /** Of each host copy; its bytes are told apart by the tokens they stand for. */
  readonly copyBytes?: number;
}

const HOUR_MS = 3_600_000;
const SALT = "salt";

/** A manager whose host copies are known bytes, with a disk tier: what one process has. */
export class DiskMachine {
  readonly kv;
  readonly bytes = new Map<number, Uint8Array>();
  readonly disk: DiskTier;
  /** Copies that somebody holds beside the slots. */
  numHeld = 0;
  nowMs = 0;
  readonly #copyBytes: number;

  constructor(folder: string, { kv, copyBytes, ...options }: DiskMachineOptions = {}) {
    this.kv = createKvCacheManager({ maxHostBlocks: 8, hostSegmentBlocks: 2, ...kv });
    this.#copyBytes = copyBytes ?? 3;
    this.disk = new DiskTier({
      folder,
      maxBytes: 10_000,
      identity: "model",
      host: this.kv.host,
      copies: {
        holdHostCopy: (slot) => {
          const bytes = this.bytes.get(slot);
          return bytes === undefined ? null : this.#hold(bytes);
        },
        createHostCopy: (sizeBytes) => this.#hold(new Uint8Array(sizeBytes)),
        fillHostSlot: (slot, copy) => {
          this.bytes.set(slot, copy.bytes);
          copy.free();
        },
      },
      blockSize: this.kv.options.blockSize,
      computeMsPerToken: () => 1,
      now: () => this.nowMs,
      ...options,
    });
  }

  /** Computes a sequence and pins it. */
  pin(tokens: readonly number[], ttlMs = HOUR_MS, owner = REQUESTS): void {
    this.#run(tokens, [{ numTokens: tokens.length, ttlMs, owner }]);
  }

  /** Computes a sequence, or restores what there is of it. */
  run(tokens: readonly number[]): void {
    this.#run(tokens, []);
  }

  numCachedTokens(tokens: readonly number[]): number {
    return this.kv.numCachedTokens({ tokens: [...tokens, 0], cacheSalt: SALT });
  }

  /** Asks the disk, waits as a request would, and returns what is cached then. */
  async fetch(tokens: readonly number[]): Promise<number> {
    const fetch = this.kv.fetch({ tokens: [...tokens, 0], cacheSalt: SALT });
    await new Promise<void>((resolve) => {
      const check = (): void => {
        if (fetch.isDone) resolve();
      };
      this.disk.fetch(check);
      check();
    });
    this.#applyOps([]);
    return this.numCachedTokens(tokens);
  }

  /** The bytes in memory that stand for `tokens`, from the block that begins with the first of them on. */
  bytesOf(tokens: readonly number[]): Uint8Array | null {
    for (const { nodes, slot } of this.kv.host.segments) {
      if (nodes[0]!.tokens[0] === tokens[0]) return this.bytes.get(slot) ?? null;
    }
    return null;
  }

  #run(tokens: readonly number[], pins: readonly PrefixPin[]): void {
    this.kv.noteTime(this.nowMs);
    const key = { tokens, cacheSalt: SALT };
    const { seqId } = this.kv.admit({ key, useCachedPrefix: true, numReserveBlocks: 0, pins })!;
    this.kv.commit(seqId, tokens.length);
    this.kv.release(seqId, { retain: true });
    this.kv.advanceTo(this.nowMs);
    this.#applyOps(tokens);
  }

  #applyOps(tokens: readonly number[]): void {
    for (const operation of this.kv.takeOps()) {
      if (operation.kind === "discard") this.bytes.delete(operation.slot);
      if (operation.kind !== "save") continue;
      const bytes = new Uint8Array(this.#copyBytes).fill(tokens[operation.fromPosition]!);
      this.bytes.set(operation.slot, bytes);
    }
  }

  #hold(bytes: Uint8Array): { bytes: Uint8Array; free: () => void } {
    this.numHeld += 1;
    return { bytes, free: () => void (this.numHeld -= 1) };
  }
}
