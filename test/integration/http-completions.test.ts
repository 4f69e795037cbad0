import assert from "node:assert/strict";
import { test } from "node:test";
import { parseChunks, textsOf } from "../support/sse.ts";
import { createTestServer } from "../support/test-server.ts";
import type { TestServer } from "../support/test-server.ts";

interface Logprobs {
  readonly tokens: string[];
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[];
  readonly text_offset: number[];
}

interface Completion {
  readonly choices: readonly {
    readonly index: number;
    readonly text: string;
    readonly logprobs: Logprobs | null;
    readonly finish_reason: string;
  }[];
  readonly usage: Record<string, unknown>;
}

async function complete(server: TestServer, payload: object): Promise<string> {
  const response = await server.app.inject({ method: "POST", url: "/v1/completions", payload });
  assert.equal(response.statusCode, 200, response.body);
  return response.body;
}

test("a completion's body", async (t) => {
  const server = await createTestServer(t);
  const body = JSON.parse(await complete(server, { prompt: "ab" })) as Completion & Record<string, unknown>;
  assert.match(String(body["id"]), /^cmpl-/);
  assert.equal(body["object"], "text_completion");
  assert.equal(body["model"], "test/model");
  assert.deepEqual(body.usage, {
    prompt_tokens: 2,
    completion_tokens: 5,
    total_tokens: 7,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0 },
  });
  const [choice] = body.choices;
  assert.deepEqual(Object.keys(choice ?? {}).slice(0, 4), ["text", "index", "logprobs", "finish_reason"]);
});

test("a chat completion's body", async (t) => {
  const server = await createTestServer(t);
  const response = await server.app.inject({
    method: "POST",
    url: "/v1/chat/completions",
    payload: { messages: [{ role: "user", content: "hi" }], logprobs: true, top_logprobs: 2, max_tokens: 1 },
  });
  const body = response.json<{ choices: Record<string, unknown>[] }>();
  const [choice] = body.choices;
  assert.deepEqual(choice?.["message"], { role: "assistant", content: " one", refusal: null });
  assert.deepEqual(choice?.["logprobs"], {
    content: [
      {
        token: " one",
        logprob: -0.5,
        bytes: [32, 111, 110, 101],
        top_logprobs: [
          { token: " one", logprob: -0.5, bytes: [32, 111, 110, 101] },
          { token: " two", logprob: -1.5, bytes: [32, 116, 119, 111] },
        ],
      },
    ],
    refusal: null,
  });
  assert.equal(choice?.["finish_reason"], "length");
});

test("every combination of echo, logprobs, list, n and token ids, streamed and not", async (t) => {
  const server = await createTestServer(t);
  for (let bits = 0; bits < 32; bits += 1) {
    const [echo, logprobs, isList, isMany, isTokens] = [1, 2, 4, 8, 16].map((bit) => (bits & bit) !== 0);
    const prompts = isTokens === true ? [[97, 98], [99]] : ["ab", "c"];
    const n = isMany === true ? 2 : 1;
    const body = {
      prompt: isList === true ? prompts : prompts[0],
      n,
      echo,
      max_tokens: 2,
      ...(logprobs === true ? { logprobs: 1 } : {}),
    };
    const numChoices = (isList === true ? 2 : 1) * n;
    const whole = JSON.parse(await complete(server, body)) as Completion;
    const chunks = parseChunks(await complete(server, { ...body, stream: true }));
    assert.equal(whole.choices.length, numChoices);
    assert.deepEqual(
      whole.choices.map(({ index }) => index),
      Array.from({ length: numChoices }, (_, index) => index),
    );
    assert.deepEqual(
      textsOf(chunks),
      whole.choices.map(({ text }) => text),
    );
    for (const choice of whole.choices) {
      const streamed = chunks.flatMap((chunk) => chunk.choices).filter(({ index }) => index === choice.index);
      assert.equal(streamed.filter(({ finish_reason }) => finish_reason !== null).length, 1);
      const promptText = Math.floor(choice.index / n) === 0 ? "ab" : "c";
      assert.equal(choice.text.startsWith(promptText), echo);
      checkLogprobs(choice.logprobs, streamed.map((chunk) => chunk.logprobs) as (Logprobs | null)[], {
        isWanted: logprobs === true,
        text: choice.text,
      });
    }
  }
});

