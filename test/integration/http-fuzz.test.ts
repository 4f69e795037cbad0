import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createTestServer } from "../support/test-server.ts";

/** What no field expects. */
const odd = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom(
    null,
    "",
    [],
    {},
    [[]],
    -1,
    0,
    1,
    1.5,
    1e300,
    -1e300,
    true,
    "\u0000",
    "\ud800",
    "__proto__",
  ),
);

const optional = { requiredKeys: [] };

const validShared = {
  model: fc.constant("test/model"),
  n: fc.integer({ min: 1, max: 3 }),
  max_tokens: fc.integer({ min: 0, max: 8 }),
  temperature: fc.double({ min: 0, max: 2, noNaN: true }),
  top_p: fc.double({ min: 0.01, max: 1, noNaN: true }),
  top_k: fc.integer({ min: -1, max: 100 }),
  seed: fc.maxSafeInteger(),
  logit_bias: fc.dictionary(fc.nat(262).map(String), fc.double({ min: -100, max: 100, noNaN: true })),
  stop: fc.oneof(fc.string({ minLength: 1 }), fc.array(fc.string({ minLength: 1 }), { maxLength: 4 })),
  stream: fc.boolean(),
  return_progress: fc.boolean(),
  timings_per_token: fc.boolean(),
  cache_salt: fc.string({ minLength: 1 }),
};

const text = fc.string({ minLength: 1, maxLength: 12, unit: "binary" });

const content = fc.oneof(text, fc.array(fc.record({ type: fc.constant("text"), text }), { maxLength: 3 }));

const message = fc.record({ role: fc.constantFrom("system", "user", "assistant", "developer"), content });

const chat = fc.record(
  { messages: fc.array(message, { minLength: 1, maxLength: 3 }), ...validShared, logprobs: fc.boolean() },
  { requiredKeys: ["messages"] },
);

const tokenId = fc.nat(262);

const completion = fc.record(
  {
    prompt: fc.oneof(
      text,
      fc.array(text, { minLength: 1, maxLength: 3 }),
      fc.array(tokenId, { minLength: 1 }),
      fc.array(fc.array(tokenId, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 }),
    ),
    ...validShared,
    logprobs: fc.nat(5),
    echo: fc.boolean(),
  },
  { requiredKeys: ["prompt"] },
);

const tokenizer = fc.record(
  { prompt: text, tokens: fc.array(tokenId), request_ids: fc.array(text) },
  optional,
);

/** Fields that are known and may hold anything now and then. */
const spoilt = [
  ...Object.keys(validShared),
  "messages prompt logprobs top_logprobs echo best_of tools tool_choice stream_options response_format".split(
    " ",
  ),
  "grammar continue_final_message chat_template_kwargs n_predict min_tokens priority stop_token_ids".split(
    " ",
  ),
  "tokens content request_ids suffix an_unknown_field __proto__".split(" "),
].flat();

const overrides = fc.array(fc.tuple(fc.constantFrom(...spoilt), odd), { maxLength: 2 });

const request = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(fc.constant("/v1/chat/completions"), chat, overrides) },
  { weight: 5, arbitrary: fc.tuple(fc.constant("/v1/completions"), completion, overrides) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom("/tokenize", "/detokenize", "/abort_requests"), tokenizer, overrides),
  },
);

/** Cuts, doubles or replaces a piece of valid JSON. */
const damage = fc.record({
  from: fc.nat(400),
  length: fc.nat(20),
  insert: fc.oneof(fc.string(), fc.constantFrom("[", "{", '"', "\\", "1e999", "\\ud800")),
});

function damaged(
  json: string,
  { from, length, insert }: { from: number; length: number; insert: string },
): string {
  const start = from % (json.length + 1);
  return json.slice(0, start) + insert + json.slice(start + length);
}

test("no body makes the server fail, and it serves on afterwards", async (t) => {
  const server = await createTestServer(t, { engine: { maxModelLen: 256 } });
  const send = (url: string, payload: string) =>
    server.app.inject({ method: "POST", url, headers: { "content-type": "application/json" }, payload });
  let numServed = 0;
  await fc.assert(
    fc.asyncProperty(request, fc.option(damage, { freq: 1 }), async ([url, body, fields], harm) => {
      const json = JSON.stringify({ ...body, ...Object.fromEntries(fields) });
      const response = await send(url, harm === null ? json : damaged(json, harm));
      assert.ok(response.statusCode < 500, `${response.statusCode} ${response.body}`);
      if (response.statusCode === 200) numServed += 1;
      if (response.statusCode < 400) return;
      const { error } = response.json<{ error: Record<string, unknown> }>();
      assert.deepEqual(Object.keys(error).slice(0, 4), ["message", "type", "param", "code"]);
    }),
    { numRuns: 1000 },
  );
  assert.ok(numServed > 100, `only ${numServed} bodies were valid`);
  assert.equal(server.engine.active.size, 0);
  assert.equal((await server.app.inject({ url: "/load" })).body, '{"server_load":0}');
  assert.equal((await server.app.inject({ url: "/health" })).statusCode, 200);
  const after = await send("/v1/completions", '{"prompt":"a"}');
  assert.equal(after.json<{ choices: { text: string }[] }>().choices[0]?.text, " one two three 😀 five");
});
