import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StepPlan } from "../../../scheduler/contracts.ts";
import { createSamplingParams, FakeEngine, range } from "../../support/scheduler-builders.ts";

/** A plan as text: "decode a[7,8) | prefill b[0,16)*", a star where a token is drawn. */
function describePlan(plan: StepPlan | null): string {
  if (plan === null) return "idle";
  return plan.batches
    .map(({ kind, rows }) => {
      const parts = rows.map(({ sequence, start, numTokens, sample }) => {
        return `${sequence.requestId}[${start},${start + numTokens})${sample ? "*" : ""}`;
      });
      return `${kind} ${parts.join(" ")}`;
    })
    .join(" | ");
}

/** 32 blocks of 4 tokens, 64 tokens a call. */
function createEngine(options: ConstructorParameters<typeof FakeEngine>[0] = {}): FakeEngine {
  return new FakeEngine({ ...options, kv: { numBlocks: 32, ...options.kv } });
}

describe("Scheduler.schedule", () => {
  test("decodes first, then prefills, in one step", () => {
    const engine = createEngine();
    engine.add({ requestId: "a", tokens: range(0, 7) });
    assert.equal(describePlan(engine.step()), "prefill a[0,7)*");
    engine.add({ requestId: "b", tokens: range(100, 9) });
    assert.equal(describePlan(engine.step()), "decode a[7,8)* | prefill b[0,9)*");
    assert.equal(describePlan(engine.step()), "decode a[8,9)* b[9,10)*");
  });

  test("cuts a prompt into chunks of the token budget and fills the rest with the next", () => {
    const engine = createEngine({ scheduler: { maxNumBatchedTokens: 32 } });
    engine.add({ requestId: "a", tokens: range(0, 40) });
    engine.add({ requestId: "b", tokens: range(100, 40) });
    assert.equal(describePlan(engine.step()), "prefill a[0,32)");
    assert.equal(describePlan(engine.step()), "prefill a[32,40)* b[0,24)");
  });

  test("does not start a prompt with a sliver of fewer than 16 tokens", () => {
    const engine = createEngine({ scheduler: { maxNumBatchedTokens: 32 } });
    engine.add({ requestId: "a", tokens: range(0, 17) });
    engine.add({ requestId: "b", tokens: range(100, 20) });
    assert.equal(describePlan(engine.step()), "prefill a[0,17)*");
  });

  test("finishes one prompt before it starts the next", () => {
    const engine = createEngine({ scheduler: { maxNumBatchedTokens: 16 } });
    engine.add({ requestId: "a", tokens: range(0, 32) });
    engine.add({ requestId: "b", tokens: range(100, 32) });
    assert.equal(describePlan(engine.step()), "prefill a[0,16)");
    assert.equal(describePlan(engine.step()), "prefill a[16,32)*");
  });

  test("gaps grow with a backlog, which is more than one that waits, for one prompt and nothing beside it", () => {
    const firstCall = (promptLength: number, numPrompts: number): string => {
      const engine = createEngine({
        scheduler: { maxNumSeqs: 8, maxNumBatchedTokens: 512 },
        kv: { numBlocks: 4096 },
      });
      engine.callMs = ({ kind, numTokens }) => (kind === "decode" ? 30 : 8 + 2.2 * numTokens);
      engine.add({ requestId: "running", tokens: range(0, 300), maxTokens: 400 });
      for (let count = 0; count < 30; count += 1) engine.step();
      for (let index = 1; index <= numPrompts; index += 1) {
        engine.add({ requestId: `${index}`, tokens: range(1000 * index, promptLength), maxTokens: 1 });
      }
      const prefill = engine.step()!.batches.find(({ kind }) => kind === "prefill")!;
      engine.drain();
      return describePlan({ stepIndex: 0, cacheOps: [], batches: [prefill] });
    };
    assert.equal(firstCall(120, 39), "prefill 1[0,120)*");
    assert.equal(firstCall(900, 1), "prefill 1[0,128)");
    assert.equal(firstCall(900, 2), "prefill 1[0,128)");
    assert.equal(firstCall(900, 3), "prefill 1[0,256)");
  });

  test("a snapshot between two steps tells the blocks that are held, not those that will be", () => {
    const engine = createEngine({ kv: { canShare: false } });
    engine.add({ requestId: "a", tokens: range(0, 7), maxTokens: 9 });
    while (engine.finishOf("a") === undefined) {
      const { running, blocks } = engine.scheduler.snapshot(engine.nowMs);
      assert.equal(running[0]?.numBlocks ?? 0, blocks.used);
      engine.step();
    }
  });

  test("a more urgent newcomer is prefilled before a prompt half done", () => {
    const engine = createEngine({ scheduler: { maxNumBatchedTokens: 16 } });
    engine.add({ requestId: "a", tokens: range(0, 32) });
    engine.step();
    engine.add({ requestId: "b", tokens: range(100, 16), priority: -1 });
    assert.equal(describePlan(engine.step()), "prefill b[0,16)*");
  });

  test("ageing: a request outranks later ones whose priority is worth less than its wait", () => {
    const engine = createEngine({ scheduler: { maxNumSeqs: 1, priorityAgeingMs: 100 } });
    engine.add({ requestId: "running" });
    engine.step();
    engine.add({ requestId: "patient", priority: 1, tokens: [9, 9] });
    engine.nowMs += 101;
    engine.add({ requestId: "late", tokens: [8, 8] });
    engine.drain();
    const order = engine.events.flatMap((event) => (event.kind === "finished" ? [event.requestId] : []));
    assert.deepEqual(order, ["running", "patient", "late"]);
  });

  test("rows ascend by sequence id whatever the order of urgency", () => {
    const engine = createEngine();
    engine.add({ requestId: "a", tokens: range(0, 5), priority: 1 });
    engine.step();
    engine.add({ requestId: "b", tokens: range(100, 5), priority: -1 });
    engine.step();
    assert.equal(describePlan(engine.step()), "decode a[6,7)* b[5,6)*");
  });

  test("is null when idle, and carries the trims of an abort in a plan of its own", () => {
    const engine = createEngine();
    assert.equal(engine.step(), null);
    engine.add({ requestId: "a" });
    engine.step();
    assert.equal(engine.scheduler.abort("a"), true);
    assert.deepEqual(engine.step(), {
      stepIndex: 1,
      cacheOps: [{ kind: "trim", seqId: 0, fromPosition: 0 }],
      batches: [],
    });
    assert.equal(engine.runner.numUsedCells(), 0);
    assert.equal(engine.step(), null);
  });

  test("admits at most maxNumSeqs", () => {
    const engine = createEngine({ scheduler: { maxNumSeqs: 2 } });
    for (const requestId of ["a", "b", "c"]) engine.add({ requestId });
    engine.step();
    const { numRunning, numWaiting, numWaitingTokens } = engine.scheduler.stats();
    assert.deepEqual(
      { numRunning, numWaiting, numWaitingTokens },
      { numRunning: 2, numWaiting: 1, numWaitingTokens: 3 },
    );
  });
});

