import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ChildNodes } from "../../../kvcache/child-nodes.ts";
import { HolderSet } from "../../../kvcache/holder-set.ts";
import type { PrefixNode } from "../../../kvcache/prefix-cache.ts";

const NUM_NODES = 5;

function createNode(hash: number): PrefixNode {
  const children = new ChildNodes();
  const holders = new HolderSet();
  return {
    cacheSalt: "",
    parent: null,
    hash,
    tokens: [],
    children,
    holders,
    hosted: null,
    pinnedUntilMs: 0,
    pins: null,
  };
}

describe("ChildNodes", () => {
  test("finds what a Map would, in the same order", () => {
    const nodes = Array.from({ length: NUM_NODES }, (_, hash) => createNode(hash));
    fc.assert(
      fc.property(fc.array(fc.nat(NUM_NODES - 1), { maxLength: 40 }), (toggled) => {
        const children = new ChildNodes();
        const expected = new Map<number, PrefixNode>();
        for (const hash of toggled) {
          const node = nodes[hash]!;
          if (expected.delete(hash)) children.delete(node);
          else {
            expected.set(hash, node);
            children.add(node);
          }
          assert.deepEqual(
            [...children].map((child) => child.hash),
            [...expected.keys()],
          );
          assert.equal(children.size, expected.size);
          for (const { hash: each } of nodes) assert.equal(children.get(each), expected.get(each) ?? null);
        }
      }),
    );
  });
});
