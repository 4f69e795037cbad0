import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { EXIT } from "../../bench/commands/exit-codes.ts";
import type { ScenarioResult } from "../../bench/scheduling/scenario.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const folder = temporaryFolder();

interface QuickRun {
  readonly code: number | null;
  readonly result: ScenarioResult;
}

/** A benchmark of the scheduler in its small sizes, as `npm run` starts it. */
async function quickRun(program: string, ...flags: readonly string[]): Promise<QuickRun> {
  const entry = fileURLToPath(new URL(`../../bench/${program}.js`, import.meta.url));
  const json = join(folder, "result.json");
  const code = await new Promise<number | null>((resolve) => {
    const child = execFile(process.execPath, [entry, "--quick", "--threads", "1", "--json", json, ...flags]);
    child.once("exit", resolve);
  });
  return { code, result: JSON.parse(readFileSync(json, "utf8")) as ScenarioResult };
}

describe("benchmarks of the scheduler", { skip: process.platform !== "linux" }, () => {
  test("throughput names model, commit and date, and fails where its goal is missed", async () => {
    const { code, result } = await quickRun("engine/throughput");
    assert.equal(result.model.file, "headway-demo.gguf");
    assert.ok("commit" in result.machine && Date.parse(result.date) > 0);
    const [goal, ...others] = result.goals;
    assert.deepEqual(others, []);
    assert.match(goal!.claim, /16 streams/);
    assert.deepEqual([goal!.comparison, goal!.limit], [">=", 0.95]);
    assert.equal(code, goal!.isMet === true ? EXIT.ok : EXIT.regression);
  });
});
