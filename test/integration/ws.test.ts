import assert from "node:assert/strict";
import { test } from "node:test";
import { textsOf } from "../support/sse.ts";
import type { Chunk } from "../support/sse.ts";
import { createTestServer, listen } from "../support/test-server.ts";
import { openWebSocket } from "../support/ws-client.ts";
import { connect, start } from "../support/ws-generations.ts";

test("a generation: accepted, chunks, usage, done", async (t) => {
  const { client } = await connect(t);
  client.send(start("a", { max_tokens: 3 }));
  const frames = await client.ended("a");
  assert.equal(frames[0]?.type, "accepted");
  assert.match(frames[0]?.request_id ?? "", /^cmpl-/);
  assert.deepEqual(
    frames.slice(-2).map(({ type }) => type),
    ["usage", "done"],
  );
  assert.equal(frames.at(-2)?.usage?.completion_tokens, 3);
  const chunks = frames.flatMap(({ chunk }) => chunk ?? []);
  assert.ok(
    chunks.every((chunk) => chunk.id === frames[0]?.request_id && chunk.object === "text_completion"),
  );
  assert.deepEqual(textsOf(chunks), [" one two three"]);
});

test("a waiting generation that asks is told its place, and no other", async (t) => {
  const { server, client } = await connect(t, { engine: { stepMs: null } });
  client.send(start("asks", { max_tokens: 1, return_progress: true }, { credits: 9 }));
  client.send(start("does not", { max_tokens: 1 }));
  await client.until(() => server.engine.active.size === 2);
  server.engine.tellPlaces({ position: 2, etaMs: 900 });
  server.engine.tellPlaces({ position: 1, etaMs: 400 });
  server.engine.step();
  await client.ended("asks");
  await client.ended("does not");
  const places = (id: string) =>
    client
      .of(id)
      .flatMap(({ type, position, eta_ms: etaMs }) => (type === "queue" ? [[position, etaMs]] : []));
  assert.deepEqual(places("asks"), [
    [2, 900],
    [1, 400],
  ]);
  assert.deepEqual(places("does not"), []);
});

test("fifty generations share a socket and do not mix", async (t) => {
  const { client } = await connect(t, { engine: { maxNumSeqs: 64 } });
  const ids = Array.from({ length: 50 }, (_, index) => `g${index}`);
  ids.forEach((id, index) => client.send(start(id, { n: 1 + (index % 3), max_tokens: 1 + (index % 5) })));
  for (const [index, id] of ids.entries()) {
    const texts = textsOf((await client.ended(id)).flatMap(({ chunk }) => chunk ?? []));
    assert.equal(texts.length, 1 + (index % 3));
    const expected = " one two three 😀 five".split(/(?= )/).slice(0, 1 + (index % 5));
    assert.equal(texts[0], expected.join(""));
  }
});

test("what one step yields for all generations leaves in one write", async (t) => {
  const { client, server } = await connect(t, { engine: { stepMs: null, maxNumSeqs: 32 } });
  for (let index = 0; index < 20; index += 1) client.send(start(`g${index}`, { max_tokens: 2 }));
  await client.until(() => server.engine.active.size === 20);
  await client.until(() => client.frames.length === 20);
  const numReads = client.numReads;
  server.engine.step();
  await client.until(() => client.frames.length === 40);
  assert.equal(client.numReads, numReads + 1);
});

test("chat chunks equal those of the event stream", async (t) => {
  const { client, server } = await connect(t);
  const body = { messages: [{ role: "user", content: "hi" }], logprobs: true };
  client.send({ type: "start", id: "a", endpoint: "chat.completions", body });
  const chunks = (await client.ended("a")).flatMap(({ chunk }) => chunk ?? []);
  const response = await server.app.inject({
    method: "POST",
    url: "/v1/chat/completions",
    payload: { ...body, stream: true },
  });
  const events = response.body.split("\n\n").filter((event) => event.startsWith("data: {"));
  const fromEvents = events.map((event) => JSON.parse(event.slice("data: ".length)) as Chunk);
  const comparable = (chunk: Chunk) => ({ ...chunk, id: "", created: 0 });
  assert.deepEqual(chunks.map(comparable), fromEvents.map(comparable));
});

