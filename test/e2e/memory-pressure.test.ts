import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { RunningServer } from "../../src/serve.ts";
import { assertSameAnswer, completeGreedily, type GreedyRequest } from "../support/greedy-answers.ts";
import { readMetric, startRealServer } from "../support/real-server.ts";

const NUM_REQUESTS = 32;

describe("memory for four requests, thirty-two offered", () => {
  let server: RunningServer;

  before(async () => {
    server = await startRealServer({ "kv-memory": "1MiB", "max-model-len": "256", "max-num-seqs": "16" });
    assert.equal(server.model.kvPool.numBlocks, 16);
  });

  after(async () => {
    await server.close(0);
  });

  it("completes all of them, the preempted ones as if nothing had happened", async () => {
    const requests: GreedyRequest[] = Array.from({ length: NUM_REQUESTS }, (_, index) => ({
      prompt: `Story ${index}: once upon a time`,
      maxTokens: 50,
      ignoreEos: true,
    }));
    const answers = await Promise.all(requests.map((request) => completeGreedily(server.url, request)));
    const numPreemptions = await readMetric(server.url, "vllm:num_preemptions_total");
    assert.ok(numPreemptions > 0, "the pool is small enough to preempt");
    const numParks = await readMetric(server.url, "headway_preemptions_total", 'mode="swap"');
    const numRestored = await readMetric(server.url, "headway_prefix_cache_hit_tokens_total", 'tier="host"');
    assert.ok(numParks > 0 && numRestored > 0, "they wait in host memory");
    for (const [index, request] of requests.entries()) {
      assert.equal(answers[index]!.tokens.length, 50);
      assertSameAnswer(answers[index]!, await completeGreedily(server.url, request));
    }
    assert.equal(await readMetric(server.url, "headway_kv_blocks", 'state="used"'), 0);
  });
});
