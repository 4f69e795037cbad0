import type { PinnedPrefix, SchedulerStats, TokenLogprob } from "../../scheduler/contracts.ts";
import { createFakeModelInfo } from "../../models/fake-model-runner.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import type { EngineSnapshot } from "../../src/engine/engine-snapshot.ts";
import { GenerationError } from "../../src/engine/generation.ts";
import type {
  DeliveredToken,
  Engine,
  EngineState,
  Forecast,
  Generation,
  GenerationRequest,
  GenerationSink,
  QueuePlace,
  QueueState,
} from "../../src/engine/generation.ts";
import { firstWordId, fakePieces, words } from "./fake-text.ts";

export interface FakeEngineOptions {
  readonly maxNumSeqs?: number;
  readonly maxQueue?: number;
  readonly maxModelLen?: number;
  /** Choices end with "stop" after this many tokens. */
  readonly naturalLength?: number;
  /** Milliseconds between steps; null means that only `step()` moves the engine. */
  readonly stepMs?: number | null;
  /** Bytes appended to every token's text, to fill buffers quickly. */
  readonly padding?: string;
}

const NUM_BLOCKS = 64;

/**
 * An engine in the test's own process that produces known words: the i-th token of choice c is word (i + c) mod the
 * list's length. It keeps the contract of `Engine`, so that the server can be tested without a model.
 */
export class FakeEngine implements Engine {
  state: EngineState = "ready";
  model: ModelInfo | null;
  numRestarts = 0;
  readonly received: GenerationRequest[] = [];
  readonly active = new Set<FakeGeneration>();
  /** Request ids that the server aborted while they ran. */
  readonly abortedIds: string[] = [];
  readonly unpinned: PinnedPrefix[] = [];
  /** Thrown by the next `generate`. */
  refusal: GenerationError | null = null;
  readonly #options: Required<FakeEngineOptions>;
  #timer: NodeJS.Timeout | null = null;
  #stepAgeMs = 0;
  #onRestart = (): void => {};

