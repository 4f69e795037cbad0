import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { readGgufFacts } from "../../models/gguf/read-facts.ts";
import type { RunningServer } from "../../src/serve.ts";
import {
  assertSameAnswer,
  completeGreedily,
  type GreedyAnswer,
  type GreedyRequest,
} from "../support/greedy-answers.ts";
import { readMetric, startRealServer } from "../support/real-server.ts";

const modelPath = process.env["HEADWAY_TEST_SWA_MODEL"] ?? "";
const skip = modelPath === "" ? "HEADWAY_TEST_SWA_MODEL names no model with sliding-window attention" : false;

/** Longer than the window (512 tokens in Gemma 3), so that most layers have lost sight of where a prompt begins. */
const STORY = Array.from(
  { length: 28 },
  (_, day) => `On day ${day + 1} the ship passed an island with ${day + 3} trees and ${day * 2} goats.`,
).join(" ");
const ENDINGS = [
  "The captain wrote home:",
  "Nobody knew why, but",
  "On the last day",
  "The cook said:",
  "Trees are",
  "In all they had seen",
];
const MAX_TOKENS = 32;
/** Pools come in steps of so many blocks; all answers together take more than that beside the story they share. */
const POOL_STEP = 16;

const requests = ENDINGS.map((ending): GreedyRequest => ({
  prompt: `${STORY} ${ending}`,
  maxTokens: MAX_TOKENS,
  ignoreEos: true,
}));
/** The same requests, each with a cache of its own. */
const apart = (name: string): GreedyRequest[] =>
  requests.map((request, index) => ({ ...request, cacheSalt: `${name}-${index}` }));

const numHits = (server: RunningServer): Promise<number> =>
  readMetric(server.url, "headway_prefix_cache_hit_tokens_total");

async function countTokens(server: RunningServer, prompt: string): Promise<number> {
  const body = JSON.stringify({ prompt });
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${server.url}/tokenize`, { method: "POST", headers, body });
  return ((await response.json()) as { count: number }).count;
}

describe("a model with sliding-window attention", { skip }, () => {
  const alone: GreedyAnswer[] = [];
  let server: RunningServer;
  let numPromptTokens = 0;

  const requireSame = (answers: readonly GreedyAnswer[]): void => {
    for (const [index, answer] of answers.entries()) assertSameAnswer(answer, alone[index]!);
  };

  before(async () => {
    server = await startRealServer({ model: modelPath });
    numPromptTokens = await countTokens(server, requests[0]!.prompt);
    for (const request of apart("alone")) alone.push(await completeGreedily(server.url, request));
  });

  after(async () => {
    await server.close(0);
  });

  it("is known as such, and its prompts are longer than the window", async () => {
    const { slidingWindow } = await readGgufFacts(modelPath);
    assert.ok(server.model.capabilities.hasSlidingWindow);
    assert.ok(
      slidingWindow !== null && numPromptTokens > slidingWindow,
      `${slidingWindow} ${numPromptTokens}`,
    );
    assert.equal(await numHits(server), 0, "each was computed from its first token on");
  });

  it("answers the same after a cached prefix", async () => {
    const answers: GreedyAnswer[] = [];
    for (const request of [...requests, ...requests])
      answers.push(await completeGreedily(server.url, request));
    assert.ok((await numHits(server)) > 6 * (numPromptTokens - 64), "all but the first found the story");
    requireSame(answers.slice(0, requests.length));
    requireSame(answers.slice(requests.length));
  });

  it("answers the same in a batch, with a shared prefix and without", async () => {
    for (const batch of [requests, apart("batch").slice(0, 3)]) {
      requireSame(await Promise.all(batch.map((request) => completeGreedily(server.url, request))));
    }
  });

  it("answers the same with a slice of the memory for each sequence", async () => {
    const sliced = await startRealServer({ model: modelPath, "kv-layout": "streams", "max-num-seqs": "3" });
    try {
      const batch = requests.slice(0, 3);
      requireSame(await Promise.all(batch.map((request) => completeGreedily(sliced.url, request))));
      requireSame([await completeGreedily(sliced.url, requests[0]!)]);
      assert.equal(await numHits(sliced), 0, "a window cannot be copied from slice to slice");
    } finally {
      await sliced.close(0);
    }
  });

  it("answers the same after a preemption", async () => {
    const { blockSize, bytesPerToken } = server.model.kvPool;
    const numBlocks = POOL_STEP * Math.ceil((numPromptTokens / blockSize + 1) / POOL_STEP);
    const kvMemory = String(numBlocks * blockSize * bytesPerToken);
    const tight = await startRealServer({
      model: modelPath,
      "kv-memory": kvMemory,
      "max-model-len": String(numPromptTokens + 64),
      "max-num-seqs": String(requests.length),
    });
    try {
      requireSame(await Promise.all(requests.map((request) => completeGreedily(tight.url, request))));
      const numPreemptions = await readMetric(tight.url, "vllm:num_preemptions_total");
      assert.ok(numPreemptions > 0, "the pool holds the story, not all answers");
      assert.equal(await readMetric(tight.url, "headway_kv_blocks", 'state="used"'), 0);
    } finally {
      await tight.close(0);
    }
  });
});
