import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FakeKvMemory } from "../../models/fake-kv-memory.ts";
import { FakeModelRunner } from "../../models/fake-model-runner.ts";
import { decodeFake, encodeFake, FAKE_CONTINUATIONS, FAKE_PIECES } from "../../models/fake-vocabulary.ts";
import type { Batch, BatchRow } from "../../scheduler/contracts.ts";
import { createSamplingParams, FakeEngine, range } from "../support/scheduler-builders.ts";

describe("FakeKvMemory", () => {
  test("refuses positions computed twice, or before those in front of them", () => {
    const memory = new FakeKvMemory({ numCells: 8, numSeqIds: 2 });
    memory.append(0, 0, 5);
    assert.throws(() => memory.append(0, 0, 5), /position 0 computed where 1 is next/);
    assert.throws(() => memory.append(0, 2, 5), /position 2 computed where 1 is next/);
  });

  test("refuses more cells than it has, and counts shared ones once", () => {
    const memory = new FakeKvMemory({ numCells: 2, numSeqIds: 3 });
    memory.append(0, 0, 5);
    memory.append(0, 1, 6);
    memory.apply({ kind: "share", from: 0, to: 1, numTokens: 2 });
    assert.equal(memory.numUsedCells, 2);
    assert.throws(() => memory.append(1, 2, 7), /full/);
    memory.apply({ kind: "trim", seqId: 0, fromPosition: 0 });
    assert.equal(memory.numUsedCells, 2);
    memory.apply({ kind: "trim", seqId: 1, fromPosition: 1 });
    assert.equal(memory.numUsedCells, 1);
  });

  test("refuses to share what is not there, or onto what is", () => {
    const memory = new FakeKvMemory({ numCells: 8, numSeqIds: 2 });
    assert.throws(() => memory.apply({ kind: "share", from: 0, to: 1, numTokens: 1 }), /0 of 1 tokens/);
    memory.append(0, 0, 5);
    memory.append(1, 0, 5);
    assert.throws(
      () => memory.apply({ kind: "share", from: 0, to: 1, numTokens: 1 }),
      /already has positions/,
    );
    assert.throws(() => memory.append(2, 0, 5), /out of range/);
  });

  test("a state tells all tokens before it apart", () => {
    const memory = new FakeKvMemory({ numCells: 8, numSeqIds: 2 });
    const [first, second] = [
      [1, 2, 3].map((token, at) => memory.append(0, at, token)),
      [2, 1, 3].map((token, at) => memory.append(1, at, token)),
    ];
    assert.equal(new Set([...first, ...second]).size, 6);
  });
});

describe("the fake vocabulary", () => {
  test("encodes and decodes any text without loss", () => {
    const text = " the moon, naïve 😀語 \u0000 the end";
    const tokenIds = encodeFake(text);
    assert.equal(new TextDecoder().decode(decodeFake(tokenIds)), text);
    assert.ok(tokenIds.length < new TextEncoder().encode(text).length);
  });

  test("has characters whose halves are no text of their own", () => {
    assert.ok(FAKE_CONTINUATIONS.size > 0);
    for (const [first, second] of FAKE_CONTINUATIONS) {
      const strict = new TextDecoder("utf-8", { fatal: true });
      assert.throws(() => strict.decode(FAKE_PIECES[first]));
      assert.match(strict.decode(decodeFake([first, second])), /^.$/u);
    }
  });
});

describe("FakeModelRunner", () => {
  function row(overrides: Partial<BatchRow> = {}, seqId = 0): BatchRow {
    const sequence = {
      requestId: "a",
      seqId,
      tokens: [1, 2, 3],
      numPromptTokens: 3,
      sampling: createSamplingParams(),
    };
    return { sequence, start: 0, numTokens: 3, logits: "last", sample: true, ...overrides };
  }

  function batch(rows: readonly BatchRow[], kind: Batch["kind"] = "prefill"): Batch {
    return { kind, rows, numTokens: rows.reduce((sum, it) => sum + it.numTokens, 0) };
  }

  test("gives the same text whatever the chunks, and whole characters at its end", () => {
    const texts = [4, 64].map((maxNumBatchedTokens) => {
      const engine = new FakeEngine({ kv: { numBlocks: 64 }, scheduler: { maxNumBatchedTokens } });
      engine.add({ requestId: "a", tokens: range(1, 20), maxTokens: 200 });
      engine.drain();
      return new TextDecoder().decode(decodeFake(engine.tokensOf("a").slice(0, -1)));
    });
    assert.equal(texts[0], texts[1]);
    assert.match(texts[0]!, /[😀語é]/u);
  });

  test("depends on the request's seed and choice only where the request is random", () => {
    const draw = (seed: number, temperature: number, choiceIndex = 0): number[] => {
      const engine = new FakeEngine();
      engine.add({
        requestId: "a",
        maxTokens: 20,
        sampling: createSamplingParams({ seed, temperature, choiceIndex }),
      });
      engine.drain();
      return engine.tokensOf("a");
    };
    assert.deepEqual(draw(1, 0), draw(2, 0));
    assert.deepEqual(draw(1, 1), draw(1, 1));
    assert.notDeepEqual(draw(1, 1), draw(2, 1));
    assert.notDeepEqual(draw(1, 1), draw(1, 1, 1));
  });

  test("keeps end tokens out before minTokens", () => {
    const engine = new FakeEngine({ runner: { meanTokensToEog: 1 } });
    engine.add({ requestId: "a", maxTokens: 20, sampling: createSamplingParams({ minTokens: 5 }) });
    engine.drain();
    const tokens = engine.tokensOf("a");
    assert.equal(tokens.indexOf(0), tokens.length - 1);
    assert.ok(tokens.length >= 6);
  });

  test("gives logprobs and alternatives where asked, best first", () => {
    const sampling = createSamplingParams({ topLogprobs: 3 });
    const { samples } = new FakeModelRunner().execute(
      batch([row({ sequence: { ...row().sequence, sampling } })]),
    );
    const { tokenId, logprob, topLogprobs } = samples[0]!;
    assert.deepEqual(topLogprobs[0], { tokenId, logprob });
    assert.ok(topLogprobs[0].logprob > topLogprobs[1]!.logprob && topLogprobs.length === 3);
  });

  test("refuses malformed batches", () => {
    const execute = (it: Batch) => () => new FakeModelRunner().execute(it);
    assert.throws(execute({ ...batch([row()]), numTokens: 2 }), /sum of its rows/);
    assert.throws(execute(batch([row({}, 1), row({}, 0)])), /ascend/);
    assert.throws(execute(batch([row({ numTokens: 4 })])), /beyond/);
    assert.throws(execute(batch([row()], "decode")), /one token/);
  });

  test("lets a test pass time or make the model fail", () => {
    const runner = new FakeModelRunner({
      onExecute: () => {
        throw new Error("out of order");
      },
    });
    assert.throws(() => runner.execute(batch([row()])), /out of order/);
  });
});
