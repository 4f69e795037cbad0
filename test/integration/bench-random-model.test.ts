import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { readGgufFacts } from "../../models/gguf/read-facts.ts";
import { loadRunner } from "../../models/llama/load-runner.ts";
import { GREEDY_SAMPLING } from "../../scheduler/sampling-params.ts";
import { testRunnerOptions } from "../support/demo-model.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const entry = fileURLToPath(new URL("../../bench/engine/make-random-model.js", import.meta.url));
const folder = temporaryFolder();
const shape = "--embedding 64 --blocks 2 --feed-forward 96 --heads 4 --kv-heads 2".split(" ");

async function make(...flags: readonly string[]): Promise<void> {
  await promisify(execFile)(process.execPath, [entry, ...flags]);
}

describe("A model of random weights", () => {
  test("has the shape asked for and answers, the same file each time", async () => {
    const out = join(folder, "random.gguf");
    const again = join(folder, "again.gguf");
    await make("--out", out, ...shape);
    await make("--out", again, ...shape);
    assert.ok(readFileSync(out).equals(readFileSync(again)));
    const facts = await readGgufFacts(out);
    assert.equal(facts.numLayers, 2);
    const { runner } = loadRunner(testRunnerOptions(out));
    const sequence = {
      requestId: "r",
      seqId: 0,
      tokens: [1, 2, 3],
      numPromptTokens: 3,
      sampling: GREEDY_SAMPLING,
    };
    const row = { sequence, start: 0, numTokens: 3, logits: "last", sample: true } as const;
    const { samples } = runner.execute({ kind: "prefill", rows: [row], numTokens: 3 });
    assert.equal(samples.length, 1);
    assert.ok(Number.isFinite(samples[0]!.logprob ?? 0));
    runner.close();
  });

  test("is refused where heads do not divide the width", async () => {
    await assert.rejects(
      make("--out", join(folder, "none.gguf"), "--embedding", "64", "--heads", "6"),
      /--heads must/,
    );
    await assert.rejects(make("--out", join(folder, "none.gguf"), "--embedding", "65"), /multiple of 32/);
  });
});
