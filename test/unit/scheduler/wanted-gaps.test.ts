import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FakeEngine, range } from "../../support/scheduler-builders.ts";

/** A prefill token takes 1 ms, as the engine has learned; then a stream with such a wish decodes. */
function createEngine(tokenGapMs?: number): FakeEngine {
  const engine = new FakeEngine({
    kv: { numBlocks: 512 },
    scheduler: { maxNumBatchedTokens: 512, targetItlMs: 500 },
  });
  engine.callMs = ({ kind, numTokens }) => (kind === "decode" ? 1 : numTokens);
  for (let index = 0; index < 20; index += 1) {
    engine.add({
      requestId: `${index}`,
      tokens: range(5_000 + 200 * index, 32 * (1 + (index % 4))),
      maxTokens: 2,
    });
    engine.drain();
  }
  const wish = tokenGapMs === undefined ? {} : { tokenGapMs };
  engine.add({ requestId: "stream", tokens: range(0, 8), maxTokens: 300, ...wish });
  engine.step();
  return engine;
}

/** The longest time of a step while a prompt is computed beside the stream. */
function longestStepMs(engine: FakeEngine): number {
  engine.add({ requestId: "prompt", tokens: range(20_000, 900), maxTokens: 1 });
  let longestMs = 0;
  while (engine.finishOf("prompt") === undefined) {
    const startMs = engine.nowMs;
    engine.step();
    longestMs = Math.max(longestMs, engine.nowMs - startMs);
  }
  return longestMs;
}

describe("A gap that a stream wants", () => {
  test("bounds the steps beside it, but for a tile of the prompt", () => {
    const freeMs = longestStepMs(createEngine());
    assert.ok(freeMs > 300, `${freeMs} ms without a wish`);
    const wantedMs = longestStepMs(createEngine(150));
    assert.ok(wantedMs <= 150 && wantedMs > 64, `${wantedMs} ms of 150`);
    assert.equal(longestStepMs(createEngine(2)), 65);
  });

  test("counts only while the stream decodes", () => {
    const engine = createEngine(150);
    engine.scheduler.pause("stream");
    engine.add({ requestId: "other", tokens: range(1_000, 8), maxTokens: 300 });
    engine.step();
    assert.ok(longestStepMs(engine) > 300);
  });
});
