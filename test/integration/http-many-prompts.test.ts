import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestServer } from "../support/test-server.ts";
import type { TestServer } from "../support/test-server.ts";
import { until } from "../support/until.ts";

const prompts = (count: number): string[] => Array.from({ length: count }, (_, index) => `p${index}`);

function complete({ app }: TestServer, prompt: unknown, fields: object = {}) {
  const payload = { prompt, max_tokens: 1, ...fields };
  return app.inject({ method: "POST", url: "/v1/completions", payload });
}

test("1,024 prompts in one request, each answered at its index", async (t) => {
  const server = await createTestServer(t);
  const response = await complete(server, prompts(1024));
  assert.equal(response.statusCode, 200);
  const { choices, usage } = response.json<{
    choices: { index: number; finish_reason: string }[];
    usage: { completion_tokens: number };
  }>();
  assert.deepEqual(
    choices.map(({ index }) => index),
    prompts(1024).map((_, index) => index),
  );
  assert.ok(choices.every(({ finish_reason: reason }) => reason === "length"));
  assert.equal(usage.completion_tokens, 1024);
  const [request] = server.engine.received;
  assert.deepEqual(
    request?.prompts.map(({ tokenIds }) => Buffer.from(tokenIds).toString()),
    prompts(1024),
  );
  // Between them, texts of other requests get their turns.
  assert.ok(server.text.maxNumOpen <= 8, String(server.text.maxNumOpen));
});

test("each prompt takes a place: the queue is full when the prompts are as many as it holds", async (t) => {
  const server = await createTestServer(t, {
    config: { maxQueue: 1500 },
    engine: { stepMs: null, maxNumSeqs: 16 },
  });
  const first = complete(server, prompts(1024));
  await until(() => server.engine.active.size === 1);
  const tooMany = await complete(server, prompts(493));
  assert.equal(tooMany.statusCode, 503);
  assert.equal(tooMany.json<{ error: { reason: string } }>().error.reason, "queue_requests");
  const fitting = complete(server, prompts(246), { n: 2 });
  await until(() => server.engine.active.size === 2);
  assert.equal((await complete(server, "x")).statusCode, 503);
  server.engine.step();
  assert.deepEqual([(await first).statusCode, (await fitting).statusCode], [200, 200]);
  const again = complete(server, "x");
  await until(() => server.engine.active.size === 1);
  server.engine.step();
  assert.equal((await again).statusCode, 200);
});

test("a list longer than a small queue is refused at once, by the field that is too long", async (t) => {
  const server = await createTestServer(t, { config: { maxQueue: 284 }, engine: { maxNumSeqs: 16 } });
  const cases: [number, number, string | null][] = [
    [300, 1, null],
    [301, 1, "prompt"],
    [150, 2, null],
    [151, 2, "n"],
    [1, 257, "n"],
  ];
  for (const [count, n, param] of cases) {
    const response = await complete(server, prompts(count), { n });
    assert.equal(response.statusCode, param === null ? 200 : 400, `${count} x ${n}`);
    if (param !== null) assert.equal(response.json<{ error: { param: string } }>().error.param, param);
  }
});
