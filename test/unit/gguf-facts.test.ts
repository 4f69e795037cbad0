import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";

import { gguf } from "@huggingface/gguf";

import type { GgufErrorCode } from "../../models/gguf/gguf-error.ts";
import { kvBytesPerToken } from "../../models/gguf/kv-bytes.ts";
import { readGgufFacts } from "../../models/gguf/read-facts.ts";
import { demoModelPath } from "../../models/store/demo-model.ts";
import type { GgufValue } from "../support/gguf-writer.ts";
import {
  array,
  bool,
  llamaKeys,
  smallGguf,
  tensor,
  text,
  u16,
  u32,
  writeGguf,
} from "../support/gguf-writer.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const dir = temporaryFolder();

function write(name: string, bytes: Buffer): string {
  const path = join(dir, name);
  writeFileSync(path, bytes);
  return path;
}

function factsOf(changes: Record<string, GgufValue>): ReturnType<typeof readGgufFacts> {
  return readGgufFacts(write("changed.gguf", smallGguf({ keys: llamaKeys(changes) })));
}

interface OtherReading {
  readonly numParameters: number;
  readonly metadata: ReadonlyMap<string, unknown>;
}

async function readWithLibrary(path: string): Promise<OtherReading> {
  const options = { allowLocalFile: true, computeParametersCount: true } as const;
  const { parameterCount, metadata } = await gguf(path, options);
  return { numParameters: parameterCount, metadata: new Map<string, unknown>(Object.entries(metadata)) };
}

describe("GGUF facts", () => {
  test("says what a model is", async () => {
    const facts = await readGgufFacts(write("tiny.gguf", smallGguf()));
    assert.equal(facts.architecture, "llama");
    assert.equal(facts.name, "Tiny");
    assert.equal(facts.license, "mit");
    assert.equal(facts.quantization, "F32");
    assert.equal(facts.dominantTensorType, "F32");
    assert.equal(facts.numParameters, 64 * 4 + 63);
    assert.equal(facts.weightsBytes, 4 * (64 * 4 + 63));
    assert.equal(facts.contextLength, 2048);
    assert.equal(facts.vocabSize, 4);
    assert.deepEqual(facts.numKvHeadsPerLayer, [2, 2]);
    assert.deepEqual([facts.keyLength, facts.valueLength], [16, 16]);
    assert.deepEqual(facts.tokenizer, { model: "gpt2", pre: "default", bosTokenId: 2, eosTokenId: 3 });
    assert.match(facts.chatTemplate ?? "", /message\.content/);
    assert.deepEqual([facts.isCausal, facts.hasRecurrentState, facts.slidingWindow], [true, false, null]);
  });

  test("counts the bytes of KV cache that a token takes", async () => {
    const facts = await readGgufFacts(write("tiny.gguf", smallGguf()));
    // Two layers of two heads with 16 keys and 16 values each.
    assert.equal(kvBytesPerToken(facts), 2 * 2 * 32 * 2);
    assert.equal(kvBytesPerToken(facts, "q8_0", "f16"), 2 * 2 * 16 * (34 / 32) + 2 * 2 * 16 * 2);
    const hybrid = await factsOf({ "llama.attention.head_count_kv": array([u32(0), u32(2)]) });
    assert.equal(kvBytesPerToken(hybrid), 2 * 32 * 2);
    const latent = await factsOf({
      "llama.attention.key_length_mla": u32(8),
      "llama.attention.value_length_mla": u32(8),
    });
    assert.equal(kvBytesPerToken(latent), 2 * 2 * 16 * 2);
  });

  test("tells models whose memory is special", async () => {
    const facts = await factsOf({
      "llama.attention.sliding_window": u32(512),
      "llama.ssm.conv_kernel": u32(4),
      "llama.attention.causal": bool(false),
    });
    assert.deepEqual([facts.slidingWindow, facts.hasRecurrentState, facts.isCausal], [512, true, false]);
  });

  test("agrees with another reader on the demo model", async () => {
    const path = demoModelPath();
    const facts = await readGgufFacts(path);
    const other = await readWithLibrary(path);
    assert.equal(facts.numParameters, other.numParameters);
    assert.equal(facts.architecture, other.metadata.get("general.architecture"));
    assert.equal(facts.chatTemplate, other.metadata.get("tokenizer.chat_template"));
    assert.equal(facts.contextLength, other.metadata.get("llama.context_length"));
  });

  const realModel = process.env["HEADWAY_TEST_MODEL"];
  test(
    "agrees with another reader on a real model",
    { skip: realModel ? false : "HEADWAY_TEST_MODEL names none" },
    async () => {
      const path = realModel ?? "";
      const facts = await readGgufFacts(path);
      const other = await readWithLibrary(path);
      assert.equal(facts.numParameters, other.numParameters);
      assert.equal(facts.chatTemplate, other.metadata.get("tokenizer.chat_template"));
    },
  );
});

