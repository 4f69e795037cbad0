import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compareUrgency, type Urgent } from "../../../scheduler/urgency.ts";
import { WaitingQueue } from "../../../scheduler/waiting-queue.ts";

test("WaitingQueue agrees with a sorted list under pushes and removals anywhere", () => {
  const script = fc.array(fc.record({ isPush: fc.boolean(), urgency: fc.nat(5), pick: fc.nat() }), {
    maxLength: 60,
  });
  const property = fc.property(script, (steps) => {
    const queue = new WaitingQueue<Urgent>();
    const items: Urgent[] = [];
    for (const [arrivalIndex, { isPush, urgency, pick }] of steps.entries()) {
      if (isPush || items.length === 0) {
        const item = { urgency, arrivalIndex };
        queue.push(item);
        items.push(item);
        items.sort(compareUrgency);
      } else {
        const [item] = items.splice(pick % items.length, 1);
        assert.equal(queue.remove(item!), true);
        assert.equal(queue.remove(item!), false);
      }
      assert.equal(queue.peek(), items[0] ?? null);
      assert.equal(queue.size, items.length);
    }
  });
  fc.assert(property, { numRuns: 500, seed: 1 });
});
