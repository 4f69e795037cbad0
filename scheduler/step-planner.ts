import type { KvCacheManager } from "../kvcache/kv-cache-manager.ts";
import { makeRow } from "./batch-row.ts";
import type { Batch, BatchRow } from "./contracts.ts";
import type { CopyTimeModel } from "./copy-time-model.ts";
import { findLeader } from "./leader.ts";
import type { PrefillPace } from "./prefill-pace.ts";
import type { Roster } from "./roster.ts";
import type { SchedulerOptions } from "./scheduler-options.ts";
import type { Sequence } from "./sequence.ts";
import type { TurnOrder } from "./urgency.ts";
import type { VirtualTokenCounters } from "./virtual-token-counters.ts";

/** A sliver of the next prompt would cost more than it brings. */
const MIN_FURTHER_CHUNK = 16;

/** Without a target, gaps between tokens grow up to so many times where others would pay more for short ones. */
const MAX_STRETCH = 2;
/**
 * Prompts, but for one, that wait for so many gaps' time are a backlog, and gaps grow with it: larger chunks cost
 * less for each token. Simulated on two cores at 70 to 90 % load, this takes a fifth to a third off the TTFT p99, for gaps
 * of up to half a second while prompts wait.
 */
const BACKLOG_GAPS = 2;

/** Nobody makes way for the next request of a tenant whose latest one is older than this. */
const TENANT_STAYS_MS = 10_000;

/** Bounds the work of one step when very many requests wait for one prefix. */
const MAX_PASSED_OVER = 16;

export interface StepPlannerParts {
  readonly options: SchedulerOptions;
  readonly kv: KvCacheManager;
  readonly roster: Roster;
  readonly order: TurnOrder;
  readonly pace: PrefillPace;
  readonly copyTimes: CopyTimeModel;
  readonly counters: VirtualTokenCounters;
  readonly onPreempt: (sequence: Sequence) => void;
}

/** Which tokens are computed next: a row for every decoding sequence, then prompts within the token budget. */
export class StepPlanner {
  readonly #options: SchedulerOptions;
  readonly #kv: KvCacheManager;
  readonly #roster: Roster;
  readonly #order: TurnOrder;
  readonly #pace: PrefillPace;
  readonly #copyTimes: CopyTimeModel;
  readonly #counters: VirtualTokenCounters;
  readonly #onPreempt: (sequence: Sequence) => void;

  constructor(parts: StepPlannerParts) {
    this.#options = parts.options;
    this.#kv = parts.kv;
    this.#roster = parts.roster;
    this.#order = parts.order;
    this.#pace = parts.pace;
    this.#copyTimes = parts.copyTimes;
    this.#counters = parts.counters;
    this.#onPreempt = parts.onPreempt;
  }

  /** At most one decode and one prefill batch, decode first: the gap between tokens is a promise. */
  plan(): Batch[] {
    this.#shareSeats();
    const decode = this.#planDecode();
    const prefill = this.#planPrefill(decode?.rows.length ?? 0);
    return [decode, prefill].filter((batch) => batch !== null);
  }

