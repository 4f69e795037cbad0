import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { ChatTemplateError } from "../../models/text/chat-template-error.ts";
import { GenerationError } from "../../src/engine/generation.ts";
import { TextPoolBusyError, TextPoolError } from "../../src/text-pool/text-pool-error.ts";
import { parseChunks, textsOf } from "../support/sse.ts";
import { createTestServer, listen } from "../support/test-server.ts";
import type { TestServer } from "../support/test-server.ts";
import { until } from "../support/until.ts";

const headers = { "content-type": "application/json" };

function post(url: string, body: object, signal?: AbortSignal): Promise<Response> {
  const init = { method: "POST", headers, body: JSON.stringify(body) };
  return fetch(`${url}/v1/completions`, signal === undefined ? init : { ...init, signal });
}

async function load({ app }: TestServer): Promise<number> {
  return (await app.inject({ url: "/load" })).json<{ server_load: number }>().server_load;
}

async function metric({ app }: TestServer, series: string): Promise<number> {
  const { body } = await app.inject({ url: "/metrics" });
  const line = body.split("\n").find((candidate) => candidate.startsWith(`${series} `));
  return Number(line?.slice(series.length + 1));
}

for (const stream of [false, true]) {
  test(`a client that leaves frees its generation at once (${stream ? "stream" : "no stream"})`, async (t) => {
    const server = await createTestServer(t, { engine: { stepMs: null, naturalLength: 1000 } });
    const url = await listen(server);
    const leaving = new AbortController();
    const answer = post(url, { prompt: "a", stream, max_tokens: 100 }, leaving.signal);
    await until(() => server.engine.active.size === 1);
    assert.equal(await load(server), 1);
    if (stream) {
      server.engine.step();
      await answer;
    }
    leaving.abort();
    await answer.catch(() => {});
    await until(() => server.engine.active.size === 0);
    assert.equal(server.engine.abortedIds.length, 1);
    assert.equal(await load(server), 0);
    const phase = stream ? "decode" : "queued";
    assert.equal(await metric(server, `headway_client_disconnects_total{phase="${phase}"}`), 1);
    const exchange = 'http_requests_total{handler="/v1/completions",method="POST",status="499"}';
    assert.equal(await metric(server, exchange), 1);
  });
}

test("a client that leaves while its prompt is tokenized never reaches the engine", async (t) => {
  const server = await createTestServer(t);
  let open = () => {};
  server.text.gate = new Promise((resolve) => (open = resolve));
  const leaving = new AbortController();
  const url = await listen(server);
  const answer = post(url, { prompt: "left" }, leaving.signal);
  await until(async () => (await load(server)) > 0);
  leaving.abort();
  await assert.rejects(answer);
  await until(async () => (await load(server)) === 0);
  open();
  // One that is tokenized after it comes to its end first.
  assert.equal((await post(url, { prompt: "stayed" })).status, 200);
  const received = server.engine.received.map(({ prompts }) => prompts[0]?.tokenIds ?? []);
  assert.deepEqual(
    received.map((tokenIds) => Buffer.from(tokenIds).toString()),
    ["stayed"],
  );
});

test("a finished answer is no disconnect", async (t) => {
  const server = await createTestServer(t);
  const url = await listen(server);
  await (await post(url, { prompt: "a", stream: true })).text();
  await (await post(url, { prompt: "a" })).text();
  assert.equal(server.engine.abortedIds.length, 0);
  for (const phase of ["queued", "prefill", "decode"]) {
    assert.equal(await metric(server, `headway_client_disconnects_total{phase="${phase}"}`), 0);
  }
});

test("requests are aborted by id: their clients are told", async (t) => {
  const server = await createTestServer(t, { engine: { stepMs: null } });
  const url = await listen(server);
  const init = { method: "POST", headers: { ...headers, "x-request-id": "mine" } };
  const whole = fetch(`${url}/v1/completions`, { ...init, body: JSON.stringify({ prompt: "a" }) });
  const streamed = post(url, { prompt: "a", stream: true });
  await until(() => server.engine.active.size === 2);
  server.engine.step();
  const response = await streamed;
  const ids = [...server.engine.active].map((generation) => generation.requestId);
  const payload = { request_ids: ["mine", ...ids, "unknown"] };
  const aborting = await server.app.inject({ method: "POST", url: "/abort_requests", payload });
  assert.equal(aborting.statusCode, 200);
  assert.equal((await whole).status, 400);
  const text = await response.text();
  assert.match(text, /"code":"request_aborted"\}\}\n\ndata: \[DONE\]\n\n$/);
  assert.equal(await load(server), 0);
});

