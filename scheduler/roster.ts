import type { AdmissionRequest } from "../kvcache/admission.ts";
import type { KvCacheManager } from "../kvcache/kv-cache-manager.ts";
import { RunningSet } from "./running-set.ts";
import type { Sequence } from "./sequence.ts";
import type { TurnOrder } from "./urgency.ts";
import { chargeInput } from "./virtual-token-counters.ts";
import { WaitingQueue } from "./waiting-queue.ts";

export interface RosterParts {
  readonly kv: KvCacheManager;
  readonly maxNumSeqs: number;
  readonly order: TurnOrder;
  /** Whether a running sequence comes back sooner from host memory than by computing it again. */
  readonly isParkCheaper: (sequence: Sequence) => boolean;
}

/**
 * All unfinished sequences and where each of them is:
 *
 *   waiting, preempted   queued, or held back while paused
 *   running              holds a sequence id and blocks; gets rows unless paused
 *
 * Every change of place goes through here, so that the queue and the blocks always agree.
 */
export class Roster {
  readonly running = new RunningSet();
  /** Only grow. Queries and hits count every admission, the cached prompt only the first of each sequence. */
  readonly counters = {
    numPreemptions: 0,
    numParks: 0,
    numPromptTokensCached: 0,
    numPrefixQueryTokens: 0,
    numPrefixHitTokens: 0,
    numHostHitTokens: 0,
    numDiskHitTokens: 0,
  };
  readonly #kv: KvCacheManager;
  readonly #maxNumSeqs: number;
  readonly #sequences = new Map<string, Sequence>();
  readonly #order: TurnOrder;
  readonly #isParkCheaper: (sequence: Sequence) => boolean;
  readonly #queue: WaitingQueue<Sequence>;
  #passedOver: Sequence[] = [];
  #numWaitingTokens = 0;

  constructor({ kv, maxNumSeqs, order, isParkCheaper }: RosterParts) {
    this.#kv = kv;
    this.#maxNumSeqs = maxNumSeqs;
    this.#order = order;
    this.#isParkCheaper = isParkCheaper;
    this.#queue = new WaitingQueue(order);
  }

  /** Every seat is taken. */
  get isFull(): boolean {
    return this.running.size >= this.#maxNumSeqs;
  }

  get numWaiting(): number {
    return this.#sequences.size - this.running.size;
  }

  get numWaitingTokens(): number {
    return this.#numWaitingTokens;
  }

  /** Something can run now or could be admitted. */
  get hasRunnable(): boolean {
    return this.#queue.size > 0 || this.running.byUrgency.some((sequence) => sequence.isRunnable);
  }

  /** All unfinished, in order of arrival. */
  get sequences(): Iterable<Sequence> {
    return this.#sequences.values();
  }

  get(requestId: string): Sequence | undefined {
    return this.#sequences.get(requestId);
  }

  add(sequence: Sequence): void {
    this.#sequences.set(sequence.requestId, sequence);
    this.#queue.level(sequence.account);
    this.#enqueue(sequence);
  }

  /** Whose turn it is to be admitted. */
  nextWaiting(): Sequence | null {
    return this.#queue.peek();
  }

  /** Waiting → running, with blocks for all its tokens. Returns false, without effect, when there is no room. */
  admit(sequence: Sequence): boolean {
    if (this.isFull) return false;
    const admission = this.#kv.admit(admissionRequest(sequence, this.running.size));
    if (admission === null) return false;
    this.#leaveWaiting(sequence);
    sequence.status = "running";
    sequence.seqId = admission.seqId;
    sequence.numComputedTokens = admission.numCachedTokens;
    this.counters.numHostHitTokens += admission.numRestoredTokens;
    this.#countAdmission(sequence);
    this.running.add(sequence);
    return true;
  }

