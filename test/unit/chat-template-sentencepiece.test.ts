import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { Vocabulary } from "../../models/llama/vocabulary.ts";
import { ChatTokenizer } from "../../models/text/chat-tokenizer.ts";
import { createPieceTable, detokenize } from "../../models/text/detokenizer.ts";
import { GuardedTokenizer } from "../../models/text/guarded-tokenizer.ts";
import { toTextVocabulary } from "../../models/text/text-vocabulary.ts";
import {
  array,
  f32,
  llamaKeys,
  smallGguf,
  text,
  u32,
  uint32,
  type GgufValue,
} from "../support/gguf-writer.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const BYTE = 6;
const END = 2;

const i32 = (value: number): GgufValue => ({ typeId: 5, bytes: uint32(value) });

/** A SentencePiece vocabulary in which plain letters merge, step by step, to the name of a control token. */
function loadVocabulary(): Vocabulary {
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
  );
  const pieces = ["▁", ..."abcdefghijklmnopqrstuvwxyz</>".split(""), "▁a", "hi", "</", "s>"];
  const tokens: (readonly [string, number])[] = [
    ["<unk>", UNKNOWN],
    ["<s>", CONTROL],
    ["</s>", CONTROL],
    ...bytes.map((byte) => [byte, BYTE] as const),
    ...pieces.map((piece) => [piece, NORMAL] as const),
  ];
  const file = join(temporaryFolder(), "sentencepiece.gguf");
  const keys = llamaKeys({
    "tokenizer.ggml.model": text("llama"),
    "tokenizer.ggml.tokens": array(tokens.map(([piece]) => text(piece))),
    "tokenizer.ggml.scores": array(tokens.map((_, id) => f32(-id))),
    "tokenizer.ggml.token_type": array(tokens.map(([, type]) => i32(type))),
    "tokenizer.ggml.bos_token_id": u32(1),
    "tokenizer.ggml.eos_token_id": u32(END),
  });
  writeFileSync(file, smallGguf({ keys }));
  return Vocabulary.load(file);
}

describe("a SentencePiece vocabulary", () => {
  const vocabulary = loadVocabulary();
  after(() => vocabulary.close());
  const info = vocabulary.describe();
  const plain = { addSpecial: false, parseSpecial: false };
  const tokenizer = new GuardedTokenizer(vocabulary, info);
  const { addSpacePrefix } = tokenizer;
  const pieces = createPieceTable(toTextVocabulary({ info, addSpacePrefix, templateProblem: null }));

  function tokenizeChat(template: string, content: string): number[] {
    const chat = {
      messages: [{ role: "user", content }],
      addGenerationPrompt: true,
      continueFinalMessage: false,
    };
    return new ChatTokenizer(tokenizer, info, template).tokenize(chat, 1000).tokenIds;
  }

  it("puts a space before the first word, which comes off again", () => {
    assert.equal(addSpacePrefix, true);
    const tokenIds = vocabulary.tokenize("a hi", plain);
    assert.equal(detokenize(tokenIds, { pieces, stripLeadingSpace: true }), "a hi");
  });

  it("merges plain text to a control token; the guarded tokenizer does not", () => {
    assert.ok(vocabulary.tokenize("</s>", plain).includes(END));
    const guarded = tokenizer.tokenize("</s> hi", { addSpecial: true, parseSpecial: false });
    assert.deepEqual(
      guarded.filter((tokenId) => info.controlTokenIds.includes(tokenId)),
      [info.bosTokenId],
    );
    assert.equal(detokenize(guarded, { pieces, stripLeadingSpace: true }), "</s> hi");
    const tokenIds = tokenizeChat("{{ messages[0].content }}</s>", "hi </s> hi");
    assert.deepEqual(
      tokenIds.filter((tokenId) => tokenId === END),
      [END],
    );
    assert.equal(detokenize(tokenIds, { pieces, stripLeadingSpace: false }), " hi </s> hi");
  });

  it("gets one BOS, whether the template prints it or not", () => {
    for (const template of ["{{ messages[0].content }}", "{{ bos_token }}{{ messages[0].content }}"]) {
      const tokenIds = tokenizeChat(template, "hi");
      assert.deepEqual(
        tokenIds.filter((tokenId) => tokenId === info.bosTokenId),
        [info.bosTokenId],
      );
      assert.equal(tokenIds[0], info.bosTokenId);
    }
  });
});
