import type { TokenizeOptions, VocabularyInfo } from "../llama/vocabulary.ts";
import { ChatTemplate } from "./chat-template.ts";
import type { ChatTemplateInput } from "./chat-input.ts";
import type { PromptSegment } from "./special-text-guard.ts";
import { specialTokenTexts } from "./text-vocabulary.ts";

/** A tokenizer and what it knows of its tokens. */
export interface Tokenizer {
  tokenize(text: string, options: TokenizeOptions): number[];
}

export interface ChatTokenizerOptions {
  readonly tokenizer: Tokenizer;
  readonly info: VocabularyInfo;
  readonly addSpacePrefix: boolean;
  readonly template: string;
  readonly maxPromptLength: number;
}

export interface TokenizedChat {
  readonly tokenIds: number[];
  /** The prompt as text. */
  readonly text: string;
}

/** No vocabulary has a longer token with it, and none merges it: it keeps SentencePiece's space off a text. */
const SPACE_GUARD = "\uFDD0";

/** From a conversation to tokens: only the template's own words become control tokens. */
export class ChatTokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #info: VocabularyInfo;
  readonly #addSpacePrefix: boolean;
  readonly #template: ChatTemplate;
  readonly #controlTokenIds: ReadonlySet<number>;

  /** Throws ChatTemplateError when the template cannot be read. */
  constructor(options: ChatTokenizerOptions) {
    const { info } = options;
    this.#tokenizer = options.tokenizer;
    this.#info = info;
    this.#addSpacePrefix = options.addSpacePrefix;
    this.#controlTokenIds = new Set(info.controlTokenIds);
    this.#template = new ChatTemplate({
      source: options.template,
      bosToken: info.bosText,
      eosToken: info.eosText,
      specialTexts: specialTokenTexts(info),
      maxPromptLength: options.maxPromptLength,
    });
  }

  /** Throws ChatTemplateError. */
  tokenize(input: ChatTemplateInput): TokenizedChat {
    const segments = this.#template.render(input);
    const tokenIds = segments.flatMap((segment, index) => this.#tokenizeSegment(segment, index === 0));
    return { tokenIds: this.#withBos(tokenIds), text: segments.map(({ text }) => text).join("") };
  }

  /** Many templates print BOS themselves, others leave it to the tokenizer. */
  #withBos(tokenIds: number[]): number[] {
    const { addBos, bosTokenId } = this.#info;
    return addBos && bosTokenId !== null && tokenIds[0] !== bosTokenId ? [bosTokenId, ...tokenIds] : tokenIds;
  }

  #tokenizeSegment({ text, parseSpecial }: PromptSegment, isFirst: boolean): number[] {
    const options = { addSpecial: false, parseSpecial };
    const tokenIds =
      this.#addSpacePrefix && !isFirst
        ? this.#tokenizeInside(text, options)
        : this.#tokenizer.tokenize(text, options);
    if (parseSpecial || !tokenIds.some((tokenId) => this.#controlTokenIds.has(tokenId))) return tokenIds;
    return this.#tokenizeApart(text, isFirst);
  }

  /** Tokens of a text that goes on after other text, without the space that would go before a first word. */
  #tokenizeInside(text: string, options: TokenizeOptions): number[] {
    const numGuardTokens = this.#tokenizer.tokenize(SPACE_GUARD, options).length;
    return this.#tokenizer.tokenize(SPACE_GUARD + text, options).slice(numGuardTokens);
  }

  /** SentencePiece may merge plain letters to a control token that bears their name; halves cannot. */
  #tokenizeApart(text: string, isFirst: boolean): number[] {
    const characters = Array.from(text);
    if (characters.length < 2) return [];
    const middle = characters.length >> 1;
    const halves = [characters.slice(0, middle), characters.slice(middle)];
    return halves.flatMap((half, index) =>
      this.#tokenizeSegment({ text: half.join(""), parseSpecial: false }, isFirst && index === 0),
    );
  }
}
