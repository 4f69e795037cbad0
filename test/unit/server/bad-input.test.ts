import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestServer, servedModel } from "../../support/test-server.ts";
import type { TestServer } from "../../support/test-server.ts";

interface Answer {
  readonly status: number;
  readonly code?: string;
  readonly param?: string | null;
}

type Case = readonly [name: string, fields: Record<string, unknown>, answer: Answer];

const user = [{ role: "user", content: "hi" }];
const invalid = (param: string | null): Answer => ({ status: 400, code: "invalid_value", param });
const unsupported = (param: string): Answer => ({ status: 400, code: "unsupported_parameter", param });
const ok: Answer = { status: 200 };

/** Fields that every generating endpoint reads alike. */
const sharedCases: readonly Case[] = [
  ["unknown model", { model: "no/such" }, { status: 404, code: "model_not_found", param: "model" }],
  ["model of the wrong type", { model: 7 }, invalid("model")],
  ["served model", { model: servedModel }, ok],
  ["n 0", { n: 0 }, invalid("n")],
  ["n negative", { n: -1 }, invalid("n")],
  ["n huge", { n: 100_000 }, invalid("n")],
  ["n beyond 32 bits", { n: 1e300 }, invalid("n")],
  ["max_tokens negative", { max_tokens: -1 }, invalid("max_tokens")],
  ["max_tokens fraction", { max_tokens: 1.5 }, invalid("max_tokens")],
  ["max_tokens text", { max_tokens: "5" }, invalid("max_tokens")],
  ["max_tokens 0", { max_tokens: 0 }, ok],
  [
    "max_tokens over the context",
    { max_tokens: 513 },
    { status: 400, code: "context_length_exceeded", param: "max_tokens" },
  ],
  ["min_tokens over max_tokens", { min_tokens: 6, max_tokens: 5 }, invalid("min_tokens")],
  ["temperature negative", { temperature: -1 }, invalid("temperature")],
  ["temperature over 2", { temperature: 2.1 }, invalid("temperature")],
  ["temperature text", { temperature: "abc" }, invalid("temperature")],
  ["temperature null", { temperature: null }, ok],
  ["top_p 0", { top_p: 0 }, invalid("top_p")],
  ["top_p 5", { top_p: 5 }, invalid("top_p")],
  ["min_p negative", { min_p: -0.1 }, invalid("min_p")],
  ["min_p over 1", { min_p: 1.1 }, invalid("min_p")],
  ["top_k -2", { top_k: -2 }, invalid("top_k")],
  ["top_k fraction", { top_k: 1.5 }, invalid("top_k")],
  ["top_k -1", { top_k: -1 }, ok],
  ["presence_penalty", { presence_penalty: 2.5 }, invalid("presence_penalty")],
  ["frequency_penalty", { frequency_penalty: -2.5 }, invalid("frequency_penalty")],
  ["repetition_penalty 0", { repetition_penalty: 0 }, invalid("repetition_penalty")],
  ["repeat_penalty -1", { repeat_penalty: -1 }, invalid("repeat_penalty")],
  ["logit_bias out of vocabulary", { logit_bias: { 100000: 1 } }, invalid("logit_bias")],
  ["logit_bias key", { logit_bias: { foo: 0 } }, invalid("logit_bias")],
  ["logit_bias value", { logit_bias: { 5: 101 } }, invalid("logit_bias")],
  ["logit_bias value text", { logit_bias: { 5: "1" } }, invalid("logit_bias")],
  ["logit_bias list", { logit_bias: [] }, invalid("logit_bias")],
  ["logit_bias", { logit_bias: { 5: -100 } }, ok],
  ["stop empty", { stop: "" }, invalid("stop")],
  ["stop with an empty string", { stop: ["a", ""] }, invalid("stop")],
  ["stop with a number", { stop: ["a", 1] }, invalid("stop")],
  ["stop object", { stop: {} }, invalid("stop")],
  ["too many stops", { stop: Array.from({ length: 17 }, (_, i) => `s${i}`) }, invalid("stop")],
  ["100,000 stops", { stop: Array.from({ length: 100_000 }, () => "x") }, invalid("stop")],
  ["too long a stop", { stop: "x".repeat(5000) }, invalid("stop")],
  ["stop token out of vocabulary", { stop_token_ids: [100_000] }, invalid("stop_token_ids")],
  ["seed negative", { seed: -9007199254740991 }, ok],
  ["seed beyond 64 bits", { seed: 1e20 }, invalid("seed")],
  ["seed fraction", { seed: 1.5 }, invalid("seed")],
  ["stream text", { stream: "yes" }, invalid("stream")],
  ["stream_options without stream", { stream_options: { include_usage: true } }, invalid("stream_options")],
  ["stream_options empty", { stream_options: {} }, ok],
  ["stream_options null", { stream_options: null }, ok],
  ["cache_salt empty", { cache_salt: "" }, invalid("cache_salt")],
  ["priority beyond 64 bits", { priority: 1e20 }, invalid("priority")],
  ["stream_interval 0", { stream_interval: 0 }, invalid("stream_interval")],
  ["response_format text", { response_format: { type: "text" } }, ok],
  ["response_format unknown", { response_format: { type: "xml" } }, invalid("response_format.type")],
  [
    "response_format json_schema",
    { response_format: { type: "json_schema" } },
    unsupported("response_format"),
  ],
  [
    "response_format json_object",
    { response_format: { type: "json_object" } },
    unsupported("response_format"),
  ],
  ["grammar", { grammar: 'root ::= "a"' }, unsupported("grammar")],
  ["json_schema", { json_schema: {} }, unsupported("json_schema")],
  ["guided_json", { guided_json: {} }, unsupported("guided_json")],
  ["bad_words", { bad_words: [""] }, unsupported("bad_words")],
  ["beam search", { use_beam_search: true }, unsupported("use_beam_search")],
  ["mirostat off", { mirostat: 0 }, ok],
  ["mirostat", { mirostat: 2 }, unsupported("mirostat")],
  ["prompt_logprobs", { prompt_logprobs: 1 }, unsupported("prompt_logprobs")],
  ["unknown field", { some_new_field: { a: [1] } }, ok],
  ["field named __proto__", JSON.parse('{"__proto__": {"n": 0}}') as Record<string, unknown>, ok],
  ["field named constructor", { constructor: { prototype: {} } }, ok],
];

