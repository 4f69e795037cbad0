import assert from "node:assert/strict";
import { test } from "node:test";
import { GenerationError } from "../../src/engine/generation.ts";
import { parseChunks, parseEvents, textsOf } from "../support/sse.ts";
import { createTestServer, listen } from "../support/test-server.ts";
import type { TestServer } from "../support/test-server.ts";
import { until } from "../support/until.ts";

const messages = [{ role: "user", content: "hi" }];

async function post(server: TestServer, path: string, body: object): Promise<Response> {
  return fetch(`${await listen(server)}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

test("a chat stream: headers, bytes and order", async (t) => {
  const server = await createTestServer(t);
  const response = await post(server, "/v1/chat/completions", { messages, stream: true, n: 2 });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
  assert.equal(response.headers.get("cache-control"), "no-cache");
  assert.equal(response.headers.get("x-accel-buffering"), "no");
  assert.equal(response.headers.get("content-encoding"), null);
  assert.match(response.headers.get("x-request-id") ?? "", /^req_/);

  const text = await response.text();
  assert.match(text, /^(data: [^\n]+\n\n)+$/);
  const chunks = parseChunks(text);
  assert.equal(new Set(chunks.map((chunk) => `${chunk.id} ${chunk.created} ${chunk.object}`)).size, 1);
  assert.equal(chunks[0]?.object, "chat.completion.chunk");
  assert.deepEqual(textsOf(chunks), [" one two three 😀 five", " two three 😀 five six"]);
  for (const choiceIndex of [0, 1]) {
    const choices = chunks.flatMap((chunk) => chunk.choices).filter((choice) => choice.index === choiceIndex);
    assert.deepEqual(choices[0]?.delta, { role: "assistant", content: "" });
    assert.ok(choices.slice(1).every((choice) => !("role" in (choice.delta ?? {}))));
    assert.ok(choices.every((choice) => "finish_reason" in choice && "logprobs" in choice));
    assert.deepEqual(
      choices.map((choice) => choice.finish_reason).filter((reason) => reason !== null),
      ["stop"],
    );
    assert.deepEqual(choices.at(-1)?.delta, {});
  }
  assert.ok(chunks.every((chunk) => chunk.choices.length === 1 && !("usage" in chunk)));
});

test("usage comes once, last and without choices, when asked for", async (t) => {
  const server = await createTestServer(t);
  const body = { messages, stream: true, stream_options: { include_usage: true } };
  const chunks = parseChunks(await (await post(server, "/v1/chat/completions", body)).text());
  const last = chunks.pop();
  assert.deepEqual(last?.choices, []);
  assert.equal(last?.usage?.["completion_tokens"], 5);
  assert.ok(chunks.every((chunk) => chunk.usage === null));
});

test("continuous usage grows with every chunk", async (t) => {
  const server = await createTestServer(t);
  const stream_options = { continuous_usage_stats: true };
  const body = { prompt: "abc", stream: true, stream_options, max_tokens: 3 };
  const chunks = parseChunks(await (await post(server, "/v1/completions", body)).text());
  assert.deepEqual(
    chunks.map((chunk) => chunk.usage?.["completion_tokens"]),
    [1, 2, 3, 3],
  );
  assert.ok(chunks.every((chunk) => chunk.usage?.["prompt_tokens"] === 3));
});

test("a stream tells its progress and timings when asked for", async (t) => {
  const server = await createTestServer(t);
  const body = { prompt: "abcd", stream: true, return_progress: true, timings_per_token: true };
  const chunks = parseChunks(await (await post(server, "/v1/completions", body)).text());
  const progress = chunks.map((chunk) => chunk["prompt_progress"]).filter((entry) => entry !== undefined) as {
    processed: number;
    total: number;
  }[];
  assert.deepEqual(
    progress.map(({ processed, total }) => [processed, total]),
    [
      [2, 4],
      [4, 4],
    ],
  );
  for (const chunk of chunks) {
    const timings = chunk["timings"] as Record<string, number>;
    assert.ok(Object.values(timings).every(Number.isFinite), JSON.stringify(timings));
  }
  assert.equal(textsOf(chunks)[0], " one two three 😀 five");
});

test("streamed and not streamed answers are the same", async (t) => {
  const server = await createTestServer(t);
  const url = await listen(server);
  for (const [path, prompt] of [
    ["/v1/completions", { prompt: ["ab", "c"] }],
    ["/v1/chat/completions", { messages }],
  ] as const) {
    for (const [extra, text] of [
      [{}, " one two three 😀 five"],
      [{ n: 3 }, " one two three 😀 five"],
      [{ stop: " three" }, " one two"],
      [{ stop: "ee", include_stop_str_in_output: true }, " one two three"],
    ] as const) {
      const answers = await Promise.all(
        [false, true].map(async (stream) => {
          const response = await fetch(url + path, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ ...prompt, ...extra, stream }),
          });
          return response.text();
        }),
      );
      const { choices } = JSON.parse(answers[0] ?? "") as {
        choices: { text?: string; message?: { content: string }; finish_reason: string }[];
      };
      const chunks = parseChunks(answers[1] ?? "");
      const texts = choices.map((choice) => choice.text ?? choice.message?.content);
      assert.equal(texts[0], text);
      assert.deepEqual(texts, textsOf(chunks));
      const ends = chunks.flatMap((chunk) => chunk.choices).filter((choice) => choice.finish_reason !== null);
      assert.deepEqual(
        ends.toSorted((left, right) => left.index - right.index).map((choice) => choice.finish_reason),
        choices.map((choice) => choice.finish_reason),
      );
    }
  }
});

test("an error before the first byte is a plain HTTP error", async (t) => {
  const server = await createTestServer(t, { engine: { stepMs: null } });
  const answering = post(server, "/v1/chat/completions", { messages, stream: true });
  await until(() => server.engine.active.size > 0);
  server.engine.fail(new GenerationError("engine_unavailable", "The engine is gone.", 3000));
  const response = await answering;
  assert.equal(response.status, 503);
  assert.equal(response.headers.get("retry-after"), "3");
  assert.equal(response.headers.get("retry-after-ms"), "3000");
  assert.match(response.headers.get("content-type") ?? "", /^application\/json/);
  assert.match(response.headers.get("x-request-id") ?? "", /^req_/);
  const { error } = (await response.json()) as { error: Record<string, unknown> };
  assert.deepEqual(error, {
    message: "The engine is gone.",
    type: "unavailable_error",
    param: null,
    code: "engine_unavailable",
    reason: "engine_unavailable",
  });
});

test("an error in mid-stream is an event, then [DONE], then the end", async (t) => {
  const server = await createTestServer(t, { engine: { stepMs: null } });
  const answering = post(server, "/v1/chat/completions", { messages, stream: true });
  await until(() => server.engine.active.size > 0);
  server.engine.step();
  const response = await answering;
  server.engine.fail(new GenerationError("shutting_down", "The server is shutting down."));
  const events = parseEvents(await response.text());
  assert.equal(events.pop(), "[DONE]");
  const { error } = JSON.parse(events.pop() ?? "") as { error: Record<string, unknown> };
  assert.equal(error["code"], "shutting_down");
  assert.equal(events.length, 2);
});

test("a waiting stream is told its place in comments when it asks, and the answer stays the same", async (t) => {
  for (const asks of [true, false]) {
    const server = await createTestServer(t, { engine: { stepMs: null } });
    const body = { prompt: "a", stream: true, max_tokens: 1, return_progress: asks };
    const answering = post(server, "/v1/completions", body);
    await until(() => server.engine.active.size > 0);
    server.engine.tellPlaces({ position: 3, etaMs: 1200 });
    if (asks) await answering;
    server.engine.step();
    const text = await (await answering).text();
    const comments = text.split("\n").filter((line) => line.startsWith(":"));
    assert.deepEqual(comments, asks ? [": queue position=3 eta_ms=1200"] : []);
    assert.deepEqual(textsOf(parseChunks(text)), [" one"]);
  }
});

test("a silent stream is kept alive by comments", async (t) => {
  const server = await createTestServer(t, { engine: { stepMs: null } });
  const response = await post(server, "/v1/completions", {
    prompt: "a",
    stream: true,
    max_tokens: 1,
    sse_ping_interval: 0.1,
  });
  const [generation] = server.engine.active;
  assert.ok(generation !== undefined, "the headers came with the first comment, before any token");
  server.engine.step();
  const text = await response.text();
  assert.match(text, /^(:\n\n)+data: /);
  assert.deepEqual(textsOf(parseChunks(text)), [" one"]);
});

test("what one step yields for a stream leaves in one write", async (t) => {
  const server = await createTestServer(t, { engine: { stepMs: null } });
  const answering = post(server, "/v1/completions", { prompt: "a", stream: true, n: 4, max_tokens: 2 });
  await until(() => server.engine.active.size > 0);
  server.engine.step();
  const response = await answering;
  const reader = response.body?.getReader();
  const first = await reader?.read();
  const events = parseEvents(Buffer.from(first?.value ?? new Uint8Array()).toString("utf8"));
  assert.equal(events.length, 4);
  server.engine.step();
  await reader?.cancel();
});
