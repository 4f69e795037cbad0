import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { HostSegment } from "../../../kvcache/prefix-cache.ts";
import type { HostCopy } from "../../../models/fake-kv-memory.ts";
import { FakeEngine, range } from "../../support/scheduler-builders.ts";

interface Setup {
  readonly engine: FakeEngine;
  readonly files: ReadonlyMap<HostSegment, HostCopy>;
}

/** 8 blocks of 4 tokens in host memory, and files of the first sequence, which has left it. */
function createSetup(): Setup {
  const kv = { numBlocks: 32, maxCachedBlocks: 0, maxHostBlocks: 8, hostSegmentBlocks: 2 };
  const engine = new FakeEngine({ kv });
  const { disk } = engine.kv.host;
  const files = new Map<HostSegment, HostCopy>();
  for (const first of [0, 100, 150, 200]) {
    engine.add({ requestId: `first ${first}`, tokens: range(first, 17), maxTokens: 0 });
    engine.drain();
    if (first !== 100) continue;
    for (let next = disk.nextToWrite(); next !== null; next = disk.nextToWrite()) {
      files.set(next, engine.runner.memory.hostCopies.get(next.slot)!);
      disk.noteWritten(next);
    }
  }
  return { engine, files };
}

const wanted = (engine: FakeEngine): HostSegment[] => [...engine.kv.host.disk.index.wanted];

function startedWith(engine: FakeEngine, requestId: string): number | undefined {
  const event = engine.events.find((it) => it.kind === "scheduled" && it.requestId === requestId);
  return event?.kind === "scheduled" ? event.numCachedTokens : undefined;
}

describe("A sequence whose prefix only the disk has", () => {
  test("waits while others go on, and starts with what has come", () => {
    const { engine, files } = createSetup();
    engine.add({ requestId: "waits", tokens: range(0, 20) });
    engine.add({ requestId: "other", tokens: range(50, 9), maxTokens: 2 });
    engine.drain();
    assert.equal(engine.finishOf("other"), "length");
    assert.equal(startedWith(engine, "waits"), undefined);
    assert.equal(wanted(engine).length, 2);
    for (const segment of wanted(engine)) {
      const slot = engine.kv.host.disk.load(segment, 0)!;
      engine.runner.memory.fillHostSlot(slot, files.get(segment)!);
    }
    engine.drain();
    assert.equal(startedWith(engine, "waits"), 16);
    assert.equal(engine.finishOf("waits"), "length");
    assert.equal(engine.scheduler.stats().numDiskHitTokens, 16);
  });

  test("computes what does not come, and does not ask again", () => {
    const { engine } = createSetup();
    engine.add({ requestId: "waits", tokens: range(0, 20) });
    assert.equal(engine.step(), null);
    for (const segment of wanted(engine)) engine.kv.host.disk.index.settle(segment);
    engine.drain();
    assert.deepEqual([startedWith(engine, "waits"), wanted(engine).length], [0, 0]);
    assert.equal(engine.finishOf("waits"), "length");
  });

  test("can be aborted meanwhile", () => {
    const { engine } = createSetup();
    engine.add({ requestId: "waits", tokens: range(0, 20) });
    assert.equal(engine.step(), null);
    engine.scheduler.abort("waits");
    assert.equal(engine.scheduler.stats().numWaiting, 0);
    for (const segment of wanted(engine)) engine.kv.host.disk.noteRemoved(segment);
    engine.drain();
    assert.deepEqual(engine.kv.checkIntegrity(), []);
  });
});
