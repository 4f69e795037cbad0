import type { Prompt } from "../../engine/generation.ts";
import { contextLengthExceeded } from "../api-error.ts";
import type { ParsedCompletion } from "./endpoint.ts";

/** Refuses text that cannot fit however it is tokenized, before any time is spent on it. */
export function refuseOverlongText(
  parsed: ParsedCompletion,
  maxModelLen: number,
  longestPiece: number,
): void {
  const minNumTokens = Math.ceil(parsed.maxPromptTextBytes / Math.max(1, longestPiece));
  if (minNumTokens > maxModelLen) throw promptTooLong(parsed, minNumTokens, maxModelLen);
}

/**
 * The output bound that fits the context. A bound that the client named must fit as it is; the server's own default
 * gives way.
 */
export function boundOutput(
  parsed: ParsedCompletion,
  prompts: readonly Prompt[],
  maxModelLen: number,
): number {
  const numPromptTokens = Math.max(...prompts.map((prompt) => prompt.tokenIds.length));
  const numLeft = maxModelLen - numPromptTokens;
  const wanted = parsed.options.maxTokens;
  if (numLeft < 0 || (numLeft === 0 && wanted !== 0)) {
    throw promptTooLong(parsed, numPromptTokens, maxModelLen);
  }
  if (wanted === null) return Math.min(parsed.defaultMaxTokens, numLeft);
  if (wanted <= numLeft) return wanted;
  throw contextLengthExceeded(
    `The model's context holds ${maxModelLen} tokens, but ${numPromptTokens + wanted} were asked for: ` +
      `${numPromptTokens} of the prompt and ${wanted} of output.`,
    { param: "max_tokens", numPromptTokens, maxModelLen },
  );
}

function promptTooLong(parsed: ParsedCompletion, numPromptTokens: number, maxModelLen: number) {
  const message = `The prompt has ${numPromptTokens} tokens, which leaves no room in the model's context of ${maxModelLen}.`;
  return contextLengthExceeded(message, { param: parsed.promptField, numPromptTokens, maxModelLen });
}
