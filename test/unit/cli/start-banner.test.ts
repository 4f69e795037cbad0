import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { createFakeModelInfo } from "../../../models/fake-model-runner.ts";
import { isLoopback, startBanner } from "../../../src/cli/start-banner.ts";
import { loadConfig } from "../../../src/config/load-config.ts";

const model = createFakeModelInfo({
  id: "toy's own",
  description: "llama 256M Q4_K - Medium",
  numParameters: 134_515_008,
  sizeBytes: 4 * 1024 * 1024,
  deviceNames: [],
  numThreads: 2,
  kvPool: { numBlocks: 2048, sizeBytes: 32 * 1024 * 1024 },
});

function banner(flags: Readonly<Record<string, unknown>>, url = "http://127.0.0.1:8000"): string {
  return startBanner(
    { url, model, notes: ["weights  4 MiB\nKV pool  32 MiB"] },
    loadConfig({ flags, environment: {} }),
  );
}

test("says where, what and how much", () => {
  const text = banner({});
  assert.match(text, /listening +http:\/\/127\.0\.0\.1:8000\n/);
  assert.match(text, /model +toy's own \(llama 135M Q4_K - Medium, 4 MiB\)/);
  assert.match(text, /backend +cpu: CPU, 2 threads/);
  assert.match(text, /KV pool +2048 blocks of 16 tokens = 32768 tokens, 32 MiB/);
  assert.match(text, /^ {2}weights {2}4 MiB\n {2}KV pool {2}32 MiB$/m);
});

test("the curl line can be copied into a shell; it names the key and does not show it", () => {
  const text = banner({ "api-key": "top-secret" }, "http://0.0.0.0:9000");
  assert.ok(!text.includes("top-secret"));
  const command =
    text
      .trim()
      .split("\n")
      .at(-1)
      ?.trim()
      .replace(/^curl /, "printf '%s\\n' ") ?? "";
  const env = { HEADWAY_API_KEY: "from the environment" };
  const words = execFileSync("sh", ["-c", command], { env, encoding: "utf8" }).split("\n");
  assert.equal(words[1], "http://127.0.0.1:9000/v1/chat/completions");
  assert.ok(words.includes("Authorization: Bearer from the environment"));
  const body = JSON.parse(words.at(-2) ?? "") as { readonly model: string; readonly stream: boolean };
  assert.equal(body.model, model.id);
  assert.equal(body.stream, true);
});

test("loopback addresses are private", () => {
  for (const host of ["127.0.0.1", "127.1.2.3", "localhost", "::1"]) assert.ok(isLoopback(host), host);
  for (const host of ["0.0.0.0", "::", "192.168.1.5", "example.org"]) assert.ok(!isLoopback(host), host);
});
