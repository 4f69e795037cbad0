import type {
  ChoiceEnd,
  DeliveredToken,
  GenerationDelta,
  GenerationError,
  GenerationSummary,
  PromptTokenLogprob,
} from "../../engine/generation.ts";
import { internalError } from "../api-error.ts";
import type { ApiError } from "../api-error.ts";
import { toApiError } from "../error-mapping.ts";
import type { ChoiceResult, CompletionFormat } from "../openai/completion-format.ts";
import { toTimings, toUsage } from "../openai/usage.ts";
import { selectBest } from "./best-of.ts";
import type { CompletionSink, GenerationPhase } from "./completion-sink.ts";

export interface CompletionFoldOptions {
  readonly format: CompletionFormat;
  /** Choices generated for each prompt, and how many of them are shown. */
  readonly numChoices: number;
  readonly numReturnedChoices: number;
  readonly onClosed: () => void;
}

interface OpenChoice {
  text: string;
  readonly tokens: DeliveredToken[];
  end: ChoiceEnd | null;
}

/** An answer that is not streamed: a fold over the same news that a stream would carry. */
export class CompletionFold implements CompletionSink {
  phase: GenerationPhase = "queued";
  /** The answer's body; rejects with ApiError. */
  readonly body: Promise<object>;
  readonly #options: CompletionFoldOptions;
  readonly #choices: OpenChoice[] = [];
  #isClosed = false;
  #resolve: (body: object) => void = () => {};
  #reject: (error: ApiError) => void = () => {};

  constructor(options: CompletionFoldOptions) {
    this.#options = options;
    this.body = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // A generation that is refused never lets anyone await the body.
    this.body.catch(() => {});
  }

  onProgress(): void {
    if (this.phase === "queued") this.phase = "prefill";
  }

  onPromptLogprobs(promptIndex: number, entries: readonly PromptTokenLogprob[]): void {
    this.#options.format.notePromptLogprobs(promptIndex, entries);
  }

  onDelta({ choiceIndex, text, tokens }: GenerationDelta): void {
    this.phase = "decode";
    const choice = this.#choice(choiceIndex);
    choice.text += text;
    if (this.#options.format.needsTokens) choice.tokens.push(...tokens);
  }

  onChoiceEnd(end: ChoiceEnd): void {
    if (end.finishReason === "stop" || end.finishReason === "length") {
      this.#choice(end.choiceIndex).end = end;
    } else {
      this.fail(internalError());
    }
  }

  onEnd(summary: GenerationSummary): void {
    if (!this.#close()) return;
    const finished = this.#choices.filter(isFinished);
    this.#resolve(
      this.#options.format.body({
        choices: selectBest(finished, this.#options.numChoices, this.#options.numReturnedChoices),
        usage: toUsage(summary),
        timings: toTimings(summary, summary),
      }),
    );
  }

  onError(error: GenerationError): void {
    this.fail(toApiError(error));
  }

  fail(error: ApiError): void {
    if (this.#close()) this.#reject(error);
  }

  #choice(choiceIndex: number): OpenChoice {
    return (this.#choices[choiceIndex] ??= { text: "", tokens: [], end: null });
  }

  #close(): boolean {
    if (this.#isClosed) return false;
    this.#isClosed = true;
    this.#options.onClosed();
    return true;
  }
}

function isFinished(choice: OpenChoice): choice is OpenChoice & ChoiceResult {
  return choice.end !== null;
}
