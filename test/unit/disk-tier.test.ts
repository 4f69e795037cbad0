import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { REQUESTS } from "../../kvcache/pins.ts";
import { removeForgotten } from "../../src/engine/forgotten-prefixes.ts";
import { decodePrefixFile, encodePrefixFile } from "../../src/engine/prefix-file.ts";
import { DiskMachine } from "../support/disk-machine.ts";
import { range } from "../support/scheduler-builders.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const HOUR_MS = 3_600_000;

test("pinned prefixes are there again after a restart, with their bytes", async () => {
  const folder = join(temporaryFolder(), "prefixes");
  const before = new DiskMachine(folder);
  before.pin(range(0, 13));
  await before.disk.sync();
  assert.equal(readdirSync(folder).length, 2);
  const after = new DiskMachine(folder);
  assert.equal(after.disk.load(), 12);
  assert.equal(after.numCachedTokens(range(0, 12)), 12);
  assert.deepEqual([...after.bytes.values()], [...before.bytes.values()]);
  await after.disk.sync();
  assert.equal(readdirSync(folder).length, 2, "nothing is written twice");
});

test("what is written at the end of a process is the same", async () => {
  const [first, second] = [temporaryFolder(), temporaryFolder()];
  for (const folder of [first, second]) {
    const machine = new DiskMachine(folder);
    machine.pin(range(0, 8));
    if (folder === first) await machine.disk.sync();
    else machine.disk.flush();
  }
  assert.deepEqual(readdirSync(second), readdirSync(first));
});

test("a file goes with its pin, and one whose time is over is not read", async () => {
  const folder = temporaryFolder();
  const machine = new DiskMachine(folder);
  machine.pin(range(0, 8), HOUR_MS, "a");
  await machine.disk.sync();
  machine.kv.unpin({ tokens: range(0, 8), cacheSalt: "salt" }, "a");
  await machine.disk.sync();
  assert.deepEqual(readdirSync(folder), []);
  const expired = { identity: "model", cacheSalt: "", tokens: range(0, 8), startBlock: 0, pins: { a: 1 } };
  writeFileSync(join(folder, "expired.kv"), encodePrefixFile({ ...expired, bytes: Uint8Array.of(1) }));
  assert.equal(new DiskMachine(folder).disk.load(), 0);
  assert.deepEqual(readdirSync(folder), []);
});

test("a short pin gets no file, and a prolonged one a new time only now and then", async () => {
  const folder = temporaryFolder();
  const machine = new DiskMachine(folder);
  machine.pin(range(0, 8), 60_000);
  await machine.disk.sync();
  assert.deepEqual(readdirSync(folder), []);
  const expiryInFile = (): number =>
    decodePrefixFile(readFileSync(join(folder, readdirSync(folder)[0]!)), "model")!.pins[REQUESTS]!;
  machine.pin(range(0, 8), HOUR_MS);
  await machine.disk.sync();
  const first = expiryInFile();
  machine.pin(range(0, 8), 1.5 * HOUR_MS);
  await machine.disk.sync();
  assert.equal(expiryInFile(), first);
  machine.pin(range(0, 8), 3 * HOUR_MS);
  await machine.disk.sync();
  assert.ok(expiryInFile() > first + HOUR_MS);
});

test("a pin of ten minutes gets a file, though it has a little less left when it is written", async () => {
  const folder = temporaryFolder();
  const machine = new DiskMachine(folder);
  machine.pin(range(0, 8), 600_000);
  machine.nowMs = 2000;
  await machine.disk.sync();
  assert.equal(readdirSync(folder).length, 1);
});

test("the budget holds", async () => {
  const folder = temporaryFolder();
  const machine = new DiskMachine(folder, { maxBytes: 300 });
  machine.pin(range(0, 8));
  machine.pin(range(100, 8));
  await machine.disk.sync();
  const first = readdirSync(folder);
  assert.ok(first.length >= 1);
  const sizes = first.map((name) => readFileSync(join(folder, name)).length);
  assert.ok(sizes.reduce((sum, size) => sum + size, 0) < 600);
});

test("a file that was cut off anywhere, changed, or made for another model is no file", () => {
  const file = { identity: "model", cacheSalt: "", tokens: range(0, 8), startBlock: 0, pins: { a: 1 } };
  const data = encodePrefixFile({ ...file, bytes: Uint8Array.of(10, 2, 3) });
  assert.deepEqual(Uint8Array.from(decodePrefixFile(data, "model")!.bytes), Uint8Array.of(10, 2, 3));
  assert.equal(decodePrefixFile(data, "other"), null);
  for (let length = 0; length < data.length; length += 1) {
    assert.equal(decodePrefixFile(data.subarray(0, length), "model"), null);
    const changed = Buffer.from(data);
    changed[length]! ^= 1;
    assert.equal(decodePrefixFile(changed, "model"), null);
  }
});

test("leftovers of a write that was cut off are removed once nobody can be at it, and the rest is read", async () => {
  const folder = temporaryFolder();
  const machine = new DiskMachine(folder);
  machine.pin(range(0, 13));
  await machine.disk.sync();
  const [name] = readdirSync(folder);
  const torn = ["new", "old"].map((when) => join(folder, `${name}.${when}.tmp`));
  for (const file of torn) writeFileSync(file, readFileSync(join(folder, name!)).subarray(0, 50));
  utimesSync(torn[1]!, new Date(0), new Date(0));
  writeFileSync(join(folder, "torn.kv"), "{");
  assert.equal(new DiskMachine(folder).disk.load(), 12);
  assert.equal(readdirSync(folder).filter((file) => file.endsWith(".kv")).length, 2);
  assert.deepEqual([existsSync(torn[0]!), existsSync(torn[1]!)], [true, false]);
});

