import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { QueueModel, type QueueLoad } from "../../../scheduler/queue-model.ts";
import { RunEnds } from "../../../scheduler/run-ends.ts";

const idle: QueueLoad = {
  numAhead: 0,
  numTokensAhead: 0,
  numInterruptedTokens: 0,
  numRunning: 0,
  maxNumSeqs: 4,
  numFreeTokens: 10_000,
  numHeldTokens: 0,
  ends: new RunEnds([], 0),
};
const busy: QueueLoad = { ...idle, numRunning: 1, ends: new RunEnds([100], 1000) };
const work = { numSequences: 1, numPromptTokens: 100, maxTokens: 1000 };

const call = { scheduleMs: 1, executeMs: 18, updateMs: 1 };
const decode = { ...call, numDecodeRows: 4, numPrefillTokens: 0 };
const prefill = { ...call, numDecodeRows: 0, numPrefillTokens: 10 };

/** Steps of a 20 ms decode and a 20 ms prefill call of 10 tokens; requests hold a row for 1 s and write 50 tokens. */
function trained(): QueueModel {
  const model = new QueueModel();
  for (let count = 0; count < 50; count += 1) {
    model.observeStep(decode);
    model.observeStep(prefill);
    model.observeRun(1000, 50);
  }
  return model;
}