describe("Scheduler.update", () => {
  test("tells when a request first runs, how its prefill goes, its tokens and its end, in this order", () => {
    const engine = createEngine({ scheduler: { maxNumBatchedTokens: 16 } });
    engine.add({ requestId: "a", tokens: range(0, 20), maxTokens: 2 });
    engine.drain();
    assert.deepEqual(
      engine.events.map((event) => event.kind),
      ["scheduled", "progress", "token", "token", "finished"],
    );
    assert.deepEqual(engine.events[1], { kind: "progress", requestId: "a", numComputedTokens: 16 });
  });

  test("reports how much of a prompt was cached", () => {
    const engine = createEngine();
    engine.add({ requestId: "a", tokens: range(0, 20) });
    engine.drain();
    engine.add({ requestId: "b", tokens: range(0, 20) });
    engine.drain();
    const scheduled = engine.events.filter((event) => event.kind === "scheduled");
    assert.deepEqual(scheduled[1], { kind: "scheduled", requestId: "b", numCachedTokens: 16 });
    const stats = engine.scheduler.stats();
    assert.equal(stats.numPromptTokensComputed, 24);
    assert.equal(stats.numPromptTokensCached, 16);
    assert.equal(stats.numPrefixQueryTokens, 40);
    assert.equal(stats.numPrefixHitTokens, 16);
  });

  test("an end token finishes with stop and is still told", () => {
    const engine = createEngine({ runner: { meanTokensToEog: 1 } });
    engine.add({ requestId: "a" });
    engine.drain();
    assert.deepEqual(engine.tokensOf("a"), [0]);
    assert.equal(engine.finishOf("a"), "stop");
  });

  test("ignoreEos goes on after an end token", () => {
    const engine = createEngine({ runner: { meanTokensToEog: 1 } });
    engine.add({ requestId: "a", sampling: createSamplingParams({ ignoreEos: true }) });
    engine.drain();
    assert.deepEqual(engine.tokensOf("a"), [0, 0, 0, 0]);
    assert.equal(engine.finishOf("a"), "length");
  });

  test("a stop token finishes with stop", () => {
    const engine = createEngine();
    engine.add({ requestId: "a" });
    engine.drain();
    const [first, second] = engine.tokensOf("a");
    assert.notEqual(first, second);
    engine.add({ requestId: "b", sampling: createSamplingParams({ stopTokenIds: [second!] }) });
    engine.drain();
    assert.deepEqual(engine.tokensOf("b"), [first, second]);
    assert.equal(engine.finishOf("b"), "stop");
  });

  test("maxTokens 0 evaluates the prompt and draws nothing", () => {
    const engine = createEngine();
    engine.add({ requestId: "a", maxTokens: 0 });
    assert.equal(describePlan(engine.step()), "prefill a[0,3)");
    assert.deepEqual(engine.tokensOf("a"), []);
    assert.equal(engine.finishOf("a"), "length");
  });

  test("maxModelLen ends a sequence with length", () => {
    const engine = createEngine({ scheduler: { maxModelLen: 5 } });
    engine.add({ requestId: "a", tokens: [1, 2, 3], maxTokens: 100 });
    engine.add({ requestId: "full", tokens: [1, 2, 3, 4, 5], maxTokens: 100 });
    engine.drain();
    assert.equal(engine.tokensOf("a").length, 2);
    assert.equal(engine.finishOf("a"), "length");
    assert.equal(engine.tokensOf("full").length, 0);
    assert.equal(engine.finishOf("full"), "length");
  });

  test("replayed tokens count as generated, and the stream goes on where it broke off", () => {
    const engine = createEngine();
    engine.add({ requestId: "a", maxTokens: 6 });
    engine.drain();
    const tokens = engine.tokensOf("a");
    engine.add({
      requestId: "b",
      tokens: [1, 2, 3, ...tokens.slice(0, 4)],
      numReplayedTokens: 4,
      maxTokens: 6,
    });
    engine.drain();
    assert.deepEqual(engine.tokensOf("b"), tokens.slice(4));
    assert.equal(engine.finishOf("b"), "length");
  });

  test("ignores rows of a request that was aborted meanwhile, even if its name is in use again", () => {
    const engine = createEngine();
    engine.add({ requestId: "a" });
    engine.step();
    engine.add({ requestId: "b", tokens: range(100, 5) });
    engine.step((batch) => {
      if (batch.kind !== "decode") return;
      assert.equal(engine.scheduler.abort("b"), true);
      engine.add({ requestId: "b", tokens: range(200, 5) });
    });
    assert.deepEqual(engine.tokensOf("b"), []);
    engine.drain();
    assert.equal(engine.tokensOf("b").length, 4);
    assert.equal(engine.finishOf("b"), "length");
  });

  test("refuses a result that is not in row order", () => {
    const engine = createEngine();
    engine.add({ requestId: "a" });
    const batch = engine.scheduler.schedule(0)!.batches[0]!;
    const sample = { requestId: "other", tokenId: 1, logprob: null, topLogprobs: [] };
    assert.throws(
      () => engine.scheduler.update(batch, { samples: [sample], promptLogprobs: [] }, 0, 1),
      /row order/,
    );
  });
});

