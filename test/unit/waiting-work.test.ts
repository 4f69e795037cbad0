import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { WaitingWork } from "../../src/engine/waiting-work.ts";

function flooded(): WaitingWork {
  const waiting = new WaitingWork();
  for (let count = 0; count < 100; count += 1) {
    waiting.add({ tenantId: "flood", priority: 0, numTokens: 50 });
  }
  return waiting;
}

describe("WaitingWork", () => {
  it("puts a tenant behind its own work, and behind others only as far as they take turns with it", () => {
    const waiting = flooded();
    const newcomer = { tenantId: "single", priority: 0, numTokens: 70 };
    assert.deepEqual(waiting.ahead(newcomer), { numSequences: 1, numTokens: 70 });
    assert.deepEqual(waiting.ahead({ ...newcomer, tenantId: "flood" }), {
      numSequences: 100,
      numTokens: 5000,
    });
    waiting.add(newcomer);
    assert.deepEqual(waiting.ahead(newcomer), { numSequences: 1 + 2, numTokens: 70 + 140 });
    const next = { numSequences: 0, numTokens: 0 };
    assert.deepEqual(waiting.ahead(newcomer, next), { numSequences: 1, numTokens: 70 });
  });

  it("lets better classes go first, whosesoever they are, and worse ones after", () => {
    const waiting = flooded();
    const urgent = { tenantId: "single", priority: -1, numTokens: 70 };
    assert.deepEqual(waiting.ahead(urgent), { numSequences: 0, numTokens: 0 });
    assert.deepEqual(waiting.ahead({ ...urgent, priority: 1 }), { numSequences: 100, numTokens: 5000 });
    waiting.add(urgent);
    assert.deepEqual(waiting.upTo(-1), { numSequences: 1, numTokens: 70 });
    assert.deepEqual(waiting.upTo(0), { numSequences: 101, numTokens: 5070 });
  });

  it("counts back to nothing", () => {
    const waiting = flooded();
    assert.deepEqual(waiting.totalsOf("flood"), waiting.totals);
    for (let count = 0; count < 100; count += 1) {
      waiting.remove({ tenantId: "flood", priority: 0, numTokens: 50 });
    }
    assert.deepEqual(waiting.totals, { numSequences: 0, numTokens: 0 });
  });
});
