import type { TextVocabulary } from "./text-vocabulary.ts";

/** What a token contributes to the text; null for a token that is never shown. */
export type PieceTable = readonly (Uint8Array | null)[];

export interface DetokenizerOptions {
  readonly pieces: PieceTable;
  /** Drop one space at the very start: the one a SentencePiece vocabulary puts before the first word. */
  readonly stripLeadingSpace: boolean;
}

const NO_BYTES = new Uint8Array(0);
const SPACE = 0x20;

/** The bytes of every token as output shows them: control and end-of-generation tokens are hidden. */
export function createPieceTable(vocabulary: TextVocabulary): PieceTable {
  const pieces: (Uint8Array | null)[] = [...vocabulary.pieces];
  for (const tokenId of vocabulary.controlTokenIds) pieces[tokenId] = null;
  for (const tokenId of vocabulary.eogTokenIds) pieces[tokenId] = null;
  return pieces;
}

/**
 * Turns tokens into text, piece by piece. A token may end inside a UTF-8 character: those bytes wait for
 * the next token. Bytes that can never become a character give U+FFFD, one for each maximal subpart, as
 * the WHATWG decoder does (Unicode 15, section 3.9); the result does not depend on how tokens arrive.
 */
export class Detokenizer {
  readonly #pieces: PieceTable;
  #atStart: boolean;
  #incomplete: Uint8Array = NO_BYTES;

  constructor(options: DetokenizerOptions) {
    this.#pieces = options.pieces;
    this.#atStart = options.stripLeadingSpace;
  }

  /** Returns whole characters only; bytes still incomplete when the output ends are dropped. */
  push(tokenId: number): string {
    const piece = this.#pieces[tokenId];
    if (piece === undefined || piece === null || piece.length === 0) return "";
    let bytes: Uint8Array = piece;
    if (this.#atStart) {
      this.#atStart = false;
      if (bytes[0] === SPACE) bytes = bytes.subarray(1);
    }
    if (this.#incomplete.length > 0) bytes = Buffer.concat([this.#incomplete, bytes]);
    const end = bytes.length - countIncompleteBytes(bytes);
    this.#incomplete = bytes.subarray(end);
    return decodeUtf8(bytes.subarray(0, end));
  }
}

/** Decodes at once what a Detokenizer would give for the same tokens. */
export function detokenize(tokenIds: Iterable<number>, options: DetokenizerOptions): string {
  const detokenizer = new Detokenizer(options);
  let text = "";
  for (const tokenId of tokenIds) text += detokenizer.push(tokenId);
  return text;
}

function decodeUtf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
}

/** Length of the longest end of `bytes` that more bytes could still complete to one character: 0 to 3. */
function countIncompleteBytes(bytes: Uint8Array): number {
  for (let count = 1; count <= 3 && count <= bytes.length; count++) {
    const lead = bytes[bytes.length - count] as number;
    if ((lead & 0xc0) === 0x80) continue;
    const isOpen = count < characterLength(lead) && (count === 1 || canFollow(lead, bytes.at(1 - count)));
    return isOpen ? count : 0;
  }
  return 0;
}

/** Bytes of the character that starts with `lead`; 1 for bytes that cannot start one. */
function characterLength(lead: number): number {
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 1;
}

/** Whether a continuation byte may be the second of a character (Unicode 15, table 3-7). */
function canFollow(lead: number, second: number | undefined): boolean {
  if (second === undefined) return false;
  if (lead === 0xe0) return second >= 0xa0;
  if (lead === 0xed) return second <= 0x9f;
  if (lead === 0xf0) return second >= 0x90;
  if (lead === 0xf4) return second <= 0x8f;
  return true;
}