const chatCases: readonly Case[] = [
  ["messages missing", { messages: undefined }, invalid("messages")],
  ["messages null", { messages: null }, invalid("messages")],
  ["messages text", { messages: "hi" }, invalid("messages")],
  ["messages empty", { messages: [] }, invalid("messages")],
  ["message without role", { messages: [{ content: "hi" }] }, invalid("messages[0].role")],
  ["message with unknown role", { messages: [{ role: "robot", content: "x" }] }, invalid("messages[0].role")],
  ["role __proto__", { messages: [{ role: "__proto__", content: "x" }] }, invalid("messages[0].role")],
  ["message that is text", { messages: ["hi"] }, invalid("messages[0]")],
  ["content missing", { messages: [{ role: "user" }] }, invalid("messages[0].content")],
  ["content number", { messages: [{ role: "user", content: 5 }] }, invalid("messages[0].content")],
  ["null content of the assistant", { messages: [...user, { role: "assistant", content: null }] }, ok],
  ["old call", { messages: [{ role: "user", function_call: {} }] }, unsupported("messages[0].function_call")],
  ["parts", { messages: [{ role: "user", content: [{ type: "text", text: "a" }] }] }, ok],
  [
    "part of unknown type",
    { messages: [{ role: "user", content: [{ type: "x" }] }] },
    invalid("messages[0].content[0].type"),
  ],
  [
    "image",
    { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "http://x/y.png" } }] }] },
    unsupported("messages[0].content[0]"),
  ],
  ["top_logprobs 21", { logprobs: true, top_logprobs: 21 }, invalid("top_logprobs")],
  ["top_logprobs 5000", { logprobs: true, top_logprobs: 5000 }, invalid("top_logprobs")],
  ["top_logprobs -2", { logprobs: true, top_logprobs: -2 }, invalid("top_logprobs")],
  ["top_logprobs without logprobs", { top_logprobs: 2 }, invalid("top_logprobs")],
  ["logprobs text", { logprobs: "x" }, invalid("logprobs")],
  ["max_completion_tokens negative", { max_completion_tokens: -1 }, invalid("max_completion_tokens")],
  ["best_of", { best_of: 100_000 }, unsupported("best_of")],
  ["best_of as many as n", { best_of: 2, n: 2 }, ok],
  ["tools text", { tools: "x" }, invalid("tools")],
  ["tools empty", { tools: [] }, ok],
  ["tool_choice without tools", { tool_choice: "auto" }, invalid("tool_choice")],
  ["tools", { tools: [tool("f")] }, unsupported("tools")],
  ["tools forbidden to be called", { tools: [tool("f")], tool_choice: "none" }, ok],
  ["tool without a name", { tools: [{ type: "function", function: {} }] }, invalid("tools[0].function.name")],
  ["two tools of a name", { tools: [tool("f"), tool("f")] }, invalid("tools")],
  [
    "named tool absent",
    { tools: [tool("f")], tool_choice: { type: "function", function: { name: "g" } } },
    invalid("tool_choice"),
  ],
  ["functions", { functions: [{}] }, unsupported("functions")],
  ["audio", { modalities: ["text", "audio"] }, unsupported("modalities")],
  [
    "generation prompt and continuation",
    { add_generation_prompt: true, continue_final_message: true },
    invalid("continue_final_message"),
  ],
  ["continuation of a user", { continue_final_message: true }, invalid("continue_final_message")],
  [
    "continuation of the assistant",
    { continue_final_message: true, messages: [...user, { role: "assistant", content: "He" }] },
    ok,
  ],
  ["chat_template", { chat_template: "{{ x }}" }, unsupported("chat_template")],
  ["template kwargs", { chat_template_kwargs: { tokenize: true } }, unsupported("chat_template_kwargs")],
  ["allowed template kwargs", { chat_template_kwargs: { enable_thinking: false } }, ok],
  ["reasoning_effort", { reasoning_effort: "extreme" }, invalid("reasoning_effort")],
  [
    "prompt too long",
    { messages: [{ role: "user", content: "x".repeat(600) }] },
    { status: 400, code: "context_length_exceeded", param: "messages" },
  ],
  [
    "prompt far too long",
    { messages: [{ role: "user", content: "x".repeat(100_000) }] },
    { status: 400, code: "context_length_exceeded", param: "messages" },
  ],
];

