import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { GenerationError } from "../../src/engine/generation.ts";
import { PrefixFileStore } from "../../src/server/prefix-store.ts";
import { FakeEngine } from "../support/fake-engine.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { createTestServer, listen } from "../support/test-server.ts";
import type { TestServer } from "../support/test-server.ts";
import { until } from "../support/until.ts";

const system = { role: "system", content: "Be brief." };
const user = { role: "user", content: "Hello" };

/** The test text service gives a token for each byte of `role: "content"\n`. */
const numTokensOf = (message: { role: string; content: unknown }): number =>
  Buffer.byteLength(`${message.role}: ${JSON.stringify(message.content)}\n`);

async function pinsOf({ app, engine }: TestServer, url: string, payload: object) {
  const response = await app.inject({ method: "POST", url, payload });
  assert.equal(response.statusCode, 200, response.body);
  return engine.received.at(-1)?.prompts[0]?.pins;
}

const chat = "/v1/chat/completions";

const [minutes, hour] = [{ type: "ephemeral" }, { type: "ephemeral", ttl: "1h" }];

test("cache_control keeps the prompt up to the message that bears it, or all of it", async (t) => {
  const server = await createTestServer(t);
  assert.deepEqual(await pinsOf(server, chat, { messages: [system, user] }), []);
  const marked = { ...system, cache_control: minutes };
  assert.deepEqual(await pinsOf(server, chat, { messages: [marked, user] }), [
    { numTokens: numTokensOf(system), ttlMs: 300_000 },
  ]);
  const part = { type: "text", text: "Be brief.", cache_control: hour };
  const ofPart = await pinsOf(server, chat, { messages: [{ role: "system", content: [part] }, user] });
  assert.deepEqual(
    ofPart!.map(({ ttlMs }) => ttlMs),
    [3_600_000],
  );
  assert.deepEqual(await pinsOf(server, chat, { messages: [system, user], cache_control: hour }), [
    { numTokens: numTokensOf(system) + numTokensOf(user), ttlMs: 3_600_000 },
  ]);
  assert.deepEqual(await pinsOf(server, "/v1/completions", { prompt: "abc", cache_control: minutes }), [
    { numTokens: 3, ttlMs: 300_000 },
  ]);
});

test("of several cache_controls each keeps its prefix, unless a longer one is kept for as long", async (t) => {
  const server = await createTestServer(t);
  const [start, whole] = [numTokensOf(system), numTokensOf(system) + numTokensOf(user)];
  const mark = (first: object, second: object) => [
    { ...system, cache_control: first },
    { ...user, cache_control: second },
  ];
  const both = [
    { numTokens: whole, ttlMs: 300_000 },
    { numTokens: start, ttlMs: 3_600_000 },
  ];
  assert.deepEqual(await pinsOf(server, chat, { messages: mark(hour, minutes) }), both);
  const besideBody = { messages: [{ ...system, cache_control: hour }, user], cache_control: minutes };
  assert.deepEqual(await pinsOf(server, chat, besideBody), both);
  const longest = [{ numTokens: whole, ttlMs: 3_600_000 }];
  assert.deepEqual(await pinsOf(server, chat, { messages: mark(minutes, hour) }), longest);
  assert.deepEqual(await pinsOf(server, chat, { messages: mark(hour, hour) }), longest);
});