test("cancel ends one generation and frees it; nothing of it follows", async (t) => {
  const { client, server } = await connect(t, { engine: { stepMs: null, naturalLength: 100 } });
  client.send(start("a", { max_tokens: 50 }));
  client.send(start("b", { max_tokens: 2 }));
  await client.until(() => server.engine.active.size === 2);
  server.engine.step();
  client.send({ type: "cancel", id: "a" });
  await client.until(() => client.of("a").some(({ type }) => type === "cancelled"));
  assert.equal(server.engine.active.size, 1);
  const numFrames = client.of("a").length;
  server.engine.step();
  await client.ended("b");
  assert.equal(client.of("a").length, numFrames);
  // The id is free again.
  client.send(start("a", { max_tokens: 1 }));
  await client.until(() => server.engine.active.size === 1);
  server.engine.step();
  await client.ended("a");
});

test("a bad frame gets an error frame; the socket and its generations go on", async (t) => {
  const { client, server } = await connect(t, { engine: { stepMs: null } });
  client.send(start("good", { max_tokens: 1 }));
  await client.until(() => server.engine.active.size === 1);
  const cases: [object | string, string, string | null][] = [
    ["{bad", "invalid_json", null],
    ["[1]", "invalid_value", null],
    ["null", "invalid_value", null],
    ["[".repeat(1000), "invalid_json", null],
    [{}, "unknown_frame_type", "type"],
    [{ type: "__proto__" }, "unknown_frame_type", "type"],
    [{ type: "start", endpoint: "completions", body: {} }, "invalid_value", "id"],
    [{ type: "start", id: "", endpoint: "completions", body: {} }, "invalid_value", "id"],
    [{ type: "start", id: "x".repeat(129), endpoint: "completions", body: {} }, "invalid_value", "id"],
    [{ type: "start", id: "x", endpoint: "embeddings", body: {} }, "invalid_value", "endpoint"],
    [{ type: "start", id: "x", endpoint: "completions", body: [] }, "invalid_value", "body"],
    [start("x", {}, { credits: 0 }), "invalid_value", "credits"],
    [{ type: "cancel", id: "nobody" }, "unknown_id", "id"],
    [start("good", {}), "duplicate_id", "id"],
  ];
  for (const [frame, code, param] of cases) {
    const numFrames = client.frames.length;
    client.send(frame);
    await client.until(() => client.frames.length > numFrames);
    const answer = client.frames.at(-1);
    assert.equal(answer?.type, "error", JSON.stringify(frame));
    const isRefusedStart = JSON.stringify(frame).includes('"id":"x"');
    assert.equal(answer?.id, isRefusedStart ? "x" : null, JSON.stringify(frame));
    assert.equal(answer?.error?.code, code);
    assert.equal(answer?.error?.param, param);
  }
  client.socket.send(Buffer.from("{}"), { binary: true });
  client.send(start("refused", { temperature: 9 }));
  const refused = await client.ended("refused");
  assert.equal(refused.length, 1);
  assert.equal(refused[0]?.status, 400);
  assert.equal(refused[0]?.error?.param, "temperature");
  client.send({ type: "ping" });
  await client.until(() => client.frames.at(-1)?.type === "pong");
  server.engine.step();
  assert.equal((await client.ended("good")).at(-1)?.type, "done");
});