  constructor(options: FakeEngineOptions = {}) {
    this.#options = {
      maxNumSeqs: 16,
      maxQueue: 512,
      maxModelLen: 512,
      naturalLength: 5,
      stepMs: 0,
      padding: "",
      ...options,
    };
    const { maxModelLen, maxNumSeqs } = this.#options;
    this.model = createFakeModelInfo({
      maxModelLen,
      maxNumSeqs,
      vocabSize: fakePieces.length,
      kvPool: { numBlocks: NUM_BLOCKS },
    });
  }

  lastStepAgeMs(): number {
    return this.#stepAgeMs;
  }

  pretendStalledFor(ageMs: number): void {
    this.#stepAgeMs = ageMs;
  }

  stats(): SchedulerStats {
    const numChoices = [...this.active].reduce((sum, generation) => sum + generation.numOpenChoices, 0);
    const numRunning = Math.min(numChoices, this.#options.maxNumSeqs);
    const numUsed = Math.min(NUM_BLOCKS, numRunning);
    return {
      numRunning,
      numWaiting: numChoices - numRunning,
      numWaitingTokens: 0,
      blocks: { total: NUM_BLOCKS, free: NUM_BLOCKS - numUsed, cached: 0, used: numUsed },
      hostBlocks: { total: 0, used: 0 },
      numDiskBlocks: 0,
      numPreemptions: 0,
      numParks: 0,
      numPromptTokensComputed: 0,
      numPromptTokensCached: 0,
      numPrefixQueryTokens: 0,
      numPrefixHitTokens: 0,
      numHostHitTokens: 0,
      numDiskHitTokens: 0,
      numGeneratedTokens: 0,
    };
  }

  queue(): QueueState {
    const { numWaiting } = this.stats();
    return { numSequences: numWaiting, numTokens: 0, oldestMs: 0, predictedWaitMs: 4000 };
  }

  forecast(): Forecast {
    const alone = { ttftMs: 100, tpotMs: 10, totalMs: 1000 };
    const times = { queueMs: 2000, ttftMs: 2100, tpotMs: 10, totalMs: 3000 };
    return { numAhead: this.stats().numWaiting, ...times, alone };
  }

  refusalOf(): GenerationError | null {
    if (this.refusal !== null) return this.refusal;
    const numWaiting = this.active.size - this.#options.maxNumSeqs;
    if (numWaiting < this.#options.maxQueue) return null;
    return new GenerationError("overloaded", "The queue is full.", 2500);
  }

  unpin(prefix: PinnedPrefix): void {
    this.unpinned.push(prefix);
  }

  onRestart(listener: () => void): void {
    this.#onRestart = listener;
  }

  /** Pretends that another process has taken over. */
  restart(): void {
    this.numRestarts += 1;
    this.#onRestart();
  }

  async snapshot(): Promise<EngineSnapshot> {
    const { blocks } = this.stats();
    return { running: [], waiting: [], numWaiting: 0, tenants: [], blocks, targetItlMs: 50, steps: [] };
  }

  generate(request: GenerationRequest, sink: GenerationSink): Generation {
    const refusal = this.refusalOf();
    if (refusal !== null) throw refusal;
    this.received.push(request);
    const generation = new FakeGeneration({ request, sink, engine: this, ...this.#options });
    this.active.add(generation);
    this.#schedule();
    return generation;
  }

  /** One step: each running, unpaused generation gets a token for each of its choices. */
  step(): void {
    for (const generation of [...this.active].slice(0, this.#options.maxNumSeqs)) generation.advance();
  }

  /** Tells everybody who asks that it is this far behind. */
  tellPlaces(place: QueuePlace): void {
    for (const generation of this.active) generation.tellPlace(place);
  }

  /** Breaks every running generation off. */
  fail(error: GenerationError): void {
    for (const generation of this.active) generation.fail(error);
  }

  close(): Promise<void> {
    this.state = "stopped";
    if (this.#timer !== null) clearTimeout(this.#timer);
    return Promise.resolve();
  }

  #schedule(): void {
    if (this.#options.stepMs === null || this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.step();
      if (this.active.size > 0) this.#schedule();
    }, this.#options.stepMs);
  }
}

interface FakeGenerationOptions {
  readonly request: GenerationRequest;
  readonly sink: GenerationSink;
  readonly engine: FakeEngine;
  readonly naturalLength: number;
  readonly padding: string;
}

class FakeGeneration implements Generation {
  readonly #request: GenerationRequest;
  readonly #sink: GenerationSink;
  readonly #options: FakeGenerationOptions;
  readonly #texts: string[];
  readonly #open: Set<number>;
  #numSteps = 0;
  #numGeneratedTokens = 0;
  isPaused = false;

  constructor(options: FakeGenerationOptions) {
    this.#options = options;
    this.#request = options.request;
    this.#sink = options.sink;
    const numChoices = options.request.prompts.length * options.request.numChoices;
    this.#texts = Array.from({ length: numChoices }, () => "");
    this.#open = new Set(this.#texts.keys());
  }

  get requestId(): string {
    return this.#request.requestId;
  }

  get numOpenChoices(): number {
    return this.#open.size;
  }

  abort(): void {
    if (this.#options.engine.active.delete(this)) this.#options.engine.abortedIds.push(this.requestId);
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  fail(error: GenerationError): void {
    if (this.#options.engine.active.delete(this)) this.#sink.onError(error);
  }

  tellPlace(place: QueuePlace): void {
    this.#sink.onQueued?.(place);
  }

  advance(): void {
    if (this.isPaused) return;
    if (this.#numSteps === 0) this.#prefill();
    this.#numSteps += 1;
    for (const choiceIndex of this.#open) {
      if (this.#options.engine.active.has(this)) this.#advanceChoice(choiceIndex);
    }
    if (this.#open.size > 0 || !this.#options.engine.active.delete(this)) return;
    this.#sink.onEnd({
      numPromptTokens: this.#request.prompts.reduce((sum, prompt) => sum + prompt.tokenIds.length, 0),
      numCachedTokens: 0,
      numGeneratedTokens: this.#numGeneratedTokens,
      queueMs: 1,
      prefillMs: 2,
      decodeMs: 3,
      ttftMs: 3,
      e2eMs: 6,
    });
  }

  #prefill(): void {
    this.#request.prompts.forEach(({ tokenIds }, promptIndex) => {
      const numPromptTokens = tokenIds.length;
      const progress = { promptIndex, numPromptTokens, numCachedTokens: 0 };
      this.#sink.onProgress?.({ ...progress, numComputedTokens: Math.ceil(numPromptTokens / 2) });
      this.#sink.onProgress?.({ ...progress, numComputedTokens: numPromptTokens });
      const numTop = this.#request.sampling.promptLogprobs;
      if (numTop === null) return;
      const entries = tokenIds.slice(1).map((tokenId) => ({
        token: { tokenId, logprob: -1 },
        top: alternatives(tokenId, numTop),
      }));
      this.#sink.onPromptLogprobs?.(promptIndex, entries);
    });
  }

  #advanceChoice(choiceIndex: number): void {
    const { maxTokens, stopStrings, includeStopString } = this.#request;
    if (maxTokens === 0) return this.#end(choiceIndex, "length");
    const token = this.#token(choiceIndex);
    this.#numGeneratedTokens += 1;
    const text = Buffer.from(token.bytes).toString("utf8") + this.#options.padding;
    const before = this.#texts[choiceIndex] ?? "";
    const stop = stopStrings.find((candidate) => (before + text).includes(candidate));
    if (stop !== undefined) {
      const end = (before + text).indexOf(stop) + (includeStopString ? stop.length : 0);
      const shown = (before + text).slice(before.length, end);
      if (shown !== "") this.#sink.onDelta({ choiceIndex, text: shown, tokens: [token] });
      return this.#end(choiceIndex, "stop", stop);
    }
    this.#texts[choiceIndex] = before + text;
    this.#sink.onDelta({ choiceIndex, text, tokens: [token] });
    if (this.#numSteps >= maxTokens) this.#end(choiceIndex, "length");
    else if (this.#numSteps >= this.#options.naturalLength) this.#end(choiceIndex, "stop");
  }

  #end(choiceIndex: number, finishReason: "stop" | "length", stopReason: string | null = null): void {
    if (!this.#open.delete(choiceIndex)) return;
    const numGeneratedTokens = this.#request.maxTokens === 0 ? 0 : this.#numSteps;
    this.#sink.onChoiceEnd({ choiceIndex, finishReason, stopReason, numGeneratedTokens });
  }

  #token(choiceIndex: number): DeliveredToken {
    const tokenId = firstWordId + ((this.#numSteps - 1 + choiceIndex) % words.length);
    const { topLogprobs } = this.#request.sampling;
    return {
      tokenId,
      bytes: fakePieces[tokenId] ?? new Uint8Array(),
      logprob: topLogprobs === null ? null : -0.5 - choiceIndex,
      topLogprobs: topLogprobs === null ? [] : alternatives(tokenId, topLogprobs),
    };
  }
}

function alternatives(tokenId: number, count: number): TokenLogprob[] {
  return Array.from({ length: count }, (_, rank) => ({
    tokenId: (tokenId + rank) % fakePieces.length,
    logprob: -0.5 - rank,
  }));
}
