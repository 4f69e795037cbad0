import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { StopMatcher } from "../../models/text/stop-matcher.ts";

function run(pieces: readonly string[], stopStrings: readonly string[], includeStopString = false): string[] {
  const matcher = new StopMatcher({ stopStrings, includeStopString });
  const texts: string[] = [];
  for (const piece of pieces) {
    const { text, stopString } = matcher.push(piece);
    texts.push(text);
    if (stopString !== null) return [...texts, `[${stopString}]`];
  }
  return [...texts, matcher.finish()];
}

describe("StopMatcher", () => {
  it("passes text through when there are no stop strings", () => {
    assert.deepEqual(run(["a", "bc"], []), ["a", "bc", ""]);
  });

  it("finds a stop string inside one piece and drops what follows", () => {
    assert.deepEqual(run(["one STOP two"], ["STOP"]), ["one ", "[STOP]"]);
  });

  it("finds a stop string that is split over pieces, giving out none of it", () => {
    assert.deepEqual(run(["one S", "T", "OP two"], ["STOP"]), ["one ", "", "", "[STOP]"]);
  });

  it("releases text that turns out not to be a stop string", () => {
    assert.deepEqual(run(["a ST", "EP"], ["STOP"]), ["a ", "STEP", ""]);
  });

  it("keeps holding the part of a failed match that may start another", () => {
    assert.deepEqual(run(["a", "a", "a", "b"], ["aab"]), ["", "", "a", "", "[aab]"]);
  });

  it("gives out what was held when the output ends", () => {
    assert.deepEqual(run(["wait ST"], ["STOP"]), ["wait ", "ST"]);
  });

  it("takes the stop string that is complete first", () => {
    assert.deepEqual(run(["xabcd"], ["abcd", "bc"]), ["xa", "[bc]"]);
  });

  it("takes the longer of two that are complete at once", () => {
    assert.deepEqual(run(["xabc"], ["bc", "abc"]), ["x", "[abc]"]);
  });

  it("ends with the stop string when asked to", () => {
    assert.deepEqual(run(["one ST", "OP two"], ["STOP"], true), ["one ", "STOP", "[STOP]"]);
  });

  it("finds a stop string of characters outside the basic plane", () => {
    assert.deepEqual(run(["a😀", "😀b"], ["😀b"]), ["a", "😀", "[😀b]"]);
  });
});