describe("Scheduler, prompt logprobs", () => {
  const scoring = createSamplingParams({ promptLogprobs: 0 });

  test("take no cached prefix and ask for the logits of the prompt only", () => {
    const engine = createEngine();
    engine.add({ requestId: "a", tokens: range(0, 12) });
    engine.drain();
    engine.add({ requestId: "b", tokens: range(0, 12), sampling: scoring });
    const rows = [engine.step(), engine.step()].map((plan) => plan!.batches[0]!.rows[0]!);
    assert.deepEqual(
      rows.map(({ start, logits }) => [start, logits]),
      [
        [0, "all"],
        [12, "last"],
      ],
    );
  });

  test("are told once for each token, also when a preempted prompt is computed again", () => {
    const engine = createEngine({ kv: { numBlocks: 16 }, scheduler: { maxNumBatchedTokens: 24 } });
    engine.add({ requestId: "first", tokens: range(200, 8), maxTokens: 1 });
    engine.add({ requestId: "a", tokens: range(0, 40), sampling: scoring, maxTokens: 1 });
    assert.equal(describePlan(engine.step()), "prefill first[0,8)* a[0,16)");
    engine.scheduler.pause("a");
    engine.add({ requestId: "b", tokens: range(100, 40), maxTokens: 1 });
    engine.step();
    engine.scheduler.resume("a");
    engine.drain();
    assert.equal(engine.scheduler.stats().numPreemptions, 1);
    const told = engine.events.flatMap((event) =>
      event.kind === "promptLogprobs" ? [event.promptLogprobs] : [],
    );
    const positions = told.flatMap(({ start, entries }) => entries.map((_, index) => start + index));
    assert.deepEqual(positions, range(1, 39));
  });
});

describe("Scheduler.add", () => {
  test("refuses what can never run", () => {
    const engine = createEngine({ scheduler: { maxModelLen: 8 } });
    assert.throws(() => engine.add({ tokens: [] }), RangeError);
    assert.throws(() => engine.add({ tokens: range(0, 9) }), RangeError);
    engine.add({ requestId: "a" });
    assert.throws(() => engine.add({ requestId: "a" }), RangeError);
  });

  test("so do the options", () => {
    assert.throws(() => createEngine({ scheduler: { maxModelLen: 32 * 4 + 1 } }), RangeError);
    assert.throws(() => createEngine({ scheduler: { maxNumSeqs: 65 } }), RangeError);
  });
});