test("a burst over the limit: exactly the limit is served, the rest is refused at once", async (t) => {
  const server = await createTestServer(t, {
    config: { maxQueue: 1 },
    engine: { stepMs: null, maxNumSeqs: 1, maxQueue: 1 },
  });
  const url = await listen(server);
  let numAnswered = 0;
  const answers = Array.from({ length: 10 }, async () => {
    const response = await post(url, { prompt: "a" });
    numAnswered += 1;
    return response;
  });
  // The refused are answered while the engine has not made a step.
  await until(() => numAnswered === 8);
  await until(() => {
    server.engine.step();
    return numAnswered === 10;
  });
  const responses = await Promise.all(answers);
  assert.equal(responses.filter(({ status }) => status === 200).length, 2);
  for (const response of responses.filter(({ status }) => status !== 200)) {
    assert.equal(response.status, 503);
    const seconds = Number(response.headers.get("retry-after"));
    assert.ok(seconds >= 1 && seconds <= 60);
    assert.ok(Number(response.headers.get("retry-after-ms")) >= 1000);
    assert.equal(response.headers.get("x-headway-rejected-reason"), "queue_requests");
    const { error } = (await response.json()) as { error: { code: string; reason: string } };
    assert.deepEqual([error.code, error.reason], ["overloaded", "queue_requests"]);
  }
  assert.equal(
    await metric(
      server,
      'headway_admission_rejections_total{reason="queue_requests",model_name="test/model",engine="0"}',
    ),
    8,
  );
  assert.equal(await load(server), 0);
});

test("n counts as n; a request larger than the limit gets in alone", async (t) => {
  const server = await createTestServer(t, {
    config: { maxQueue: 1 },
    engine: { stepMs: null, maxNumSeqs: 4 },
  });
  const url = await listen(server);
  const large = post(url, { prompt: "a", n: 8, max_tokens: 1 });
  await until(() => server.engine.active.size === 1);
  assert.equal((await post(url, { prompt: "a" })).status, 503);
  server.engine.step();
  assert.equal((await large).status, 200);
});

test("refusals of the engine keep their status and their wait", async (t) => {
  const server = await createTestServer(t);
  const cases = [
    ["overloaded", 503],
    ["shutting_down", 503],
    ["model_loading", 503],
    ["engine_unavailable", 503],
    ["context_length_exceeded", 400],
    ["internal_error", 500],
  ] as const;
  for (const [code, status] of cases) {
    server.engine.refusal = new GenerationError(code, "/secret/path", 90_000);
    for (const stream of [false, true]) {
      const response = await server.app.inject({
        method: "POST",
        url: "/v1/completions",
        payload: { prompt: "a", stream },
      });
      assert.equal(response.statusCode, status);
      assert.equal(response.json<{ error: { code: string } }>().error.code, code);
      if (status === 503) assert.equal(response.headers["retry-after"], "60");
      if (status === 500) assert.doesNotMatch(response.body, /secret/);
    }
  }
  assert.equal(await load(server), 0);
});

test("failures of the text pool keep their status", async (t) => {
  const server = await createTestServer(t);
  const rejections =
    'headway_admission_rejections_total{reason="queue_requests",model_name="test/model",engine="0"}';
  const cases: [Error, number, string][] = [
    [new TextPoolBusyError(), 503, "overloaded"],
    [new TextPoolError("closed", "closed"), 503, "shutting_down"],
    [new TextPoolError("input_too_large", "The text is too long."), 400, "invalid_value"],
    [new TextPoolError("template_timeout", "The template took too long."), 400, "invalid_value"],
    [new TextPoolError("worker_crashed", "/secret/path"), 500, "internal_error"],
    [new ChatTemplateError("Roles must alternate."), 400, "invalid_value"],
    [new ChatTemplateError("Not shown.", "messages[0].tool_calls"), 400, "invalid_value"],
    [new RangeError("/secret/path"), 500, "internal_error"],
  ];
  for (const [failure, status, code] of cases) {
    server.text.failure = failure;
    const payload = { messages: [{ role: "user", content: "hi" }], stream: true };
    const response = await server.app.inject({ method: "POST", url: "/v1/chat/completions", payload });
    assert.equal(response.statusCode, status, failure.message);
    const { error } = response.json<{ error: { code: string; param: string | null } }>();
    assert.equal(error.code, code);
    if (failure instanceof ChatTemplateError) assert.equal(error.param, failure.param);
    assert.equal(response.headers["x-should-retry"], status === 500 ? "false" : undefined);
    assert.doesNotMatch(response.body, /secret/);
  }
  assert.equal(await metric(server, rejections), 1);
  assert.equal(await load(server), 0);
});

