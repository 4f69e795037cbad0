import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { REQUESTS } from "../../kvcache/pins.ts";
import { decodePrefixFile } from "../../src/engine/prefix-file.ts";
import { DiskMachine, type DiskMachineOptions } from "../support/disk-machine.ts";
import { range } from "../support/scheduler-builders.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const HOUR_MS = 3_600_000;
const key = { tokens: range(0, 8), cacheSalt: "salt" };

/** Servers that use one folder at the same time. */
function createTwo(folder: string, options: DiskMachineOptions = {}): [DiskMachine, DiskMachine] {
  const [one, other] = [new DiskMachine(folder, options), new DiskMachine(folder, options)];
  one.disk.load();
  other.disk.load();
  return [one, other];
}

const ownersIn = (folder: string): string[] =>
  readdirSync(folder).flatMap((name) =>
    Object.keys(decodePrefixFile(readFileSync(join(folder, name)), "model")!.pins),
  );

for (const way of ["sync", "flush"] as const) {
  test(`the pins of both are in the file of one prefix (${way})`, async () => {
    const folder = temporaryFolder();
    const [one, other] = createTwo(folder);
    one.pin(key.tokens, HOUR_MS, "one");
    await one.disk.sync();
    other.pin(key.tokens, 2 * HOUR_MS, "other");
    await other.disk[way]();
    assert.deepEqual(ownersIn(folder).toSorted(), ["one", "other"]);
    await other.disk.sync();
    assert.deepEqual(ownersIn(folder).toSorted(), ["one", "other"]);
    assert.equal(new DiskMachine(folder).disk.load(), 8);
  });
}

test("what one writes for want of memory does not undo a pin of the other", async () => {
  const folder = temporaryFolder();
  const [one, other] = createTwo(folder, { kv: { maxCachedBlocks: 0 } });
  one.pin(key.tokens, HOUR_MS, "one");
  await one.disk.sync();
  other.run(key.tokens);
  other.run(range(100, 16));
  await other.disk.sync();
  assert.ok(other.kv.host.disk.index.numBlocks > 0, "it has been written");
  assert.deepEqual(ownersIn(folder).slice(0, 1), ["one"]);
});

test("a file that the other has written or read since stays when one has no use for it any more", async () => {
  const folder = temporaryFolder();
  const first = new DiskMachine(folder);
  first.pin(key.tokens, HOUR_MS, "a");
  await first.disk.sync();
  const [one, other] = createTwo(folder);
  other.pin(key.tokens, 3 * HOUR_MS, "a");
  await other.disk.sync();
  one.kv.unpin(key, "a");
  await one.disk.sync();
  assert.deepEqual(ownersIn(folder), ["a"]);
  other.kv.unpin(key, "a");
  await other.disk.sync();
  assert.deepEqual(readdirSync(folder), []);
});

test("a pinned file without room in memory stays, and is read when it is asked for", async () => {
  const folder = temporaryFolder();
  const large = new DiskMachine(folder);
  large.pin(range(0, 8));
  large.pin(range(100, 8));
  await large.disk.sync();
  const small = new DiskMachine(folder, { kv: { maxHostBlocks: 2, maxCachedBlocks: 0 } });
  assert.equal(small.disk.load(), 16);
  await small.disk.sync();
  assert.equal(readdirSync(folder).length, 2);
  const next = new DiskMachine(folder);
  assert.equal(next.disk.load(), 16);
});

test("an owner that gives up its pin is not found by the next start, while what requests asked for is", async () => {
  const folder = temporaryFolder();
  const machine = new DiskMachine(folder);
  machine.pin(key.tokens, 2 * HOUR_MS, "a");
  machine.pin(key.tokens, HOUR_MS);
  await machine.disk.sync();
  assert.deepEqual(ownersIn(folder).toSorted(), [REQUESTS, "a"]);
  machine.kv.unpin(key, "a");
  await machine.disk.sync();
  assert.deepEqual(ownersIn(folder), [REQUESTS]);
  const next = new DiskMachine(folder);
  assert.equal(next.disk.load(), 8);
  const [segment] = next.kv.host.pinned(0);
  assert.deepEqual([...segment!.nodes[0]!.pins!.keys()], [REQUESTS]);
});
