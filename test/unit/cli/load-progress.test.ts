import assert from "node:assert/strict";
import { test } from "node:test";
import type { DownloadProgress } from "../../../models/store/progress.ts";
import { showLoadProgress } from "../../../src/cli/load-progress.ts";

test("a load is shown from its first word to the whole, and a later one is not", () => {
  const seen: DownloadProgress[] = [];
  const sink = { update: (progress: DownloadProgress) => seen.push(progress), notice: () => {} };
  const onProgress = showLoadProgress(sink, "demo", 4000);
  assert.equal(seen.length, 0);
  for (const share of [0, 0.5, 1]) onProgress(share);
  assert.deepEqual([seen[0]?.file, seen[0]?.receivedBytes, seen[0]?.totalBytes], ["loading demo", 0, 4000]);
  assert.deepEqual([seen.at(-1)?.receivedBytes, seen.at(-1)?.isComplete], [4000, true]);
  const numSeen = seen.length;
  onProgress(0.2);
  assert.equal(seen.length, numSeen);
});
