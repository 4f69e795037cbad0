import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { configFromArguments } from "../../bench/config-from-arguments.ts";
import { endpointUrl, requestBody } from "../../bench/load/request-body.ts";
import type { ScheduledRequest } from "../../bench/load/request.ts";

const config = (text: string) =>
  configFromArguments(
    text.split(" ").filter((word) => word !== ""),
    "model",
  );
const target = (text: string) => config(text).target;

const REQUEST: ScheduledRequest = {
  index: 0,
  sessionIndex: 0,
  turn: 0,
  segments: [],
  messages: null,
  maxTokens: 9,
  label: "all",
  tenant: null,
  schema: null,
  scheduledMs: 0,
  history: [],
  cancelAfterTokens: null,
  slowReader: false,
  captureText: false,
  keepText: false,
  slotWaitMs: 0,
};

describe("request bodies", () => {
  it("stream with usage, at full length unless told otherwise", () => {
    assert.deepEqual(requestBody(target(""), REQUEST, "hi"), {
      model: "model",
      messages: [{ role: "user", content: "hi" }],
      max_tokens: 9,
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
      ignore_eos: true,
    });
    const plain = requestBody(target("--no-ignore-eos --count-tokens chunks --temperature 0"), REQUEST, "hi");
    assert.deepEqual(Object.entries(plain).slice(-2), [
      ["stream_options", { include_usage: true }],
      ["temperature", 0],
    ]);
  });

  it("never force the length of an output that must follow a schema", () => {
    const body = requestBody(target(""), { ...REQUEST, schema: { type: "object" } }, "hi");
    assert.equal("ignore_eos" in body, false);
    assert.equal("response_format" in body, true);
  });

  it("of completions hold the conversation as text, of embeddings only the input", () => {
    const history = [
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
    ];
    const completion = requestBody(target("--api completions"), { ...REQUEST, history }, "c");
    assert.equal((completion as { prompt: string }).prompt, "a\nb\nc");
    assert.deepEqual(requestBody(target("--api embeddings"), REQUEST, "c"), { model: "model", input: "c" });
  });

  it("take extra fields, which win", () => {
    const body = requestBody(target('--extra-body {"max_tokens":1,"top_k":5}'), REQUEST, "hi") as Record<
      string,
      unknown
    >;
    assert.deepEqual([body["max_tokens"], body["top_k"]], [1, 5]);
  });

  it("go to the same address with and without /v1", () => {
    for (const url of ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"]) {
      assert.equal(endpointUrl(target(`--url ${url}`)).href, "http://h:1/v1/chat/completions");
    }
    assert.equal(
      endpointUrl(target("--url https://h/openai/v1 --api embeddings")).href,
      "https://h/openai/v1/embeddings",
    );
  });
});

describe("a configuration", () => {
  it("is a bounded closed loop by default", () => {
    const { load, numWorkers } = config("");
    assert.deepEqual([load.shape, load.concurrency, load.maxRequests, load.durationMs], [null, 8, 100, null]);
    assert.equal(numWorkers, 1);
  });

  it("has workers for the rate, but never more than clients", () => {
    assert.equal(config("--rate 900").numWorkers, 5);
    assert.equal(config("--shape ramp:1-500@60").numWorkers, 3);
    assert.equal(config("--concurrency 2 --workers 8").numWorkers, 2);
  });

  it("replays a trace's own times unless a rate replaces them", () => {
    const replay = config("--workload trace --file x");
    assert.deepEqual(
      [replay.workload.useTraceTimes, replay.load.concurrency, replay.load.maxRequests],
      [true, null, null],
    );
    assert.equal(config("--workload trace --file x --rate 3").workload.useTraceTimes, false);
  });

  it("refuses what does not fit together", () => {
    for (const bad of [
      "--workload trace",
      "--workload prompts",
      "--extra-body [1]",
      "--extra-body {",
      "--slo fast",
    ]) {
      assert.throws(() => config(bad), RangeError, bad);
    }
  });
});