  /**
   * Whose turn it is does not wait for what running sequences of worse classes hold, nor for a seat that a tenant with
   * more of them holds: requests end when they like, and long ones would keep all others waiting. Before any row is
   * planned, for who gives way gets none.
   */
  #shareSeats(): void {
    for (let numLooks = 0; numLooks < MAX_PASSED_OVER; numLooks += 1) {
      const waiting = this.#roster.nextWaiting();
      if (waiting === null || !this.#isKeptOut(waiting)) break;
      if (this.#awaitsDisk(waiting)) this.#roster.passOver(waiting);
      else if (!this.#takeSeat(waiting)) {
        if (!waiting.isResuming || !this.#roster.isFull) break;
        this.#roster.passOver(waiting);
      }
    }
    this.#roster.recallPassedOver();
  }

  /** By seats or, which takes longer to find out, by memory that a worse class holds. */
  #isKeptOut(newcomer: Sequence): boolean {
    const { isFull, running } = this.#roster;
    return isFull || (running.worseThan(newcomer, this.#order).length > 0 && !this.#roster.hasRoom(newcomer));
  }

  #takeSeat(newcomer: Sequence): boolean {
    let victims = this.#outranked(newcomer);
    if (victims.length === 0) victims = this.#unfairlySeated(newcomer);
    // What is paused gives way in its own time.
    if (victims.length === 0 || this.#roster.running.pausedVictim() !== null) return false;
    for (const victim of victims) this.#preempt(victim);
    return this.#roster.admit(newcomer);
  }

  /** As few as possible of worse classes, the least urgent first; none where even all of them are not enough. */
  #outranked(newcomer: Sequence): Sequence[] {
    const worse = this.#roster.running.worseThan(newcomer, this.#order);
    if (worse.length === 0 || !this.#roster.hasRoom(newcomer, worse)) return [];
    let victims: Sequence[] = [];
    while (!this.#roster.hasRoom(newcomer, victims)) victims.push(worse[victims.length]!);
    // A larger one that came last may have been enough.
    for (const spared of victims.toReversed()) {
      const fewer = victims.filter((victim) => victim !== spared);
      if (this.#roster.hasRoom(newcomer, fewer)) victims = fewer;
    }
    return victims;
  }

  #unfairlySeated(newcomer: Sequence): Sequence[] {
    // Who was interrupted comes back when a seat is free, else it would only pass the interruption on.
    if (newcomer.isResuming || !this.#roster.isFull) return [];
    const victim = this.#roster.running.unfairlySeated(newcomer);
    return victim !== null && this.#roster.hasRoom(newcomer, [victim]) ? [victim] : [];
  }

  /** One row for each running sequence with a single token to compute. */
  #planDecode(): Batch | null {
    // Most urgent first: whoever gives way to another's growth is less urgent or paused, and has no row yet.
    for (const sequence of this.#roster.running.byUrgency) {
      if (sequence.isDecoding) this.#grow(sequence);
    }
    const rows: BatchRow[] = [];
    for (const sequence of this.#roster.running.bySeqId) {
      if (sequence.isDecoding) rows.push(makeRow(sequence, 1));
    }
    return rows.length === 0 ? null : { kind: "decode", rows, numTokens: rows.length };
  }

  /** Finishes one prompt before it starts the next, so that first tokens come early. */
  #planPrefill(numDecodeRows: number): Batch | null {
    const rows: BatchRow[] = [];
    let first: Sequence | null = null;
    let budget = Infinity;
    let stretch = 1;
    let numTokens = 0;
    let copyMs = 0;
    for (const sequence of this.#prefillOrder()) {
      if (first === null) {
        stretch = this.#stretch(numDecodeRows, sequence);
        budget = this.#prefillBudget(numDecodeRows, sequence, stretch);
      } else if (this.#roster.running.hasFewerSeats(first, sequence)) {
        // What rides along delays the first token of the prompt that it rides with.
        break;
      } else {
        // What its admission copies leaves less time for tokens, if any.
        budget -= this.#pace.fastPrefillTokens(this.#copyMs(numDecodeRows) - copyMs);
        if (budget < MIN_FURTHER_CHUNK) break;
      }
      copyMs = this.#copyMs(numDecodeRows);
      const row = makeRow(sequence, sequence.prefillChunk(budget));
      rows.push(row);
      budget -= row.numTokens;
      numTokens += row.numTokens;
      // Gaps grow for one prompt, whose chunks then get larger. The next one can as well follow a decode call.
      if (first === null && stretch > 1)
        budget = Math.min(budget, this.#prefillBudget(numDecodeRows, sequence, 1) - numTokens);
      first ??= sequence;
      if (budget < MIN_FURTHER_CHUNK) break;
      if (numDecodeRows === 0 && numTokens >= this.#pace.sharedCallLimit()) break;
    }
    this.#roster.recallPassedOver();
    if (rows.length === 0) return null;
    rows.sort((left, right) => left.sequence.seqId - right.sequence.seqId);
    return { kind: "prefill", rows, numTokens };
  }

  /**
   * Sequences with several tokens to compute, in the order of turns. Waiting ones are admitted only when theirs
   * has come: the later a sequence joins, the more of its prefix others have computed by then.
   */
  *#prefillOrder(): Iterable<Sequence> {
    const started = this.#roster.running.byUrgency.filter((it) => it.isRunnable && !it.isDecoding);
    started.sort((left, right) => this.#order.compare(right, left));
    for (const ahead: Sequence[] = []; ;) {
      const sequence = this.#takeBefore(started, ahead) ?? started.pop();
      if (sequence === undefined) return;
      ahead.push(sequence);
      yield sequence;
    }
  }

  /**
   * Admits the first of the waiting sequences, if it comes before all that have started and there is room. It lends its
   * turn to one of those, a leader, that has more of its prefix than the cache: what it would compute now, the leader
   * does for both. Nobody waits for one that is ahead in this very step any longer than for the next step: a leader
   * reaches its end in it, else there would be no budget left for others.
   */
  #takeBefore(started: Sequence[], ahead: readonly Sequence[]): Sequence | undefined {
    const next = started.at(-1);
    for (let numPassedOver = 0; numPassedOver < MAX_PASSED_OVER; numPassedOver += 1) {
      const waiting = this.#roster.nextWaiting();
      if (waiting === null || (next !== undefined && this.#order.compare(next, waiting) < 0))
        return undefined;
      const isLed = findLeader(waiting, ahead, this.#kv) !== undefined;
      const leader = isLed ? undefined : this.#leaderOf(waiting, started);
      const mustWait = isLed || leader !== undefined || this.#awaitsDisk(waiting);
      if (!mustWait) return this.#admit(waiting) ? waiting : undefined;
      this.#roster.passOver(waiting);
      if (leader !== undefined) return started.splice(started.indexOf(leader), 1)[0];
    }
    return undefined;
  }

  /** For one that could start now: who waits for room has no turn to lend. */
  #leaderOf(waiting: Sequence, started: readonly Sequence[]): Sequence | undefined {
    const leader = findLeader(waiting, started, this.#kv);
    if (leader === undefined) return undefined;
    const canStart = this.#roster.hasRoom(waiting) || this.#roster.running.pausedVictim() !== null;
    return canStart ? leader : undefined;
  }

  /** What only the disk has of its prefix is being read. It asks once each time that it waits, so it never waits for long. */
  #awaitsDisk(sequence: Sequence): boolean {
    if (sequence.wantsPromptLogprobs) return false;
    sequence.fetch ??= this.#kv.fetch(sequence);
    return !sequence.fetch.isDone;
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

  #prefillBudget(numDecodeRows: number, sequence: Sequence, stretch: number): number {
    const load = { numDecodeRows, usedTokens: this.#kv.numHeldTokens };
    const { maxNumBatchedTokens, targetItlMs } = this.#options;
    const isShort = targetItlMs === null && this.#crowdsOthersOut(sequence);
    return this.#pace.budget({
      ...load,
      // Pieces that are always cut alike end where they end.
      numTokens: sequence.decodesFrom === Infinity ? sequence.numUncomputedTokens : Infinity,
      depth: sequence.numComputedTokens,
      maxTokens: isShort ? Math.min(maxNumBatchedTokens, this.#pace.nimbleCall(load)) : maxNumBatchedTokens,
      targetItlMs,
      stretch,
      wantedItlMs: this.#roster.running.leastTokenGapMs(),
      copyMs: this.#copyMs(numDecodeRows),
    });
  }

  /** By how much the copies of the step, as far as it is planned, delay those that decode. */
  #copyMs(numDecodeRows: number): number {
    return numDecodeRows === 0 ? 0 : this.#copyTimes.operationsMs(this.#kv.pendingOps);
  }

  /** Most of what runs is one tenant's, and others come and go: the next of theirs should not wait for a long call. */
  #crowdsOthersOut(sequence: Sequence): boolean {
    const idleMs = this.#order.nowMs - this.#counters.lastArrivalOfOthersMs(sequence.account);
    return idleMs <= TENANT_STAYS_MS && this.#roster.running.hasMostSeats(sequence);
  }

  /** By how much gaps may grow for this prompt. A target that was asked for is kept for all alike. */
  #stretch(numDecodeRows: number, sequence: Sequence): number {
    if (numDecodeRows === 0 || this.#options.targetItlMs !== null) return 1;
    if (this.#roster.running.othersHaveMoreSeats(sequence)) return MAX_STRETCH;
    const gapMs = this.#pace.defaultItlMs({ numDecodeRows, usedTokens: this.#kv.numHeldTokens });
    return Math.min(MAX_STRETCH, Math.max(1, this.#backlogMs(sequence) / (BACKLOG_GAPS * gapMs)));
  }

  /** Time that all other prompts but one will take at least: one who waits is no queue. */
  #backlogMs(first: Sequence): number {
    let numTokens = this.#roster.numWaitingTokens;
    let mostTokens = this.#roster.nextWaiting()?.tokens.length ?? 0;
    for (const sequence of this.#roster.running.byUrgency) {
      if (sequence === first || sequence.isDecoding || sequence.isPaused) continue;
      numTokens += sequence.numUncomputedTokens;
      mostTokens = Math.max(mostTokens, sequence.numUncomputedTokens);
    }
    return this.#pace.fastPrefillMs(numTokens - mostTokens);
  }
}
