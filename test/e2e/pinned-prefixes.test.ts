import assert from "node:assert/strict";
import { existsSync, readdirSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { RunningServer } from "../../src/serve.ts";
import { assertSameAnswer, completeGreedily } from "../support/greedy-answers.ts";
import { childPids, eventually, readMetric, startRealServer } from "../support/real-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const story = "Once upon a time there was a small house by the sea. ".repeat(8);

async function post(server: RunningServer, path: string, body: object): Promise<unknown> {
  const response = await fetch(`${server.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer: unknown = await response.json();
  assert.ok(response.ok, JSON.stringify(answer));
  return answer;
}

interface Prefix {
  readonly id: string;
  readonly num_tokens: number;
}

async function list(server: RunningServer): Promise<readonly Prefix[]> {
  return ((await (await fetch(`${server.url}/v1/prefixes`)).json()) as { data: Prefix[] }).data;
}

interface Answer {
  readonly choices: readonly { readonly text: string }[];
  readonly usage: { readonly prompt_tokens_details: { readonly cached_tokens: number } };
}

async function complete(server: RunningServer, prompt: string): Promise<Answer> {
  return (await post(server, "/v1/completions", { prompt, max_tokens: 8, temperature: 0 })) as Answer;
}

/** Files of prefixes that are kept on disk. */
function numFiles(cache: string): number {
  const folder = join(cache, "prefixes");
  return existsSync(folder) ? readdirSync(folder, { recursive: true }).filter(isFile).length : 0;
}

const isFile = (name: string | Buffer): boolean => String(name).endsWith(".kv");
const numCached = (answer: Answer): number => answer.usage.prompt_tokens_details.cached_tokens;

describe("a pinned prefix", () => {
  it("is found again after a restart of the server, from disk", async () => {
    const cache = temporaryFolder();
    const first = await startRealServer({ cache });
    const pinned = (await post(first, "/v1/prefixes", { prompt: story, ttl: 3600 })) as Prefix;
    const request = { prompt: `${story}The children`, maxTokens: 8 };
    const before = await completeGreedily(first.url, request);
    await first.close(0);
    const second = await startRealServer({ cache });
    const answer = await complete(second, `${story}The children`);
    const numBlocks = Math.floor(pinned.num_tokens / second.model.kvPool.blockSize);
    assert.equal(numCached(answer), numBlocks * second.model.kvPool.blockSize);
    assert.ok((await readMetric(second.url, "headway_prefix_cache_hit_tokens_total", 'tier="disk"')) > 0);
    assertSameAnswer(await completeGreedily(second.url, request), before);
    assert.deepEqual(await list(second), [pinned]);
    await second.close(0);
  });

  it("is neither promised nor listed by a server without a prefix cache, and is there again with the next", async () => {
    const cache = temporaryFolder();
    const first = await startRealServer({ cache });
    const pinned = (await post(first, "/v1/prefixes", { prompt: story, ttl: 3600 })) as Prefix;
    await first.close(0);
    const without = await startRealServer({ cache, "prefix-cache": false });
    await assert.rejects(post(without, "/v1/prefixes", { prompt: story }), /its prefix cache is off/);
    assert.deepEqual(await list(without), []);
    await without.close(0);
    const last = await startRealServer({ cache });
    assert.deepEqual(await list(last), [pinned]);
    await last.close(0);
  });

  it("is computed again where the disk has lost it", async () => {
    const cache = temporaryFolder();
    const first = await startRealServer({ cache });
    const pinned = (await post(first, "/v1/prefixes", { prompt: story, ttl: 3600 })) as Prefix;
    await first.close(0);
    const files = readdirSync(join(cache, "prefixes"), { recursive: true }).filter(isFile);
    for (const file of files) truncateSync(join(cache, "prefixes", String(file)), 100);
    assert.ok(files.length > 0);
    const second = await startRealServer({ cache });
    await eventually(async () => (await readMetric(second.url, "vllm:prompt_tokens_total")) > 0);
    assert.ok(numCached(await complete(second, `${story}The children`)) > pinned.num_tokens - 16);
    await second.close(0);
  });

  for (const layout of ["paged", "streams"]) {
    it(`stays in the pool where host memory is full, ${layout}`, async () => {
      const server = await startRealServer({ "kv-layout": layout, "kv-host-memory": "256KiB" });
      const prompts = [story, `A fox. ${story}`, `A bear. ${story}`, `A ship. ${story}`];
      for (const prompt of prompts) await post(server, "/v1/prefixes", { prompt, ttl: 3600 });
      for (const prompt of prompts) assert.ok(numCached(await complete(server, `${prompt}The`)) > 0, prompt);
      await server.close(0);
    });
  }

  it("is kept no longer once it is deleted", async () => {
    const cache = temporaryFolder();
    const server = await startRealServer({ cache });
    const { id } = (await post(server, "/v1/prefixes", { prompt: story, ttl: 3600 })) as { id: string };
    await eventually(async () => numFiles(cache) > 0);
    const deletion = await fetch(`${server.url}/v1/prefixes/${id}`, { method: "DELETE" });
    assert.equal(deletion.status, 200);
    await eventually(async () => numFiles(cache) === 0);
    await server.close(0);
  });

  it(
    "is found again by the engine that follows one that was killed",
    { skip: process.platform !== "linux" && "reads /proc" },
    async () => {
      const cache = temporaryFolder();
      const server = await startRealServer({ cache });
      await post(server, "/v1/prefixes", { prompt: story, ttl: 3600 });
      await eventually(async () => numFiles(cache) > 0);
      for (const pid of childPids("engine-main")) process.kill(pid, "SIGKILL");
      await eventually(
        async () => (await readMetric(server.url, "headway_engine_restarts_total")) > 0,
        20_000,
      );
      await eventually(async () => (await fetch(`${server.url}/health/ready`)).ok, 20_000);
      assert.ok(numCached(await complete(server, `${story}The children`)) > 0);
      await server.close(0);
    },
  );

  it(
    "of a few minutes is computed again for the engine that follows one that was killed",
    { skip: process.platform !== "linux" && "reads /proc" },
    async () => {
      const server = await startRealServer();
      const pinned = (await post(server, "/v1/prefixes", { prompt: story, ttl: 300 })) as Prefix;
      const numComputed = (): Promise<number> => readMetric(server.url, "vllm:prompt_tokens_total");
      const before = await numComputed();
      for (const pid of childPids("engine-main")) process.kill(pid, "SIGKILL");
      await eventually(async () => (await numComputed()) > before, 20_000);
      assert.deepEqual(await list(server), [pinned]);
      assert.ok(numCached(await complete(server, `${story}The children`)) > pinned.num_tokens - 16);
      await server.close(0);
    },
  );
});
