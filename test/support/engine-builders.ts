import type { SequenceRequest } from "../../scheduler/contracts.ts";
import { GREEDY_SAMPLING, type SamplingParams } from "../../scheduler/sampling-params.ts";
import { prospectOf } from "../../src/engine/admission.ts";
import type { OutputAssembler } from "../../src/engine/choice.ts";
import { promptSize } from "../../src/engine/prompt-size.ts";
import type {
  ChoiceEnd,
  GenerationDelta,
  GenerationError,
  GenerationRequest,
  GenerationSink,
  GenerationSummary,
  PromptProgress,
  ProspectiveRequest,
} from "../../src/engine/generation.ts";
import type { EngineObserver, FinishedRequest } from "../../src/engine/observer.ts";

export function createSampling(overrides: Partial<SamplingParams> = {}): SamplingParams {
  return { ...GREEDY_SAMPLING, seed: 1, ...overrides };
}

export function createSequenceRequest(overrides: Partial<SequenceRequest> = {}): SequenceRequest {
  return {
    requestId: "s0",
    tokens: [1, 2, 3],
    numReplayedTokens: 0,
    sampling: createSampling(),
    maxTokens: 8,
    priority: 0,
    tenantId: "",
    cacheSalt: "",
    ...overrides,
  };
}

export function createGenerationRequest(overrides: Partial<GenerationRequest> = {}): GenerationRequest {
  return {
    requestId: "r0",
    prompts: [{ tokenIds: [1, 2, 3] }],
    numChoices: 1,
    sampling: createSampling(),
    maxTokens: 8,
    stopStrings: [],
    includeStopString: false,
    priority: 0,
    tenantId: "",
    cacheSalt: "",
    ...overrides,
  };
}

/** As admission sees a request of whose prompts nothing is cached. */
export function createProspect(overrides: Partial<GenerationRequest> = {}): ProspectiveRequest {
  const request = createGenerationRequest(overrides);
  const sizes = request.prompts.map(({ tokenIds }) => promptSize(tokenIds.length, 0, 16));
  return prospectOf(request, sizes);
}

/** Text of a token in tests: its number and a space. */
export const pieceOf = (tokenId: number): Uint8Array => Buffer.from(`${tokenId} `);

/** Releases each token's text at once; `stopAt` acts as a stop string that is exactly one token. */
export function createAssembler(stopAt: number | null = null): OutputAssembler {
  return {
    push: (tokenId) =>
      tokenId === stopAt
        ? { text: "", stopped: `${tokenId} ` }
        : { text: Buffer.from(pieceOf(tokenId)).toString(), stopped: null },
    finish: () => "",
  };
}

/** A sink that keeps everything it hears. */
export class RecordingSink implements GenerationSink {
  readonly deltas: GenerationDelta[] = [];
  readonly ends: ChoiceEnd[] = [];
  readonly progress: PromptProgress[] = [];
  summary: GenerationSummary | null = null;
  error: GenerationError | null = null;
  readonly done: Promise<void>;
  #finish!: () => void;

  constructor() {
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  text(choiceIndex = 0): string {
    return this.deltas
      .filter((delta) => delta.choiceIndex === choiceIndex)
      .map((delta) => delta.text)
      .join("");
  }

  tokenIds(choiceIndex = 0): number[] {
    return this.deltas
      .filter((delta) => delta.choiceIndex === choiceIndex)
      .flatMap((delta) => delta.tokens.map((token) => token.tokenId));
  }

  onProgress(progress: PromptProgress): void {
    this.progress.push(progress);
  }

  onDelta(delta: GenerationDelta): void {
    this.deltas.push(delta);
  }

  onChoiceEnd(end: ChoiceEnd): void {
    this.ends.push(end);
  }

  onEnd(summary: GenerationSummary): void {
    this.summary = summary;
    this.#finish();
  }

  onError(error: GenerationError): void {
    this.error = error;
    this.#finish();
  }
}

/** An observer that counts. */
export class CountingObserver implements EngineObserver {
  numAccepted = 0;
  readonly refusals: string[] = [];
  readonly finished: FinishedRequest[] = [];
  numRestarts = 0;
  numPreemptions = 0;

  onAccepted(): void {
    this.numAccepted++;
  }

  onRefused(code: string): void {
    this.refusals.push(code);
  }

  onFirstToken(): void {}

  onTokenGaps(): void {}

  onStep(): void {}

  onPreempted(): void {
    this.numPreemptions++;
  }

  onFinished(request: FinishedRequest): void {
    this.finished.push(request);
  }

  onThreads(): void {}

  onEngineRestart(): void {
    this.numRestarts++;
  }
}
