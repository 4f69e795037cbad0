import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createParser } from "eventsource-parser";
import type { RunningServer } from "../../src/serve.ts";
import { assertSameAnswer, completeGreedily } from "../support/greedy-answers.ts";
import { childPids, eventually, readMetric, startRealServer } from "../support/real-server.ts";

const NUM_TOKENS = 300;

/** What one stream brought, chunk by chunk. */
interface Stream {
  readonly texts: string[];
  readonly tokens: string[];
  finishReason: string | null;
  numCompletionTokens: number;
}

async function stream(url: string, prompt: string, into: Stream): Promise<void> {
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      prompt,
      max_tokens: NUM_TOKENS,
      ignore_eos: true,
      temperature: 0,
      logprobs: 2,
      stream: true,
      stream_options: { include_usage: true },
    }),
  });
  assert.equal(response.status, 200);
  const parser = createParser({
    onEvent: ({ data }) => {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      assert.equal(chunk.error, undefined);
      if (chunk.usage) into.numCompletionTokens = chunk.usage.completion_tokens;
      const [choice] = chunk.choices;
      if (choice === undefined) return;
      into.texts.push(choice.text);
      into.tokens.push(...(choice.logprobs?.tokens ?? []));
      into.finishReason = choice.finish_reason ?? into.finishReason;
    },
  });
  const decoder = new TextDecoder();
  for await (const bytes of response.body!) parser.feed(decoder.decode(bytes, { stream: true }));
}

describe("an engine killed in the middle", { skip: process.platform !== "linux" && "reads /proc" }, () => {
  let server: RunningServer;

  before(async () => {
    server = await startRealServer();
  });

  after(async () => {
    await server.close(0);
  });

  it("costs no stream a token", async () => {
    const prompts = Array.from({ length: 8 }, (_, index) => `Story number ${index}: once upon a time`);
    const streams = prompts.map((): Stream => ({
      texts: [],
      tokens: [],
      finishReason: null,
      numCompletionTokens: 0,
    }));
    const done = prompts.map((prompt, index) => stream(server.url, prompt, streams[index]!));
    await eventually(async () => streams.every(({ texts }) => texts.length > 20), 30_000);
    assert.ok(
      streams.every(({ finishReason }) => finishReason === null),
      "all are in the middle",
    );
    const [enginePid] = childPids("engine-main");
    process.kill(enginePid!, "SIGKILL");
    await Promise.all(done);
    for (const [index, answer] of streams.entries()) {
      assert.equal(answer.finishReason, "length");
      assert.equal(answer.numCompletionTokens, NUM_TOKENS);
      assert.equal(answer.tokens.length, NUM_TOKENS);
      // Neither repeated nor lost at the seam: the tokens are those of a run that nothing disturbed.
      const alone = { prompt: prompts[index]!, maxTokens: NUM_TOKENS, ignoreEos: true, cacheSalt: "alone" };
      assertSameAnswer(answer, await completeGreedily(server.url, alone));
    }
    assert.equal(await readMetric(server.url, "headway_engine_restarts_total"), 1);
    assert.equal(await readMetric(server.url, "headway_kv_blocks", 'state="used"'), 0);
    const health = await fetch(`${server.url}/health`);
    assert.equal(health.status, 200);
  });
});
