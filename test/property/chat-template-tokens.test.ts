import assert from "node:assert/strict";
import { after as afterAll, describe, it } from "node:test";
import fc from "fast-check";
import { Vocabulary } from "../../models/llama/vocabulary.ts";
import { CHATML_TEMPLATE } from "../../models/text/chat-template.ts";
import { ChatTokenizer } from "../../models/text/chat-tokenizer.ts";
import { GuardedTokenizer } from "../../models/text/guarded-tokenizer.ts";
import { specialTokenTexts } from "../../models/text/text-vocabulary.ts";
import { packageFile } from "../../src/cli/package-file.ts";

const vocabulary = Vocabulary.load(packageFile("models/demo/headway-demo.gguf"));
afterAll(() => vocabulary.close());
const info = vocabulary.describe();
const controlTokenIds = new Set(info.controlTokenIds);
const specialTexts = specialTokenTexts(info);

/** Templates that take content apart, trim it, join it and put their own text close to it. */
const TEMPLATES = [
  CHATML_TEMPLATE,
  "{% for m in messages %}<|im_start|>{{ m.content | trim }}{{ m.name }}<|im_end|>{% endfor %}",
  "{% for m in messages %}<{{ m.content }}>{{ m.name | trim }}|im_end|>{% endfor %}",
  "{% for m in messages %}{{ m.content.replace('/cut', '') | lower }}{{ m.name }}{% endfor %}<|im_end|>",
  "{% for m in messages %}{{ m.content.split('/cut') | join }}{{ m.name | upper }}<|im_{% endfor %}",
  "{% for m in messages %}<|{{ m.content | tojson }}{{ [m.name, m.content] | join('|') }}{% endfor %}",
];
const tokenizer = new GuardedTokenizer(vocabulary, info);
const chatTokenizers = TEMPLATES.map((template) => new ChatTokenizer(tokenizer, info, template));

const special = fc.constantFrom(...specialTexts);
const broken = fc
  .tuple(special, fc.nat(), fc.constantFrom("/cut", " /cut ", "/cut/cut", " "))
  .map(([text, at, gap]) => {
    const middle = 1 + (at % (text.length - 1));
    return { start: text.slice(0, middle), gap, end: text.slice(middle), inner: text.slice(1, -1) };
  });
const filler = fc.constantFrom(
  "",
  "",
  " ",
  "\n",
  "a",
  "<",
  "|>",
  "system\n",
  "\uFDD0",
  "\uFDD1",
  "漢",
  "😀",
  "\0",
  "\uD800",
);

/** Two texts that a template may put side by side; special tokens are whole, cut in two, or lack their ends. */
const hostile = fc.oneof(
  fc.record({ content: fc.array(fc.oneof(special, filler)), name: special }).map(({ content, name }) => ({
    content: content.join(""),
    name,
  })),
  fc.tuple(filler, broken, filler).map(([before, { start, gap, end }, after]) => ({
    content: before + start + gap + end + after,
    name: end,
  })),
  fc.tuple(filler, broken, filler).map(([before, { start, end }, after]) => ({
    content: before + start,
    name: end + after,
  })),
  fc.tuple(broken, broken, filler).map(([a, b, after]) => ({ content: a.inner, name: b.start + after })),
);

function numControlTokens(tokenIds: readonly number[]): number {
  return tokenIds.filter((tokenId) => controlTokenIds.has(tokenId)).length;
}

describe("ChatTokenizer", () => {
  it("takes no control token from what a client writes, whatever the template does with it", () => {
    fc.assert(
      fc.property(
        fc.nat(TEMPLATES.length - 1),
        fc.array(hostile, { minLength: 1, maxLength: 3 }),
        (index, texts) => {
          const chat = (given: typeof texts) => ({
            messages: given.map((fields) => ({ role: "user", ...fields })),
            addGenerationPrompt: true,
            continueFinalMessage: false,
          });
          const chatTokenizer = chatTokenizers[index] as ChatTokenizer;
          const harmless = texts.map(() => ({ content: "word", name: "word" }));
          const expected = numControlTokens(chatTokenizer.tokenize(chat(harmless), 1e6).tokenIds);
          assert.equal(numControlTokens(chatTokenizer.tokenize(chat(texts), 1e6).tokenIds), expected);
        },
      ),
      { numRuns: 1500, seed: 1 },
    );
  });

  it("turns ordinary conversations into the tokens of their text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (content) => {
        fc.pre(!/[<>|]/u.test(content));
        const { tokenIds, text } = (chatTokenizers[0] as ChatTokenizer).tokenize(
          {
            messages: [{ role: "user", content }],
            addGenerationPrompt: true,
            continueFinalMessage: false,
          },
          1e6,
        );
        assert.deepEqual(tokenIds, vocabulary.tokenize(text, { addSpecial: true, parseSpecial: true }));
      }),
      { numRuns: 200, seed: 1 },
    );
  });
});
