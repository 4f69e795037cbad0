import assert from "node:assert/strict";
import { test } from "node:test";
import type { GenerationSummary } from "../../../src/engine/generation.ts";
import { ChunkStream } from "../../../src/server/delivery/chunk-stream.ts";
import { LogprobFormat } from "../../../src/server/openai/logprobs.ts";
import { TextFormat } from "../../../src/server/openai/text-format.ts";
import { fakePieces } from "../../support/fake-text.ts";
import type { Chunk } from "../../support/sse.ts";

const identity = { id: "cmpl-1", created: 1, model: "m", systemFingerprint: "fp" };
const prompts = [{ tokenIds: [97, 98, 99] }];

const output = {
  stream: true,
  includeUsage: false,
  continuousUsage: false,
  returnProgress: false,
  timingsPerToken: false,
  pingIntervalMs: 0,
  tokensAsTokenIds: false,
};

const summary: GenerationSummary = {
  numPromptTokens: 3,
  numCachedTokens: 0,
  numGeneratedTokens: 2,
  queueMs: 0,
  prefillMs: 0,
  decodeMs: 0,
  ttftMs: 0,
  e2eMs: 0,
};

function createStream(returnProgress = false) {
  const chunks: Chunk[] = [];
  const events: string[] = [];
  const format = new TextFormat({
    identity,
    logprobs: new LogprobFormat(fakePieces, false),
    prompts,
    echoTexts: ["abc"],
    numChoices: 2,
    needsTokens: true,
  });
  const stream = new ChunkStream({
    format,
    channel: {
      tellPlace: ({ position }) => void events.push(`place ${position}`),
      send: (chunk) => void chunks.push(JSON.parse(chunk) as Chunk),
      end: () => void events.push("end"),
      fail: (error) => void events.push(`fail ${error.code}`),
    },
    output: { ...output, returnProgress },
    numPromptTokens: 3,
    numChoices: 2,
    numTotalChoices: 2,
    onClosed: () => void events.push("closed"),
  });
  return { stream, chunks, events };
}

const token = { tokenId: 100, bytes: Uint8Array.of(100), logprob: -1, topLogprobs: [] };
const scored = (tokenId: number) => ({ token: { tokenId, logprob: -2 }, top: [] });
const end = (choiceIndex: number) =>
  ({ choiceIndex, finishReason: "length", stopReason: null, numGeneratedTokens: 1 }) as const;

test("an echoed choice waits until its prompt is scored, in pieces too", () => {
  const { stream, chunks, events } = createStream();
  stream.onDelta({ choiceIndex: 1, text: "d", tokens: [token] });
  stream.onChoiceEnd(end(1));
  stream.onPromptLogprobs(0, [scored(98)]);
  assert.equal(chunks.length, 0);
  stream.onPromptLogprobs(0, [scored(99)]);
  stream.onDelta({ choiceIndex: 0, text: "d", tokens: [token] });
  stream.onChoiceEnd(end(0));
  stream.onEnd(summary);
  assert.deepEqual(events, ["closed", "end"]);
  assert.deepEqual(
    chunks.map(({ choices }) => [choices[0]?.index, choices[0]?.text, choices[0]?.finish_reason]),
    [
      [1, "abc", null],
      [1, "d", null],
      [1, "", "length"],
      [0, "abc", null],
      [0, "d", null],
      [0, "", "length"],
    ],
  );
  const logprobs = chunks[0]?.choices[0]?.logprobs as Record<string, unknown> | undefined;
  assert.deepEqual(logprobs?.["token_logprobs"], [null, -2, -2]);
});

test("only a client that asks for progress hears of its place in the queue", () => {
  const { stream, chunks, events } = createStream(true);
  stream.onQueued?.({ position: 3, etaMs: 1200 });
  assert.deepEqual(events, ["place 3"]);
  assert.equal(chunks.length, 0);
  assert.equal(createStream().stream.onQueued, undefined);
});

test("a choice that ends in error fails the stream, once", () => {
  const { stream, chunks, events } = createStream();
  stream.onChoiceEnd({ ...end(0), finishReason: "error" });
  stream.onDelta({ choiceIndex: 1, text: "d", tokens: [token] });
  stream.onEnd(summary);
  assert.deepEqual(events, ["closed", "fail internal_error"]);
  assert.equal(chunks.length, 0);
});
