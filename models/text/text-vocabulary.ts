import type { VocabularyInfo } from "../llama/vocabulary.ts";

/** Facts of a model's vocabulary for those who turn tokens into text. */
export interface TextVocabulary extends Omit<VocabularyInfo, "pieces"> {
  /** Exact bytes of every token, by id. A control token has the bytes of its name, such as `</s>`. */
  readonly pieces: readonly Uint8Array[];
  /** Whether the tokenizer puts a space before the first word of a text (SentencePiece). */
  readonly addSpacePrefix: boolean;
}

/** The vocabulary as it crosses a process boundary. */
export interface VocabularyReport {
  readonly info: VocabularyInfo;
  readonly addSpacePrefix: boolean;
  /** Why conversations cannot be rendered, or null. */
  readonly templateProblem: string | null;
}

export function toTextVocabulary({ info, addSpacePrefix }: VocabularyReport): TextVocabulary {
  const pieces = info.pieces.map((piece) => Buffer.from(piece, "latin1"));
  return { ...info, pieces, addSpacePrefix };
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
