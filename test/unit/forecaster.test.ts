import assert from "node:assert/strict";
import { test } from "node:test";
import { Forecaster } from "../../src/engine/forecaster.ts";
import { NO_STATS } from "../../src/engine/no-stats.ts";
import type { FinishedRequest } from "../../src/engine/observer.ts";
import { WaitingWork } from "../../src/engine/waiting-work.ts";
import { createFakeModelInfo } from "../../models/fake-model-runner.ts";

/** Answers take a second to write; ten prompts of the tenant are due after ten seconds. */
function createForecaster(): Forecaster {
  const waiting = new WaitingWork();
  for (let index = 0; index < 10; index += 1)
    waiting.add({ tenantId: "", priority: 0, numTokens: 1_000, dueMs: 10_000 });
  const forecaster = new Forecaster(
    { waiting, interrupted: new WaitingWork(), runAgesMs: () => [100] },
    () => ({ stats: { ...NO_STATS, numRunning: 1 }, model: createFakeModelInfo(), nowMs: 0 }),
  );
  forecaster.noteReady({ promptTokenMs: 1, tokenGapMs: 10 });
  const run = { ttftMs: 1, prefillMs: 0, decodeMs: 1_000, pausedMs: 0, maxNumGeneratedTokens: 101 };
  forecaster.noteFinished(run as FinishedRequest);
  return forecaster;
}

test("a deadline counts less the time to write the answer, and never puts anybody further back", () => {
  const forecaster = createForecaster();
  const numAhead = (totalMs?: number): number =>
    forecaster.forecast({
      tenantId: "",
      priority: 0,
      numSequences: 1,
      numPromptTokens: 1_100,
      maxTokens: 500,
      targets: totalMs === undefined ? {} : { totalMs },
    }).numAhead;
  assert.equal(numAhead(), 10);
  assert.equal(numAhead(60_000), 10);
  assert.equal(numAhead(11_500), 10);
  assert.equal(numAhead(10_500), 0);
});
