import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { describe, it } from "node:test";
import { Template } from "@huggingface/jinja";
import type { GgufFacts } from "../../models/gguf/gguf-facts.ts";
import { readGgufFacts } from "../../models/gguf/read-facts.ts";
import type { VocabularyInfo } from "../../models/llama/vocabulary.ts";
import { Vocabulary } from "../../models/llama/vocabulary.ts";
import { packageFile } from "../../src/cli/package-file.ts";

const MAX_SIZE_BYTES = { "headway-demo": 6e6, draft: 800e3, "tiny-random": 1.5e6 };
type DemoModel = keyof typeof MAX_SIZE_BYTES;
const NAMES = Object.keys(MAX_SIZE_BYTES) as DemoModel[];

function pathOf(name: DemoModel): string {
  return packageFile(`models/demo/${name}.gguf`);
}

function factsOf(name: DemoModel): Promise<GgufFacts> {
  return readGgufFacts(pathOf(name));
}

function vocabularyOf(name: DemoModel): VocabularyInfo {
  const vocabulary = Vocabulary.load(pathOf(name));
  try {
    return vocabulary.describe();
  } finally {
    vocabulary.close();
  }
}

describe("demo models", () => {
  for (const name of NAMES) {
    it(`${name} is small, free and complete`, async () => {
      assert.ok(statSync(pathOf(name)).size <= MAX_SIZE_BYTES[name]);
      const facts = await factsOf(name);
      assert.equal(facts.architecture, "llama");
      assert.equal(facts.license, "MIT");
      assert.equal(facts.contextLength, 2048);
      assert.equal(facts.dominantTensorType, "Q8_0");
      assert.equal(facts.tokenizer.model, "gpt2");
    });

    it(`${name} ends turns and texts with tokens that no text contains`, () => {
      const { eogTokenIds, controlTokenIds, pieces } = vocabularyOf(name);
      const texts = eogTokenIds.map((id) => pieces[id]);
      assert.deepEqual(texts, ["<|endoftext|>", "<|im_end|>"]);
      assert.ok(eogTokenIds.every((id) => controlTokenIds.includes(id)));
    });
  }

  it("writes turns the way it was trained on", async () => {
    const { chatTemplate } = await factsOf("headway-demo");
    const messages = [
      { role: "system", content: "Be kind." },
      { role: "user", content: "Hello" },
    ];
    assert.equal(
      new Template(chatTemplate ?? "").render({ messages, add_generation_prompt: true }),
      "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
    );
  });

  it("spells characters outside its vocabulary in bytes", () => {
    const vocabulary = Vocabulary.load(pathOf("headway-demo"));
    const tokens = vocabulary.tokenize("🦀 é 猫", { addSpecial: false, parseSpecial: true });
    const bytes = Buffer.concat(tokens.map((token) => vocabulary.piece(token)));
    vocabulary.close();
    assert.equal(bytes.toString("utf8"), "🦀 é 猫");
    assert.ok(tokens.length > 5);
  });

  it("has a draft model with the very same vocabulary", () => {
    assert.deepEqual(vocabularyOf("draft"), vocabularyOf("headway-demo"));
  });

  it("has a random model of another shape", async () => {
    const [random, demo] = await Promise.all([factsOf("tiny-random"), factsOf("headway-demo")]);
    assert.deepEqual(random.numKvHeadsPerLayer, [2, 2]);
    assert.equal(random.numHeads, 4);
    assert.equal(random.vocabSize, 8192);
    assert.deepEqual(demo.numKvHeadsPerLayer, [4, 4, 4, 4]);
    assert.equal(vocabularyOf("tiny-random").addBos, false);
    assert.equal(vocabularyOf("headway-demo").addBos, true);
  });
});
