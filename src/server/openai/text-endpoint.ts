import type { Prompt } from "../../engine/generation.ts";
import type { TextService } from "../dependencies.ts";
import { toKeep } from "./cache-control.ts";
import { parseCompletionRequest } from "./completion-request.ts";
import type { CompletionRequest, PromptInput } from "./completion-request.ts";
import type { AnswerIdentity, CompletionFormat } from "./completion-format.ts";
import type { CompletionEndpoint, ParsedCompletion } from "./endpoint.ts";
import type { ParseContext } from "./generation-options.ts";
import { decodeLossy, LogprobFormat } from "./logprobs.ts";
import { TextFormat } from "./text-format.ts";

export const textEndpoint: CompletionEndpoint = {
  name: "completions",
  idPrefix: "cmpl-",
  parse: parseText,
};

/** OpenAI's, for this endpoint only. */
const defaultMaxTokens = 16;
const numTextsAtOnce = 8;

function parseText(json: unknown, context: ParseContext): ParsedCompletion {
  const request = parseCompletionRequest(json, context);
  const { options, prompts, numReturnedChoices } = request;
  return {
    options,
    numPrompts: prompts.length,
    numReturnedChoices,
    defaultMaxTokens,
    promptField: "prompt",
    maxPromptTextBytes: Math.max(...prompts.map(textBytes)),
    continuesText: true,
    tokenize: (text) => tokenizePrompts(request, text),
    format: (identity, tokenized) => formatFor(request, context, { identity, prompts: tokenized }),
  };
}

function textBytes(prompt: PromptInput): number {
  return typeof prompt === "string" ? Buffer.byteLength(prompt) : 0;
}

/** A few at a time, so that other requests' texts get their turns in between. */
async function tokenizePrompts(request: CompletionRequest, text: TextService): Promise<readonly Prompt[]> {
  const tokenized: Prompt[] = [];
  for (let start = 0; start < request.prompts.length; start += numTextsAtOnce) {
    const prompts = request.prompts.slice(start, start + numTextsAtOnce);
    tokenized.push(...(await Promise.all(prompts.map((prompt) => tokenizePrompt(prompt, request, text)))));
  }
  return tokenized;
}

async function tokenizePrompt(
  prompt: PromptInput,
  request: CompletionRequest,
  text: TextService,
): Promise<Prompt> {
  if (typeof prompt !== "string") return toKeep(prompt, request.cacheWishes);
  // A raw prompt is the model's whole input: callers who render their own template write its control tokens here.
  const options = { addSpecial: request.addSpecialTokens, parseSpecial: true };
  return toKeep(await text.tokenize(prompt, options), request.cacheWishes);
}

function formatFor(
  request: CompletionRequest,
  context: ParseContext,
  answer: { readonly identity: AnswerIdentity; readonly prompts: readonly Prompt[] },
): CompletionFormat {
  const { options, numReturnedChoices, echo, showsLogprobs } = request;
  return new TextFormat({
    identity: answer.identity,
    prompts: answer.prompts,
    logprobs: showsLogprobs ? new LogprobFormat(context.pieces, options.output.tokensAsTokenIds) : null,
    echoTexts: echo ? request.prompts.map((prompt) => echoText(prompt, context.pieces)) : null,
    numChoices: options.numChoices,
    needsTokens: showsLogprobs || options.numChoices > numReturnedChoices,
  });
}

function echoText(prompt: PromptInput, pieces: readonly Uint8Array[]): string {
  if (typeof prompt === "string") return prompt;
  return decodeLossy(Buffer.concat(prompt.map((tokenId) => pieces[tokenId] ?? new Uint8Array())));
}
