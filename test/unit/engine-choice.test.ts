import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { PinRequest } from "../../scheduler/contracts.ts";
import { Choice } from "../../src/engine/choice.ts";
import {
  createAssembler,
  createSampling,
  createSequenceRequest,
  pieceOf,
} from "../support/engine-builders.ts";

function createChoice(
  options: { stopAt?: number; stopTokenIds?: number[]; pins?: PinRequest[] } = {},
): Choice {
  return new Choice({
    request: createSequenceRequest({
      tokens: [7, 8],
      sampling: createSampling({ stopTokenIds: options.stopTokenIds ?? [] }),
      pins: options.pins ?? [],
    }),
    choiceIndex: 0,
    promptIndex: 0,
    assembler: createAssembler(options.stopAt ?? null),
    pieceOf,
  });
}

describe("Choice", () => {
  it("releases a token with its text", () => {
    const update = createChoice().accept({ requestId: "s0", tokenId: 5 });
    assert.equal(update.delta?.text, "5 ");
    assert.deepEqual(
      update.delta?.tokens.map((token) => token.tokenId),
      [5],
    );
    assert.equal(update.end, null);
  });

  it("hides the token that ends the turn", () => {
    const update = createChoice().accept({ requestId: "s0", tokenId: 2, finishReason: "stop" });
    assert.equal(update.delta, null);
    assert.equal(update.end?.finishReason, "stop");
    assert.equal(update.end?.stopReason, null);
    assert.equal(update.end?.numGeneratedTokens, 1);
  });

  it("names the stop token that was asked for", () => {
    const choice = createChoice({ stopTokenIds: [9] });
    const update = choice.accept({ requestId: "s0", tokenId: 9, finishReason: "stop" });
    assert.equal(update.end?.stopReason, 9);
  });

  it("ends at a stop string and has the engine drop the sequence", () => {
    const choice = createChoice({ stopAt: 6 });
    choice.accept({ requestId: "s0", tokenId: 5 });
    const update = choice.accept({ requestId: "s0", tokenId: 6 });
    assert.equal(update.end?.stopReason, "6 ");
    assert.equal(update.mustAbort, true);
    assert.equal(update.delta, null, "nothing of the stop string is shown");
  });

  it("needs no abort when the engine ended the sequence with the same token", () => {
    const choice = createChoice({ stopAt: 6 });
    const update = choice.accept({ requestId: "s0", tokenId: 6, finishReason: "length" });
    assert.equal(update.end?.finishReason, "stop");
    assert.equal(update.mustAbort, false);
  });

  it("replays its prompt, and what is to be kept of it, with what was produced", () => {
    const pins = [
      { numTokens: 2, ttlMs: 5 },
      { numTokens: 1, ttlMs: 10 },
    ];
    const choice = createChoice({ pins });
    choice.accept({ requestId: "s0", tokenId: 5 });
    choice.accept({ requestId: "s0", tokenId: 6 });
    const request = choice.replayRequest();
    assert.deepEqual(request.tokens, [7, 8, 5, 6]);
    assert.equal(request.numReplayedTokens, 2);
    assert.deepEqual(request.pins, pins);
  });
});
