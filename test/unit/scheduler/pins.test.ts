import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeEngine, range } from "../../support/scheduler-builders.ts";

test("what a request wants kept is kept for its time from the request's end on, however long it waits and runs", () => {
  const engine = new FakeEngine({
    kv: { numBlocks: 32, maxHostBlocks: 32, hostSegmentBlocks: 1 },
    scheduler: { maxNumSeqs: 1 },
  });
  engine.callMs = () => 100;
  engine.add({ requestId: "before", tokens: range(100, 8), maxTokens: 10 });
  const pins = [
    { numTokens: 16, ttlMs: 20 },
    { numTokens: 8, ttlMs: 50 },
  ];
  engine.add({ requestId: "keeper", tokens: range(0, 17), pins });
  engine.drain();
  const numPinned = [19, 20, 49, 50].map((ms) => [...engine.kv.host.pinned(engine.nowMs + ms)].length);
  assert.deepEqual(numPinned, [4, 2, 2, 0]);
});
