import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestServer, servedModel } from "../support/test-server.ts";

test("tokenize and detokenize speak both dialects and round trip", async (t) => {
  const { app } = await createTestServer(t);
  const post = async (url: string, payload: object) =>
    (await app.inject({ method: "POST", url, payload })).json<unknown>();
  const text = "hé 😀";
  const tokens = [...Buffer.from(text)];
  assert.deepEqual(await post("/tokenize", { prompt: text }), {
    count: tokens.length,
    max_model_len: 512,
    tokens,
    token_strs: null,
  });
  assert.deepEqual(await post("/v1/tokenize", { content: text }), { tokens });
  assert.deepEqual(await post("/tokenize", { content: "é", with_pieces: true }), {
    tokens: [
      { id: 0xc3, piece: [0xc3] },
      { id: 0xa9, piece: [0xa9] },
    ],
  });
  const strings = (await post("/tokenize", { prompt: "ab", return_token_strs: true })) as {
    token_strs: string[];
  };
  assert.deepEqual(strings.token_strs, ["a", "b"]);
  const chat = (await post("/tokenize", { messages: [{ role: "user", content: "a" }] })) as { count: number };
  assert.equal(chat.count, Buffer.byteLength('user: "a"\n'));
  assert.deepEqual(await post("/detokenize", { tokens }), { prompt: text, content: text });
});

test("tokenizer routes refuse what they cannot read", async (t) => {
  const { app } = await createTestServer(t);
  const cases: [string, object, number][] = [
    ["/tokenize", {}, 400],
    ["/tokenize", { prompt: 5 }, 400],
    ["/tokenize", { prompt: "a", model: "other" }, 404],
    ["/tokenize", { messages: [] }, 400],
    ["/detokenize", {}, 400],
    ["/detokenize", { tokens: [-1] }, 400],
    ["/detokenize", { tokens: [263] }, 400],
    ["/detokenize", { tokens: ["a"] }, 400],
    ["/abort_requests", { request_ids: "a" }, 400],
  ];
  for (const [url, payload, status] of cases) {
    const response = await app.inject({ method: "POST", url, payload });
    assert.equal(response.statusCode, status, `${url} ${JSON.stringify(payload)}`);
  }
});

test("the OpenAPI document names every endpoint once", async (t) => {
  const { app } = await createTestServer(t);
  const document = (await app.inject({ url: "/openapi.json" })).json<{
    openapi: string;
    paths: Record<string, Record<string, { requestBody?: object; security?: object[] }>>;
  }>();
  assert.equal(document.openapi, "3.1.0");
  const paths = Object.keys(document.paths);
  for (const path of [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/models",
    "/v1/models/{id}",
    "/v1/ws",
    "/health",
    "/metrics",
    "/tokenize",
  ]) {
    assert.ok(paths.includes(path), path);
  }
  assert.ok(!paths.includes("/chat/completions"));
  const chat = document.paths["/v1/chat/completions"]?.["post"];
  assert.ok(chat?.requestBody !== undefined && chat.security === undefined);
  assert.deepEqual(document.paths["/health"]?.["get"]?.security, []);
});

test("the OpenAPI document shows the limits that were configured", async (t) => {
  const { app } = await createTestServer(t, { config: { maxNumStopStrings: 4, maxNumSequences: 32 } });
  interface Body {
    properties: {
      stop: { anyOf: { type: string; maxItems?: number }[] };
      prompt?: { description: string };
    };
  }
  const { paths } = (await app.inject({ url: "/openapi.json" })).json<{
    paths: Record<string, { post: { requestBody: { content: { "application/json": { schema: Body } } } } }>;
  }>();
  for (const path of ["/v1/completions", "/v1/chat/completions"]) {
    const { stop, prompt } = paths[path]!.post.requestBody.content["application/json"].schema.properties;
    assert.deepEqual(
      stop.anyOf.map(({ type, maxItems }) => [type, maxItems]),
      [
        ["string", undefined],
        ["array", 4],
      ],
    );
    if (path === "/v1/completions") assert.match(prompt!.description, /up to 32 of/);
  }
  for (const [numStops, status] of [
    [4, 200],
    [5, 400],
  ] as const) {
    const stop = Array.from({ length: numStops }, (_, index) => `s${index}`);
    for (const [url, payload] of [
      ["/v1/completions", { prompt: "a", stop }],
      ["/v1/chat/completions", { messages: [{ role: "user", content: "a" }], stop }],
    ] as const) {
      const answer = await app.inject({ method: "POST", url, payload });
      assert.equal(answer.statusCode, status, `${url} ${numStops}`);
    }
  }
});

test("the model's card", async (t) => {
  const { app } = await createTestServer(t);
  const { data } = (await app.inject({ url: "/v1/models" })).json<{ data: Record<string, unknown>[] }>();
  assert.equal(data.length, 1);
  assert.equal(data[0]?.["id"], servedModel);
  assert.equal(data[0]?.["max_model_len"], 512);
  for (const id of ["test/model", "test%2Fmodel"]) {
    assert.equal((await app.inject({ url: `/v1/models/${id}` })).statusCode, 200);
  }
  assert.equal((await app.inject({ url: `/v1/models/${"x".repeat(900)}` })).statusCode, 404);
});
