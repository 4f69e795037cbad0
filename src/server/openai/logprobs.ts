import { StringDecoder } from "node:string_decoder";
import type { TokenLogprob } from "../../../scheduler/contracts.ts";
import type { DeliveredToken, PromptTokenLogprob } from "../../engine/generation.ts";

/** A token and what else could have stood in its place. `logprob` is null for a first token, which nothing precedes. */
export interface ScoredToken {
  readonly tokenId: number;
  readonly bytes: Uint8Array;
  readonly logprob: number | null;
  readonly topLogprobs: readonly TokenLogprob[];
}

export interface ChatLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[];
}

/** OpenAI's legacy shape: parallel lists, offsets counted in characters of the choice's text. */
export interface CompletionLogprobs {
  readonly tokens: string[];
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[];
  readonly text_offset: number[];
}

/** Stands for minus infinity, which JSON cannot say. OpenAI's value. */
const minLogprob = -9999;

/** Writes tokens' logprobs in the two shapes that OpenAI has for them. */
export class LogprobFormat {
  readonly #pieces: readonly Uint8Array[];
  readonly #tokensAsTokenIds: boolean;

  constructor(pieces: readonly Uint8Array[], tokensAsTokenIds: boolean) {
    this.#pieces = pieces;
    this.#tokensAsTokenIds = tokensAsTokenIds;
  }

  chatContent(tokens: readonly DeliveredToken[]) {
    return tokens.map((token) => ({
      ...this.#chatEntry(token.tokenId, token.logprob),
      top_logprobs: token.topLogprobs.map((top) => this.#chatEntry(top.tokenId, top.logprob)),
    }));
  }

  /** `textOffset` is where the first token stands in the choice's text; below 0 for one that is not part of it. */
  completion(tokens: readonly ScoredToken[], textOffset: number): CompletionLogprobs {
    const logprobs: CompletionLogprobs = {
      tokens: [],
      token_logprobs: [],
      top_logprobs: [],
      text_offset: [],
    };
    let offset = textOffset;
    const decoder = new StringDecoder("utf8");
    for (const token of tokens) {
      logprobs.tokens.push(this.#name(token.tokenId));
      logprobs.token_logprobs.push(token.logprob === null ? null : finite(token.logprob));
      logprobs.top_logprobs.push(token.logprob === null ? null : this.#topByName(token));
      logprobs.text_offset.push(Math.max(0, offset));
      offset += decoder.write(Buffer.from(token.bytes)).length;
    }
    return logprobs;
  }

  /** A prompt that ends with the text that it was made of; the tokenizer may have put a token before it. */
  prompt(tokens: readonly ScoredToken[], text: string): CompletionLogprobs {
    const whole = Buffer.concat(tokens.map((token) => token.bytes)).toString("utf8");
    return this.completion(tokens, text.length - whole.length);
  }

  /** The scored tokens of a prompt; `entries` belong to its last tokens, since nothing precedes the first. */
  promptTokens(tokenIds: readonly number[], entries: readonly PromptTokenLogprob[]): ScoredToken[] {
    const numUnscored = Math.max(1, tokenIds.length - entries.length);
    return tokenIds.map((tokenId, position) => {
      const entry = position < numUnscored ? undefined : entries[position - tokenIds.length + entries.length];
      return {
        tokenId,
        bytes: this.#bytes(tokenId),
        logprob: entry?.token.logprob ?? null,
        topLogprobs: entry?.top ?? [],
      };
    });
  }

  #topByName(token: ScoredToken): Record<string, number> {
    const named = token.topLogprobs.map((top) => [this.#name(top.tokenId), finite(top.logprob)] as const);
    // The drawn token is always listed, also when it is not among the most likely.
    return Object.fromEntries([...named, [this.#name(token.tokenId), finite(token.logprob ?? 0)]]);
  }

  #chatEntry(tokenId: number, logprob: number | null): ChatLogprob {
    return {
      token: this.#name(tokenId),
      logprob: finite(logprob ?? 0),
      bytes: Array.from(this.#bytes(tokenId)),
    };
  }

  #name(tokenId: number): string {
    return this.#tokensAsTokenIds ? `token_id:${tokenId}` : decodeLossy(this.#bytes(tokenId));
  }

  #bytes(tokenId: number): Uint8Array {
    return this.#pieces[tokenId] ?? new Uint8Array();
  }
}

/** Text of a token's bytes; bytes that are no character show as U+FFFD. */
export function decodeLossy(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}

function finite(logprob: number): number {
  return Math.max(minLogprob, logprob);
}
