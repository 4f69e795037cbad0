import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";

import { deriveFacts } from "../../models/gguf/derive-facts.ts";
import type { GgufErrorCode } from "../../models/gguf/gguf-error.ts";
import { GgufError } from "../../models/gguf/gguf-error.ts";
import { readModelHeader } from "../../models/gguf/read-model-header.ts";
import type { GgufContent, GgufTensor, GgufValue } from "../support/gguf-writer.ts";
import {
  array,
  f32,
  llamaKeys,
  smallGguf,
  tensor,
  text,
  textBytes,
  u16,
  u32,
  u64,
  uint32,
  uint64,
  writeGguf,
} from "../support/gguf-writer.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const dir = temporaryFolder();

function refusalOf(bytes: Buffer): GgufError {
  const path = join(dir, "model.gguf");
  writeFileSync(path, bytes);
  try {
    deriveFacts(readModelHeader(path));
  } catch (error) {
    assert.ok(error instanceof GgufError, String(error));
    assert.doesNotMatch(error.message, /\p{Cc}/u, "one line without control characters");
    return error;
  }
  return assert.fail("the file was accepted");
}

function withTensor(change: Partial<GgufTensor>): Buffer {
  return smallGguf({ tensors: [{ ...tensor("a", [64]), ...change }] });
}

function withKeys(changes: Record<string, GgufValue>): Buffer {
  return smallGguf({ keys: llamaKeys(changes) });
}

function withTokens(...tokens: string[]): Buffer {
  return withKeys({ "tokenizer.ggml.tokens": array(tokens.map(text)) });
}

function emptyTexts(count: number): GgufValue {
  return { typeId: 9, bytes: Buffer.concat([uint32(8), uint64(count), Buffer.alloc(8 * count)]) };
}

function withExperts(numExperts: number, numGroups: number, numUsed: number): Buffer {
  return withKeys({
    "llama.expert_count": u32(numExperts),
    "llama.expert_used_count": u32(1),
    "llama.expert_group_count": u32(numGroups),
    "llama.expert_group_used_count": u32(numUsed),
  });
}

function withPair(pair: [string, GgufValue], change: Partial<GgufContent> = {}): Buffer {
  return smallGguf({ keys: [...llamaKeys(), pair], ...change });
}

/** Starts like a model file and goes on with what a test wants. */
function header(...rest: Buffer[]): Buffer {
  return Buffer.concat([Buffer.from("GGUF"), uint32(3), ...rest]);
}

const a = tensor("a", [64]);
const b = tensor("b", [64]);

