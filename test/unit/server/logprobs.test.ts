import assert from "node:assert/strict";
import { test } from "node:test";
import { LogprobFormat } from "../../../src/server/openai/logprobs.ts";

const emoji = Buffer.from("😀");
const pieces = [Buffer.from("<|begin|>"), Buffer.from("a"), Buffer.from(" b"), ...emoji].map((piece) =>
  typeof piece === "number" ? Buffer.from([piece]) : piece,
);

function offsets(tokenIds: readonly number[], text: string): number[] {
  const format = new LogprobFormat(pieces, false);
  return format.prompt(format.promptTokens(tokenIds, []), text).text_offset;
}

test("an echoed prompt's offsets point into its text, where a token before it takes no place", () => {
  assert.deepEqual(offsets([0, 1, 2], "a b"), [0, 0, 1]);
  assert.deepEqual(offsets([1, 2], "a b"), [0, 1]);
});

test("bytes of one character take one place together", () => {
  assert.deepEqual(offsets([0, 1, 3, 4, 5, 6, 2], "a😀 b"), [0, 0, 1, 1, 1, 1, 3]);
});
