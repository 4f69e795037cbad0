import type { KvCacheManager } from "../kvcache/kv-cache-manager.ts";
import type { Batch, BatchRow, LogitsWanted } from "./contracts.ts";
import { numCommonTokens } from "./followers.ts";
import type { Roster } from "./roster.ts";
import type { SchedulerOptions } from "./scheduler-options.ts";
import type { Sequence } from "./sequence.ts";
import { MIN_CHUNK, type StepTimeModel } from "./step-time-model.ts";
import { compareUrgency } from "./urgency.ts";

/** Bounds the work of one step when very many requests wait for one prefix; later steps defer the rest. */
const MAX_DEFERRALS_PER_STEP = 64;

export interface StepPlannerParts {
  readonly options: SchedulerOptions;
  readonly kv: KvCacheManager;
  readonly roster: Roster;
  readonly stepTimes: StepTimeModel;
  readonly onPreempt: (sequence: Sequence) => void;
}

/** Which tokens are computed next: a row for every decoding sequence, then prompts within the token budget. */
export class StepPlanner {
  readonly #options: SchedulerOptions;
  readonly #kv: KvCacheManager;
  readonly #roster: Roster;
  readonly #stepTimes: StepTimeModel;
  readonly #onPreempt: (sequence: Sequence) => void;

  constructor(parts: StepPlannerParts) {
    this.#options = parts.options;
    this.#kv = parts.kv;
    this.#roster = parts.roster;
    this.#stepTimes = parts.stepTimes;
    this.#onPreempt = parts.onPreempt;
  }

  /** At most one decode and one prefill batch, decode first: the gap between tokens is a promise. */
  plan(): Batch[] {
    const decode = this.#planDecode();
    const prefill = this.#planPrefill(decode?.rows.length ?? 0);
    return [decode, prefill].filter((batch) => batch !== null);
  }

  /** One row for each running sequence with a single token to compute. */
  #planDecode(): Batch | null {
    // Most urgent first: whoever gives way to another's growth is less urgent or paused, and has no row yet.
    for (const sequence of this.#roster.running.byUrgency) {
      if (isDecoding(sequence)) this.#grow(sequence);
    }
    const rows = this.#roster.running.bySeqId.filter(isDecoding).map((sequence) => makeRow(sequence, 1));
    return rows.length === 0 ? null : { kind: "decode", rows, numTokens: rows.length };
  }

  /** Finishes one prompt before it starts the next, so that first tokens come early. */
  #planPrefill(numDecodeRows: number): Batch | null {
    const rows: BatchRow[] = [];
    let budget = Infinity;
    for (const sequence of this.#prefillOrder()) {
      if (rows.length === 0) budget = this.#prefillBudget(numDecodeRows, sequence.numComputedTokens);
      const row = makeRow(sequence, Math.min(budget, sequence.numUncomputedTokens));
      rows.push(row);
      budget -= row.numTokens;
      // A sliver of the next prompt would cost more than it brings.
      if (budget < MIN_CHUNK) break;
    }
    if (rows.length === 0) return null;
    rows.sort((left, right) => left.sequence.seqId - right.sequence.seqId);
    return { kind: "prefill", rows, numTokens: rows.reduce((sum, row) => sum + row.numTokens, 0) };
  }

  /**
   * Sequences with several tokens to compute, most urgent first. Waiting ones are admitted only when their turn
   * has come: the later a sequence joins, the more of its prefix others have computed by then.
   */
  *#prefillOrder(): Iterable<Sequence> {
    const started = this.#roster.running.byUrgency.filter((it) => it.isRunnable && !isDecoding(it));
    const leaders = [...started];
    let numDeferrals = 0;
    for (let index = 0, isOpen = true; ;) {
      const running = started[index];
      const waiting = isOpen ? this.#roster.nextWaiting() : null;
      if (waiting === null || (running !== undefined && compareUrgency(running, waiting) < 0)) {
        if (running === undefined) return;
        index += 1;
        yield running;
      } else if (this.#defer(waiting, leaders)) {
        numDeferrals += 1;
        isOpen = numDeferrals < MAX_DEFERRALS_PER_STEP;
      } else if (this.#admit(waiting)) {
        leaders.push(waiting);
        yield waiting;
      } else {
        isOpen = false;
      }
    }
  }

  /** Lets a sequence wait when a more urgent one is computing more of its prefix than the cache has. */
  #defer(sequence: Sequence, leaders: readonly Sequence[]): boolean {
    if (!this.#kv.options.canShare || sequence.wantsPromptLogprobs) return false;
    for (const leader of leaders) {
      if (compareUrgency(sequence, leader) < 0) continue;
      const numShared = numCommonTokens(leader, sequence, this.#kv.options.blockSize);
      if (numShared <= leader.numComputedTokens || numShared <= this.#kv.numCachedTokens(sequence)) continue;
      this.#roster.defer(sequence, leader, numShared);
      return true;
    }
    return false;
  }

  /** Only paused sequences give way to a newcomer: they hold seats and blocks without using them. */
  #admit(sequence: Sequence): boolean {
    while (!this.#roster.admit(sequence)) {
      const victim = this.#roster.running.pausedVictim();
      if (victim === null) return false;
      this.#preempt(victim);
    }
    return true;
  }

  /** Blocks for all tokens of a decoding sequence, if need be at the cost of others, at worst at its own. */
  #grow(sequence: Sequence): void {
    while (sequence.isRunnable && !this.#kv.allocate(sequence.seqId, sequence.tokens.length)) {
      this.#preempt(this.#roster.running.victim());
    }
  }

  #preempt(sequence: Sequence): void {
    this.#roster.preempt(sequence);
    this.#onPreempt(sequence);
  }

  #prefillBudget(numDecodeRows: number, depth: number): number {
    const { maxNumBatchedTokens, targetItlMs } = this.#options;
    if (numDecodeRows === 0) return maxNumBatchedTokens;
    const usedTokens = this.#kv.numHeldTokens;
    const budget = this.#stepTimes.prefillBudget({ numDecodeRows, usedTokens, depth, targetItlMs });
    return Math.min(budget, maxNumBatchedTokens);
  }
}

function isDecoding(sequence: Sequence): boolean {
  return sequence.isRunnable && sequence.numUncomputedTokens === 1;
}

function makeRow(sequence: Sequence, numTokens: number): BatchRow {
  const start = sequence.numComputedTokens;
  const sample = start + numTokens === sequence.tokens.length && sequence.wantsToken;
  return { sequence, start, numTokens, logits: logitsWanted(sequence, start + numTokens, sample), sample };
}

/** The logits of a position tell about the token after it: rows up to `end` are wanted while prompt tokens up to `end` are unreported. */
function logitsWanted(sequence: Sequence, end: number, sample: boolean): LogitsWanted {
  if (sequence.wantsPromptLogprobs && end >= sequence.numReportedPromptTokens) return "all";
  return sample ? "last" : "none";
}
