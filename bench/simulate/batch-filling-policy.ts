import type { KvCacheManager } from "../../kvcache/kv-cache-manager.ts";
import type { Batch, BatchResult, BatchRow, SequenceEvent, StepPlan } from "../../scheduler/contracts.ts";
import type { SequenceRequest, SequenceView } from "../../scheduler/contracts.ts";
import type { Policy } from "./policy.ts";

export interface BatchFillingOptions {
  readonly maxNumSeqs: number;
  /** Tokens of one call, decode rows included. */
  readonly maxNumBatchedTokens: number;
}

interface Entry extends SequenceView {
  seqId: number;
  readonly tokens: number[];
  readonly cacheSalt: string;
  readonly maxNumTokens: number;
  numComputedTokens: number;
  isRunning: boolean;
  isAnnounced: boolean;
}

/**
 * The policy of most engines: first come, first served; each step one call with a token for every decoding sequence and
 * then as many prompt tokens as the batch holds. Tokens come out when the whole call is done. With a batch that holds
 * whole prompts this is llama-server's one-shot prefill, with a smaller one the static token budget of vLLM.
 * When memory is short the latest arrival is preempted and recomputed later.
 */
export class BatchFillingPolicy implements Policy {
  readonly #options: BatchFillingOptions;
  readonly #kv: KvCacheManager;
  /** Next in line last. */
  readonly #preempted: Entry[] = [];
  readonly #waiting: Entry[] = [];
  #numTaken = 0;
  /** By arrival. */
  #running: Entry[] = [];
  #events: SequenceEvent[] = [];
  #stepIndex = 0;

  constructor(options: BatchFillingOptions, kv: KvCacheManager) {
    if (options.maxNumBatchedTokens <= options.maxNumSeqs) {
      throw new RangeError(
        `a batch must hold more than ${options.maxNumSeqs} tokens: one for each sequence, and prompts`,
      );
    }
    this.#options = options;
    this.#kv = kv;
  }

  add({ requestId, tokens, sampling, cacheSalt, maxTokens }: SequenceRequest): void {
    this.#waiting.push({
      requestId,
      seqId: -1,
      tokens: [...tokens],
      numPromptTokens: tokens.length,
      sampling,
      cacheSalt,
      maxNumTokens: tokens.length + maxTokens,
      numComputedTokens: 0,
      isRunning: false,
      isAnnounced: false,
    });
  }

  schedule(nowMs: number): StepPlan | null {
    this.#kv.advanceTo(nowMs);
    for (const entry of this.#running) if (numUncomputed(entry) === 1) this.#grow(entry);
    const rows = this.#running.filter((entry) => numUncomputed(entry) === 1).map((entry) => rowOf(entry, 1));
    this.#addPrompts(rows);
    const cacheOps = this.#kv.takeOps();
    if (rows.length === 0 && cacheOps.length === 0) return null;
    const numTokens = rows.reduce((sum, row) => sum + row.numTokens, 0);
    const batches = rows.length === 0 ? [] : [{ kind: "prefill" as const, rows, numTokens }];
    return { stepIndex: this.#stepIndex++, cacheOps, batches };
  }

  update(batch: Batch, result: BatchResult): SequenceEvent[] {
    const events = this.#events;
    this.#events = [];
    let numSamples = 0;
    for (const row of batch.rows) {
      const entry = row.sequence as Entry;
      entry.numComputedTokens = row.start + row.numTokens;
      this.#kv.commit(entry.seqId, entry.numComputedTokens);
      if (!row.sample) continue;
      const sample = result.samples[numSamples++]!;
      entry.tokens.push(sample.tokenId);
      events.push({ kind: "token", sample });
      if (entry.tokens.length < entry.maxNumTokens) continue;
      this.#stop(entry);
      events.push({ kind: "finished", requestId: entry.requestId, reason: "length" });
    }
    return events;
  }

  /** Prompts that have begun, then new ones, in arrival order until the batch is full. */
  #addPrompts(rows: BatchRow[]): void {
    let budget = this.#options.maxNumBatchedTokens - rows.length;
    for (const entry of this.#promptOrder()) {
      const row = rowOf(entry, Math.min(budget, numUncomputed(entry)));
      rows.push(row);
      budget -= row.numTokens;
      if (budget === 0) return;
    }
  }

  /** Admits a new one only when it is asked for. */
  *#promptOrder(): Iterable<Entry> {
    yield* this.#running.filter((entry) => numUncomputed(entry) > 1);
    for (let entry = this.#next(); entry !== null && this.#admit(entry); entry = this.#next()) yield entry;
  }

  #next(): Entry | null {
    return this.#preempted.at(-1) ?? this.#waiting[this.#numTaken] ?? null;
  }

  #admit(entry: Entry): boolean {
    if (this.#running.length >= this.#options.maxNumSeqs) return false;
    const numReserveBlocks = this.#running.length;
    const admission = this.#kv.admit({ key: entry, useCachedPrefix: true, numReserveBlocks });
    if (admission === null) return false;
    if (this.#preempted.length > 0) this.#preempted.pop();
    else this.#dequeue();
    entry.seqId = admission.seqId;
    entry.numComputedTokens = admission.numCachedTokens;
    entry.isRunning = true;
    this.#running.push(entry);
    if (!entry.isAnnounced) {
      const { requestId } = entry;
      this.#events.push({ kind: "scheduled", requestId, numCachedTokens: admission.numCachedTokens });
      entry.isAnnounced = true;
    }
    return true;
  }

  /** Drops taken entries now and then: `shift` of a long array is not O(1). */
  #dequeue(): void {
    this.#numTaken += 1;
    if (this.#numTaken < 1_024) return;
    this.#waiting.splice(0, this.#numTaken);
    this.#numTaken = 0;
  }

  /** A block for the next token, if need be at the cost of the latest arrivals, at worst of the entry itself. */
  #grow(entry: Entry): void {
    while (entry.isRunning && !this.#kv.allocate(entry.seqId, entry.tokens.length)) {
      const victim = this.#running.at(-1)!;
      this.#stop(victim);
      this.#preempted.push(victim);
      this.#events.push({ kind: "preempted", requestId: victim.requestId });
    }
  }

  #stop(entry: Entry): void {
    entry.isRunning = false;
    this.#running = this.#running.filter((other) => other !== entry);
    this.#kv.release(entry.seqId, { retain: true });
  }
}

function numUncomputed(entry: Entry): number {
  return entry.tokens.length - entry.numComputedTokens;
}

function rowOf(entry: Entry, numTokens: number): BatchRow {
  const start = entry.numComputedTokens;
  const sample = start + numTokens === entry.tokens.length;
  return { sequence: entry, start, numTokens, logits: sample ? "last" : "none", sample };
}
