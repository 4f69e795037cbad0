import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import {
  GenerationError,
  type GenerationErrorCode,
  type RefusalReason,
} from "../../src/engine/generation.ts";
import { createTestServer, type TestServer } from "../support/test-server.ts";
import { until } from "../support/until.ts";

interface Sent {
  readonly headers?: Record<string, string>;
  readonly body?: object;
  readonly apiKeys?: readonly string[];
}

async function post(t: TestContext, { headers = {}, body = {}, apiKeys = [] }: Sent) {
  const server = await createTestServer(t, { config: { apiKeys } });
  const response = await server.app.inject({
    method: "POST",
    url: "/v1/completions",
    headers,
    payload: { prompt: "a", max_tokens: 1, ...body },
  });
  return { response, received: server.engine.received[0] };
}

describe("What a request says about its turn", () => {
  test("priority: the body's, an own header's, vLLM's", async (t) => {
    const cases: [Sent, number][] = [
      [{}, 0],
      [{ body: { priority: 3 } }, 3],
      [{ body: { priority: 3 }, headers: { "x-vllm-priority": "-2" } }, -2],
      [{ headers: { "x-headway-priority": "5", "x-vllm-priority": "-2" } }, 5],
      [{ headers: { "x-headway-priority": "+9223372036854775807" } }, 100],
      [{ headers: { "x-headway-priority": "-9223372036854775808" } }, -100],
      [{ body: { priority: -101 } }, -100],
    ];
    for (const [sent, priority] of cases) assert.equal((await post(t, sent)).received?.priority, priority);
  });

  test("whose share it takes: the key's, else that of a header, else the user's", async (t) => {
    const headers = { "x-llm-d-inference-fairness-id": "team" };
    const body = { user: "ann" };
    assert.equal((await post(t, {})).received?.tenantId, "");
    assert.equal((await post(t, { body })).received?.tenantId, "ann");
    assert.equal((await post(t, { body, headers })).received?.tenantId, "team");
    const own = { ...headers, "x-headway-tenant": "own" };
    assert.equal((await post(t, { body, headers: own })).received?.tenantId, "own");
    const keyed = await post(t, { body, headers: { ...own, "x-api-key": "secret" }, apiKeys: ["secret"] });
    assert.match(keyed.received?.tenantId ?? "", /^[0-9a-f]{32}$/);
  });

  test("a long name is kept as a digest of its own", async (t) => {
    const [left, right] = ["a", "b"].map((end) => `${"x".repeat(100_000)}${end}`);
    const holderOf = async (sent: Sent): Promise<string> => (await post(t, sent)).received?.tenantId ?? "";
    const digests = [await holderOf({ body: { user: left } }), await holderOf({ body: { user: right } })];
    assert.notEqual(digests[0], digests[1]);
    for (const digest of digests) assert.match(digest, /^[\w-]{43}$/);
    assert.equal(await holderOf({ headers: { "x-headway-tenant": "n".repeat(256) } }), "n".repeat(256));
  });

  test("a name that anybody may use opens no other's cached prompts, nor closes one's own", async (t) => {
    const plain = await post(t, {});
    const named = await post(t, { body: { user: "ann" } });
    assert.equal(plain.received?.cacheSalt, named.received?.cacheSalt);
  });

  test("deadlines: the body's and llm-d's, under their old names too", async (t) => {
    const slo = { "x-llm-d-slo-ttft-ms": "250", "x-slo-tpot-ms": "12.5" };
    assert.deepEqual((await post(t, {})).received?.targets, {});
    assert.deepEqual((await post(t, { body: { deadline_ms: 900 }, headers: slo })).received?.targets, {
      ttftMs: 250,
      tpotMs: 12.5,
      totalMs: 900,
    });
  });

  test("what is no such number is refused by name", async (t) => {
    const bad: Sent[] = [
      { headers: { "x-llm-d-slo-ttft-ms": "soon" } },
      { headers: { "x-slo-tpot-ms": "-1" } },
      { headers: { "x-headway-priority": "1.5" } },
      { headers: { "x-headway-priority": "9223372036854775808" } },
      { headers: { "x-vllm-priority": "-9223372036854775809" } },
      { body: { deadline_ms: 0 } },
      { body: { deadline_ms: 1e12 } },
    ];
    for (const sent of bad)
      assert.equal((await post(t, sent)).response.statusCode, 400, JSON.stringify(sent));
  });
});

interface Admission {
  readonly accepted: boolean;
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly error: object;
}

/** What the dry run says, beside what a request of that size is told. */
async function askAndSend({ app }: TestServer, query = "", fields: object = {}) {
  const asked = await app.inject({ url: `/capacity?prompt_tokens=1&max_tokens=1${query}` });
  const payload = { prompt: "a", max_tokens: 1, ...fields };
  const sent = await app.inject({ method: "POST", url: "/v1/completions", payload });
  return { admission: asked.json<{ admission: Admission }>().admission, sent };
}