  /** A waiting sequence could be admitted, if it weren't for `without`, which run. */
  hasRoom(sequence: Sequence, without: readonly Sequence[] = []): boolean {
    const numOthers = this.running.size - without.length;
    const seqIds = without.map(({ seqId }) => seqId);
    return numOthers < this.#maxNumSeqs && this.#kv.fits(admissionRequest(sequence, numOthers), seqIds);
  }

  /** Takes a waiting sequence out of this step's turn. */
  passOver(sequence: Sequence): void {
    this.#queue.remove(sequence);
    this.#passedOver.push(sequence);
  }

  /** Ends the step: those passed over are back in the queue. */
  recallPassedOver(): void {
    for (const sequence of this.#passedOver) this.#queue.push(sequence);
    this.#passedOver = [];
  }

  /** The first `numComputedTokens` tokens of a running sequence are computed. */
  advance(sequence: Sequence, numComputedTokens: number): void {
    sequence.numComputedTokens = numComputedTokens;
    this.#kv.commit(sequence.seqId, Math.min(numComputedTokens, sequence.decodesFrom));
  }

  /**
   * Running → waiting: its blocks may be evicted, to host memory where there is some and copies are cheaper than
   * computing them again. What is left of them in either place when it is admitted again is not recomputed.
   */
  preempt(sequence: Sequence): void {
    const canPark = this.#kv.canPark(sequence.seqId);
    const isParked = canPark && this.#isParkCheaper(sequence);
    if (isParked) this.counters.numParks += 1;
    // What stays in the pool would be copied when it is evicted.
    this.#stopRunning(sequence, { status: "preempted", retain: isParked || !canPark });
    sequence.fetch = null;
    this.counters.numPreemptions += 1;
    this.#enqueue(sequence);
  }

  /** The end of a sequence, wherever it is. */
  remove(sequence: Sequence): void {
    if (sequence.status === "running") this.#stopRunning(sequence, { status: "finished", retain: true });
    else this.#leaveWaiting(sequence);
    sequence.status = "finished";
    this.#sequences.delete(sequence.requestId);
  }

  pause(sequence: Sequence): void {
    sequence.isPaused = true;
    this.#queue.remove(sequence);
  }

  resume(sequence: Sequence): void {
    if (!sequence.isPaused) return;
    sequence.isPaused = false;
    if (sequence.status !== "running") this.#queue.push(sequence);
  }

  #countAdmission(sequence: Sequence): void {
    const { numComputedTokens, numPromptTokens, tokens } = sequence;
    this.counters.numPrefixQueryTokens += tokens.length;
    this.counters.numPrefixHitTokens += numComputedTokens;
    if (sequence.numCachedTokens !== null) return;
    sequence.noteAdmitted(this.#order.nowMs);
    // What is computed again after a preemption is not the tenant's doing.
    chargeInput(sequence.account, sequence.numUncomputedTokens);
    sequence.numCachedTokens = Math.min(numComputedTokens, numPromptTokens);
    this.counters.numPromptTokensCached += sequence.numCachedTokens;
  }

  #enqueue(sequence: Sequence): void {
    this.#numWaitingTokens += sequence.tokens.length;
    if (!sequence.isPaused) this.#queue.push(sequence);
  }

  #leaveWaiting(sequence: Sequence): void {
    this.#numWaitingTokens -= sequence.tokens.length;
    this.#queue.remove(sequence);
  }

  #stopRunning(
    sequence: Sequence,
    end: { readonly status: "preempted" | "finished"; readonly retain: boolean },
  ): void {
    this.running.remove(sequence);
    this.#kv.release(sequence.seqId, end);
    sequence.status = end.status;
  }
}

function admissionRequest(sequence: Sequence, numOthers: number): AdmissionRequest {
  return {
    key: sequence,
    useCachedPrefix: !sequence.wantsPromptLogprobs,
    // A block for each running sequence to grow into, lest the newcomer be preempted at once.
    numReserveBlocks: numOthers,
    pins: sequence.pins,
  };
}
