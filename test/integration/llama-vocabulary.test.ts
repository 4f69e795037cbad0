import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Vocabulary } from "../../models/llama/vocabulary.ts";
import { demoModelPath } from "../support/demo-model.ts";

const modelPaths = [demoModelPath(), process.env["HEADWAY_TEST_MODEL"]].filter((path) => path !== undefined);
const TEXTS = [
  "Hello, world! It's 7 o'clock.",
  "  two spaces,\ttabs and\n\nnewlines \n",
  "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich",
  "日本語の文章と한국어",
  "emoji 👩‍👩‍👧‍👦 and 🏳️‍🌈",
  "nul \0 and control \u0001 characters",
  "",
];

for (const modelPath of modelPaths) {
  const vocabulary = Vocabulary.load(modelPath);
  after(() => vocabulary.close());
  const info = vocabulary.describe();
  const name = modelPath.slice(modelPath.lastIndexOf("/") + 1);

  test(`${name}: pieces of a tokenized text are the text's bytes`, () => {
    for (const text of TEXTS) {
      const tokens = vocabulary.tokenize(text, { addSpecial: false, parseSpecial: false });
      const bytes = Buffer.concat(tokens.map((token) => Buffer.from(info.pieces[token]!, "latin1")));
      assert.equal(bytes.toString("utf8"), text);
    }
  });

  test(`${name}: a text longer than the first buffer is tokenized whole`, () => {
    const text = "word ".repeat(20_000);
    const tokens = vocabulary.tokenize(text, { addSpecial: false, parseSpecial: false });
    const length = tokens.reduce((sum, token) => sum + info.pieces[token]!.length, 0);
    assert.equal(length, text.length);
  });

  test(`${name}: the text of a special token is that token only where special tokens are parsed`, () => {
    const special = info.specialTokens.find(({ text }) => text.length > 3);
    assert.ok(special);
    const parsed = vocabulary.tokenize(special.text, { addSpecial: false, parseSpecial: true });
    assert.deepEqual(parsed, [special.id]);
    const plain = vocabulary.tokenize(special.text, { addSpecial: false, parseSpecial: false });
    assert.ok(!plain.includes(special.id));
  });

  test(`${name}: the description is complete and survives JSON`, () => {
    assert.equal(info.pieces.length, info.size);
    assert.ok(info.eogTokenIds.length > 0);
    assert.ok(info.eosTokenId !== null && info.eogTokenIds.includes(info.eosTokenId));
    assert.equal(info.eosText, info.pieces[info.eosTokenId]);
    if (info.chatTemplate !== null) assert.match(info.chatTemplate, /messages/);
    assert.deepEqual(JSON.parse(JSON.stringify(info)), info);
  });
}
