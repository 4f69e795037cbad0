import type { VocabularyInfo } from "../llama/vocabulary.ts";

/** Facts of a model's vocabulary for those who turn tokens into text. */
export interface TextVocabulary extends Omit<VocabularyInfo, "pieces"> {
  /** Exact bytes of every token, by id. A control token has the bytes of its name, such as `</s>`. */
  readonly pieces: readonly Uint8Array[];
  /** Whether the tokenizer puts a space before the first word of a text (SentencePiece). */
  readonly addSpacePrefix: boolean;
}

/** The vocabulary as it crosses a process boundary, and what the tokenizer makes of the letter `a`. */
export interface VocabularyReport {
  readonly info: VocabularyInfo;
  readonly sampleTokenIds: readonly number[];
}

export const SAMPLE_TEXT = "a";

export function toTextVocabulary({ info, sampleTokenIds }: VocabularyReport): TextVocabulary {
  const pieces = info.pieces.map((piece) => Buffer.from(piece, "latin1"));
  const sample = sampleTokenIds.map((tokenId) => info.pieces[tokenId] ?? "").join("");
  return { ...info, pieces, addSpacePrefix: sample === ` ${SAMPLE_TEXT}` };
}

/** Texts that a tokenizer told to parse special tokens turns into control tokens. */
export function specialTokenTexts(
  vocabulary: Pick<VocabularyInfo, "controlTokenIds" | "specialTokens">,
): string[] {
  const controlTokenIds = new Set(vocabulary.controlTokenIds);
  return vocabulary.specialTokens
    .filter(({ id, text }) => controlTokenIds.has(id) && text !== "")
    .map(({ text }) => text);
}
