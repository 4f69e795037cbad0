import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import type { RunningServer } from "../../src/serve.ts";
import {
  assertSameAnswer,
  completeGreedily,
  type GreedyAnswer,
  type GreedyRequest,
} from "../support/greedy-answers.ts";
import { childPids, eventually, readMetric, startRealServer } from "../support/real-server.ts";
import { createRandom } from "../support/random.ts";

const NUM_REQUESTS = 1000;
const CONCURRENCY = 64;
const NUM_PROMPTS = 25;
const MAX_TOKENS = 40;

const prompts = Array.from(
  { length: NUM_PROMPTS },
  (_, index) => `Story ${index}. ${"Once upon a time there was a cat. ".repeat(index % 7)}One day`,
);

function requestOf(promptIndex: number): GreedyRequest {
  return { prompt: prompts[promptIndex]!, maxTokens: 5 + ((promptIndex * 7) % MAX_TOKENS) };
}

function residentMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s*(\d+)/m.exec(status)![1]) / 1024;
}

describe("a thousand requests, a third of them cancelled", () => {
  let server: RunningServer;
  const alone: GreedyAnswer[] = [];

  before(async () => {
    server = await startRealServer({ "max-num-seqs": "16", "max-queue": "100" });
    for (let index = 0; index < NUM_PROMPTS; index++)
      alone.push(await completeGreedily(server.url, requestOf(index)));
  });

  after(async () => {
    await server.close(0);
  });

  it("answers all others as if they were alone, and keeps no memory", async () => {
    const random = createRandom(42);
    let numStarted = 0;
    let numCancelled = 0;
    let numAnswered = 0;
    let warmMiB = 0;
    const measure = (): number =>
      [process.pid, ...childPids()].reduce((sum, pid) => sum + residentMiB(pid), 0);
    const client = async (): Promise<void> => {
      while (numStarted < NUM_REQUESTS) {
        const promptIndex = Math.floor(random() * NUM_PROMPTS);
        const cancelAfterMs = numStarted++ % 3 === 0 ? Math.floor(random() * 300) : null;
        if (numStarted === NUM_REQUESTS / 2 && process.platform === "linux") warmMiB = measure();
        const signal = cancelAfterMs === null ? undefined : AbortSignal.timeout(cancelAfterMs);
        try {
          assertSameAnswer(
            await completeGreedily(server.url, requestOf(promptIndex), signal),
            alone[promptIndex]!,
          );
          numAnswered++;
        } catch (error) {
          if ((error as Error).name !== "TimeoutError") throw error;
          numCancelled++;
        }
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, client));
    assert.equal(numAnswered + numCancelled, NUM_REQUESTS);
    assert.ok(numAnswered >= (NUM_REQUESTS * 2) / 3 - 1);
    assert.ok(numCancelled > 0, "no request took long enough to be cancelled");
    await eventually(async () => (await readMetric(server.url, "vllm:num_requests_running")) === 0);
    assert.equal(await readMetric(server.url, "vllm:num_requests_waiting"), 0);
    assert.equal(await readMetric(server.url, "headway_kv_blocks", 'state="used"'), 0);
    const accepted = await readMetric(server.url, "headway_requests_accepted_total");
    assert.equal(await readMetric(server.url, "headway_requests_closed_total"), accepted);
    if (warmMiB > 0) assert.ok(measure() < warmMiB + 64, `grew from ${warmMiB} to ${measure()} MiB`);
  });
});