const REFUSALS: [what: string, bytes: Buffer, code: GgufErrorCode, message: RegExp][] = [
  ["an empty file", Buffer.alloc(0), "truncated", /empty/],
  ["two bytes", Buffer.from("GG"), "bad-magic", /GG/],
  ["another file format", Buffer.from("PK\u0003\u0004 and more of it"), "bad-magic", /PK/],
  ["nothing but the magic number", Buffer.from("GGUF"), "truncated", /version/],
  ["version 0", smallGguf({ version: 0 }), "bad-version", /version 0/],
  ["version 1", smallGguf({ version: 1 }), "bad-version", /version 1/],
  ["a future version", smallGguf({ version: 4 }), "bad-version", /version 4/],
  ["a big-endian file", smallGguf({ version: 3 << 24 }), "bad-version", /big-endian/],
  ["no counts", header(), "truncated", /tensor count/],
  ["2^63 tensors", smallGguf({ numTensors: 2n ** 63n }), "bad-count", /tensors/],
  ["2^64-1 keys", smallGguf({ numKeys: 2n ** 64n - 1n }), "bad-count", /metadata keys/],
  ["more keys than fit", smallGguf({ numKeys: 5000 }), "bad-count", /fit in the file/],
  ["more keys than there are", smallGguf({ numKeys: 30 }), "bad-key", /key/],
  ["more tensors than there are", smallGguf({ numTensors: 3 }), "bad-offset", /overlaps/],
  ["an empty key", withPair(["", u32(1)]), "bad-key", /empty/],
  [
    "a key of 2^40 bytes",
    header(uint64(0), uint64(1), uint64(2n ** 40n), Buffer.alloc(64)),
    "bad-key",
    /65535/,
  ],
  [
    "a key past the end",
    header(uint64(0), uint64(1), uint64(60_000), Buffer.alloc(64)),
    "truncated",
    /key 0/,
  ],
  ["a duplicate key", withPair(["general.name", text("again")]), "duplicate-key", /"general.name"/],
  ["an unknown value type", withPair(["x", { typeId: 13, bytes: uint32(0) }]), "bad-value", /type 13/],
  [
    "an array of arrays",
    withPair(["x", { typeId: 9, bytes: Buffer.concat([uint32(9), uint64(1), uint32(4)]) }]),
    "bad-value",
    /type 9/,
  ],
  ["an array of 2^62 numbers", withPair(["x", array([u32(1)], 2n ** 62n)]), "bad-count", /array/],
  ["an array of 2^62 texts", withPair(["x", array([text("a")], 2n ** 62n)]), "bad-count", /array/],
  ["a text past the end", withPair(["x", { typeId: 8, bytes: uint64(2n ** 50n) }]), "truncated", /"x"/],
  [
    "a text in an array past the end",
    withPair(["x", { typeId: 9, bytes: Buffer.concat([uint32(8), uint64(1), uint64(2n ** 50n)]) }]),
    "truncated",
    /"x"/,
  ],
  [
    "a huge chat template",
    withKeys({ "tokenizer.chat_template": text("x".repeat(2 ** 20 + 1)) }),
    "too-large",
    /chat template/,
  ],
  [
    "an array past the end",
    withPair(["x", array([u32(1)], 100_000)]),
    "truncated",
    /ends inside the array of key "x"/,
  ],
  ["a token that occurs twice", withTokens("a", "b", "a"), "duplicate-token", /token 2, "a"/],
  ["tokens that C takes for the same", withTokens("a", "a\0b"), "duplicate-token", /token 1/],
  ["2^20+1 tokens", withKeys({ "tokenizer.ggml.tokens": emptyTexts(2 ** 20 + 1) }), "bad-count", /tokens/],
  ["a token of 64 KiB", withTokens("x".repeat(65_536)), "bad-value", /token 0/],
  ["alignment 0", withKeys({ "general.alignment": u32(0) }), "bad-alignment", /power of two/],
  ["alignment 33", withKeys({ "general.alignment": u32(33) }), "bad-alignment", /33/],
  ["alignment of the wrong type", withKeys({ "general.alignment": u64(32) }), "bad-alignment", /32-bit/],
  ["alignment as text", withKeys({ "general.alignment": text("32") }), "bad-alignment", /32-bit/],
  ["a tensor name of 64 bytes", withTensor({ name: "n".repeat(64) }), "bad-tensor", /63/],
  ["five dimensions", withTensor({ shape: [64, 1, 1, 1, 1] }), "bad-tensor", /5 dimensions/],
  ["a negative dimension", withTensor({ shape: [2n ** 63n] }), "bad-tensor", /impossible shape/],
  ["elements that overflow", withTensor({ shape: [2 ** 31, 2 ** 31, 4] }), "bad-tensor", /impossible shape/],
  ["bytes that overflow", withTensor({ shape: [2 ** 51, 2] }), "bad-tensor", /bytes/],
  ["an unknown tensor type", withTensor({ typeId: 43 }), "bad-tensor", /type 43/],
  ["a withdrawn tensor type", withTensor({ typeId: 31 }), "bad-tensor", /type 31/],
  ["rows that are no whole blocks", withTensor({ typeId: 8, shape: [33] }), "bad-tensor", /Q8_0/],
  ["a duplicate tensor", smallGguf({ tensors: [a, a] }), "duplicate-tensor", /"a"/],
  ["an offset beyond the file", withTensor({ offset: 2n ** 40n }), "bad-offset", /gap/],
  ["an offset of 2^64-1", withTensor({ offset: 2n ** 64n - 1n }), "bad-offset", /offset/],
  ["a misaligned offset", smallGguf({ tensors: [a, { ...b, offset: 257 }] }), "bad-offset", /multiple of 32/],
  ["overlapping tensors", smallGguf({ tensors: [a, { ...b, offset: 128 }] }), "bad-offset", /overlaps/],
  [
    "tensors out of order",
    smallGguf({
      tensors: [
        { ...a, offset: 256 },
        { ...b, offset: 0 },
      ],
    }),
    "bad-offset",
    /gap/,
  ],
  ["a gap between tensors", smallGguf({ tensors: [a, { ...b, offset: 320 }] }), "bad-offset", /gap/],
  ["data that are cut off", smallGguf().subarray(0, -1), "data-outside-file", /cut off/],
  [
    "a tensor that claims more than the file has",
    withTensor({ shape: [65] }),
    "data-outside-file",
    /cut off/,
  ],
  ["no tensors", smallGguf({ tensors: [] }), "bad-count", /no tensors/],
  ["no architecture", writeGguf({ keys: [], tensors: [a] }), "bad-value", /general.architecture/],
  [
    "an architecture that is no name",
    withKeys({ "general.architecture": text("a b\n") }),
    "bad-value",
    /architecture name/,
  ],
  [
    "an architecture that is a number",
    withKeys({ "general.architecture": u32(1) }),
    "bad-value",
    /must be text/,
  ],
  ["no layers", withKeys({ "llama.block_count": u32(0) }), "bad-value", /block_count/],
  ["more layers than the library can hold", withKeys({ "llama.block_count": u32(513) }), "bad-value", /512/],
  ["no embedding length", withKeys({ "llama.embedding_length": u32(0) }), "bad-value", /embedding_length/],
  [
    "more experts than the library can hold",
    withKeys({ "llama.expert_count": u32(1025) }),
    "bad-value",
    /1024/,
  ],
  [
    "more experts used than there are",
    withKeys({ "llama.expert_count": u32(4), "llama.expert_used_count": u32(5) }),
    "bad-value",
    /expert_used_count/,
  ],
  ["experts that are never used", withKeys({ "llama.expert_count": u32(4) }), "bad-value", /experts/],
  [
    "more predicted layers than layers",
    withKeys({ "llama.nextn_predict_layers": u32(3) }),
    "bad-value",
    /nextn/,
  ],
  [
    "an unknown rope scaling",
    withKeys({ "llama.rope.scaling.type": text("x") }),
    "bad-value",
    /rope scaling/,
  ],
  [
    "expert groups without experts",
    withKeys({ "llama.expert_group_count": u32(1) }),
    "bad-value",
    /expert_group_count/,
  ],
  ["expert groups of unequal size", withExperts(4, 3, 1), "bad-value", /4 experts .* 1 of 3 groups/],
  ["expert groups that are all used", withExperts(4, 2, 2), "bad-value", /2 of 2 groups/],
  [
    "a context length that is no number",
    withKeys({ "llama.context_length": f32(Number.NaN) }),
    "bad-value",
    /number/,
  ],
  [
    "a context length with a fraction",
    withKeys({ "llama.context_length": f32(0.5) }),
    "bad-value",
    /whole number/,
  ],
  [
    "heads for fewer layers than there are",
    withKeys({ "llama.attention.head_count": array([u32(4)]) }),
    "bad-value",
    /each layer/,
  ],
  [
    "a negative epsilon",
    withKeys({ "llama.attention.layer_norm_rms_epsilon": f32(-1e-5) }),
    "bad-value",
    /must not be negative/,
  ],
  [
    "an epsilon that is no number",
    withKeys({ "llama.attention.layer_norm_epsilon": f32(Number.NaN) }),
    "bad-value",
    /must be a number/,
  ],
  [
    "norm weights that are not F32",
    withTensor({ name: "output_norm.weight", typeId: 1 }),
    "bad-tensor",
    /"output_norm\.weight" must be F32, not F16/,
  ],
  [
    "a part of a split model under a plain name",
    withKeys({ "split.no": u16(1), "split.count": u16(3) }),
    "mismatched-part",
    /part 2 of 3/,
  ],
];

