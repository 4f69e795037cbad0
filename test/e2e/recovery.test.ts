import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createParser } from "eventsource-parser";
import type { RunningServer } from "../../src/serve.ts";
import { childPids, eventually, readMetric, startRealServer } from "../support/real-server.ts";

const NUM_TOKENS = 300;

/** What one stream brought, chunk by chunk. */
interface Stream {
  readonly texts: string[];
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
    const streams = prompts.map((): Stream => ({ texts: [], finishReason: null, numCompletionTokens: 0 }));
    const done = prompts.map((prompt, index) => stream(server.url, prompt, streams[index]!));
    await eventually(async () => streams.every(({ texts }) => texts.length > 20), 30_000);
    const sentBefore = streams.map(({ texts }) => texts.join(""));
    const [enginePid] = childPids("engine-main");
    process.kill(enginePid!, "SIGKILL");
    await Promise.all(done);
    for (const [index, { texts, finishReason, numCompletionTokens }] of streams.entries()) {
      assert.equal(finishReason, "length");
      assert.equal(numCompletionTokens, NUM_TOKENS);
      assert.ok(texts.join("").startsWith(sentBefore[index]!), "what was sent stays");
    }
    assert.equal(await readMetric(server.url, "headway_engine_restarts_total"), 1);
    assert.equal(await readMetric(server.url, "headway_kv_blocks", 'state="used"'), 0);
    const health = await fetch(`${server.url}/health`);
    assert.equal(health.status, 200);
  });
});