const completionCases: readonly Case[] = [
  ["prompt missing", { prompt: undefined }, invalid("prompt")],
  ["prompt empty", { prompt: "" }, invalid("prompt")],
  ["prompt an empty list", { prompt: [] }, invalid("prompt")],
  ["prompt a list of an empty list", { prompt: [[]] }, invalid("prompt")],
  ["prompt object", { prompt: {} }, invalid("prompt")],
  ["token -1", { prompt: [-1] }, invalid("prompt")],
  ["token -1 in a list", { prompt: [[-1]] }, invalid("prompt")],
  ["token out of vocabulary", { prompt: [263] }, invalid("prompt")],
  ["token fraction", { prompt: [1.5] }, invalid("prompt")],
  ["mixed list", { prompt: [1, "a"] }, invalid("prompt")],
  ["tokens", { prompt: [1, 2, 262] }, ok],
  ["too many prompts", { prompt: Array.from({ length: 1025 }, () => "x") }, invalid("prompt")],
  ["as many prompts as may be", { prompt: Array.from({ length: 1024 }, () => "x"), max_tokens: 1 }, ok],
  ["prompts times n", { prompt: Array.from({ length: 342 }, () => "x"), n: 3 }, invalid("n")],
  ["best_of below n", { n: 3, best_of: 2 }, invalid("best_of")],
  ["best_of huge", { best_of: 100_000 }, invalid("n")],
  ["best_of streamed", { best_of: 2, stream: true }, invalid("best_of")],
  ["logprobs text", { logprobs: "x" }, invalid("logprobs")],
  ["logprobs 21", { logprobs: 21 }, invalid("logprobs")],
  ["suffix", { suffix: "end" }, unsupported("suffix")],
  ["prompt_embeds", { prompt_embeds: "AAAA" }, unsupported("prompt_embeds")],
  ["prompt of all but one place", { prompt: "x".repeat(511), max_tokens: 1 }, ok],
  [
    "prompt as long as the context",
    { prompt: "x".repeat(512) },
    { status: 400, code: "context_length_exceeded", param: "prompt" },
  ],
  ["prompt as long as the context, scored only", { prompt: "x".repeat(512), max_tokens: 0 }, ok],
  [
    "prompt longer than the context",
    { prompt: "x".repeat(513), max_tokens: 0 },
    { status: 400, code: "context_length_exceeded", param: "prompt" },
  ],
  [
    "prompt too long, streamed",
    { prompt: "x".repeat(600), stream: true },
    { status: 400, code: "context_length_exceeded", param: "prompt" },
  ],
  ["NUL and lone surrogates", { prompt: "a\0b\ud800c" }, ok],
];

function tool(name: string): object {
  return { type: "function", function: { name, parameters: {} } };
}

async function check(server: TestServer, url: string, body: unknown, answer: Answer): Promise<void> {
  const response = await server.app.inject({ method: "POST", url, payload: body as object });
  assert.equal(response.statusCode, answer.status, response.body);
  if (answer.status === 200) return;
  const { error } = response.json<{ error: Record<string, unknown> }>();
  assert.deepEqual(Object.keys(error).slice(0, 4), ["message", "type", "param", "code"]);
  assert.equal(typeof error["message"], "string");
  assert.equal(typeof error["type"], "string");
  assert.equal(error["code"], answer.code);
  assert.equal(error["param"], answer.param);
}

