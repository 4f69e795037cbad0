import type { MachineParameters } from "../machine.ts";
import type { SimRequest } from "../sim-request.ts";
import type { FleetMetrics } from "./fleet-metrics.ts";
import { PrefixLru, type PathKey } from "./prefix-lru.ts";
import type { StepSpeed, StepSpeeds } from "./step-speeds.ts";

/** A request on its way through a replica. */
interface Job {
  readonly request: SimRequest;
  readonly keys: readonly PathKey[];
  /** Prompt tokens to compute, known when prefill starts. */
  numNewTokens: number;
  firstTokenMs: number;
  /** The replica's `#tokensPerRow` at which it has all its tokens. */
  endsAt: number;
}

/**
 * An engine as a fluid: between two events (a prompt done, an answer done, an arrival) all decoding rows get tokens at
 * one rate and one prompt is computed at another. Three events a request instead of one for each token.
 */
export class ReplicaModel {
  readonly #machine: MachineParameters;
  readonly #speeds: StepSpeeds;
  readonly #metrics: FleetMetrics;
  readonly cache = new PrefixLru();
  readonly #queue: Job[] = [];
  #numDequeued = 0;
  #prefill: { job: Job; rest: number } | null = null;
  readonly #decoding = new JobHeap();
  /** Tokens that a row which has decoded since time 0 would have by now. */
  #tokensPerRow = 0;
  /** Tokens of the decoding rows are this plus rows x tokensPerRow. */
  #contextBase = 0;
  #queuedTokens = 0;
  #outputTokens = 0;
  #nowMs = 0;
  #speed: StepSpeed = { stepMs: 1, chunk: 0 };
  #nextEventMs = Infinity;
  #busyMs = 0;

  constructor(machine: MachineParameters, speeds: StepSpeeds, metrics: FleetMetrics) {
    this.#machine = machine;
    this.#speeds = speeds;
    this.#metrics = metrics;
  }

  get busyMs(): number {
    return this.#busyMs;
  }

  /** Milliseconds of work in hand: prompts to compute and outputs to come, both at full load's speed. */
  get backlogMs(): number {
    const { prefillMsPerToken, decodeMsPerToken } = this.#speeds;
    return this.#queuedTokens * prefillMsPerToken + this.#outputTokens * decodeMsPerToken;
  }

  submit(request: SimRequest, keys: readonly PathKey[]): void {
    this.#progress(request.atMs);
    this.#queue.push({ request, keys, numNewTokens: 0, firstTokenMs: 0, endsAt: 0 });
    this.#queuedTokens += request.numPromptTokens;
    this.#outputTokens += request.numOutputTokens;
    this.#startPrefill();
    this.#plan();
  }

  /** Lives up to a moment. */
  advance(toMs: number): void {
    while (this.#nextEventMs <= toMs) {
      this.#progress(this.#nextEventMs);
      this.#endPrefill();
      this.#endAnswers();
      this.#startPrefill();
      this.#plan();
    }
  }

