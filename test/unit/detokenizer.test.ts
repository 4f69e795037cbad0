import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createPieceTable, Detokenizer, detokenize } from "../../models/text/detokenizer.ts";
import type { TextVocabulary } from "../../models/text/text-vocabulary.ts";

/** One token for each piece; numbers are bytes. */
function pushAll(pieces: readonly (string | number[] | null)[], stripLeadingSpace = false): string[] {
  const table = pieces.map((piece) =>
    piece === null ? null : Uint8Array.from(Buffer.from(piece as string)),
  );
  const detokenizer = new Detokenizer({ pieces: table, stripLeadingSpace });
  return pieces.map((_, tokenId) => detokenizer.push(tokenId));
}

describe("Detokenizer", () => {
  it("holds the bytes of a character until it is whole", () => {
    assert.deepEqual(pushAll([[0xf0], [0x9f, 0x98], [0x80, 0x21]]), ["", "", "😀!"]);
  });

  it("replaces bytes that can never become a character, one mark for each maximal subpart", () => {
    assert.deepEqual(pushAll([[0xe2, 0x82], [0x41], [0xff], [0xed, 0xa0], [0x80]]), [
      "",
      "\uFFFDA",
      "\uFFFD",
      "\uFFFD\uFFFD",
      "\uFFFD",
    ]);
  });

  it("keeps a byte order mark and NUL", () => {
    assert.deepEqual(pushAll(["\uFEFFa", "\0"]), ["\uFEFFa", "\0"]);
  });

  it("gives no text for hidden and unknown tokens", () => {
    assert.deepEqual(pushAll(["a", null, "b"]), ["a", "", "b"]);
    assert.equal(new Detokenizer({ pieces: [], stripLeadingSpace: false }).push(7), "");
  });

  it("strips one space, at the start only, when the vocabulary adds one", () => {
    assert.deepEqual(pushAll([" ", "  b", " c"], true), ["", "  b", " c"]);
    assert.deepEqual(pushAll([" a", " b"], true), ["a", " b"]);
    assert.deepEqual(pushAll([" a", " b"], false), [" a", " b"]);
  });

  it("drops an unfinished character at the end", () => {
    const pieces = [Buffer.from("a"), Buffer.from([0xe2, 0x82])];
    assert.equal(detokenize([0, 1], { pieces, stripLeadingSpace: false }), "a");
  });
});

describe("createPieceTable", () => {
  it("hides control and end-of-generation tokens", () => {
    const pieces = ["</s>", "a", "<|im_end|>"].map((text) => Buffer.from(text));
    const vocabulary = { pieces, controlTokenIds: [0], eogTokenIds: [2] } as Partial<TextVocabulary>;
    assert.deepEqual(createPieceTable(vocabulary as TextVocabulary), [null, pieces[1], null]);
  });
});
