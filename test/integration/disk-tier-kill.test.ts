import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { readdirSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { DiskMachine } from "../support/disk-machine.ts";
import { range } from "../support/scheduler-builders.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const MAX_ROUNDS = 20;
const MAX_LOOKS = 50_000;

const tornFiles = (folder: string): string[] => readdirSync(folder).filter((name) => name.endsWith(".tmp"));

/** Lets a process write some files, and kills it while it writes another one. */
async function writeAndKill(folder: string): Promise<void> {
  const entry = fileURLToPath(new URL("../support/disk-writer.js", import.meta.url));
  const child = fork(entry, [folder]);
  const exited = once(child, "exit");
  for (let count = 0; count < 5; count += 1) await once(child, "message");
  for (let looks = 0; tornFiles(folder).length === 0 && looks < MAX_LOOKS; looks += 1) await setImmediate();
  child.kill("SIGKILL");
  await exited;
}

test("a process that is killed while it writes leaves whole files only", async () => {
  const folder = temporaryFolder();
  let numTorn = 0;
  for (let round = 0; numTorn === 0 && round < MAX_ROUNDS; round += 1) {
    await writeAndKill(folder);
    numTorn = tornFiles(folder).length;
  }
  assert.ok(numTorn > 0, "no kill has hit a write");
  const machine = new DiskMachine(folder, {
    kv: { maxHostBlocks: 100 },
    maxBytes: 2 ** 30,
    computeMsPerToken: () => 1000,
  });
  machine.disk.load();
  assert.equal(tornFiles(folder).length, numTorn, "somebody may still be writing them");
  for (const name of tornFiles(folder)) utimesSync(join(folder, name), new Date(0), new Date(0));
  new DiskMachine(folder).disk.load();
  assert.ok(readdirSync(folder).every((name) => name.endsWith(".kv")));
  let numFound = 0;
  for (let first = 0; first < 250; first += 10) {
    const isKnown = machine.kv.host.disk.index.numBlocks > 0;
    const numCached = await machine.fetch(range(first, 8));
    if (numCached === 0) continue;
    numFound += 1;
    assert.ok(isKnown && machine.bytesOf(range(first, 8))!.every((byte) => byte === first));
  }
  assert.equal(numFound, readdirSync(folder).length, "nothing that was found was broken");
  assert.ok(numFound > 0);
  assert.equal(machine.numHeld, 0);
});
