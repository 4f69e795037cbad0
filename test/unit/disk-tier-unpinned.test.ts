import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { openSync, closeSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DiskMachine, type DiskMachineOptions } from "../support/disk-machine.ts";
import { range } from "../support/scheduler-builders.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

/** Nothing idle stays in the pool, so the eight blocks of host memory are used in the order of the sequences. */
function createMachine(folder: string, options: DiskMachineOptions = {}): DiskMachine {
  return new DiskMachine(folder, { ...options, kv: { maxCachedBlocks: 0 } });
}

/** Two sequences fill host memory, the older one is written, and two more take its place and that of the other. */
async function createEvicted(folder: string, options: DiskMachineOptions = {}): Promise<DiskMachine> {
  const machine = createMachine(folder, options);
  machine.run(range(0, 16));
  machine.run(range(100, 16));
  await machine.disk.sync();
  machine.run(range(150, 16));
  machine.run(range(200, 16));
  assert.equal(machine.numCachedTokens(range(0, 16)), 0);
  return machine;
}

test("what host memory gives up comes back from disk, with its bytes", async () => {
  const machine = await createEvicted(temporaryFolder());
  assert.equal(await machine.fetch(range(0, 16)), 16);
  assert.deepEqual(machine.bytesOf(range(0, 8)), Uint8Array.of(0, 0, 0));
  assert.deepEqual(machine.bytesOf(range(8, 8)), Uint8Array.of(8, 8, 8));
  assert.equal(await machine.fetch(range(100, 16)), 0, "what was not written in time is lost");
  assert.deepEqual(machine.kv.checkIntegrity(), []);
  assert.equal(machine.numHeld, 0);
});

test("the next start finds it too, without reading it before it is asked for", async () => {
  const folder = temporaryFolder();
  await createEvicted(folder);
  const machine = createMachine(folder);
  assert.equal(machine.disk.load(), 0);
  assert.deepEqual([machine.numCachedTokens(range(0, 16)), machine.bytes.size], [0, 0]);
  assert.equal(await machine.fetch(range(0, 16)), 16);
  assert.deepEqual(machine.bytesOf(range(8, 8)), Uint8Array.of(8, 8, 8));
});

test("nothing is written while half of host memory is free", async () => {
  const folder = temporaryFolder();
  const machine = createMachine(folder);
  machine.run(range(0, 16));
  await machine.disk.sync();
  assert.deepEqual(readdirSync(folder), []);
});

for (const [what, change] of [
  ["changed in its payload", (data: Buffer) => void (data[data.length - 34]! ^= 1)],
  ["changed in its tokens", (data: Buffer) => void data.write("9", data.indexOf("[1,") + 1)],
  ["cut off", (data: Buffer) => data.subarray(0, 40)],
  ["emptied", (data: Buffer) => data.subarray(0, 0)],
] as const) {
  for (const isRestarted of [false, true]) {
    const when = isRestarted ? "before a start" : "while it is known";
    test(`a file that is ${what} ${when} is a miss, and goes`, async () => {
      const folder = temporaryFolder();
      let machine = createMachine(folder);
      machine.run(range(1, 16));
      machine.run(range(100, 16));
      await machine.disk.sync();
      for (const name of readdirSync(folder)) {
        const data = readFileSync(join(folder, name));
        writeFileSync(join(folder, name), change(data) ?? data);
      }
      if (isRestarted) {
        machine = createMachine(folder);
        machine.disk.load();
      }
      machine.run(range(150, 16));
      machine.run(range(200, 16));
      assert.equal(await machine.fetch(range(1, 16)), 0);
      await machine.disk.sync();
      assert.deepEqual(machine.kv.checkIntegrity(), []);
      assert.equal(machine.numHeld, 0);
      machine.run(range(1, 16));
      assert.equal(machine.numCachedTokens(range(1, 16)), 16, "it is computed again");
    });
  }
}

test("a file that has gone is a miss", async () => {
  const folder = temporaryFolder();
  const machine = await createEvicted(folder);
  for (const name of readdirSync(folder)) rmSync(join(folder, name));
  assert.equal(await machine.fetch(range(0, 16)), 0);
  assert.deepEqual(machine.kv.checkIntegrity(), []);
});

test("what is computed sooner than read is neither written nor read", async () => {
  const folder = temporaryFolder();
  const machine = await createEvicted(folder, { computeMsPerToken: () => 0 });
  assert.deepEqual(readdirSync(folder), []);
  await createEvicted(folder);
  assert.equal(machine.numHeld, 0);
  const next = createMachine(folder, { computeMsPerToken: () => 0 });
  next.disk.load();
  assert.equal(await next.fetch(range(0, 16)), 0);
  assert.equal(readdirSync(folder).length, 2);
});

test("files of others make room, those of pins last, and the budget holds", async () => {
  const folder = temporaryFolder();
  const machine = createMachine(folder, { maxBytes: 1000 });
  machine.pin(range(0, 8));
  await machine.disk.sync();
  const [pinned] = readdirSync(folder);
  for (let first = 10; first < 250; first += 20) {
    machine.run(range(first, 8));
    await machine.disk.sync();
    const sizes = readdirSync(folder).map((name) => readFileSync(join(folder, name)).length);
    assert.ok(sizes.reduce((sum, size) => sum + size, 0) <= 1000);
  }
  assert.ok(readdirSync(folder).includes(pinned!) && readdirSync(folder).length > 2);
  const next = createMachine(folder);
  assert.equal(next.disk.load(), 8);
  assert.equal(await next.fetch(range(10, 8)), 0, "the oldest is gone");
  assert.equal(await next.fetch(range(170, 8)), 8);
});

test("files do not chase each other where the disk has less room than memory", async () => {
  const folder = temporaryFolder();
  const machine = createMachine(folder, { maxBytes: 250 });
  for (const first of [0, 50, 100, 150]) machine.run(range(first, 8));
  await machine.disk.sync();
  const before = readdirSync(folder);
  assert.equal(before.length, 1);
  await machine.disk.sync();
  assert.deepEqual(readdirSync(folder), before);
});

test("a disk that takes nothing disturbs nobody", async () => {
  const file = join(temporaryFolder(), "file");
  writeFileSync(file, "");
  const machine = await createEvicted(join(file, "below"));
  assert.equal(await machine.fetch(range(0, 16)), 0);
  assert.equal(machine.numHeld, 0);
});

test("a disk that does not answer is not asked again", { skip: process.platform === "win32" }, async () => {
  const folder = temporaryFolder();
  const machine = await createEvicted(folder, { readTimeoutMs: 20 });
  const pipes = readdirSync(folder).map((name) => join(folder, name));
  for (const pipe of pipes) {
    rmSync(pipe);
    execFileSync("mkfifo", [pipe]);
  }
  assert.equal(await machine.fetch(range(0, 16)), 0);
  assert.equal(machine.numHeld, 1, "the bytes may still come");
  assert.equal(machine.kv.host.disk.index.numBlocks, 0);
  assert.deepEqual(machine.kv.checkIntegrity(), []);
  // Whoever reads a pipe waits until somebody writes, so this lets the one reader go.
  for (const pipe of pipes) closeSync(openSync(pipe, "r+"));
});
