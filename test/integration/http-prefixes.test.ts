import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PrefixFileStore } from "../../src/server/prefix-store.ts";
import { FakeEngine } from "../support/fake-engine.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { createTestServer } from "../support/test-server.ts";
import type { TestServer } from "../support/test-server.ts";

const system = { role: "system", content: "Be brief." };
const user = { role: "user", content: "Hello" };

/** The test text service gives a token for each byte of `role: "content"\n`. */
const numTokensOf = (message: { role: string; content: unknown }): number =>
  Buffer.byteLength(`${message.role}: ${JSON.stringify(message.content)}\n`);

async function pinOf({ app, engine }: TestServer, url: string, payload: object): Promise<unknown> {
  const response = await app.inject({ method: "POST", url, payload });
  assert.equal(response.statusCode, 200, response.body);
  return engine.received.at(-1)?.prompts[0]?.pin;
}

const chat = "/v1/chat/completions";

test("cache_control keeps the prompt up to the message that bears it, or all of it", async (t) => {
  const server = await createTestServer(t);
  const cache_control = { type: "ephemeral" };
  const hour = { type: "ephemeral", ttl: "1h" };
  assert.equal(await pinOf(server, chat, { messages: [system, user] }), undefined);
  assert.deepEqual(await pinOf(server, chat, { messages: [{ ...system, cache_control }, user] }), {
    numTokens: numTokensOf(system),
    ttlMs: 300_000,
  });
  const part = { type: "text", text: "Be brief.", cache_control: hour };
  const marked = await pinOf(server, chat, { messages: [{ role: "system", content: [part] }, user] });
  assert.equal((marked as { ttlMs: number }).ttlMs, 3_600_000);
  const whole = await pinOf(server, chat, { messages: [system, user], cache_control: hour });
  assert.ok((whole as { numTokens: number }).numTokens >= numTokensOf(system) + numTokensOf(user));
  assert.deepEqual(await pinOf(server, "/v1/completions", { prompt: "abc", cache_control }), {
    numTokens: 3,
    ttlMs: 300_000,
  });
});

test("a cache_control that is not understood is refused by name", async (t) => {
  const { app } = await createTestServer(t);
  for (const cache_control of [{ type: "forever" }, { type: "ephemeral", ttl: "2d" }, "ephemeral"]) {
    const messages = [{ ...system, cache_control }, user];
    const response = await app.inject({ method: "POST", url: chat, payload: { messages } });
    assert.equal(response.statusCode, 400);
    assert.equal(response.json<{ error: { param: string } }>().error.param, "messages[0].cache_control");
  }
});

test("a prefix is computed, listed and given up", async (t) => {
  const { app, engine } = await createTestServer(t);
  const create = async (payload: object) => app.inject({ method: "POST", url: "/v1/prefixes", payload });
  const response = await create({ messages: [system], name: "brief", ttl: 60 });
  assert.equal(response.statusCode, 201, response.body);
  const prefix = response.json<{ id: string; num_tokens: number; created: number; expires_at: number }>();
  assert.equal(prefix.num_tokens, numTokensOf(system));
  assert.equal(prefix.expires_at - prefix.created, 60);
  const [received] = engine.received;
  assert.equal(received?.maxTokens, 0);
  assert.deepEqual(received?.prompts[0]?.pin, { numTokens: prefix.num_tokens, ttlMs: 60_000 });
  const other = (await create({ prompt: "abc", cache_salt: "other" })).json<{ id: string }>();

  const list = (await app.inject({ url: "/v1/prefixes" })).json<{ data: { id: string }[] }>();
  assert.deepEqual(
    list.data.map(({ id }) => id),
    [prefix.id, other.id],
  );

  const remove = async (id: string) => app.inject({ method: "DELETE", url: `/v1/prefixes/${id}` });
  assert.deepEqual((await remove(prefix.id)).json(), { id: prefix.id, object: "prefix", deleted: true });
  assert.equal((await remove(prefix.id)).statusCode, 404);
  assert.equal(engine.unpinned.length, 1);
  assert.equal(engine.unpinned[0]?.prefix.tokens.length, prefix.num_tokens);
  assert.deepEqual(engine.unpinned[0]?.others, [], "another salt shares nothing");
});