test("states of the engine: health, models and requests say the same", async (t) => {
  const server = await createTestServer(t);
  const statusOf = async (method: "GET" | "POST", url: string) =>
    (await server.app.inject({ method, url, ...(method === "POST" ? { payload: { prompt: "a" } } : {}) }))
      .statusCode;
  const cases = [
    ["ready", 200, 200],
    ["loading", 503, 503],
    ["restarting", 503, 200],
    ["draining", 503, 503],
    ["failed", 503, 503],
    ["stopped", 503, 503],
  ] as const;
  for (const [state, health, service] of cases) {
    server.engine.state = state;
    for (const path of ["/health", "/v1/health", "/health/ready"])
      assert.equal(await statusOf("GET", path), health);
    assert.equal(await statusOf("GET", "/health/live"), 200);
    assert.equal(await statusOf("GET", "/v1/models"), service);
    assert.equal(await statusOf("POST", "/v1/completions"), service);
  }
  server.engine.state = "ready";
  server.engine.pretendStalledFor(60_000);
  assert.equal(await statusOf("GET", "/health"), 503);
  assert.equal(await statusOf("GET", "/health/live"), 200);
});

/** Asks for a stream and never reads the answer. */
async function openStuckReader(url: string, body: object): Promise<() => void> {
  const { port } = new URL(url);
  const json = JSON.stringify(body);
  const socket = connect(Number(port), "127.0.0.1");
  socket.on("error", () => {});
  socket.pause();
  const head = `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
  socket.write(`${head}Content-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`);
  return () => socket.resume();
}

// The second limit is below the one at which Node's own streams call themselves full.
for (const softBytes of [256 * 1024, 1024]) {
  test(`a slow reader pauses its own generation only, and resumes it: ${softBytes} bytes`, async (t) => {
    const streamBuffer = { softBytes, hardBytes: 64 * 1024 * 1024, maxPausedMs: 60_000 };
    const server = await createTestServer(t, {
      config: { streamBuffer },
      engine: {
        stepMs: null,
        naturalLength: 10_000,
        maxModelLen: 10_000,
        padding: "x".repeat(softBytes === 1024 ? 2000 : 100_000),
      },
    });
    const url = await listen(server);
    const startReading = await openStuckReader(url, { prompt: "a", stream: true, max_tokens: 5000 });
    await until(() => server.engine.active.size === 1);
    const [generation] = server.engine.active;
    await until(() => {
      server.engine.step();
      return generation?.isPaused === true;
    });
    assert.equal(await metric(server, "headway_slow_clients"), 1);
    const other = post(url, { prompt: "b", max_tokens: 1 });
    await until(() => server.engine.active.size === 2);
    server.engine.step();
    assert.equal((await other).status, 200);
    startReading();
    await until(() => generation?.isPaused === false);
    assert.equal(await metric(server, "headway_slow_clients"), 0);
  });
}

test("a reader that stays slow is cut, by time and by size", async (t) => {
  const limits = [
    { softBytes: 64 * 1024, hardBytes: 64 * 1024 * 1024, maxPausedMs: 20 },
    { softBytes: 512 * 1024, hardBytes: 512 * 1024, maxPausedMs: 60_000 },
  ];
  for (const streamBuffer of limits) {
    const server = await createTestServer(t, {
      config: { streamBuffer },
      engine: { stepMs: null, naturalLength: 1000, padding: "x".repeat(100_000) },
    });
    await openStuckReader(await listen(server), { prompt: "a", stream: true, max_tokens: 500 });
    await until(() => server.engine.active.size === 1);
    await until(() => {
      server.engine.step();
      return server.engine.active.size === 0;
    });
    assert.equal(server.engine.abortedIds.length, 1);
    assert.equal(await metric(server, "headway_slow_clients_cut_total"), 1);
    assert.equal(await metric(server, "headway_slow_clients"), 0);
    assert.equal(await load(server), 0);
  }
});

test("one chunk above the hard limit is no slow reader", async (t) => {
  const streamBuffer = { softBytes: 1024, hardBytes: 4096, maxPausedMs: 60_000 };
  const server = await createTestServer(t, { config: { streamBuffer }, engine: { maxModelLen: 100_000 } });
  const prompt = "x".repeat(50_000);
  const body = { prompt, echo: true, logprobs: 1, stream: true, max_tokens: 2 };
  const chunks = parseChunks(await (await post(await listen(server), body)).text());
  assert.deepEqual(textsOf(chunks), [`${prompt} one two`]);
});

test("200 impatient clients leave nothing behind", async (t) => {
  const server = await createTestServer(t, { engine: { naturalLength: 100_000, stepMs: 1 } });
  const url = await listen(server);
  const clients = Array.from({ length: 200 }, async (_, index) => {
    const leaving = new AbortController();
    const answer = post(url, { prompt: "a", stream: index % 2 === 0, max_tokens: 400 }, leaving.signal);
    setTimeout(() => leaving.abort(), index % 23);
    await answer.then((response) => response.text()).catch(() => {});
  });
  await Promise.all(clients);
  await until(() => server.engine.active.size === 0);
  assert.equal(await load(server), 0);
  const chunks = parseChunks(await (await post(url, { prompt: "a", stream: true, max_tokens: 2 })).text());
  assert.equal(chunks.length, 3);
});
