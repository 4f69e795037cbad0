import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { mock, test } from "node:test";

import { benchCommand } from "../../bench/cli.ts";
import type { RequestRecord } from "../../bench/load/request.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { createTestServer, listen } from "../support/test-server.ts";

const folder = temporaryFolder();

test("the WebSocket client speaks the server's own protocol", async (t) => {
  const server = await createTestServer(t, {
    config: { apiKeys: ["key"] },
    engine: { stepMs: 1, naturalLength: 20, maxModelLen: 8192 },
  });
  const url = await listen(server);
  const jsonl = join(folder, "ws.jsonl");
  mock.method(console, "log", () => {});
  const options = [
    "--api",
    "websocket",
    "--key",
    "key",
    "--requests",
    "40",
    "--concurrency",
    "20",
    "--slow-share",
    "0.2",
  ];
  const lengths = [
    "--slow-read-ms",
    "2",
    "--input-tokens",
    "20",
    "--output-tokens",
    "6",
    "--cancel-share",
    "0.2",
  ];
  const code = await benchCommand(["--url", url, "--no-live", "--jsonl", jsonl, ...options, ...lengths]);
  mock.restoreAll();
  assert.equal(code, 0);
  const records = readFileSync(jsonl, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as RequestRecord);
  const ended = records.filter(({ outcome }) => outcome === "ok");
  assert.equal(records.length, 40);
  assert.ok(
    ended.length > 20 && records.every(({ outcome }) => outcome !== "error"),
    JSON.stringify(records),
  );
  for (const record of ended) {
    assert.equal(record.outputTokens, 6);
    assert.equal(record.tokenCountSource, "continuous_usage");
    assert.equal(record.finishReason, "length");
    assert.ok(record.promptTokens !== null && record.requestId !== null);
  }
});
