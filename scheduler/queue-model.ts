import { RunEnds } from "./run-ends.ts";

/** What an observation weighs after the next one. */
const DECAY = 0.95;

/** What is to be done before a request gets its turn, and where. */
export interface QueueLoad {
  /** Sequences that go first, and those of their prompt tokens that have to be computed. */
  readonly numAhead: number;
  readonly numTokensAhead: number;
  /** Tokens that those of them hold who go on where they were interrupted. */
  readonly numInterruptedTokens: number;
  readonly numRunning: number;
  readonly maxNumSeqs: number;
  /** Tokens that blocks can be had for without waiting, less than 0 when too few are left; and that runs hold. */
  readonly numFreeTokens: number;
  readonly numHeldTokens: number;
  /** Of those that run and those that were interrupted. */
  readonly ends: RunEnds;
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
  /** The same if it had the engine to itself. */
  readonly alone: ExpectedTimes;
}

export type ExpectedTimes = Pick<Prediction, "ttftMs" | "tpotMs" | "totalMs">;

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
 *   seats   = until as many runs have ended as there are sequences ahead that find no free row
 *   memory  = until as many have ended as it takes for the blocks that are missing
 *
 * An engine that has nothing to do works at the pace it names itself: what was observed under load is over. Of what has
 * not been observed it predicts no wait, so that nobody is refused on a guess.
 */
export class QueueModel {
  readonly #promptTokenMs = new DecayedRatio();
  readonly #tokenGapMs = new DecayedRatio();
  readonly #runMs = new DecayedRatio();
  readonly #outputLength = new DecayedRatio();
  /** Of the latest decode call: the prefill call after it belongs to the same step. */
  #decodeMs = 0;
  /** Of steps with nothing but one prompt or one row. */
  readonly #lonePromptTokenMs = new DecayedRatio();
  readonly #loneTokenGapMs = new DecayedRatio();
  #numDecodeRows = 0;
  #expected: Pace = { promptTokenMs: 0, tokenGapMs: 0 };

  /** What the engine has just said of itself; where it is known from its work, this holds for when it has none. */
  expect(pace: Pace): void {
    this.#expected = pace;
    const { promptTokenMs, tokenGapMs } = pace;
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
      this.#numDecodeRows = step.numDecodeRows;
    } else if (step.numPrefillTokens > 0) {
      if (step.numPrefillTokens >= MIN_CHUNK_TOKENS) {
        this.#promptTokenMs.observe(this.#decodeMs + callMs, step.numPrefillTokens);
        if (this.#decodeMs === 0) this.#lonePromptTokenMs.observe(callMs, step.numPrefillTokens);
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

  /** When runs end that have taken so long by now. */
  endsOf(runAgesMs: readonly number[]): RunEnds {
    return new RunEnds(runAgesMs, this.#runMs.value);
  }

  predict(load: QueueLoad, work: ExpectedWork): Prediction {
    const { maxNumSeqs, numRunning, numAhead, numTokensAhead } = load;
    const pace = numRunning + numAhead === 0 ? this.#lonePace : this.#pace;
    const numSeatless = numAhead + work.numSequences - Math.max(0, maxNumSeqs - numRunning);
    const numEnds = Math.max(numSeatless, this.#numEndsNeeded(load, work));
    const queueMs = Math.max(numTokensAhead * pace.promptTokenMs, load.ends.untilMs(numEnds));
    const alone = this.#expectedTimes(0, this.#lonePace, work);
    return { queueMs, ...this.#expectedTimes(queueMs, pace, work), alone };
  }

  get #lonePace(): Pace {
    const { promptTokenMs, tokenGapMs } = this.#expected;
    return {
      promptTokenMs: reconcile(promptTokenMs, this.#lonePromptTokenMs.value),
      tokenGapMs: reconcile(tokenGapMs, this.#loneTokenGapMs.value),
    };
  }

  get #pace(): Pace {
    return { promptTokenMs: this.#promptTokenMs.value, tokenGapMs: this.#tokenGapMs.value };
  }

  #expectedTimes(queueMs: number, pace: Pace, { numPromptTokens, maxTokens }: ExpectedWork): ExpectedTimes {
    const ttftMs = queueMs + numPromptTokens * pace.promptTokenMs;
    const numTokens = Math.min(maxTokens, this.#outputLength.value);
    const tpotMs = pace.tokenGapMs;
    return { ttftMs, tpotMs, totalMs: ttftMs + Math.max(0, numTokens - 1) * tpotMs };
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
    if (this.#numDecodeRows === 1 && prefillMs === 0) this.#loneTokenGapMs.observe(this.#decodeMs, 1);
    this.#numDecodeRows = 0;
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

/**
 * Of what an engine says of itself and what was seen the better: the one may be misled by load, the other be old. But
 * what it says is a guess, and no reason to promise twice of what was seen.
 */
function reconcile(said: number, seen: number): number {
  return seen === 0 ? said : Math.max(Math.min(said, seen), seen / 2);
}