function checkLogprobs(
  whole: Logprobs | null,
  streamed: readonly (Logprobs | null)[],
  { isWanted, text }: { isWanted: boolean; text: string },
): void {
  if (!isWanted) {
    assert.equal(whole, null);
    assert.ok(streamed.every((logprobs) => logprobs === null));
    return;
  }
  assert.ok(whole !== null);
  const parts = streamed.filter((logprobs) => logprobs !== null);
  for (const key of ["tokens", "token_logprobs", "top_logprobs", "text_offset"] as const) {
    assert.deepEqual(
      parts.flatMap((part) => part[key] as unknown[]),
      whole[key],
      key,
    );
    assert.equal(whole[key].length, whole.tokens.length);
  }
  whole.tokens.forEach((token, index) => {
    assert.ok(text.startsWith(token, whole.text_offset[index] ?? -1), `${token} in ${text}`);
  });
}

test("scoring a prompt: echo, logprobs and no output", async (t) => {
  const server = await createTestServer(t);
  const body = { prompt: "abc", echo: true, logprobs: 1, max_tokens: 0 };
  const [choice] = (JSON.parse(await complete(server, body)) as Completion).choices;
  assert.equal(choice?.text, "abc");
  assert.equal(choice?.finish_reason, "length");
  assert.deepEqual(choice?.logprobs, {
    tokens: ["a", "b", "c"],
    token_logprobs: [null, -1, -1],
    top_logprobs: [null, { b: -1 }, { c: -1 }],
    text_offset: [0, 1, 2],
  });
  assert.equal(server.engine.received[0]?.sampling.promptLogprobs, 1);
});

test("best_of returns the likeliest and counts all", async (t) => {
  const server = await createTestServer(t);
  const body = JSON.parse(
    await complete(server, { prompt: "a", best_of: 3, n: 2, max_tokens: 2 }),
  ) as Completion;
  // The fake engine's logprobs fall with the choice's index.
  assert.deepEqual(
    body.choices.map(({ index, text }) => [index, text]),
    [
      [0, " one two"],
      [1, " two three"],
    ],
  );
  assert.equal(body.choices[0]?.logprobs, null);
  assert.equal(body.usage["completion_tokens"], 6);
});

test("defaults and aliases reach the engine", async (t) => {
  const server = await createTestServer(t, { config: { defaultMaxTokens: 77, defaultSeed: 5 } });
  const payload = { messages: [{ role: "user", content: "hi" }] };
  await server.app.inject({ method: "POST", url: "/chat/completions", payload });
  await complete(server, { prompt: "a" });
  await complete(server, {
    prompt: "a",
    n_predict: 3,
    max_tokens: 9,
    repeat_penalty: 1.5,
    top_k: -1,
    seed: 2 ** 40,
  });
  const [chat, text, aliased] = server.engine.received;
  assert.equal(chat?.maxTokens, 77);
  assert.equal(chat?.continuesText, false);
  assert.equal(text?.continuesText, true);
  assert.equal(chat?.sampling.temperature, 1);
  assert.equal(chat?.sampling.topLogprobs, null);
  assert.equal(chat?.sampling.seed, 5);
  assert.equal(text?.maxTokens, 16);
  assert.equal(aliased?.maxTokens, 3);
  assert.equal(aliased?.sampling.repetitionPenalty, 1.5);
  assert.equal(aliased?.sampling.topK, 0);
  assert.equal(aliased?.sampling.seed, 256);
});

test("a default bound gives way to the context, and the header's priority to none", async (t) => {
  const server = await createTestServer(t, { engine: { maxModelLen: 40 } });
  const response = await server.app.inject({
    method: "POST",
    url: "/v1/completions",
    headers: { "x-vllm-priority": "-3" },
    payload: { prompt: "x".repeat(30), priority: 8 },
  });
  assert.equal(response.statusCode, 200);
  assert.equal(server.engine.received[0]?.maxTokens, 10);
  assert.equal(server.engine.received[0]?.priority, -3);
  const headers = { "x-vllm-priority": "soon" };
  const bad = await server.app.inject({
    method: "POST",
    url: "/v1/completions",
    headers,
    payload: { prompt: "x" },
  });
  assert.equal(bad.statusCode, 400);
});

test("the template gets messages, kwargs and the continuation", async (t) => {
  const server = await createTestServer(t);
  await server.app.inject({
    method: "POST",
    url: "/v1/chat/completions",
    payload: {
      messages: [
        { role: "developer", content: [{ type: "text", text: "Be brief." }] },
        { role: "assistant", content: "He", reasoning_content: "hm" },
      ],
      continue_final_message: true,
      chat_template_kwargs: { enable_thinking: false },
      reasoning_effort: "low",
    },
  });
  assert.deepEqual(server.text.chats, [
    {
      messages: [
        { role: "developer", content: [{ type: "text", text: "Be brief." }] },
        { role: "assistant", content: "He", reasoning_content: "hm" },
      ],
      addGenerationPrompt: false,
      continueFinalMessage: true,
      chatTemplateKwargs: { enable_thinking: false, reasoning_effort: "low" },
    },
  ]);
  assert.equal(server.engine.received[0]?.continuesText, true);
});