describe("GGUF refusals", () => {
  for (const [what, bytes, code, message] of REFUSALS) {
    test(`refuses ${what}`, () => {
      const refusal = refusalOf(bytes);
      assert.equal(refusal.code, code, refusal.message);
      assert.match(refusal.message, message);
    });
  }

  test("shows names from a file without their control characters", () => {
    const refusal = refusalOf(
      smallGguf({ tensors: [a, { ...tensor("\u001b[2J\u202e\n", [64]), offset: 1 }] }),
    );
    assert.match(refusal.message, /\\u001b\[2J/);
  });

  test("refuses more text than a reader should hold", () => {
    const megabyte = text("x".repeat(2 ** 20));
    const keys = Array.from({ length: 17 }, (_, index): [string, GgufValue] => [`note.${index}`, megabyte]);
    assert.equal(refusalOf(smallGguf({ keys: [...llamaKeys(), ...keys] })).code, "too-large");
  });

  test("accepts tokens that are equal only as UTF-8 text, and several empty ones", () => {
    const path = join(dir, "tokens.gguf");
    const invalid = [0xfe, 0xff].map((byte) => ({
      typeId: 8,
      bytes: Buffer.concat([uint64(1), Buffer.from([byte])]),
    }));
    const tokens = array([...invalid, text(""), text("")]);
    writeFileSync(path, smallGguf({ keys: llamaKeys({ "tokenizer.ggml.tokens": tokens }) }));
    assert.equal(deriveFacts(readModelHeader(path)).vocabSize, 4);
  });

  test("skips a long text that nobody needs", () => {
    const path = join(dir, "long.gguf");
    const keys = llamaKeys({
      "tokenizer.huggingface.json": { typeId: 8, bytes: textBytes("x".repeat(2 ** 21)) },
    });
    writeFileSync(path, smallGguf({ keys }));
    assert.equal(deriveFacts(readModelHeader(path)).architecture, "llama");
  });
});
