import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type HostBuffer, HostBuffers, sizeClass } from "../../models/llama/host-buffers.ts";

test("a size class holds what was asked for, and an eighth more at most", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 40 }), (sizeBytes) => {
      const rounded = sizeClass(sizeBytes);
      assert.ok(Number.isInteger(rounded) && rounded >= sizeBytes && rounded <= sizeBytes * 1.125 + 1);
      assert.equal(sizeClass(rounded), rounded);
    }),
  );
});

test("a buffer of the same class is used again", () => {
  const buffers = new HostBuffers();
  const first = buffers.take(1000);
  first.view(1000).fill(7);
  buffers.giveBack(first);
  assert.equal(buffers.take(999), first);
  assert.equal(buffers.idleBytes, 0);
  buffers.giveBack(first);
  buffers.close();
  assert.equal(buffers.idleBytes, 0);
});

test("used and idle buffers together never take more than were in use at once", () => {
  const steps = fc.array(fc.record({ sizeBytes: fc.integer({ min: 1, max: 5000 }), isTake: fc.boolean() }));
  fc.assert(
    fc.property(steps, (script) => {
      const buffers = new HostBuffers();
      const taken: HostBuffer[] = [];
      let peakBytes = 0;
      for (const { sizeBytes, isTake } of script) {
        if (isTake) taken.push(buffers.take(sizeBytes));
        else if (taken.length > 0) buffers.giveBack(taken.splice(sizeBytes % taken.length, 1)[0]!);
        const usedBytes = taken.reduce((sum, buffer) => sum + buffer.sizeBytes, 0);
        peakBytes = Math.max(peakBytes, usedBytes);
        assert.equal(buffers.usedBytes, usedBytes);
        assert.ok(buffers.usedBytes + buffers.idleBytes <= peakBytes);
        assert.equal(new Set(taken.map(({ address }) => address)).size, taken.length);
      }
      for (const buffer of taken) buffers.giveBack(buffer);
      buffers.close();
    }),
  );
});
