import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { RunningServer } from "../../src/serve.ts";
import { eventually, readMetric, startRealServer } from "../support/real-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

/** Host memory takes about four of these prompts. */
const HOST_TOKENS = 512;
const prompts = ["sea", "hill", "road", "moon", "lake", "town", "farm"].map((place) =>
  `By the ${place} there was a small house, where many children played. `.repeat(6),
);
const [first = ""] = prompts;

interface Answer {
  readonly choices: readonly { readonly text: string }[];
  readonly usage: { readonly prompt_tokens_details: { readonly cached_tokens: number } };
}

async function complete(server: RunningServer, prompt: string, salt = ""): Promise<Answer> {
  const body = { prompt, max_tokens: 4, temperature: 0, cache_salt: salt };
  const response = await fetch(`${server.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as Answer;
  assert.ok(response.ok, JSON.stringify(answer));
  return answer;
}

const numCached = (answer: Answer): number => answer.usage.prompt_tokens_details.cached_tokens;

function files(cache: string): string[] {
  if (!existsSync(join(cache, "prefixes"))) return [];
  const names = readdirSync(join(cache, "prefixes"), { recursive: true }).map(String);
  return names.filter((name) => name.endsWith(".kv")).map((name) => join(cache, "prefixes", name));
}

const diskHits = (server: RunningServer): Promise<number> =>
  readMetric(server.url, "headway_prefix_cache_hit_tokens_total", 'tier="disk"');

async function start(cache: string, layout: string, bytesPerToken: number): Promise<RunningServer> {
  return startRealServer({
    cache,
    "kv-layout": layout,
    "kv-host-memory": String(HOST_TOKENS * bytesPerToken),
  });
}

/** Asks one prompt after another, with time for the disk in between, so that the first are on disk alone. */
async function fill(server: RunningServer, cache: string): Promise<void> {
  for (const [index, prompt] of prompts.entries()) {
    await complete(server, prompt, "salt");
    if (index === 3) {
      await eventually(async () => files(cache).length > 0);
    }
  }
}

for (const layout of ["paged", "streams"]) {
  describe(`the disk tier, ${layout}`, () => {
    it("brings back what host memory gave up, also after a restart, and only under its salt", async () => {
      const cache = temporaryFolder();
      const probe = await startRealServer({ cache });
      const bytesPerToken = probe.model.kvPool.bytesPerToken + 12;
      await probe.close(0);
      const server = await start(cache, layout, bytesPerToken);
      await fill(server, cache);
      assert.equal(await diskHits(server), 0);
      assert.equal(numCached(await complete(server, `${first}One day`, "other")), 0);
      assert.ok(numCached(await complete(server, `${first}One day`, "salt")) >= 64);
      assert.ok((await diskHits(server)) >= 64);
      assert.ok((await readMetric(server.url, "headway_kv_disk_blocks")) >= 4);
      await server.close(0);

      const next = await start(cache, layout, bytesPerToken);
      assert.ok((await readMetric(next.url, "vllm:prompt_tokens_total")) === 0);
      assert.equal(numCached(await complete(next, `${first}One day`, "other")), 0);
      assert.ok(numCached(await complete(next, `${first}One day`, "salt")) >= 64);
      assert.ok((await diskHits(next)) >= 64);
      await next.close(0);

      for (const file of files(cache)) {
        assert.ok(!readFileSync(file, "latin1").includes('salt"'), "the salt stands nowhere");
        const data = readFileSync(file);
        data[data.length - 40]! ^= 1;
        writeFileSync(file, data);
      }
      const last = await start(cache, layout, bytesPerToken);
      const answer = await complete(last, `${first}One day`, "salt");
      assert.equal(numCached(answer), 0);
      assert.ok(answer.choices[0]!.text.length > 0);
      assert.equal(await diskHits(last), 0);
      await last.close(0);
    });
  });
}
