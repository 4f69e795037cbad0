import assert from "node:assert/strict";
import { test } from "node:test";
import type { PinnedPrefix, SequenceRequest } from "../../scheduler/contracts.ts";
import { Outbox } from "../../src/engine/outbox.ts";
import type { ToEngine } from "../../src/engine/protocol.ts";
import { createSequenceRequest } from "../support/scheduler-builders.ts";

const a: SequenceRequest = createSequenceRequest({ requestId: "a" });
const b: SequenceRequest = createSequenceRequest({ requestId: "b" });

function collect(...messages: readonly ToEngine[]): ToEngine {
  const outbox = new Outbox();
  for (const message of messages) outbox.add(message);
  return outbox.take();
}

test("what one turn says travels together, and once", () => {
  const outbox = new Outbox();
  outbox.add({ submit: [a] });
  outbox.add({ submit: [b], snapshot: [1] });
  outbox.add({ abort: ["earlier"] });
  assert.deepEqual(outbox.take(), { submit: [a, b], snapshot: [1], abort: ["earlier"] });
  assert.deepEqual(outbox.take(), {});
});

test("a request that is aborted in the turn that submits it never reaches the engine", () => {
  assert.deepEqual(collect({ submit: [a, b] }, { abort: ["a"] }), { submit: [b] });
  assert.deepEqual(collect({ submit: [a] }, { abort: ["a"] }), {});
});

test("of pausing and resuming the last word counts", () => {
  assert.deepEqual(collect({ pause: ["a"] }, { resume: ["a"] }), { resume: ["a"] });
  assert.deepEqual(collect({ resume: ["a", "b"] }, { pause: ["a"] }), { resume: ["b"], pause: ["a"] });
});

test("every prefix that is unpinned is told", () => {
  const pinned = (tokens: number[]): PinnedPrefix => ({ tokens, cacheSalt: "", owner: "a" });
  const [one, two] = [pinned([1]), pinned([2])];
  assert.deepEqual(collect({ unpin: [one] }, { unpin: [two] }), { unpin: [one, two] });
});
