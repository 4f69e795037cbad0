import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { RunningServer } from "../../src/serve.ts";
import { childPids, eventually, readMetric, startRealServer } from "../support/real-server.ts";

const NUM_REQUESTS = 20;
const NUM_KILLS = 3;
const NUM_ROWS = 6;
const MAX_TOKENS = 40;
const LONG_TOKENS = 200;
const SHARED = "Once upon a time there was a small house by the sea, and in it lived a fox. ".repeat(3);

/** Some share a long prefix, some are greedy, one goes on with another's answer. */
function bodies(): object[] {
  return Array.from({ length: NUM_REQUESTS }, (_, index) => ({
    prompt: `${index % 2 === 0 ? SHARED : ""}Story ${index % 7}: ${"the sea is blue. ".repeat(index % 5)}`,
    max_tokens: MAX_TOKENS,
    temperature: index % 3 === 0 ? 0 : 1,
    ignore_eos: true,
    deterministic: true,
    logprobs: 3,
    seed: index,
  }));
}

/** The answer with its logprobs, to the last bit. */
async function complete(url: string, body: object): Promise<string> {
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as { choices: { text: string; logprobs: object }[] };
  assert.equal(response.status, 200, JSON.stringify(answer));
  const { text, logprobs } = answer.choices[0]!;
  return JSON.stringify([text, logprobs]);
}

describe("--deterministic", { skip: process.platform !== "linux" && "reads /proc" }, () => {
  let server: RunningServer;
  let alone: string[];

  before(async () => {
    const sizes = { "max-model-len": "512", "max-num-seqs": String(NUM_ROWS) };
    server = await startRealServer({ deterministic: "true", "kv-layout": "auto", ...sizes });
    alone = [];
    for (const body of bodies()) alone.push(await complete(server.url, { ...body, cache_salt: "alone" }));
  });

  after(async () => {
    await server.close(0);
  });

  it("keeps a slice for each sequence, and says so", async () => {
    const capacity = (await (await fetch(`${server.url}/capacity`)).json()) as Record<string, unknown>;
    assert.equal(capacity["layout"], "streams");
    assert.equal(capacity["deterministic"], true);
  });

  it("gives every request the same bits beside others, with and without cached prefixes", async () => {
    const together = await Promise.all(bodies().map((body) => complete(server.url, body)));
    assert.deepEqual(together, alone);
    const cached = await Promise.all(bodies().map((body) => complete(server.url, body)));
    assert.deepEqual(cached, alone);
    assert.ok((await readMetric(server.url, "vllm:prefix_cache_hits_total")) > 0);
  });

  it("also where an answer is the beginning of the next prompt", async () => {
    const prompt = `${SHARED}What then?`;
    const first = { prompt, max_tokens: 60, temperature: 0, ignore_eos: true, logprobs: 1 };
    const [text] = JSON.parse(await complete(server.url, first)) as [string];
    const next = { ...first, prompt: `${prompt}${text} And then?` };
    const continued = await complete(server.url, next);
    assert.equal(continued, await complete(server.url, { ...next, cache_salt: "nobody else's" }));
  });

  it("also where streams are parked for requests of better classes and other tenants", async () => {
    const readParks = async (): Promise<number> =>
      readMetric(server.url, "headway_preemptions_total", 'mode="swap"');
    const readTokens = async (): Promise<number> => readMetric(server.url, "vllm:generation_tokens_total");
    const long = bodies()
      .slice(0, NUM_ROWS)
      .map((body) => ({ ...body, max_tokens: LONG_TOKENS, cache_salt: "long" }));
    const longAlone: string[] = [];
    for (const body of long) longAlone.push(await complete(server.url, { ...body, cache_salt: "alone" }));
    const [numParks, numTokens] = [await readParks(), await readTokens()];
    const interrupted = long.map((body) => complete(server.url, { ...body, priority: 100, user: "flood" }));
    await eventually(async () => (await readTokens()) > numTokens + NUM_ROWS);
    const urgent = bodies().map((body, index) =>
      complete(server.url, { ...body, priority: index % 3, user: `tenant-${index % 2}` }),
    );
    assert.deepEqual(await Promise.all(urgent), alone);
    assert.deepEqual(await Promise.all(interrupted), longAlone);
    assert.ok((await readParks()) > numParks, "some were parked");
  });

  it("also through crashes of the engine", async () => {
    const done = Promise.all(bodies().map((body) => complete(server.url, body)));
    for (let kill = 1; kill <= NUM_KILLS; kill += 1) {
      const numBefore = await readMetric(server.url, "vllm:generation_tokens_total");
      await eventually(
        async () => (await readMetric(server.url, "vllm:generation_tokens_total")) > numBefore + 30,
        30_000,
      );
      const [pid] = childPids("engine-main");
      process.kill(pid!, "SIGKILL");
      await eventually(
        async () => (await readMetric(server.url, "headway_engine_restarts_total")) === kill,
        30_000,
      );
    }
    assert.deepEqual(await done, alone);
  });
});

describe("without --deterministic", () => {
  it("refuses a request that asks for it, and serves one that asks for nothing", async () => {
    const server = await startRealServer({ "max-model-len": "256" });
    const post = async (deterministic: boolean) =>
      fetch(`${server.url}/v1/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ prompt: "a", max_tokens: 1, deterministic }),
      });
    try {
      const refused = await post(true);
      assert.equal(refused.status, 400);
      const { error } = (await refused.json()) as { error: { param: string; message: string } };
      assert.equal(error.param, "deterministic");
      assert.match(error.message, /--deterministic/);
      assert.equal((await post(false)).status, 200);
    } finally {
      await server.close(0);
    }
  });
});
