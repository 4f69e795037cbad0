import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { UseOrder, type UseLinks } from "../../../kvcache/use-order.ts";

interface Item extends UseLinks<Item> {
  readonly name: number;
}

const NUM_ITEMS = 5;
const action = fc.record({ name: fc.nat(NUM_ITEMS - 1), isUse: fc.boolean() });

describe("UseOrder", () => {
  test("keeps the order that a Map has whose entries are moved to its end", () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        const order = new UseOrder<Item>();
        const items = Array.from({ length: NUM_ITEMS }, (_, name): Item => ({
          name,
          older: null,
          newer: null,
        }));
        const expected = new Set<number>();
        for (const { name, isUse } of actions) {
          const wasThere = expected.delete(name);
          if (isUse) {
            expected.add(name);
            order.touch(items[name]!);
          } else assert.equal(order.delete(items[name]!), wasThere);
          assert.deepEqual(
            [...order].map((item) => item.name),
            [...expected],
          );
          for (const item of items) assert.equal(order.has(item), expected.has(item.name));
        }
      }),
    );
  });
});
