/** What an observation weighs after the next one. */
const DECAY = 0.95;

/** What is to be done before a request gets its turn, and where. */
export interface QueueLoad {
  /** Sequences that go first, and those of their prompt tokens that have to be computed. */
  readonly numAhead: number;
  readonly numTokensAhead: number;
  /** Those of them that go on where they were interrupted, and the tokens that they hold then. */
  readonly numInterrupted: number;
  readonly numInterruptedTokens: number;
  readonly numRunning: number;
  readonly maxNumSeqs: number;
  /** Tokens that blocks can be had for without waiting, less than 0 when too few are left; and that runs hold. */
  readonly numFreeTokens: number;
  readonly numHeldTokens: number;
  /** How long those that run have held their rows, on average. */
  readonly meanRunAgeMs: number;
}

/** What is to be predicted. */
export interface ExpectedWork {
  readonly numSequences: number;
  /** Prompt tokens of all of them that have to be computed. */
  readonly numPromptTokens: number;
  readonly maxTokens: number;
}

export interface Prediction {
  /** Until the first of its tokens is computed. */
  readonly queueMs: number;
  readonly ttftMs: number;
  /** Gap between two of its tokens. */
  readonly tpotMs: number;
  /** Until its last token, if it writes as many as requests usually do, and no more than it may. */
  readonly totalMs: number;
}

/** The part of a step's times that is learned from. */
export interface StepDuration {
  readonly scheduleMs: number;
  readonly executeMs: number;
  readonly updateMs: number;
  readonly numDecodeRows: number;
  readonly numPrefillTokens: number;
}

/** How fast an engine works that has nothing else to do. */
export interface Pace {
  readonly promptTokenMs: number;
  readonly tokenGapMs: number;
}

/** What a pace that was measured beforehand weighs beside steps that serve: as much as one small one. */
const SEED_TOKENS = 16;

/** No chunk of a prompt is smaller. A call that is computes what the cache left of one, at the price of a whole chunk. */
const MIN_CHUNK_TOKENS = 8;

/**
 * How long a request waits, from the rates at which this engine has been working:
 *
 *   queue   = max(prefill, seats, memory)
 *   prefill = prompt tokens ahead x time for a prompt token, the decoding of others in between included
 *   seats   = sequences ahead that find no free row x time that a row is held / rows
 *   memory  = tokens that find no free block / tokens that a run gives back x time that a row is held / runs
 *
 * Of what has not been observed it predicts no wait, so that nobody is refused on a guess.
 */
export class QueueModel {
  readonly #promptTokenMs = new DecayedRatio();
  readonly #tokenGapMs = new DecayedRatio();
  readonly #runMs = new DecayedRatio();
  readonly #outputLength = new DecayedRatio();
  /** Of the latest decode call: the prefill call after it belongs to the same step. */
  #decodeMs = 0;

  /** What was measured before anybody was served; ignored when the engine is known from its work. */
  expect({ promptTokenMs, tokenGapMs }: Pace): void {
    if (this.#promptTokenMs.value === 0) {
      this.#promptTokenMs.observe(promptTokenMs * SEED_TOKENS, SEED_TOKENS);
    }
    if (this.#tokenGapMs.value === 0) this.#tokenGapMs.observe(tokenGapMs, 1);
  }

  observeStep(step: StepDuration): void {
    const callMs = step.scheduleMs + step.executeMs + step.updateMs;
    if (step.numDecodeRows > 0) {
      this.#closeStep(0);
      this.#decodeMs = callMs;
    } else if (step.numPrefillTokens > 0) {
      if (step.numPrefillTokens >= MIN_CHUNK_TOKENS) {
        this.#promptTokenMs.observe(this.#decodeMs + callMs, step.numPrefillTokens);
      }
      this.#closeStep(callMs);
    }
  }

  /** The engine has run out of work. */
  noteIdle(): void {
    this.#closeStep(0);
  }

  /** A request ended whose rows were held for so long, and wrote so many tokens. */
  observeRun(runMs: number, numTokens: number): void {
    this.#runMs.observe(runMs, 1);
    this.#outputLength.observe(numTokens, 1);
  }

  predict(load: QueueLoad, work: ExpectedWork): Prediction {
    const { maxNumSeqs, numRunning, numAhead, numTokensAhead } = load;
    // What runs will have run for longer than it has by now: the only evidence before the first end, and the first
    // sign of requests that are longer than the ones before.
    const runMs = Math.max(this.#runMs.value, load.meanRunAgeMs);
    const prefillMs = numTokensAhead * this.#promptTokenMs.value;
    const numSeatless = Math.max(0, numAhead + work.numSequences - Math.max(0, maxNumSeqs - numRunning));
    const seatMs = (numSeatless / Math.max(1, maxNumSeqs)) * runMs;
    // The time of runs holds their interruptions too.
    const numRuns = Math.max(1, numRunning + load.numInterrupted);
    const memoryMs = this.#numEndsNeeded(load, work) * (runMs / numRuns);
    const queueMs = Math.max(prefillMs, seatMs, memoryMs);
    const ttftMs = queueMs + work.numPromptTokens * this.#promptTokenMs.value;
    const tpotMs = this.#tokenGapMs.value;
    const numTokens = Math.min(work.maxTokens, this.#outputLength.value);
    return { queueMs, ttftMs, tpotMs, totalMs: ttftMs + Math.max(0, numTokens - 1) * tpotMs };
  }

  /** How many runs must end until there is memory: all of one at least, since nothing else gives any back. */
  #numEndsNeeded(load: QueueLoad, work: ExpectedWork): number {
    const { numRunning, numAhead, numTokensAhead, numInterruptedTokens } = load;
    const numTokens = numTokensAhead + numInterruptedTokens + work.numPromptTokens;
    const numTokensOver = numTokens - load.numFreeTokens;
    if (numRunning === 0 || numTokensOver <= 0) return 0;
    // Those that go first grow by a whole answer each, those that run by another half until they end.
    const numOutputTokens = this.#outputLength.value;
    const numTokensOfRun = Math.max(1, load.numHeldTokens / numRunning + numOutputTokens / 2);
    return Math.max(1, (numTokensOver + numAhead * numOutputTokens) / numTokensOfRun);
  }

  /** The gap between two tokens is as long as the whole step. */
  #closeStep(prefillMs: number): void {
    if (this.#decodeMs > 0) this.#tokenGapMs.observe(this.#decodeMs + prefillMs, 1);
    this.#decodeMs = 0;
  }
}

/** Sum of the observed amounts over the sum of their weights, old ones counting less and less; 0 before the first. */
class DecayedRatio {
  #amount = 0;
  #weight = 0;

  get value(): number {
    return this.#weight === 0 ? 0 : this.#amount / this.#weight;
  }

  observe(amount: number, weight: number): void {
    this.#amount = this.#amount * DECAY + amount;
    this.#weight = this.#weight * DECAY + weight;
  }
}
