import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import OpenAI, { APIError } from "openai";
import type { RunningServer } from "../../src/serve.ts";
import { eventually, readMetric, startRealServer } from "../support/real-server.ts";

describe("the official OpenAI client against the real engine", () => {
  let server: RunningServer;
  let client: OpenAI;
  const model = "headway-demo";

  before(async () => {
    server = await startRealServer({ "served-model-name": model });
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "unused", maxRetries: 0 });
  });

  after(async () => {
    await server.close(0);
  });

  const ask = { model, temperature: 0, max_tokens: 40 } as const;
  const messages = [{ role: "user" as const, content: "Tell me a story about a cat." }];

  it("gets the same text streamed and not", async () => {
    const whole = await client.chat.completions.create({ ...ask, messages });
    const stream = await client.chat.completions.create({ ...ask, messages, stream: true });
    let text = "";
    let finishReason: string | null = null;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      finishReason = chunk.choices[0]?.finish_reason ?? finishReason;
    }
    assert.equal(text, whole.choices[0]!.message.content);
    assert.equal(finishReason, whole.choices[0]!.finish_reason);
    assert.ok(text.length > 20, text);
  });

  it("reports usage, and cached tokens when a prompt comes again", async () => {
    const long = [{ role: "user" as const, content: "Tell me a story about a dog. ".repeat(10) }];
    await client.chat.completions.create({ ...ask, messages: long });
    const { usage } = await client.chat.completions.create({ ...ask, messages: long });
    assert.equal(usage!.total_tokens, usage!.prompt_tokens + usage!.completion_tokens);
    assert.ok(usage!.prompt_tokens_details!.cached_tokens! > 0);
    assert.ok(usage!.prompt_tokens_details!.cached_tokens! < usage!.prompt_tokens);
  });

  it("gives n different choices", async () => {
    const { choices } = await client.completions.create({
      ...ask,
      prompt: "The dog",
      temperature: 1,
      seed: 7,
      n: 3,
    });
    assert.deepEqual(
      choices.map((choice) => choice.index),
      [0, 1, 2],
    );
    assert.equal(new Set(choices.map((choice) => choice.text)).size, 3);
  });

  it("stops at a stop string and does not show it", async () => {
    const whole = await client.completions.create({ ...ask, prompt: "Once upon a time" });
    const text = whole.choices[0]!.text;
    const stop = text.slice(12, 17);
    const cut = await client.completions.create({ ...ask, prompt: "Once upon a time", stop });
    assert.equal(cut.choices[0]!.text, text.slice(0, text.indexOf(stop)));
    assert.equal(cut.choices[0]!.finish_reason, "stop");
  });

  it("scores a prompt with echo, logprobs and no output", async () => {
    const scored = await client.completions.create({
      model,
      prompt: "The cat sat on the mat.",
      max_tokens: 0,
      echo: true,
      logprobs: 1,
    });
    const { logprobs, text } = scored.choices[0]!;
    assert.equal(text, "The cat sat on the mat.");
    assert.equal(logprobs!.token_logprobs!.length, logprobs!.tokens!.length);
    assert.equal(logprobs!.token_logprobs![0], null);
    for (const logprob of logprobs!.token_logprobs!.slice(1)) assert.ok(logprob <= 0);
  });

  it("names the field of a bad request", async () => {
    await assert.rejects(
      client.chat.completions.create({ model, messages, temperature: -1 }),
      (error) => error instanceof APIError && error.status === 400 && error.param === "temperature",
    );
    await assert.rejects(
      client.chat.completions.create({ model: "no-such-model", messages }),
      (error) => error instanceof APIError && error.status === 404 && error.code === "model_not_found",
    );
  });

  it("frees everything when a client aborts", async () => {
    const controller = new AbortController();
    const endless = { ...ask, max_tokens: 1500, ignore_eos: true, messages };
    const stream = await client.chat.completions.create(
      { ...endless, stream: true },
      { signal: controller.signal },
    );
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content !== "") break;
    }
    controller.abort();
    await eventually(async () => (await readMetric(server.url, "vllm:num_requests_running")) === 0);
    assert.equal(await readMetric(server.url, "headway_kv_blocks", 'state="used"'), 0);
  });
});