  /** Lives until nothing is left to do. */
  drain(): number {
    while (this.#nextEventMs < Infinity) this.advance(this.#nextEventMs);
    return this.#nowMs;
  }

  #progress(toMs: number): void {
    const elapsedMs = toMs - this.#nowMs;
    this.#nowMs = toMs;
    const numRows = this.#decoding.size;
    if (elapsedMs <= 0 || (numRows === 0 && this.#prefill === null)) return;
    this.#busyMs += elapsedMs;
    const numSteps = elapsedMs / this.#speed.stepMs;
    this.#tokensPerRow += numRows === 0 ? 0 : numSteps;
    if (this.#prefill !== null) this.#prefill.rest -= numSteps * this.#speed.chunk;
    this.#metrics.gaps(this.#speed.stepMs, numRows * numSteps);
  }

  #endPrefill(): void {
    if (this.#prefill === null || this.#prefill.rest > 1e-6) return;
    const { job } = this.#prefill;
    const { numPromptTokens, numOutputTokens } = job.request;
    this.#prefill = null;
    this.#queuedTokens -= numPromptTokens;
    job.firstTokenMs = this.#nowMs;
    job.endsAt = this.#tokensPerRow + numOutputTokens - 1;
    this.#contextBase += numPromptTokens - this.#tokensPerRow;
    this.#decoding.push(job);
  }

  #endAnswers(): void {
    for (let job = this.#decoding.peek(); job !== null && job.endsAt <= this.#tokensPerRow + 1e-6;) {
      this.#decoding.pop();
      const { numPromptTokens, numOutputTokens } = job.request;
      this.#contextBase -= numPromptTokens - (job.endsAt - numOutputTokens + 1);
      this.#outputTokens -= numOutputTokens;
      this.#metrics.finished(job.request, job.firstTokenMs, this.#nowMs);
      job = this.#decoding.peek();
    }
  }

  #startPrefill(): void {
    const job = this.#queue[this.#numDequeued];
    if (this.#prefill !== null || job === undefined || !this.#hasRoom(job)) return;
    this.#dequeue();
    const { numPromptTokens, segments } = job.request;
    const numCached = Math.min(numPromptTokens - 1, this.cache.numCachedTokens(job.keys));
    job.numNewTokens = numPromptTokens - numCached;
    this.#prefill = { job, rest: job.numNewTokens };
    this.#metrics.started(job.request, numCached);
    const { maxCachedBlocks, maxHostBlocks, blockSize } = this.#machine;
    const numRunningTokens = this.#numContextTokens() + numPromptTokens;
    const numLeft = Math.max(0, this.#numCells() - numRunningTokens);
    this.cache.insert(
      job.keys,
      segments,
      numRunningTokens + Math.min(numLeft, maxCachedBlocks * blockSize) + maxHostBlocks * blockSize,
    );
  }

  #hasRoom({ request }: Job): boolean {
    if (this.#decoding.size >= this.#machine.maxNumSeqs) return false;
    return (
      this.#decoding.size === 0 || this.#numContextTokens() + request.numPromptTokens <= this.#numCells()
    );
  }

  /** Drops taken jobs now and then: `shift` of a long array is not O(1). */
  #dequeue(): void {
    this.#numDequeued += 1;
    if (this.#numDequeued < 1_024) return;
    this.#queue.splice(0, this.#numDequeued);
    this.#numDequeued = 0;
  }

  #numContextTokens(): number {
    return this.#contextBase + this.#decoding.size * this.#tokensPerRow;
  }

  #numCells(): number {
    return this.#machine.numBlocks * this.#machine.blockSize;
  }

  /** The speed from now on, and when it will next change by itself. */
  #plan(): void {
    const numRows = this.#decoding.size;
    const prefill = this.#prefill;
    const numContextTokens = this.#numContextTokens();
    if (numRows === 0 && prefill === null) {
      this.#nextEventMs = Infinity;
      return;
    }
    this.#speed = this.#speeds.at({
      numRows,
      context: numRows === 0 ? 0 : numContextTokens / numRows,
      numUsedCells: Math.max(
        numContextTokens,
        Math.min(this.cache.numTokens, this.#machine.maxCachedBlocks * this.#machine.blockSize),
      ),
      numPrefillTokens: prefill === null ? 0 : this.#numPrefillTokens(prefill.rest),
      depth: prefill === null ? 0 : prefill.job.request.numPromptTokens - prefill.job.numNewTokens / 2,
    });
    const { stepMs, chunk } = this.#speed;
    const prefillSteps = prefill === null ? Infinity : prefill.rest / chunk;
    const answer = this.#decoding.peek();
    const answerSteps = answer === null ? Infinity : answer.endsAt - this.#tokensPerRow;
    this.#nextEventMs = this.#nowMs + Math.max(0, Math.min(prefillSteps, answerSteps)) * stepMs;
  }

  /** The next prompts fill what the first leaves of a step. */
  #numPrefillTokens(rest: number): number {
    const next = this.#queue[this.#numDequeued];
    return rest + (next === undefined ? 0 : next.request.numPromptTokens);
  }
}

/** Jobs by their end, the next one first. */
class JobHeap {
  readonly #jobs: Job[] = [];

  get size(): number {
    return this.#jobs.length;
  }

  peek(): Job | null {
    return this.#jobs[0] ?? null;
  }

  push(job: Job): void {
    let index = this.#jobs.push(job) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (this.#jobs[parent]!.endsAt <= job.endsAt) break;
      this.#jobs[index] = this.#jobs[parent]!;
      index = parent;
    }
    this.#jobs[index] = job;
  }

  pop(): void {
    const last = this.#jobs.pop()!;
    const size = this.#jobs.length;
    if (size === 0) return;
    let index = 0;
    for (let child = 1; child < size; child = 2 * index + 1) {
      if (child + 1 < size && this.#jobs[child + 1]!.endsAt < this.#jobs[child]!.endsAt) child += 1;
      if (last.endsAt <= this.#jobs[child]!.endsAt) break;
      this.#jobs[index] = this.#jobs[child]!;
      index = child;
    }
    this.#jobs[index] = last;
  }
}
