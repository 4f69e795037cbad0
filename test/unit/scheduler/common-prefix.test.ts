import assert from "node:assert/strict";
import { test } from "node:test";
import { numCommonTokens } from "../../../scheduler/common-prefix.ts";
import { Sequence } from "../../../scheduler/sequence.ts";
import { createSequenceRequest, range } from "../../support/scheduler-builders.ts";

function sequence(tokens: readonly number[], cacheSalt = "", isDeterministic = false): Sequence {
  const account = { tenantId: "", counter: 0, arrivalMs: 0 };
  const arrival = { arrivalMs: 0, arrivalIndex: 0, priority: 0, priorityAgeingMs: 100, account };
  return new Sequence(createSequenceRequest({ tokens, cacheSalt }), arrival, {
    maxModelLen: 100,
    isDeterministic,
  });
}

test("numCommonTokens counts whole blocks of one salt, leaving the follower a token to compute", () => {
  const leader = sequence(range(0, 12));
  assert.equal(numCommonTokens(leader, sequence([...range(0, 10), 99, 99]), 4), 8);
  assert.equal(numCommonTokens(leader, sequence(range(0, 12)), 4), 8);
  assert.equal(numCommonTokens(leader, sequence(range(0, 13)), 4), 12);
  assert.equal(numCommonTokens(leader, sequence(range(1, 12)), 4), 0);
  assert.equal(numCommonTokens(leader, sequence(range(0, 12), "salt"), 4), 0);
});

test("numCommonTokens counts only what may be shared in the deterministic mode", () => {
  const leader = sequence(range(0, 12), "", true);
  assert.equal(numCommonTokens(leader, sequence(range(0, 13), "", true), 4), 8);
  assert.equal(numCommonTokens(leader, sequence(range(0, 14), "", true), 4), 12);
  leader.tokens.push(...range(12, 8));
  assert.equal(
    numCommonTokens(leader, sequence(range(0, 20), "", true), 4),
    12,
    "what it generated is its own",
  );
});