function partName(part: number): string {
  return `split-0000${part}-of-00002.gguf`;
}

function writeParts(second: { no: number; count: number; tensorName?: string }, numTensors = 2): string {
  const split = { "split.no": u16(0), "split.count": u16(2), "split.tensors.count": u32(numTensors) };
  const first = smallGguf({ keys: llamaKeys(split), tensors: [tensor("a", [64])] });
  const keys: [string, GgufValue][] = [
    ["split.no", u16(second.no)],
    ["split.count", u16(second.count)],
  ];
  write(partName(2), writeGguf({ keys, tensors: [tensor(second.tensorName ?? "b", [64])] }));
  return write(partName(1), first);
}

describe("split GGUF models", () => {
  test("joins all parts", async () => {
    const facts = await readGgufFacts(writeParts({ no: 1, count: 2 }));
    assert.equal(facts.numParameters, 128);
    assert.deepEqual(
      facts.files,
      [1, 2].map((part) => join(dir, partName(part))),
    );
  });

  const refusals: [string, () => string, GgufErrorCode][] = [
    ["a part that is another one", () => writeParts({ no: 0, count: 2 }), "mismatched-part"],
    ["a part of a longer model", () => writeParts({ no: 1, count: 3 }), "mismatched-part"],
    ["another number of tensors than announced", () => writeParts({ no: 1, count: 2 }, 3), "mismatched-part"],
    ["a tensor in two parts", () => writeParts({ no: 1, count: 2, tensorName: "a" }), "duplicate-tensor"],
    [
      "a part that is missing",
      () => write("lone-00001-of-00002.gguf", smallGguf({ keys: llamaKeys({ "split.count": u16(2) }) })),
      "missing-part",
    ],
    ["a part that is not the first", () => join(dir, partName(2)), "mismatched-part"],
  ];
  for (const [what, prepare, code] of refusals) {
    test(`refuses ${what}`, () => assert.rejects(readGgufFacts(prepare()), { name: "GgufError", code }));
  }
});

describe("reading in a child process", () => {
  test("refuses what is no file", async () => {
    mkdirSync(join(dir, "folder.gguf"));
    symlinkSync(join(dir, "loop.gguf"), join(dir, "loop.gguf"));
    execFileSync("mkfifo", [join(dir, "pipe.gguf")]);
    const expected: [string, GgufErrorCode][] = [
      ["folder.gguf", "not-a-file"],
      ["pipe.gguf", "not-a-file"],
      ["loop.gguf", "unreadable"],
      ["nowhere.gguf", "not-found"],
      ["tiny.gguf/below.gguf", "not-found"],
    ];
    for (const [name, code] of expected) {
      await assert.rejects(readGgufFacts(join(dir, name)), { name: "GgufError", code });
    }
  });

  test("names the file in one sentence", async () => {
    const path = write("bad\nname.gguf", Buffer.from("no model"));
    await assert.rejects(readGgufFacts(path), {
      message: /^cannot use model file ".*bad\\nname\.gguf": it starts with/,
    });
  });

  test("gives up in time and on demand", async () => {
    const path = write("tiny.gguf", smallGguf());
    await assert.rejects(readGgufFacts(path, { timeoutMs: 1 }), { code: "reader-timeout" });
    await assert.rejects(readGgufFacts(path, { signal: AbortSignal.abort() }), { name: "AbortError" });
  });
});

describe("GGUF model templates by name", () => {
  test("other templates do not replace the default one", async () => {
    const facts = await factsOf({ "tokenizer.chat_template.tool_use": text("tools") });
    assert.match(facts.chatTemplate ?? "", /message\.content/);
  });
});
