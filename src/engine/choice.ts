import type { SequenceRequest } from "../../scheduler/contracts.ts";
import { dueTime } from "../../scheduler/urgency.ts";
import type { ChoiceEnd, DeliveredToken, GenerationDelta } from "./generation.ts";
import type { SequenceOutput } from "./protocol.ts";

/** Turns token ids into deliverable text: whole characters, stop strings withheld. */
export interface OutputAssembler {
  push(tokenId: number): { readonly text: string; readonly stopped: string | null };
  /** Text that was held back as a possible stop string; incomplete characters are dropped. */
  finish(): string;
}

export interface ChoiceOptions {
  /** The sequence as first submitted. */
  readonly request: SequenceRequest;
  readonly choiceIndex: number;
  readonly promptIndex: number;
  readonly assembler: OutputAssembler;
  /** Exact bytes of each token. */
  readonly pieceOf: (tokenId: number) => Uint8Array;
}

export interface ChoiceUpdate {
  readonly delta: GenerationDelta | null;
  readonly end: ChoiceEnd | null;
  /** The choice ended here while the engine still runs its sequence. */
  readonly mustAbort: boolean;
}

/**
 * One choice of a generation, as the server knows it: tokens produced so far and text not yet released.
 * It outlives engine processes, which is why a replay can neither repeat nor lose text.
 */
export class Choice {
  readonly choiceIndex: number;
  readonly promptIndex: number;
  readonly #request: SequenceRequest;
  readonly #assembler: OutputAssembler;
  readonly #pieceOf: (tokenId: number) => Uint8Array;
  readonly #produced: number[] = [];
  #withheld: DeliveredToken[] = [];
  #numTextBytes = 0;
  #numTokenBytes = 0;
  #hasEnded = false;
  numCachedTokens = 0;
  firstTokenAtMs: number | null = null;
  lastTokenAtMs: number | null = null;

  constructor(options: ChoiceOptions) {
    this.#request = options.request;
    this.choiceIndex = options.choiceIndex;
    this.promptIndex = options.promptIndex;
    this.#assembler = options.assembler;
    this.#pieceOf = options.pieceOf;
  }

  get sequenceId(): string {
    return this.#request.requestId;
  }

  get numGeneratedTokens(): number {
    return this.#produced.length;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** When its first token is due if it arrived at this time. */
  dueMs(arrivalMs: number): number {
    const { tokens, firstTokenWithinMs } = this.#request;
    return dueTime(arrivalMs, tokens.length, firstTokenWithinMs);
  }

  /** What a fresh engine needs to go on where this choice stands. */
  replayRequest(): SequenceRequest {
    const { tokens } = this.#request;
    return {
      ...this.#request,
      tokens: [...tokens, ...this.#produced],
      numReplayedTokens: this.#produced.length,
    };
  }

  /** Takes in what one step did for this choice. */
  accept(output: SequenceOutput): ChoiceUpdate {
    let text = "";
    let stopped: string | null = null;
    if (output.tokenId !== undefined) {
      this.#produced.push(output.tokenId);
      // The token that means "stop" is control, not text.
      if (output.finishReason !== "stop") ({ text, stopped } = this.#take(output, output.tokenId));
    }
    if (stopped !== null) return this.#endAtStopString(text, stopped, output);
    if (output.finishReason === undefined) return { delta: this.#release(text), end: null, mustAbort: false };
    text += this.#assembler.finish();
    const end = this.#endWith(output.finishReason, this.#stopTokenOf(output));
    return { delta: this.#release(text, true), end, mustAbort: false };
  }

  #take(output: SequenceOutput, tokenId: number): { text: string; stopped: string | null } {
    this.#withheld.push({
      tokenId,
      bytes: this.#pieceOf(tokenId),
      logprob: output.logprob ?? null,
      topLogprobs: output.topLogprobs ?? [],
    });
    return this.#assembler.push(tokenId);
  }

  #endAtStopString(text: string, stopString: string, output: SequenceOutput): ChoiceUpdate {
    this.#numTextBytes += Buffer.byteLength(text);
    const tokens = this.#tokensWithinText();
    const delta = text === "" && tokens.length === 0 ? null : { choiceIndex: this.choiceIndex, text, tokens };
    const end = this.#endWith("stop", stopString);
    return { delta, end, mustAbort: output.finishReason === undefined };
  }

  /** Tokens that lie wholly behind the cut of a stop string are not shown. */
  #tokensWithinText(): DeliveredToken[] {
    const shown: DeliveredToken[] = [];
    for (const token of this.#withheld) {
      if (this.#numTokenBytes >= this.#numTextBytes) break;
      this.#numTokenBytes += token.bytes.length;
      shown.push(token);
    }
    return shown;
  }

  #endWith(finishReason: ChoiceEnd["finishReason"], stopReason: ChoiceEnd["stopReason"]): ChoiceEnd {
    this.#hasEnded = true;
    return {
      choiceIndex: this.choiceIndex,
      finishReason,
      stopReason,
      numGeneratedTokens: this.#produced.length,
    };
  }

  #stopTokenOf(output: SequenceOutput): number | null {
    const { tokenId, finishReason } = output;
    if (finishReason !== "stop" || tokenId === undefined) return null;
    return this.#request.sampling.stopTokenIds.includes(tokenId) ? tokenId : null;
  }

  /** Tokens travel with the text they became: none before it may be shown, all with it. */
  #release(text: string, isLast = false): GenerationDelta | null {
    if (text === "" && !(isLast && this.#withheld.length > 0)) return null;
    const tokens = this.#withheld;
    this.#withheld = [];
    this.#numTextBytes += Buffer.byteLength(text);
    for (const token of tokens) this.#numTokenBytes += token.bytes.length;
    return { choiceIndex: this.choiceIndex, text, tokens };
  }
}