test("keys see and delete only their own prefixes", async (t) => {
  const { app } = await createTestServer(t, { config: { apiKeys: ["key-a", "key-b"] } });
  const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
  const payload = { prompt: "abc" };
  const created = await app.inject({ method: "POST", url: "/v1/prefixes", payload, ...as("key-a") });
  const { id } = created.json<{ id: string }>();
  const list = await app.inject({ url: "/v1/prefixes", ...as("key-b") });
  assert.deepEqual(list.json<{ data: unknown[] }>().data, []);
  const url = `/v1/prefixes/${id}`;
  assert.equal((await app.inject({ method: "DELETE", url, ...as("key-b") })).statusCode, 404);
  assert.equal((await app.inject({ method: "DELETE", url, ...as("key-a") })).statusCode, 200);
});

test("a restart finds registered prefixes again: listed, computed once more, and free to delete", async (t) => {
  const folder = temporaryFolder();
  const store = () => new PrefixFileStore(folder, new FakeEngine().model!);
  const first = await createTestServer(t, { prefixStore: store() });
  const create = async (payload: object) =>
    (await first.app.inject({ method: "POST", url: "/v1/prefixes", payload })).json<{ id: string }>();
  const kept = await create({ messages: [system], ttl: 3600 });
  await create({ prompt: "abc", ttl: 0.001 });

  const second = await createTestServer(t, { prefixStore: store() });
  const list = async () =>
    (await second.app.inject({ url: "/v1/prefixes" })).json<{ data: unknown[] }>().data;
  assert.deepEqual(await list(), [kept]);
  assert.equal(second.engine.received.length, 1, "the other's time is over");
  const [again] = second.engine.received;
  const [before] = first.engine.received;
  assert.deepEqual(again?.prompts[0]?.tokenIds, before?.prompts[0]?.tokenIds);
  assert.equal(again?.cacheSalt, before?.cacheSalt);
  assert.ok(again!.prompts[0]!.pin!.ttlMs > 3_500_000 && again!.prompts[0]!.pin!.ttlMs <= 3_600_000);
  assert.ok(again!.priority > 0 && again!.maxTokens === 0);
  const remove = { method: "DELETE", url: `/v1/prefixes/${kept.id}` } as const;
  assert.equal((await second.app.inject(remove)).statusCode, 200);
  assert.deepEqual(await list(), []);

  const third = await createTestServer(t, { prefixStore: store() });
  await third.app.ready();
  assert.equal(third.engine.received.length, 0);
});

test("a file of prefixes that is torn, foreign or of another model counts for nothing", async (t) => {
  const folder = temporaryFolder();
  const model = new FakeEngine().model!;
  const { app } = await createTestServer(t, { prefixStore: new PrefixFileStore(folder, model) });
  await app.inject({ method: "POST", url: "/v1/prefixes", payload: { prompt: "abc" } });
  const [name] = readdirSync(folder);
  const file = join(folder, name!);
  const text = readFileSync(file, "utf8");
  assert.equal(new PrefixFileStore(folder, model).load().length, 1);
  assert.deepEqual(new PrefixFileStore(folder, { ...model, vocabSize: 7 }).load(), []);
  const broken = [text.slice(0, -9), "", "null", "[]", text.replace('"format":1', '"format":2')];
  for (const content of [...broken, text.replace('"tokens":[', '"tokens":["x",')]) {
    writeFileSync(file, content);
    assert.deepEqual(new PrefixFileStore(folder, model).load(), [], content.slice(0, 40));
  }
});

test("what cannot be a prefix is refused", async (t) => {
  const { app } = await createTestServer(t);
  const cases = [{}, { prompt: "" }, { prompt: "a", messages: [system] }, { prompt: "a", ttl: 0 }];
  for (const payload of [...cases, { prompt: "x".repeat(600) }]) {
    const response = await app.inject({ method: "POST", url: "/v1/prefixes", payload });
    assert.equal(response.statusCode, 400, JSON.stringify(payload).slice(0, 60));
  }
});