test("a cache_control that is not understood is refused by name, also where another one counts", async (t) => {
  const { app } = await createTestServer(t);
  for (const cache_control of [{ type: "forever" }, { type: "ephemeral", ttl: "2d" }, "ephemeral"]) {
    const messages = [{ ...system, cache_control }, user];
    const beside = [
      { ...system, cache_control },
      { ...user, cache_control: minutes },
    ];
    for (const payload of [{ messages }, { messages: beside }, { messages, cache_control: minutes }]) {
      const response = await app.inject({ method: "POST", url: chat, payload });
      assert.equal(response.statusCode, 400);
      assert.equal(response.json<{ error: { param: string } }>().error.param, "messages[0].cache_control");
    }
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
  assert.deepEqual(received?.prompts[0]?.pins, [
    { numTokens: prefix.num_tokens, ttlMs: 60_000, owner: prefix.id },
  ]);
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
  assert.equal(engine.unpinned[0]?.tokens.length, prefix.num_tokens);
  assert.equal(engine.unpinned[0]?.owner, prefix.id);
});

test("a Content-Type without a body changes nothing", async (t) => {
  const { app } = await createTestServer(t);
  const created = await app.inject({ method: "POST", url: "/v1/prefixes", payload: { prompt: "abc" } });
  const { id } = created.json<{ id: string }>();
  for (const type of ["application/json", "text/plain"]) {
    const headers = { "content-type": type, "content-length": "0" };
    assert.equal((await app.inject({ url: "/v1/prefixes", headers })).statusCode, 200);
    const removal = await app.inject({ method: "DELETE", url: `/v1/prefixes/${id}`, headers });
    assert.equal(removal.statusCode, type === "application/json" ? 200 : 404, removal.body);
  }
  const headers = { "content-type": "application/json" };
  const empty = await app.inject({ method: "POST", url: "/v1/prefixes", headers });
  assert.equal(empty.statusCode, 400);
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
  assert.ok(
    again!.prompts[0]!.pins![0]!.ttlMs > 3_500_000 && again!.prompts[0]!.pins![0]!.ttlMs <= 3_600_000,
  );
  assert.ok(again!.priority > 0 && again!.maxTokens === 0);
  const remove = { method: "DELETE", url: `/v1/prefixes/${kept.id}` } as const;
  assert.equal((await second.app.inject(remove)).statusCode, 200);
  assert.deepEqual(await list(), []);

  const third = await createTestServer(t, { prefixStore: store() });
  await third.app.ready();
  assert.equal(third.engine.received.length, 0);
});

test("a file of a prefix that is torn, foreign or of another model counts for nothing", async (t) => {
  const folder = temporaryFolder();
  const model = new FakeEngine().model!;
  const { app } = await createTestServer(t, { prefixStore: new PrefixFileStore(folder, model) });
  await app.inject({ method: "POST", url: "/v1/prefixes", payload: { prompt: "abc" } });
  const [name] = readdirSync(folder, { recursive: true }).map(String).filter(isFile);
  const file = join(folder, name!);
  const text = readFileSync(file, "utf8");
  assert.equal(new PrefixFileStore(folder, model).load().length, 1);
  assert.deepEqual(new PrefixFileStore(folder, { ...model, vocabSize: 7 }).load(), []);
  const broken = [text.slice(0, -9), "", "null", "[]", text.replace('"format":1', '"format":2')];
  const foreign = text.replace('"id":"prefix', '"id":"../prefix');
  for (const content of [...broken, foreign, text.replace('"tokens":[', '"tokens":["x",')]) {
    writeFileSync(file, content);
    assert.deepEqual(new PrefixFileStore(folder, model).load(), [], content.slice(0, 40));
  }
});

const isFile = (name: string): boolean => name.endsWith(".json");

test("two servers that share a folder keep what either has registered, and each its deletions", async (t) => {
  const folder = temporaryFolder();
  const store = () => new PrefixFileStore(folder, new FakeEngine().model!);
  const [one, other] = [
    await createTestServer(t, { prefixStore: store() }),
    await createTestServer(t, { prefixStore: store() }),
  ];
  const create = async ({ app }: TestServer, prompt: string) =>
    (await app.inject({ method: "POST", url: "/v1/prefixes", payload: { prompt } })).json<{ id: string }>()
      .id;
  const ids = [await create(one, "a"), await create(other, "b"), await create(one, "c")];
  await one.app.inject({ method: "DELETE", url: `/v1/prefixes/${ids[0]}` });
  await create(other, "d");
  const texts = store()
    .load()
    .map(({ tokens }) => Buffer.from(tokens).toString());
  assert.deepEqual(texts.toSorted(), ["b", "c", "d"]);
});

test("what is over leaves no file behind", async () => {
  const folder = temporaryFolder();
  const store = new PrefixFileStore(folder, new FakeEngine().model!);
  const prefix = { id: "prefix-a", name: null, tenantId: "", tokens: [1], cacheSalt: "", createdAtMs: 0 };
  await store.add({ ...prefix, expiresAtMs: Date.now() - 1 });
  assert.deepEqual(store.load(), []);
  assert.deepEqual(readdirSync(folder, { recursive: true }).map(String).filter(isFile), []);
});

test("an engine that takes over gets all that is registered, with what is left of its time, after all others", async (t) => {
  const { app, engine } = await createTestServer(t);
  const create = async (payload: object) => app.inject({ method: "POST", url: "/v1/prefixes", payload });
  await create({ prompt: "abc", ttl: 300 });
  const { id } = (await create({ prompt: "de", ttl: 60 })).json<{ id: string }>();
  await app.inject({ method: "DELETE", url: `/v1/prefixes/${id}` });
  const [first] = engine.received.splice(0);
  engine.refusal = new GenerationError("overloaded", "The queue is full.", 1);
  engine.restart();
  engine.restart();
  await new Promise((resolve) => setImmediate(resolve));
  engine.refusal = null;
  await until(() => engine.received.length > 0 && engine.active.size === 0);
  await new Promise((resolve) => setTimeout(resolve, 5));
  const [again, ...others] = engine.received;
  assert.deepEqual(others, [], "the deleted one is not computed, and none twice");
  assert.deepEqual(again?.prompts[0]?.tokenIds, first?.prompts[0]?.tokenIds);
  assert.equal(again?.prompts[0]?.pins?.[0]?.owner, first?.prompts[0]?.pins?.[0]?.owner);
  assert.ok(again!.prompts[0]!.pins![0]!.ttlMs <= 300_000 && again!.prompts[0]!.pins![0]!.ttlMs > 200_000);
  assert.equal(again?.priority, 100);
});

test("a prefix that is deleted while it is computed for another engine is given up there too", async (t) => {
  const server = await createTestServer(t, { engine: { stepMs: null } });
  const { app, engine } = server;
  const creation = app.inject({ method: "POST", url: "/v1/prefixes", payload: { prompt: "abc" } });
  await until(() => engine.active.size === 1);
  engine.step();
  const { id } = (await creation).json<{ id: string }>();
  engine.restart();
  await until(() => engine.active.size === 1);
  await app.inject({ method: "DELETE", url: `/v1/prefixes/${id}` });
  engine.step();
  await until(() => engine.unpinned.length === 2);
  assert.ok(engine.unpinned.every(({ owner }) => owner === id));
});

test("the number of prefixes is bounded, whoever comes at once, and a failure gives its place back", async (t) => {
  const { app, engine } = await createTestServer(t, { engine: { maxNumSeqs: 128 } });
  const create = () => app.inject({ method: "POST", url: "/v1/prefixes", payload: { prompt: "abc" } });
  engine.refusal = new GenerationError("overloaded", "The queue is full.", 1);
  const refused = await Promise.all(Array.from({ length: 70 }, create));
  assert.ok(refused.every(({ statusCode }) => statusCode !== 201));
  engine.refusal = null;
  const answers = await Promise.all(Array.from({ length: 90 }, create));
  const count = (status: number) => answers.filter(({ statusCode }) => statusCode === status).length;
  assert.deepEqual([count(201), count(409)], [64, 26]);
  const list = (await app.inject({ url: "/v1/prefixes" })).json<{ data: { id: string }[] }>();
  assert.equal(list.data.length, 64);
  await app.inject({ method: "DELETE", url: `/v1/prefixes/${list.data[0]!.id}` });
  assert.equal((await create()).statusCode, 201);
});

for (const stage of ["tokenized", "computed"] as const) {
  test(`a client that leaves while its prefix is ${stage} leaves nothing behind`, async (t) => {
    const server = await createTestServer(t, { engine: { stepMs: null } });
    const { engine, text } = server;
    const url = await listen(server);
    let open = (): void => {};
    if (stage === "tokenized") text.gate = new Promise((resolve) => (open = resolve));
    const leaving = new AbortController();
    const body = JSON.stringify({ prompt: "abc" });
    const headers = { "content-type": "application/json" };
    const answer = fetch(`${url}/v1/prefixes`, { method: "POST", body, headers, signal: leaving.signal });
    await until(() => (stage === "tokenized" ? text.maxNumOpen === 1 : engine.active.size === 1));
    leaving.abort();
    await assert.rejects(answer);
    const isNoticed = async () =>
      /^headway_client_disconnects_total\{phase="queued"\} 1$/m.test(
        await (await fetch(`${url}/metrics`)).text(),
      );
    await until(isNoticed);
    open();
    await until(() => engine.unpinned.length === 1);
    assert.equal(engine.active.size, 0);
    assert.equal(engine.abortedIds.length, stage === "tokenized" ? 0 : 1);
    const list = (await (await fetch(`${url}/v1/prefixes`)).json()) as { data: unknown[] };
    assert.deepEqual(list.data, []);
  });
}

test("where nothing would be kept, a prefix is refused and cache_control is only a hint", async (t) => {
  const off = await createTestServer(t, { config: { keepsPrefixes: false } });
  const unable = await createTestServer(t);
  const { model } = unable.engine;
  unable.engine.model = { ...model!, capabilities: { ...model!.capabilities, canShare: false } };
  for (const server of [off, unable]) {
    const payload = { prompt: "abc" };
    const response = await server.app.inject({ method: "POST", url: "/v1/prefixes", payload });
    assert.equal(response.statusCode, 400);
    const { error } = response.json<{ error: Record<string, unknown> }>();
    assert.match(String(error["message"]), /^This server keeps no prefixes: .+\.$/);
    assert.deepEqual([error["type"], error["code"]], ["invalid_request_error", "prefixes_not_kept"]);
    assert.equal(server.engine.received.length, 0);
    await pinsOf(server, "/v1/completions", { ...payload, cache_control: minutes });
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
