import { invalidValue } from "../api-error.ts";
import { checkCompletionBody } from "../schemas/bodies.ts";
import type { CompletionBody } from "../schemas/bodies.ts";
import { refuseUnsupportedFields } from "../schemas/unsupported-fields.ts";
import { type CacheWish, findCacheWishes } from "./cache-control.ts";
import { checkResponseFormat, parseGenerationOptions } from "./generation-options.ts";
import type { GenerationOptions, ParseContext } from "./generation-options.ts";

/** A prompt as the client gave it. */
export type PromptInput = string | readonly number[];

export interface CompletionRequest {
  readonly options: GenerationOptions;
  readonly prompts: readonly PromptInput[];
  readonly echo: boolean;
  /** Choices returned of those generated; fewer only with best_of. */
  readonly numReturnedChoices: number;
  readonly showsLogprobs: boolean;
  readonly addSpecialTokens: boolean;
  readonly cacheWishes: readonly CacheWish[];
}

/** Body of POST /v1/completions. Throws ApiError. */
export function parseCompletionRequest(json: unknown, context: ParseContext): CompletionRequest {
  const body = checkCompletionBody(json);
  refuseUnsupportedFields(body);
  checkResponseFormat(body.response_format);
  const prompts = parsePrompts(body.prompt, context);
  const echo = body.echo ?? false;
  const numReturnedChoices = body.n ?? 1;
  const numChoices = parseBestOf(body, numReturnedChoices);
  const topLogprobs = body.logprobs ?? null;
  const logprobs = {
    // best_of ranks by logprob, so it needs them whether the client sees them or not.
    topLogprobs: topLogprobs ?? (numChoices > numReturnedChoices ? 0 : null),
    promptLogprobs: echo ? topLogprobs : null,
  };
  const options = parseGenerationOptions(body, logprobs, context);
  return {
    options: { ...options, numChoices },
    prompts,
    echo,
    numReturnedChoices,
    showsLogprobs: topLogprobs !== null,
    addSpecialTokens: body.add_special_tokens ?? true,
    cacheWishes: findCacheWishes({ cache_control: body.cache_control }),
  };
}

function parseBestOf(body: CompletionBody, numReturnedChoices: number): number {
  const bestOf = body.best_of ?? numReturnedChoices;
  if (bestOf < numReturnedChoices) throw invalidValue("best_of", "'best_of' must not be less than 'n'.");
  if (bestOf > numReturnedChoices && body.stream === true) {
    throw invalidValue("best_of", "'best_of' greater than 'n' cannot be streamed.");
  }
  return bestOf;
}

function parsePrompts(prompt: unknown, context: ParseContext): PromptInput[] {
  if (typeof prompt === "string") return [requireText(prompt)];
  const list = prompt as unknown[];
  if (list.length === 0) throw emptyPrompt();
  if (typeof list[0] === "number") return [requireTokenIds(list, context.pieces.length)];
  const { maxNumSequences } = context.config;
  if (list.length > maxNumSequences) {
    throw invalidValue("prompt", `'prompt' must not hold more than ${maxNumSequences} prompts.`);
  }
  return list.map((entry) => parsePrompt(entry, context.pieces.length));
}

function parsePrompt(entry: unknown, vocabSize: number): PromptInput {
  if (typeof entry === "string") return requireText(entry);
  if (Array.isArray(entry)) return requireTokenIds(entry, vocabSize);
  throw invalidValue("prompt", "'prompt' must be a text, token ids, or a list of either.");
}

function requireText(prompt: string): string {
  if (prompt === "") throw emptyPrompt();
  return prompt;
}

function requireTokenIds(tokenIds: readonly unknown[], vocabSize: number): number[] {
  if (tokenIds.length === 0) throw emptyPrompt();
  for (const tokenId of tokenIds) {
    if (!Number.isInteger(tokenId)) throw invalidValue("prompt", "Token ids in 'prompt' must be integers.");
    if ((tokenId as number) < 0 || (tokenId as number) >= vocabSize) {
      throw invalidValue("prompt", `Token id ${String(tokenId)} in 'prompt' is out of vocabulary.`);
    }
  }
  return tokenIds as number[];
}

function emptyPrompt() {
  return invalidValue("prompt", "'prompt' must not be empty.");
}
