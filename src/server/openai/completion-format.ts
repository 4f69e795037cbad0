import type {
  ChoiceEnd,
  DeliveredToken,
  GenerationDelta,
  PromptTokenLogprob,
} from "../../engine/generation.ts";
import type { Usage } from "./usage.ts";

/** A finished choice, for answers that are not streamed. */
export interface ChoiceResult {
  readonly text: string;
  readonly tokens: readonly DeliveredToken[];
  readonly end: ChoiceEnd;
}

/** The answer of a whole generation. */
export interface CompletionResult {
  /** In choice order. */
  readonly choices: readonly ChoiceResult[];
  readonly usage: Usage;
  readonly timings: Record<string, number>;
}

/**
 * Writes one answer in the form of its endpoint. Chunks are JSON texts built from a prefix made once a stream, since a
 * template string costs a tenth of JSON.stringify. `tail` holds further keys, each with its leading comma.
 */
export interface CompletionFormat {
  /** Names the answer on the wire, such as "chatcmpl-…". */
  readonly id: string;
  /** Delivered tokens are shown, so a result must keep them. */
  readonly needsTokens: boolean;
  notePromptLogprobs(promptIndex: number, entries: readonly PromptTokenLogprob[]): void;
  /** Whether all that a choice's stream starts with is known; its own tokens must wait until then. */
  canOpen(choiceIndex: number): boolean;
  /** What a choice's stream starts with, before any text; null when it starts with the text. */
  opening(choiceIndex: number, tail: string): string | null;
  delta(delta: GenerationDelta, tail: string): string;
  end(end: ChoiceEnd, tail: string): string;
  /** A chunk that adds nothing to a choice and only carries its tail. */
  empty(choiceIndex: number, tail: string): string;
  /** The chunk after all choices. */
  trailer(tail: string): string;
  body(result: CompletionResult): object;
}

/** What both formats need to know of an answer. */
export interface AnswerIdentity {
  readonly id: string;
  /** Unix time in seconds. */
  readonly created: number;
  readonly model: string;
  readonly systemFingerprint: string;
}
