import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Isolation } from "../../src/engine/isolation.ts";
import { isSelfInflicted, RestartPolicy } from "../../src/engine/restart-policy.ts";
import {
  admit,
  retryAfterMs,
  type AdmissionLimits,
  type AdmissionState,
} from "../../src/engine/admission.ts";
import { GenerationError, type GenerationRequest } from "../../src/engine/generation.ts";
import { createFakeModelInfo } from "../../models/fake-model-runner.ts";
import { createProspect } from "../support/engine-builders.ts";

describe("Isolation", () => {
  it("lets the next suspect in when the one on trial is past the crash", () => {
    const isolation = new Isolation();
    isolation.suspect("a", 5);
    isolation.suspect("b", 0);
    assert.equal(isolation.current, "a");
    assert.equal(isolation.noteTokens("a", 6), false);
    assert.equal(isolation.noteTokens("b", 99), false, "only the one on trial proves itself");
    assert.equal(isolation.noteTokens("a", 7), true);
    assert.equal(isolation.current, "b");
  });

  it("goes on when the suspect on trial ends", () => {
    const isolation = new Isolation();
    isolation.suspect("a", 0);
    isolation.suspect("b", 0);
    assert.equal(isolation.clear("b"), false);
    assert.equal(isolation.clear("a"), true);
    assert.equal(isolation.isActive, false);
  });
});

describe("RestartPolicy", () => {
  it("restarts at once after progress, backs off without, and gives up", () => {
    const policy = new RestartPolicy({ maxFruitlessRestarts: 4, baseDelayMs: 100, maxDelayMs: 150 });
    assert.deepEqual(
      [1, 2, 3, 4, 5].map(() => policy.nextDelayMs()),
      [0, 100, 150, 150, null],
    );
    policy.noteProgress();
    assert.equal(policy.nextDelayMs(), 0);
  });

  it("tells a kill from outside from a fault", () => {
    assert.equal(isSelfInflicted({ code: null, signal: "SIGKILL" }), false);
    assert.equal(isSelfInflicted({ code: null, signal: "SIGSEGV" }), true);
    assert.equal(isSelfInflicted({ code: 1, signal: null }), true);
  });
});