describe("GET /capacity tells whether a request would be let in", () => {
  const assertSame = ({ admission, sent }: Awaited<ReturnType<typeof askAndSend>>, status: number): void => {
    assert.deepEqual([admission.accepted, admission.status, sent.statusCode], [false, status, status]);
    assert.deepEqual(admission.error, sent.json<{ error: object }>().error);
    for (const [name, value] of Object.entries(admission.headers)) assert.equal(sent.headers[name], value);
    assert.equal(admission.headers["retry-after"], sent.headers["retry-after"]);
  };

  test("it would", async (t) => {
    const { admission, sent } = await askAndSend(await createTestServer(t));
    assert.deepEqual(admission, { accepted: true });
    assert.equal(sent.statusCode, 200);
  });

  test("the engine would refuse it", async (t) => {
    const server = await createTestServer(t);
    server.engine.refusal = new GenerationError("rate_limit_exceeded", "Later.", 7300, "tenant_queue");
    const answers = await askAndSend(server);
    assertSame(answers, 429);
    assert.equal(answers.admission.headers["retry-after-ms"], "7300");
  });

  test("all places are taken; asking takes none and is counted as no refusal", async (t) => {
    const server = await createTestServer(t, {
      config: { maxQueue: 1 },
      engine: { stepMs: null, maxNumSeqs: 1 },
    });
    const payload = { prompt: "a", max_tokens: 1 };
    const held = [0, 1].map(() => server.app.inject({ method: "POST", url: "/v1/completions", payload }));
    await until(() => server.engine.active.size === 2);
    assertSame(await askAndSend(server), 503);
    const { body } = await server.app.inject({ url: "/metrics" });
    assert.match(body, /^headway_admission_rejections_total\{reason="queue_requests".*\} 1$/m);
    server.engine.step();
    server.engine.step();
    await Promise.all(held);
    assert.equal(server.engine.received.length, 2);
  });

  test("what the request itself could not ask for is refused by the same name", async (t) => {
    const { app, engine } = await createTestServer(t);
    const paramOf = async (query: string): Promise<string> => {
      const answer = await app.inject({ url: `/capacity?${query}` });
      assert.equal(answer.statusCode, 400);
      return answer.json<{ error: { param: string } }>().error.param;
    };
    assert.equal(await paramOf("prompt_tokens=10&deadline_ms=86400001"), "deadline_ms");
    assert.equal(await paramOf("prompt_tokens=10&max_tokens=9999999"), "max_tokens");
    assert.equal(await paramOf("prompt_tokens=9999999"), "prompt_tokens");
    assert.equal(await paramOf("max_tokens=zz"), "max_tokens");
    const { maxModelLen } = engine.model!;
    assert.equal(await paramOf(`prompt_tokens=${maxModelLen}`), "prompt_tokens");
    const only = await app.inject({ url: `/capacity?prompt_tokens=${maxModelLen}&max_tokens=0` });
    assert.equal(only.statusCode, 200, "a prompt that is only evaluated");
  });

  test("more choices than any request may have", async (t) => {
    assertSame(await askAndSend(await createTestServer(t), "&n=257", { n: 257 }), 400);
  });
});

test("a refusal names its reason in the body and in headers, and when to come back", async (t) => {
  const server = await createTestServer(t);
  const cases: [GenerationErrorCode, RefusalReason, number][] = [
    ["overloaded", "queue_tokens", 503],
    ["overloaded", "predicted_wait", 503],
    ["deadline_exceeded", "deadline", 503],
    ["rate_limit_exceeded", "tenant_queue", 429],
  ];
  for (const [code, reason, status] of cases) {
    server.engine.refusal = new GenerationError(code, "Later.", 7300, reason);
    for (const stream of [false, true]) {
      const payload = { prompt: "a", stream };
      const response = await server.app.inject({ method: "POST", url: "/v1/completions", payload });
      assert.equal(response.statusCode, status);
      assert.equal(response.headers["x-headway-rejected-reason"], reason);
      assert.equal(response.headers["x-llm-d-request-dropped-reason"], reason);
      assert.equal(response.headers["retry-after"], "8");
      assert.equal(response.headers["retry-after-ms"], "7300");
      const { error } = response.json<{ error: { code: string; reason: string } }>();
      assert.deepEqual([error.code, error.reason], [code, reason]);
    }
  }
});

test("what no waiting would help is not to be tried again", async (t) => {
  const server = await createTestServer(t);
  server.engine.refusal = new GenerationError("deadline_exceeded", "Never.", null, "deadline");
  const payload = { prompt: "a" };
  const { statusCode, headers } = await server.app.inject({
    method: "POST",
    url: "/v1/completions",
    payload,
  });
  assert.equal(statusCode, 503);
  assert.equal(headers["x-should-retry"], "false");
  assert.deepEqual([headers["retry-after"], headers["retry-after-ms"]], [undefined, undefined]);
  assert.equal(headers["x-headway-rejected-reason"], "deadline");
});
