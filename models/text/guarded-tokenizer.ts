import type { TokenizeOptions, VocabularyInfo } from "../llama/vocabulary.ts";

export interface Tokenizer {
  tokenize(text: string, options: TokenizeOptions): number[];
}

/** No vocabulary has a longer token with it, and none merges it: it keeps SentencePiece's space off a text. */
const SPACE_GUARD = "\uFDD0";

/**
 * A tokenizer whose plain text stays plain. libllama's alone does not: its SentencePiece merges go by text,
 * so the letters of `</s>` can merge to the control token of that name with special parsing off.
 */
export class GuardedTokenizer {
  /** Whether the vocabulary puts a space before the first word of a text (SentencePiece). */
  readonly addSpacePrefix: boolean;
  readonly #tokenizer: Tokenizer;
  readonly #info: VocabularyInfo;
  readonly #controlTokenIds: ReadonlySet<number>;

  constructor(tokenizer: Tokenizer, info: VocabularyInfo) {
    this.#tokenizer = tokenizer;
    this.#info = info;
    this.#controlTokenIds = new Set(info.controlTokenIds);
    const [first] = this.#tokenizeStart("a", false);
    this.addSpacePrefix = first !== undefined && info.pieces[first]?.startsWith(" ") === true;
  }

  tokenize(text: string, options: TokenizeOptions): number[] {
    if (options.parseSpecial) return this.#tokenizer.tokenize(text, options);
    const tokenIds = this.tokenizePart(text, { isFirst: true, parseSpecial: false });
    return options.addSpecial ? this.#withBoundaries(tokenIds) : tokenIds;
  }

  /** Tokens of a part of a text; only the first part gets the space that goes before a first word. */
  tokenizePart(text: string, part: { readonly isFirst: boolean; readonly parseSpecial: boolean }): number[] {
    const { isFirst, parseSpecial } = part;
    const tokenIds = isFirst
      ? this.#tokenizeStart(text, parseSpecial)
      : this.#tokenizeInside(text, parseSpecial);
    if (parseSpecial || !tokenIds.some((tokenId) => this.#controlTokenIds.has(tokenId))) return tokenIds;
    return this.#tokenizeApart(text, isFirst);
  }

  #tokenizeStart(text: string, parseSpecial: boolean): number[] {
    return this.#tokenizer.tokenize(text, { addSpecial: false, parseSpecial });
  }

  #tokenizeInside(text: string, parseSpecial: boolean): number[] {
    if (!this.addSpacePrefix) return this.#tokenizeStart(text, parseSpecial);
    const numGuardTokens = this.#tokenizeStart(SPACE_GUARD, parseSpecial).length;
    return this.#tokenizeStart(SPACE_GUARD + text, parseSpecial).slice(numGuardTokens);
  }

  /** Halves of a name cannot merge to it. */
  #tokenizeApart(text: string, isFirst: boolean): number[] {
    const characters = Array.from(text);
    if (characters.length < 2) return [];
    const middle = characters.length >> 1;
    const halves = [characters.slice(0, middle), characters.slice(middle)];
    return halves.flatMap((half, index) =>
      this.tokenizePart(half.join(""), { isFirst: isFirst && index === 0, parseSpecial: false }),
    );
  }

  #withBoundaries(tokenIds: readonly number[]): number[] {
    const { addBos, addEos, bosTokenId, eosTokenId } = this.#info;
    const start = addBos && bosTokenId !== null ? [bosTokenId] : [];
    const end = addEos && eosTokenId !== null ? [eosTokenId] : [];
    return [...start, ...tokenIds, ...end];
  }
}