test("what cannot be removed is passed over, and the rest is read", async () => {
  const folder = temporaryFolder();
  const machine = new DiskMachine(folder);
  machine.pin(range(0, 13));
  await machine.disk.sync();
  mkdirSync(join(folder, "folder.kv"));
  writeFileSync(join(folder, "empty.kv"), "");
  assert.equal(new DiskMachine(folder).disk.load(), 12);
  assert.ok(!readdirSync(folder).includes("empty.kv"));
});

test("files of other models go when their pins must be over, and their folders with the last one", () => {
  const parent = temporaryFolder();
  const file = (name: string): string => join(parent, name);
  for (const name of ["old", "mixed"]) mkdirSync(file(name));
  for (const name of ["old/a.kv", "mixed/a.kv", "mixed/b.kv", "registry.json"])
    writeFileSync(file(name), "x");
  const weeksAgo = new Date(Date.now() - 20 * 24 * HOUR_MS);
  for (const name of ["old/a.kv", "mixed/a.kv", "registry.json", "old", "mixed"])
    utimesSync(file(name), weeksAgo, weeksAgo);
  removeForgotten(parent);
  assert.deepEqual(readdirSync(parent).toSorted(), ["mixed", "registry.json"]);
  assert.deepEqual(readdirSync(file("mixed")), ["b.kv"]);
  removeForgotten(join(parent, "absent"));
});

test("a middle without its start is removed from nowhere and leads nowhere", async () => {
  const folder = temporaryFolder();
  mkdirSync(folder, { recursive: true });
  const pins = { a: Date.now() + HOUR_MS };
  const file = { identity: "model", cacheSalt: "salt", tokens: range(0, 12), startBlock: 2, pins };
  writeFileSync(join(folder, "middle.kv"), encodePrefixFile({ ...file, bytes: Uint8Array.of(1) }));
  const machine = new DiskMachine(folder);
  assert.equal(machine.disk.load(), 0);
  assert.equal(machine.numCachedTokens(range(0, 12)), 0);
  assert.deepEqual(machine.kv.checkIntegrity(), []);
});

test("a disk that cannot be written disturbs nobody", async () => {
  const folder = join(temporaryFolder(), "file");
  writeFileSync(folder, "");
  const machine = new DiskMachine(join(folder, "below"));
  machine.pin(range(0, 8));
  await machine.disk.sync();
  machine.disk.flush();
  assert.equal(machine.numCachedTokens(range(0, 8)), 8);
});

/** Counts how often the bytes of a copy are taken to be written, or to find out whether they fit. */
function countTries(machine: DiskMachine): { numTries: number } {
  const counter = { numTries: 0 };
  const get = machine.bytes.get.bind(machine.bytes);
  machine.bytes.get = (slot) => {
    counter.numTries += 1;
    return get(slot);
  };
  return counter;
}

for (const isColdest of [false, true]) {
  test(`what does not fit${isColdest ? ", though the next to go," : ""} is tried again ever more rarely, and at once when a file has gone`, async () => {
    const folder = temporaryFolder();
    const machine = new DiskMachine(folder, { maxBytes: 400 });
    const owners = ["a", "b", "c", "d"];
    for (const [index, owner] of owners.entries()) machine.pin(range(100 * index, 8), HOUR_MS, owner);
    await machine.disk.sync();
    const numWritten = readdirSync(folder).length;
    assert.ok(numWritten > 0 && numWritten < 4);
    if (isColdest) {
      const { host } = machine.kv;
      const written = [...host.segments].filter((segment) => host.disk.index.has(segment));
      for (const { nodes } of written) machine.run(nodes.flatMap(({ tokens }) => tokens));
    }
    const counter = countTries(machine);
    for (machine.nowMs = 1; machine.nowMs < 1000; machine.nowMs += 100) await machine.disk.sync();
    assert.equal(counter.numTries, 0);
    for (machine.nowMs = 1000; machine.nowMs < 60_000; machine.nowMs += 1000) await machine.disk.sync();
    assert.ok(counter.numTries <= 5 * (4 - numWritten), `${counter.numTries} tries in a minute`);
    for (const [index, owner] of owners.slice(0, -1).entries())
      machine.kv.unpin({ tokens: range(100 * index, 8), cacheSalt: "salt" }, owner);
    await machine.disk.sync();
    assert.equal(new DiskMachine(folder).disk.load(), 8, "the last one has its place");
  });
}

test("a disk that could not be written is tried again ever more rarely, and at the end of the process", async () => {
  const folder = join(temporaryFolder(), "prefixes");
  writeFileSync(folder, "in the way");
  const machine = new DiskMachine(folder);
  for (const first of [0, 100, 200]) machine.pin(range(first, 8));
  const counter = countTries(machine);
  for (; machine.nowMs < 60_000; machine.nowMs += 1000) await machine.disk.sync();
  assert.ok(counter.numTries >= 3 && counter.numTries <= 6, `${counter.numTries} tries in a minute`);
  rmSync(folder);
  await machine.disk.sync();
  assert.ok(!existsSync(folder));
  machine.disk.flush();
  assert.equal(readdirSync(folder).length, 3);
});
