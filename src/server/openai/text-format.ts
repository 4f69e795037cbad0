import type { ChoiceEnd, GenerationDelta, Prompt, PromptTokenLogprob } from "../../engine/generation.ts";
import type {
  AnswerIdentity,
  ChoiceResult,
  CompletionFormat,
  CompletionResult,
} from "./completion-format.ts";
import type { CompletionLogprobs, LogprobFormat } from "./logprobs.ts";

export interface TextFormatOptions {
  readonly identity: AnswerIdentity;
  /** null when the client did not ask for logprobs. */
  readonly logprobs: LogprobFormat | null;
  readonly prompts: readonly Prompt[];
  /** Text to repeat before each choice, by prompt; null without `echo`. */
  readonly echoTexts: readonly string[] | null;
  /** Choices of one prompt. */
  readonly numChoices: number;
  readonly needsTokens: boolean;
}

/** Answers of POST /v1/completions. */
export class TextFormat implements CompletionFormat {
  readonly id: string;
  readonly needsTokens: boolean;
  readonly #options: TextFormatOptions;
  readonly #logprobs: LogprobFormat | null;
  readonly #start: string;
  readonly #promptLogprobs = new Map<number, PromptTokenLogprob[]>();
  /** Characters already streamed, by choice. */
  readonly #textOffsets: number[] = [];

  constructor(options: TextFormatOptions) {
    this.id = options.identity.id;
    this.needsTokens = options.needsTokens;
    this.#options = options;
    this.#logprobs = options.logprobs;
    const { id, created, model, systemFingerprint } = options.identity;
    const object = "text_completion";
    const keys = JSON.stringify({ id, object, created, model, system_fingerprint: systemFingerprint });
    this.#start = `${keys.slice(0, -1)},"choices":[`;
  }

  notePromptLogprobs(promptIndex: number, entries: readonly PromptTokenLogprob[]): void {
    this.#promptLogprobs.set(promptIndex, [...(this.#promptLogprobs.get(promptIndex) ?? []), ...entries]);
  }

  /** A prompt is scored with its first choice; another, which need not compute the prompt, may be ahead of that. */
  canOpen(choiceIndex: number): boolean {
    if (this.#logprobs === null || this.#options.echoTexts === null) return true;
    const promptIndex = this.#promptIndex(choiceIndex);
    const numTokens = this.#options.prompts[promptIndex]?.tokenIds.length ?? 0;
    return (this.#promptLogprobs.get(promptIndex)?.length ?? 0) >= numTokens - 1;
  }

  opening(choiceIndex: number, tail: string): string | null {
    if (this.#options.echoTexts === null) return null;
    const text = this.#echoText(choiceIndex);
    this.#textOffsets[choiceIndex] = text.length;
    return this.#chunk(choiceIndex, text, this.#echoLogprobs(choiceIndex), tail);
  }

  delta({ choiceIndex, text, tokens }: GenerationDelta, tail: string): string {
    if (this.#logprobs === null) return this.#chunk(choiceIndex, text, null, tail);
    const offset = this.#textOffsets[choiceIndex] ?? 0;
    this.#textOffsets[choiceIndex] = offset + text.length;
    return this.#chunk(choiceIndex, text, this.#logprobs.completion(tokens, offset), tail);
  }

  end({ choiceIndex, finishReason, stopReason }: ChoiceEnd, tail: string): string {
    const reasons = `"finish_reason":"${finishReason}","stop_reason":${JSON.stringify(stopReason)}`;
    return `${this.#start}{"text":"","index":${choiceIndex},"logprobs":null,${reasons}}]${tail}}`;
  }

  empty(choiceIndex: number, tail: string): string {
    return this.#chunk(choiceIndex, "", null, tail);
  }

  trailer(tail: string): string {
    return `${this.#start}]${tail}}`;
  }

  body({ choices, usage, timings }: CompletionResult): object {
    const { id, created, model, systemFingerprint } = this.#options.identity;
    return {
      id,
      object: "text_completion",
      created,
      model,
      choices: choices.map((choice, index) => this.#choice(choice, index)),
      usage,
      system_fingerprint: systemFingerprint,
      timings,
    };
  }

  #choice({ text, tokens, end }: ChoiceResult, index: number): object {
    const echoed = this.#echoText(end.choiceIndex);
    const own = this.#logprobs?.completion(tokens, echoed.length) ?? null;
    return {
      text: echoed + text,
      index,
      logprobs: joinLogprobs(this.#echoLogprobs(end.choiceIndex), own),
      finish_reason: end.finishReason,
      stop_reason: end.stopReason,
    };
  }

  #chunk(choiceIndex: number, text: string, logprobs: CompletionLogprobs | null, tail: string): string {
    const choice = `{"text":${JSON.stringify(text)},"index":${choiceIndex}`;
    const scores = logprobs === null ? "null" : JSON.stringify(logprobs);
    return `${this.#start}${choice},"logprobs":${scores},"finish_reason":null}]${tail}}`;
  }

  #echoText(choiceIndex: number): string {
    return this.#options.echoTexts?.[this.#promptIndex(choiceIndex)] ?? "";
  }

  #echoLogprobs(choiceIndex: number): CompletionLogprobs | null {
    if (this.#logprobs === null || this.#options.echoTexts === null) return null;
    const promptIndex = this.#promptIndex(choiceIndex);
    const tokenIds = this.#options.prompts[promptIndex]?.tokenIds ?? [];
    const entries = this.#promptLogprobs.get(promptIndex) ?? [];
    const tokens = this.#logprobs.promptTokens(tokenIds, entries);
    return this.#logprobs.prompt(tokens, this.#echoText(choiceIndex));
  }

  #promptIndex(choiceIndex: number): number {
    return Math.floor(choiceIndex / this.#options.numChoices);
  }
}

function joinLogprobs(
  first: CompletionLogprobs | null,
  second: CompletionLogprobs | null,
): CompletionLogprobs | null {
  if (first === null || second === null) return first ?? second;
  return {
    tokens: [...first.tokens, ...second.tokens],
    token_logprobs: [...first.token_logprobs, ...second.token_logprobs],
    top_logprobs: [...first.top_logprobs, ...second.top_logprobs],
    text_offset: [...first.text_offset, ...second.text_offset],
  };
}
