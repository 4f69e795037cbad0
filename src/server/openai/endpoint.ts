import type { Prompt } from "../../engine/generation.ts";
import type { TextService } from "../dependencies.ts";
import type { AnswerIdentity, CompletionFormat } from "./completion-format.ts";
import type { GenerationOptions, ParseContext } from "./generation-options.ts";

/** A request whose fields are checked and whose prompts are still text. */
export interface ParsedCompletion {
  readonly options: GenerationOptions;
  readonly numPrompts: number;
  /** Choices shown for each prompt; fewer than generated only with best_of. */
  readonly numReturnedChoices: number;
  /** Output bound when the client named none. */
  readonly defaultMaxTokens: number;
  /** The field that holds the prompt, for error messages. */
  readonly promptField: "messages" | "prompt";
  /** Longest text that one prompt has to tokenize. */
  readonly maxPromptTextBytes: number;
  /** The output goes on with the prompt's text, instead of starting one of its own. */
  readonly continuesText: boolean;
  tokenize(text: TextService): Promise<readonly Prompt[]>;
  format(identity: AnswerIdentity, prompts: readonly Prompt[]): CompletionFormat;
}

/** One way to ask for generated text; the transports (HTTP, WebSocket) know nothing else of it. */
export interface CompletionEndpoint {
  readonly name: "chat.completions" | "completions";
  readonly idPrefix: string;
  /** Throws ApiError. */
  parse(json: unknown, context: ParseContext): ParsedCompletion;
}