describe("QueueModel", () => {
  test("predicts no wait before it has seen anything", () => {
    const prediction = new QueueModel().predict({ ...idle, numAhead: 99, numTokensAhead: 9999 }, work);
    const alone = { ttftMs: 0, tpotMs: 0, totalMs: 0 };
    assert.deepEqual(prediction, { queueMs: 0, ...alone, alone });
  });

  test("goes by what was measured beforehand until it sees the engine work", () => {
    const model = new QueueModel();
    model.expect({ promptTokenMs: 2, tokenGapMs: 7 });
    const { ttftMs, tpotMs } = model.predict({ ...busy, numTokensAhead: 50 }, work);
    assert.deepEqual([ttftMs, tpotMs], [300, 7]);
    const known = trained();
    const before = known.predict(busy, work);
    known.expect({ promptTokenMs: 2, tokenGapMs: 7 });
    assert.deepEqual({ ...known.predict(busy, work), alone: before.alone }, before);
  });

  test("forgets the load that is over: idle it works at its own pace", () => {
    const model = trained();
    model.expect({ promptTokenMs: 2, tokenGapMs: 7 });
    const { alone, ...times } = model.predict(idle, work);
    assert.deepEqual(times, { queueMs: 0, ...alone });
    assert.deepEqual([alone.ttftMs, alone.tpotMs, Math.round(alone.totalMs)], [200, 7, 200 + 49 * 7]);
    assert.deepEqual(model.predict(busy, work).alone, alone, "and tells so while it is busy");
    assert.ok(model.predict(busy, work).ttftMs > 390);
  });

  test("a prompt token costs its share of the whole step, a gap between tokens is the step", () => {
    const { queueMs, ttftMs, tpotMs, totalMs } = trained().predict(busy, work);
    assert.deepEqual([queueMs, Math.round(ttftMs), Math.round(tpotMs)], [0, 400, 40]);
    assert.equal(Math.round(totalMs), 400 + 49 * 40, "as long as answers usually are, not as they may be");
  });

  test("waits for prompts ahead, for a row, or for memory, whichever takes longest", () => {
    const model = trained();
    const queueMs = (load: Partial<QueueLoad>): number =>
      Math.round(model.predict({ ...idle, ...load }, work).queueMs);
    assert.equal(queueMs({ numAhead: 2, numTokensAhead: 300 }), 1200);
    const ends = model.endsOf([100, 350, 600, 850]);
    assert.equal(queueMs({ numRunning: 3, ends }), 0, "a row is free");
    assert.equal(queueMs({ numRunning: 4, ends }), 150, "the first of four rows");
    assert.equal(queueMs({ numRunning: 4, ends, numAhead: 7 }), 900 + 1000, "the second round of the last");
    const two = { numRunning: 2, ends: model.endsOf([200, 200]) };
    assert.equal(queueMs({ ...two, numFreeTokens: 0, numHeldTokens: 50 }), 800, "both must end");
  });

  test("memory comes back a run at a time, and those that go first grow into it", () => {
    const model = trained();
    // Each of four runs gives 200 tokens back when it ends, half an answer of 50 included, one every 250 ms.
    const ends = model.endsOf([0, 250, 500, 750]);
    const short = { ...idle, maxNumSeqs: 99, numRunning: 4, ends, numFreeTokens: 99, numHeldTokens: 700 };
    const queueMs = (load: Partial<QueueLoad>): number =>
      Math.round(model.predict({ ...short, ...load }, work).queueMs);
    assert.equal(queueMs({ numFreeTokens: 100 }), 0);
    assert.equal(queueMs({}), 250, "a single token too little is one too little");
    assert.equal(
      queueMs({ numFreeTokens: -60 }),
      250,
      "what is held back for the growth of others is not free",
    );
    const interrupted = { numAhead: 4, numInterruptedTokens: 700 };
    assert.equal(queueMs({ ...interrupted, numFreeTokens: 0 }), 1250, "five must end");
    assert.equal(queueMs({ numAhead: 4, numTokensAhead: 20, numFreeTokens: -40 }), 500);
    assert.equal(queueMs({ ...interrupted, numFreeTokens: Infinity }), 0);
  });

  test("what runs is evidence too, before the first end and when it outlasts those that ended", () => {
    const untilMs = (model: QueueModel, ageMs: number): number =>
      model.endsOf([ageMs, ageMs, ageMs, ageMs]).untilMs(8);
    assert.equal(untilMs(new QueueModel(), 3000), 3000 + 3000, "as long again");
    assert.equal(Math.round(untilMs(trained(), 3000)), 2000 + 3000, "as long as it is late");
    assert.equal(Math.round(untilMs(trained(), 10)), 990 + 1000);
  });

  test("what the cache leaves of prompts does not make the tokens of others dear", () => {
    const model = trained();
    const before = model.predict(busy, work).ttftMs;
    for (let count = 0; count < 100; count += 1) model.observeStep({ ...prefill, numPrefillTokens: 2 });
    assert.equal(model.predict(busy, work).ttftMs, before);
  });

  test("remembers how fast one request alone was, whatever the engine makes of its load", () => {
    const model = trained();
    for (let count = 0; count < 5; count += 1)
      model.observeStep({ ...decode, executeMs: 3, numDecodeRows: 1 });
    model.noteIdle();
    model.observeStep({ ...prefill, executeMs: 8 });
    for (let count = 0; count < 500; count += 1) {
      model.observeStep(decode);
      model.observeStep(prefill);
    }
    model.expect({ promptTokenMs: 30, tokenGapMs: 60 });
    const { ttftMs, tpotMs } = model.predict(idle, work);
    assert.deepEqual([Math.round(ttftMs), Math.round(tpotMs)], [100, 5]);
    model.expect({ promptTokenMs: 0.01, tokenGapMs: 0.02 });
    assert.deepEqual(
      [Math.round(model.predict(idle, work).ttftMs), model.predict(idle, work).tpotMs],
      [50, 2.5],
      "and promises at most twice of it",
    );
  });

  test("a pause in the work is no part of a step", () => {
    const model = new QueueModel();
    model.observeStep(decode);
    model.noteIdle();
    model.observeStep(prefill);
    const { ttftMs, tpotMs } = model.predict(busy, work);
    assert.deepEqual([ttftMs, tpotMs], [200, 20]);
  });

  test("follows a change", () => {
    const model = trained();
    for (let count = 0; count < 100; count += 1) model.observeStep({ ...decode, executeMs: 98 });
    assert.ok(model.predict(busy, work).tpotMs > 95);
  });
});