test("chat completions: each input gets its answer", async (t) => {
  const server = await createTestServer(t, { engine: { maxModelLen: 512 } });
  for (const [name, fields, answer] of [...sharedCases, ...chatCases]) {
    await t.test(name, () => check(server, "/v1/chat/completions", { messages: user, ...fields }, answer));
  }
  assert.equal(server.engine.active.size, 0);
});

test("completions: each input gets its answer", async (t) => {
  const server = await createTestServer(t, { engine: { maxModelLen: 512 } });
  for (const [name, fields, answer] of [...sharedCases, ...completionCases]) {
    await t.test(name, () => check(server, "/v1/completions", { prompt: "hi", ...fields }, answer));
  }
  assert.equal(server.engine.active.size, 0);
});

test("a context overflow tells the sizes", async (t) => {
  const { app } = await createTestServer(t, { engine: { maxModelLen: 100 } });
  const response = await app.inject({
    method: "POST",
    url: "/v1/completions",
    payload: { prompt: "x".repeat(120) },
  });
  const { error } = response.json<{ error: Record<string, unknown> }>();
  assert.equal(error["n_prompt_tokens"], 120);
  assert.equal(error["n_ctx"], 100);
});

const rawBodies: readonly (readonly [name: string, body: string | Buffer, code: string])[] = [
  ["cut off", '{"prompt": "a"', "invalid_json"],
  ["not JSON", "{bad", "invalid_json"],
  ["empty", "", "invalid_json"],
  ["text", '"str"', "invalid_json"],
  ["list", "[1]", "invalid_json"],
  ["number", "42", "invalid_json"],
  ["null", "null", "invalid_json"],
  ["NaN", '{"prompt":"a","temperature":NaN}', "invalid_json"],
  ["infinity by overflow", '{"prompt":"a","temperature":1e999}', "invalid_value"],
  ["invalid UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]), "invalid_json"],
  [
    "deep in an unknown field",
    `{"prompt":"a","x":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
    "invalid_json",
  ],
  ["deep in a known field", `{"prompt":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, "invalid_json"],
];

test("bodies that are no JSON object are refused", async (t) => {
  const server = await createTestServer(t);
  for (const [name, body, code] of rawBodies) {
    await t.test(name, async () => {
      const headers = { "content-type": "application/json" };
      const response = await server.app.inject({
        method: "POST",
        url: "/v1/completions",
        headers,
        payload: body,
      });
      assert.equal(response.statusCode, 400, response.body);
      assert.equal(response.json<{ error: { code: string } }>().error.code, code);
    });
  }
});

test("seed and priority end where 64 bits do, though JSON's numbers are coarser there", async (t) => {
  const server = await createTestServer(t);
  const cases: [string, number][] = [
    ["9223372036854775807", 200],
    ["9223372036854775296", 200],
    ["9223372036854774784", 200],
    ["9223372036854775808", 400],
    ["9223372036854776832", 400],
    ["9.223372036854775808e18", 400],
    ["-9223372036854775808", 200],
    ["-9223372036854775807", 200],
    ["-9223372036854775809", 400],
    ["-9223372036854776832", 400],
    ["92233720368547758070", 400],
  ];
  for (const field of ["seed", "priority"]) {
    for (const [literal, status] of cases) {
      const payload = `{"prompt":"\\\\\\"9223372036854775807","${field}":${literal},"max_tokens":1}`;
      const headers = { "content-type": "application/json" };
      const answer = await server.app.inject({ method: "POST", url: "/v1/completions", headers, payload });
      assert.equal(answer.statusCode, status, `${field} ${literal}: ${answer.body}`);
      if (status === 400) assert.equal(answer.json<{ error: { param: string } }>().error.param, field);
    }
  }
  const text = `\\"9223372036854775807`;
  for (const { prompts } of server.engine.received) {
    assert.equal(
      Buffer.from(prompts[0]?.tokenIds ?? []).toString(),
      text,
      "digits inside a text stay as they are",
    );
  }
});

test("brackets inside strings are not nesting", async (t) => {
  const { app } = await createTestServer(t, { engine: { maxModelLen: 4096 } });
  const prompt = `${'["{'.repeat(300)}\\`;
  const response = await app.inject({ method: "POST", url: "/v1/completions", payload: { prompt } });
  assert.equal(response.statusCode, 200, response.body);
});