test("closing the socket ends all of its generations", async (t) => {
  const { client, server } = await connect(t, { engine: { stepMs: null } });
  for (const id of ["a", "b", "c"]) client.send(start(id, {}));
  await client.until(() => server.engine.active.size === 3);
  client.terminate();
  await client.until(() => server.engine.active.size === 0);
  const { body } = await server.app.inject({ url: "/metrics" });
  assert.match(body, /^vllm:websocket_connections_active 0$/m);
  assert.match(body, /^vllm:websocket_connections_total 1$/m);
  assert.doesNotMatch(body, /^http_requests_total\{handler="\/v1\/ws"/m);
  assert.equal((await server.app.inject({ url: "/load" })).body, '{"server_load":0}');
});

test("the number of generations is bounded", async (t) => {
  const webSocket = {
    maxFrameBytes: 4096,
    maxGenerations: 2,
    maxFramesPerSecond: 1000,
    pingIntervalMs: 30_000,
  };
  const { client, server } = await connect(t, { config: { webSocket }, engine: { stepMs: null } });
  for (const id of ["a", "b", "c"]) client.send(start(id, { max_tokens: 1 }));
  const refused = await client.ended("c");
  assert.equal(refused[0]?.status, 429);
  await client.until(() => server.engine.active.size === 2);
  server.engine.step();
  await client.ended("a");
  client.send(start("c", { max_tokens: 1 }));
  await client.until(() => client.of("c").some(({ type }) => type === "accepted"));
  client.send("x".repeat(5000));
  assert.equal((await client.closed).code, 1009);
});

test("credits: chunks come only as the client asks for them", async (t) => {
  const { client, server } = await connect(t, { engine: { naturalLength: 100 } });
  client.send(start("a", { max_tokens: 6 }, { credits: 2 }));
  await client.until(() => client.of("a").length === 3);
  const [generation] = server.engine.active;
  assert.equal(generation?.isPaused, true);
  client.send({ type: "credit", id: "a", credits: 3 });
  await client.until(() => client.of("a").length === 6);
  client.send({ type: "credit", id: "a", credits: 100 });
  const frames = await client.ended("a");
  assert.deepEqual(textsOf(frames.flatMap(({ chunk }) => chunk ?? [])), [" one two three 😀 five six"]);
});

test("too many frames are read later, not lost", async (t) => {
  const webSocket = {
    maxFrameBytes: 4096,
    maxGenerations: 2,
    maxFramesPerSecond: 20,
    pingIntervalMs: 30_000,
  };
  const { client } = await connect(t, { config: { webSocket } });
  for (let index = 0; index < 30; index += 1) client.send({ type: "ping" });
  await client.until(() => client.frames.length === 30);
});

test("a peer that does not answer pings is dropped", async (t) => {
  const webSocket = { maxFrameBytes: 4096, maxGenerations: 2, maxFramesPerSecond: 100, pingIntervalMs: 10 };
  const { client, server } = await connect(t, { config: { webSocket }, engine: { stepMs: null } });
  client.send(start("a", {}));
  await client.until(() => server.engine.active.size === 1);
  client.pause();
  await client.until(() => server.engine.active.size === 0);
  client.resume();
  assert.equal((await client.closed).code, 1006);
});

test("the upgrade is guarded: key and origin", async (t) => {
  const server = await createTestServer(t, { config: { apiKeys: ["secret"] } });
  const url = await listen(server);
  const refusals: Record<string, string>[] = [
    {},
    { authorization: "Bearer wrong" },
    { authorization: "Bearer secret", origin: "https://evil.example" },
    { authorization: "Bearer secret", host: "evil.example" },
  ];
  for (const headers of refusals)
    await assert.rejects(openWebSocket(url, headers), /Unexpected server response: 40[13]/);
  const client = await openWebSocket(url, {
    authorization: "Bearer secret",
    origin: "http://localhost:5173",
  });
  client.send({ type: "ping" });
  await client.until(() => client.frames.length === 1);
  client.close();
  assert.equal((await client.closed).code, 1005);
});

test("shutting down closes sockets with 1012; refusals before it are frames", async (t) => {
  const { client, server } = await connect(t);
  server.engine.state = "draining";
  client.send(start("late", {}));
  const frames = await client.ended("late");
  assert.equal(frames[0]?.status, 503);
  assert.equal(frames[0]?.error?.code, "shutting_down");
  await server.app.close();
  assert.deepEqual(await client.closed, { code: 1012, reason: "server restarting" });
});

test("a cancel while the prompt is tokenized keeps it from the engine", async (t) => {
  const { client, server } = await connect(t);
  let release = () => {};
  server.text.gate = new Promise((resolve) => (release = resolve));
  client.send(start("a", {}));
  client.send({ type: "cancel", id: "a" });
  await client.until(() => client.of("a").some(({ type }) => type === "cancelled"));
  release();
  client.send(start("b", { max_tokens: 1 }));
  await client.ended("b");
  assert.equal(server.engine.received.length, 1);
  assert.deepEqual(
    client.of("a").map(({ type }) => type),
    ["accepted", "cancelled"],
  );
});
