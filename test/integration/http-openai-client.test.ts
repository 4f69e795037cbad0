import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import OpenAI, { APIError, APIUserAbortError } from "openai";
import { GenerationError } from "../../src/engine/generation.ts";
import { createTestServer, listen, servedModel } from "../support/test-server.ts";
import type { TestServerOptions } from "../support/test-server.ts";
import { until } from "../support/until.ts";

const messages = [{ role: "user" as const, content: "hi" }];

async function connect(t: TestContext, options: TestServerOptions = {}) {
  const server = await createTestServer(t, options);
  const client = new OpenAI({ baseURL: `${await listen(server)}/v1`, apiKey: "secret", maxRetries: 0 });
  return { server, client };
}

test("models are listed and shown", async (t) => {
  const { client } = await connect(t);
  const ids: string[] = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.deepEqual(ids, [servedModel]);
  assert.equal((await client.models.retrieve(servedModel)).id, servedModel);
  await assert.rejects(
    client.models.retrieve("other"),
    (error) => error instanceof APIError && error.status === 404,
  );
});

test("a chat completion", async (t) => {
  const { client } = await connect(t);
  const completion = await client.chat.completions.create({ model: servedModel, messages });
  assert.equal(completion.choices[0]?.message.content, " one two three 😀 five");
  assert.equal(completion.choices[0]?.finish_reason, "stop");
  assert.equal(completion.usage?.completion_tokens, 5);
  assert.match(completion._request_id ?? "", /^req_/);
});

test("a streamed chat completion, by iteration and by the helper", async (t) => {
  const { client } = await connect(t);
  const request = { model: servedModel, messages, n: 2, stream_options: { include_usage: true } };
  const stream = await client.chat.completions.create({ ...request, stream: true });
  let usage;
  const texts = ["", ""];
  for await (const chunk of stream) {
    usage = chunk.usage ?? usage;
    for (const choice of chunk.choices) texts[choice.index] += choice.delta.content ?? "";
  }
  assert.deepEqual(texts, [" one two three 😀 five", " two three 😀 five six"]);
  assert.equal(usage?.completion_tokens, 10);

  const final = await client.chat.completions.stream({ model: servedModel, messages }).finalChatCompletion();
  assert.equal(final.choices[0]?.message.content, " one two three 😀 five");
});

test("a text completion, streamed and not", async (t) => {
  const { client } = await connect(t);
  const request = { model: servedModel, prompt: "a", max_tokens: 3, logprobs: 1 };
  const completion = await client.completions.create(request);
  assert.equal(completion.choices[0]?.text, " one two three");
  assert.deepEqual(completion.choices[0]?.logprobs?.tokens, [" one", " two", " three"]);
  let text = "";
  for await (const chunk of await client.completions.create({ ...request, stream: true })) {
    text += chunk.choices[0]?.text ?? "";
  }
  assert.equal(text, " one two three");
});

test("errors become the client's classes", async (t) => {
  const { client, server } = await connect(t, { config: { apiKeys: ["secret"] } });
  const create = (extra: object) =>
    client.chat.completions.create({ model: servedModel, messages, ...extra });
  await assert.rejects(create({ temperature: 9 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "temperature");
    assert.equal(error.code, "invalid_value");
    assert.match(error.requestID ?? "", /^req_/);
    return true;
  });
  await assert.rejects(create({ model: "other" }), OpenAI.NotFoundError);
  await assert.rejects(
    new OpenAI({ baseURL: client.baseURL, apiKey: "wrong", maxRetries: 0 }).models.list(),
    OpenAI.AuthenticationError,
  );
  server.engine.refusal = new GenerationError("overloaded", "The queue is full.", 1000);
  await assert.rejects(create({}), OpenAI.InternalServerError);
});

test("the client repeats a request when told that the server is busy", async (t) => {
  const { client, server } = await connect(t);
  server.engine.refusal = new GenerationError("overloaded", "The queue is full.", 1);
  const answering = client.chat.completions.create({ model: servedModel, messages }, { maxRetries: 2 });
  const numAnswers = async (status: number): Promise<number> => {
    const { body } = await server.app.inject({ url: "/metrics" });
    const labels = `handler="/v1/chat/completions",method="POST",status="${status}"`;
    return Number(new RegExp(`^http_requests_total\\{${labels}[^}]*\\} (\\d+)$`, "m").exec(body)?.[1] ?? 0);
  };
  await until(async () => (await numAnswers(503)) === 1);
  server.engine.refusal = null;
  assert.equal((await answering).choices.length, 1);
  assert.deepEqual([await numAnswers(503), await numAnswers(200)], [1, 1]);
});

test("an error in mid-stream is thrown from the stream", async (t) => {
  const { client, server } = await connect(t, { engine: { stepMs: null } });
  const creating = client.chat.completions.create({ model: servedModel, messages, stream: true });
  await until(() => server.engine.active.size > 0);
  server.engine.step();
  const stream = await creating;
  server.engine.fail(new GenerationError("shutting_down", "The server is shutting down."));
  let text = "";
  await assert.rejects(async () => {
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  }, /shutting down/);
  assert.equal(text, " one");
});

test("an aborted call and an abandoned stream stop the work", async (t) => {
  const { client, server } = await connect(t, { engine: { naturalLength: 1000, stepMs: 1 } });
  const leaving = new AbortController();
  const call = client.chat.completions.create({ model: servedModel, messages }, { signal: leaving.signal });
  await until(() => server.engine.active.size > 0);
  leaving.abort();
  await assert.rejects(call, APIUserAbortError);
  for await (const chunk of await client.chat.completions.create({
    model: servedModel,
    messages,
    stream: true,
  })) {
    if (chunk.choices[0]?.delta.content !== "") break;
  }
  await until(() => server.engine.active.size === 0);
  assert.equal(server.engine.abortedIds.length, 2);
});
