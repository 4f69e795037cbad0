import type { ChoiceEnd, GenerationDelta } from "../../engine/generation.ts";
import type {
  AnswerIdentity,
  ChoiceResult,
  CompletionFormat,
  CompletionResult,
} from "./completion-format.ts";
import type { LogprobFormat } from "./logprobs.ts";

/** Answers of POST /v1/chat/completions. */
export class ChatFormat implements CompletionFormat {
  readonly id: string;
  readonly needsTokens: boolean;
  readonly #identity: AnswerIdentity;
  readonly #logprobs: LogprobFormat | null;
  readonly #start: string;
  /** A chunk up to its delta, by choice. */
  readonly #heads: string[] = [];

  /** `logprobs` is null when the client did not ask for them. */
  constructor(identity: AnswerIdentity, logprobs: LogprobFormat | null) {
    this.id = identity.id;
    this.needsTokens = logprobs !== null;
    this.#identity = identity;
    this.#logprobs = logprobs;
    const { id, created, model, systemFingerprint } = identity;
    const object = "chat.completion.chunk";
    const keys = JSON.stringify({ id, object, created, model, system_fingerprint: systemFingerprint });
    this.#start = `${keys.slice(0, -1)},"choices":[`;
  }

  notePromptLogprobs(): void {
    // Chat answers never repeat their prompt.
  }

  canOpen(): boolean {
    return true;
  }

  opening(choiceIndex: number, tail: string): string {
    const delta = `{"role":"assistant","content":""}`;
    return `${this.#head(choiceIndex)}${delta},"logprobs":null,"finish_reason":null}]${tail}}`;
  }

  delta({ choiceIndex, text, tokens }: GenerationDelta, tail: string): string {
    const content = `${this.#head(choiceIndex)}{"content":${JSON.stringify(text)}}`;
    if (this.#logprobs === null) return `${content},"logprobs":null,"finish_reason":null}]${tail}}`;
    const logprobs = JSON.stringify({ content: this.#logprobs.chatContent(tokens), refusal: null });
    return `${content},"logprobs":${logprobs},"finish_reason":null}]${tail}}`;
  }

  end({ choiceIndex, finishReason, stopReason }: ChoiceEnd, tail: string): string {
    const reasons = `"finish_reason":"${finishReason}","stop_reason":${JSON.stringify(stopReason)}`;
    return `${this.#head(choiceIndex)}{},"logprobs":null,${reasons}}]${tail}}`;
  }

  empty(choiceIndex: number, tail: string): string {
    return `${this.#head(choiceIndex)}{},"logprobs":null,"finish_reason":null}]${tail}}`;
  }

  trailer(tail: string): string {
    return `${this.#start}]${tail}}`;
  }

  body({ choices, usage, timings }: CompletionResult): object {
    const { id, created, model, systemFingerprint } = this.#identity;
    return {
      id,
      object: "chat.completion",
      created,
      model,
      choices: choices.map((choice, index) => this.#choice(choice, index)),
      usage,
      system_fingerprint: systemFingerprint,
      timings,
    };
  }

  #choice({ text, tokens, end }: ChoiceResult, index: number): object {
    return {
      index,
      message: { role: "assistant", content: text, refusal: null },
      logprobs:
        this.#logprobs === null ? null : { content: this.#logprobs.chatContent(tokens), refusal: null },
      finish_reason: end.finishReason,
      stop_reason: end.stopReason,
    };
  }

  #head(choiceIndex: number): string {
    return (this.#heads[choiceIndex] ??= `${this.#start}{"index":${choiceIndex},"delta":`);
  }
}
