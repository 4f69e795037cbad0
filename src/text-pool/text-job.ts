import type { TokenizeOptions } from "../../models/llama/vocabulary.ts";
import type { ChatTemplateInput } from "../../models/text/chat-input.ts";
import type { TextVocabulary, VocabularyReport } from "../../models/text/text-vocabulary.ts";

export type { ChatTemplateInput, TextVocabulary, TokenizeOptions };

/** A conversation as tokens, and as the text that was tokenized when that was asked for. */
export interface TokenizedPrompt {
  readonly tokenIds: number[];
  readonly text?: string;
}

/** What each kind of job takes and gives. Everything is JSON: it crosses to a child process and back. */
export interface TextJobs {
  /** `template` is used instead of the model's own, here and below. */
  describe: { input: { readonly template: string | null }; output: VocabularyReport };
  tokenize: { input: { readonly text: string; readonly options: TokenizeOptions }; output: number[] };
  chat: {
    input: {
      readonly chat: ChatTemplateInput;
      readonly template: string | null;
      readonly includeText: boolean;
      /** In UTF-16 units. */
      readonly maxPromptLength: number;
    };
    output: TokenizedPrompt;
  };
}

export type TextJobKind = keyof TextJobs;

export type TextJob<Kind extends TextJobKind = TextJobKind> = {
  [K in Kind]: { readonly kind: K } & TextJobs[K]["input"];
}[Kind];

/** A failure that belongs to the job, not to the worker, by the name of its error class. */
export interface TextJobFailure {
  readonly name: string;
  readonly message: string;
  /** Of a ChatTemplateError. */
  readonly param?: string;
}

export type TextJobResult =
  | { readonly output: TextJobs[TextJobKind]["output"] }
  | { readonly failure: TextJobFailure };
