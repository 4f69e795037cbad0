import { Choice, type OutputAssembler } from "./choice.ts";
import type { GenerationRequest } from "./generation.ts";

export interface ChoiceParts {
  readonly nextSequenceId: () => string;
  /** Builds the text side of one choice. */
  readonly createAssembler: (request: GenerationRequest) => OutputAssembler;
  /** Exact bytes of a token. */
  readonly pieceOf: (tokenId: number) => Uint8Array;
  /** Null where the client has all the time. */
  readonly firstTokenWithinMs: number | null;
}

/** The n choices of each prompt, prompt by prompt. */
export function createChoices(request: GenerationRequest, parts: ChoiceParts): Choice[] {
  const { nextSequenceId, createAssembler, pieceOf, firstTokenWithinMs } = parts;
  const { tpotMs } = request.targets ?? {};
  return request.prompts.flatMap((prompt, promptIndex) =>
    Array.from({ length: request.numChoices }, (_, choiceOfPrompt) => {
      const choiceIndex = promptIndex * request.numChoices + choiceOfPrompt;
      return new Choice({
        request: {
          requestId: nextSequenceId(),
          tokens: prompt.tokenIds,
          numReplayedTokens: 0,
          sampling: {
            ...request.sampling,
            choiceIndex,
            // A prompt is scored once for all its choices.
            promptLogprobs: choiceOfPrompt === 0 ? request.sampling.promptLogprobs : null,
          },
          maxTokens: request.maxTokens,
          priority: request.priority,
          tenantId: request.tenantId,
          ...(firstTokenWithinMs !== null && { firstTokenWithinMs }),
          ...(tpotMs !== undefined && { tokenGapMs: tpotMs }),
          cacheSalt: request.cacheSalt,
          ...(prompt.pins !== undefined && { pins: prompt.pins }),
        },
        choiceIndex,
        promptIndex,
        assembler: createAssembler(request),
        pieceOf,
      });
    }),
  );
}