describe("admit", () => {
  const state: AdmissionState = {
    engineState: "ready",
    model: null,
    queue: { numSequences: 3, numTokens: 100 },
    tenantQueue: { numSequences: 3, numTokens: 100 },
    numStarted: 1,
    prediction: {
      queueMs: 0,
      ttftMs: 0,
      tpotMs: 0,
      totalMs: 0,
      alone: { ttftMs: 0, tpotMs: 0, totalMs: 0 },
    },
  };
  const limits = { maxQueuedSequences: 4, maxQueuedTokens: 110 };
  const codeOf = (run: () => void): string | null => {
    try {
      run();
      return null;
    } catch (error) {
      assert.ok(error instanceof GenerationError);
      return error.code;
    }
  };

  it("admits up to the bound and counts every choice", () => {
    assert.equal(
      codeOf(() => admit(createProspect(), state, limits)),
      null,
    );
    assert.equal(
      codeOf(() => admit(createProspect({ numChoices: 2 }), state, limits)),
      "overloaded",
    );
  });

  it("does not count as waiting what a free row takes", () => {
    const model = createFakeModelInfo({ maxNumSeqs: 4 });
    const request = createProspect({ numChoices: 4 });
    const roomy = { ...limits, maxQueuedTokens: 1000 };
    const fourStarted = { ...state, model, numStarted: 4 };
    assert.equal(
      codeOf(() => admit(request, { ...state, model }, roomy)),
      null,
    );
    assert.equal(
      codeOf(() => admit(request, fourStarted, roomy)),
      "overloaded",
    );
    // Rows that other tenants wait for are not free for this one.
    const tenantQueue = { numSequences: 1, numTokens: 10 };
    const perTenant = { ...roomy, maxQueuedSequences: 100, maxQueuedPerTenant: 4 };
    const refusal = codeOf(() => admit(request, { ...state, model, tenantQueue }, perTenant));
    assert.equal(refusal, null);
    const stricter = { ...perTenant, maxQueuedPerTenant: 3 };
    assert.equal(
      codeOf(() => admit(request, { ...state, model, tenantQueue }, stricter)),
      "rate_limit_exceeded",
    );
  });

  it("lets a request in that is larger than the queue when nothing is before it", () => {
    const nothing = { numSequences: 0, numTokens: 0 };
    const idle = { ...state, queue: nothing, tenantQueue: nothing, numStarted: 0 };
    assert.equal(
      codeOf(() => admit(createProspect({ numChoices: 50 }), idle, limits)),
      null,
    );
    assert.equal(
      codeOf(() => admit(createProspect({ numChoices: 50 }), { ...idle, numStarted: 1 }, limits)),
      "overloaded",
    );
  });

  it("bounds the queued tokens", () => {
    const request = createProspect({ prompts: [{ tokenIds: Array.from({ length: 11 }, () => 1) }] });
    assert.equal(
      codeOf(() => admit(request, state, limits)),
      "overloaded",
    );
  });

  it("bounds the tokens of those only for whom no row is free", () => {
    const refusalOf = (numTokens: number, changes: Partial<AdmissionState>): string | null => {
      const model = createFakeModelInfo({ maxNumSeqs: 2 });
      const nothing = { numSequences: 0, numTokens: 0 };
      const running = { ...state, model, queue: nothing, tenantQueue: nothing, numStarted: 1, ...changes };
      const request = createProspect({ prompts: [{ tokenIds: Array.from({ length: numTokens }, () => 1) }] });
      return codeOf(() => admit(request, running, limits));
    };
    assert.equal(refusalOf(200, {}), null, "a row is free, nobody is before it");
    assert.equal(refusalOf(200, { numStarted: 2 }), "overloaded");
    const one = { queue: { numSequences: 1, numTokens: 200 } };
    assert.equal(refusalOf(100, one), null, "the one before it takes the row, with its tokens");
    assert.equal(refusalOf(111, one), "overloaded");
    assert.equal(refusalOf(100, { queue: { numSequences: 2, numTokens: 40 } }), "overloaded");
  });

  it("names the bound that a request would cross, per tenant, by wait and by deadline", () => {
    const refusalOf = (overrides: Partial<GenerationRequest>, bounds: Partial<AdmissionLimits>) => {
      const alone = { ttftMs: 1000, tpotMs: 50, totalMs: 4000 };
      const prediction = { queueMs: 5000, ttftMs: 6000, tpotMs: 100, totalMs: 9000, alone };
      try {
        admit(createProspect(overrides), { ...state, prediction }, { ...limits, ...bounds });
        return null;
      } catch (error) {
        assert.ok(error instanceof GenerationError);
        return [error.code, error.reason, error.retryAfterMs];
      }
    };
    assert.deepEqual(refusalOf({}, { maxQueuedPerTenant: 3 }), ["rate_limit_exceeded", "tenant_queue", 2500]);
    assert.deepEqual(refusalOf({}, { maxPredictedWaitMs: 2000 }), ["overloaded", "predicted_wait", 3000]);
    assert.equal(refusalOf({}, { maxPredictedWaitMs: 5000 }), null);
    for (const targets of [{ ttftMs: 4000 }, { totalMs: 7000 }]) {
      const refusal = refusalOf({ targets }, {});
      assert.deepEqual(refusal, ["deadline_exceeded", "deadline", 2000]);
    }
    const busy = refusalOf({ targets: { tpotMs: 99 } }, {});
    assert.deepEqual(busy, ["deadline_exceeded", "deadline", 1000], "others make its tokens slow");
    const aloneTooSlow = [{ ttftMs: 999 }, { totalMs: 3999 }, { tpotMs: 49 }, { ttftMs: 4000, tpotMs: 49 }];
    for (const targets of aloneTooSlow) {
      const refusal = refusalOf({ targets }, {});
      assert.deepEqual(refusal, ["deadline_exceeded", "deadline", null], "it would be late again");
    }
    assert.equal(refusalOf({ targets: { ttftMs: 6000, tpotMs: 100, totalMs: 9000 } }, {}), null);
  });

  it("refuses by state", () => {
    for (const [engineState, code] of [
      ["loading", "model_loading"],
      ["draining", "shutting_down"],
      ["failed", "engine_unavailable"],
      ["restarting", null],
    ] as const) {
      assert.equal(
        codeOf(() => admit(createProspect(), { ...state, engineState }, limits)),
        code,
      );
    }
  });

  it("keeps Retry-After within what clients obey", () => {
    assert.equal(retryAfterMs(0), 1000);
    assert.equal(retryAfterMs(5000), 5000);
    assert.equal(retryAfterMs(1e9), 60_000);
  });
});
