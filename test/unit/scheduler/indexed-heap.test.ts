import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IndexedHeap } from "../../../scheduler/indexed-heap.ts";

interface Item {
  key: number;
  readonly index: number;
}

const compare = (left: Item, right: Item): number => left.key - right.key || left.index - right.index;

test("IndexedHeap agrees with a sorted list under pushes, removals and moves of any item", () => {
  const script = fc.array(
    fc.record({
      kind: fc.constantFrom("push", "push", "remove", "update"),
      key: fc.nat(5),
      pick: fc.nat(),
    }),
    { maxLength: 60 },
  );
  const property = fc.property(script, (steps) => {
    const heap = new IndexedHeap<Item>(compare);
    const items: Item[] = [];
    for (const [index, { kind, key, pick }] of steps.entries()) {
      const item = items[pick % items.length];
      if (kind === "push" || item === undefined) {
        items.push({ key, index });
        heap.push(items.at(-1)!);
      } else if (kind === "update") {
        item.key = key;
        heap.update(item);
      } else {
        items.splice(items.indexOf(item), 1);
        assert.equal(heap.remove(item), true);
        assert.equal(heap.remove(item), false);
      }
      items.sort(compare);
      assert.equal(heap.peek(), items[0] ?? null);
      assert.equal(heap.size, items.length);
    }
  });
  fc.assert(property, { numRuns: 500, seed: 1 });
});
