import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Followers, numCommonTokens } from "../../../scheduler/followers.ts";
import { Sequence } from "../../../scheduler/sequence.ts";
import { createSequenceRequest, range } from "../../support/scheduler-builders.ts";

function sequence(tokens: readonly number[], cacheSalt = ""): Sequence {
  return new Sequence(createSequenceRequest({ tokens, cacheSalt }), { urgency: 0, arrivalIndex: 0 }, 100);
}

describe("numCommonTokens", () => {
  test("counts whole blocks of the common prefix, leaving the follower a token to compute", () => {
    const leader = sequence(range(0, 12));
    assert.equal(numCommonTokens(leader, sequence([...range(0, 10), 99, 99]), 4), 8);
    assert.equal(numCommonTokens(leader, sequence(range(0, 12)), 4), 8);
    assert.equal(numCommonTokens(leader, sequence(range(0, 13)), 4), 12);
    assert.equal(numCommonTokens(leader, sequence(range(1, 12)), 4), 0);
    assert.equal(numCommonTokens(leader, sequence(range(0, 12), "salt"), 4), 0);
  });
});

describe("Followers", () => {
  function createLed(): { followers: Followers; leader: Sequence; near: Sequence; far: Sequence } {
    const followers = new Followers();
    const [leader, near, far] = [sequence([1]), sequence([2]), sequence([3])];
    leader.status = "running";
    followers.add(near, leader, 4);
    followers.add(far, leader, 8);
    return { followers, leader, near, far };
  }

  test("are released once the leader has computed what they share", () => {
    const { followers, leader, near, far } = createLed();
    assert.deepEqual(followers.release(leader), []);
    leader.numComputedTokens = 4;
    assert.deepEqual(followers.release(leader), [near]);
    leader.numComputedTokens = 8;
    assert.deepEqual(followers.release(leader), [far]);
    assert.deepEqual(followers.release(leader), []);
  });

  test("are all released when the leader stops running or is paused", () => {
    for (const stop of [
      (it: Sequence) => (it.status = "preempted"),
      (it: Sequence) => (it.isPaused = true),
    ]) {
      const { followers, leader, near, far } = createLed();
      stop(leader);
      assert.deepEqual(followers.release(leader), [near, far]);
    }
  });

  test("can leave on their own", () => {
    const { followers, leader, near, far } = createLed();
    assert.equal(followers.remove(near), true);
    assert.equal(followers.remove(near), false);
    leader.numComputedTokens = 8;
    assert.deepEqual(followers.release(leader), [far]);
  });
});
