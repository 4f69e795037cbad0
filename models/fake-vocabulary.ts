/**
 * A tiny vocabulary for tests without a model: an end token, all 256 bytes, words, and characters cut in two.
 *
 *   0            end of generation, no text
 *   1 .. 256     the bytes 0 .. 255
 *   257 ..       words with their leading space
 *   then         first half, second half of multi-byte characters
 */
export const FAKE_EOG_TOKEN_ID = 0;

const FIRST_BYTE_ID = 1;
const WORDS =
  " the a sun moon river stone bird cloud tree song rises falls over under and slowly again bright deep."
    .split(/(?=[ .])/)
    .filter((word) => word.trim() !== "");
const SPLIT_CHARACTERS = ["😀", "語", "é"];

export const FAKE_PIECES: readonly Uint8Array[] = [
  new Uint8Array(0),
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...WORDS.map((word) => new TextEncoder().encode(word)),
  ...SPLIT_CHARACTERS.flatMap(splitInHalf),
];

/** Ids that the fake model draws from. */
export const FIRST_DRAWN_TOKEN_ID = FIRST_BYTE_ID + 256;

/** The second half that must follow, for ids that are a first half. */
export const FAKE_CONTINUATIONS: ReadonlyMap<number, number> = new Map(
  SPLIT_CHARACTERS.map((_, index) => {
    const firstHalf = FIRST_DRAWN_TOKEN_ID + WORDS.length + 2 * index;
    return [firstHalf, firstHalf + 1];
  }),
);

/** Token ids of a text: whole words where they match, bytes elsewhere. */
export function encodeFake(text: string): number[] {
  const bytes = new TextEncoder().encode(text);
  const tokenIds: number[] = [];
  for (let offset = 0; offset < bytes.length;) {
    const wordId = FAKE_PIECES.findIndex((piece) => piece.length > 1 && startsWith(bytes, piece, offset));
    tokenIds.push(wordId === -1 ? FIRST_BYTE_ID + bytes[offset]! : wordId);
    offset += wordId === -1 ? 1 : FAKE_PIECES[wordId]!.length;
  }
  return tokenIds;
}

/** The exact bytes of tokens. */
export function decodeFake(tokenIds: readonly number[]): Uint8Array {
  return Uint8Array.from(tokenIds.flatMap((tokenId) => [...(FAKE_PIECES[tokenId] ?? [])]));
}

function splitInHalf(character: string): Uint8Array[] {
  const bytes = new TextEncoder().encode(character);
  const middle = bytes.length >> 1;
  return [bytes.slice(0, middle), bytes.slice(middle)];
}

function startsWith(bytes: Uint8Array, piece: Uint8Array, offset: number): boolean {
  return piece.every((byte, index) => bytes[offset + index] === byte);
}
