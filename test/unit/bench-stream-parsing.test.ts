import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as chunk from "../../bench/load/chunk-scanner.ts";
import type { TokenCounting } from "../../bench/load/load-options.ts";
import type { ScheduledRequest } from "../../bench/load/request.ts";
import { RequestError, RequestRecorder } from "../../bench/load/request-recorder.ts";
import { SseSplitter } from "../../bench/load/sse-splitter.ts";

const bytes = (value: unknown): Buffer =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const chat = (delta: object, rest: object = {}): Buffer =>
  bytes({ choices: [{ index: 0, delta, finish_reason: null }], ...rest });

function split(...parts: string[]): string[] {
  const splitter = new SseSplitter();
  const payloads: string[] = [];
  for (const part of parts) splitter.feed(Buffer.from(part), (payload) => payloads.push(payload.toString()));
  return payloads;
}

describe("the SSE splitter", () => {
  it("finds data lines whatever the line ends, and skips the rest", () => {
    assert.deepEqual(
      split("data: a\n\ndata:b\r\n\r\n: ping\n\nevent: x\ndata: c\nid: 7\n\nevent: empty\n\n"),
      ["a", "b", "c"],
    );
  });

  it("waits for the end of an event", () => {
    assert.deepEqual(split("data: on", "e\n", "\nda", "ta: two\n\ndata: unfinished"), ["one", "two"]);
  });
});

describe("the chunk scanner", () => {
  it("sees text in the fields that readers see, and not in empty or quoted ones", () => {
    assert.equal(chunk.hasText(chat({ content: "x" })), true);
    assert.equal(chunk.hasText(chat({ reasoning_content: "x" })), true);
    assert.equal(chunk.hasText(chat({ tool_calls: [{ function: { arguments: "{" } }] })), true);
    assert.equal(chunk.hasText(bytes({ choices: [{ text: "x" }] })), true);
    assert.equal(chunk.hasText(bytes('{"choices":[{"delta":{"content": "x"}}]}')), true);
    assert.equal(chunk.hasText(chat({ role: "assistant", content: "" })), false);
    assert.equal(chunk.hasText(chat({ content: null })), false);
    assert.equal(chunk.hasText(chat({ role: '"content":"x"' })), false);
  });

  it("skips empty text fields before a filled one", () => {
    assert.equal(chunk.hasText(chat({ content: "" }, { logprobs: { content: "x" } })), true);
  });

  it("reads counts, ends and errors", () => {
    assert.equal(
      chunk.completionTokens(chat({}, { usage: { completion_tokens: 123, total_tokens: 5 } })),
      123,
    );
    assert.equal(chunk.completionTokens(chat({}, { usage: null })), -1);
    assert.equal(chunk.finishReason(bytes({ choices: [{ finish_reason: "stop" }] })), "stop");
    assert.equal(chunk.finishReason(chat({})), null);
    assert.equal(chunk.hasError(bytes({ error: { message: "x" } })), true);
    assert.equal(chunk.hasError(chat({}, { error: null })), false);
    assert.equal(chunk.isDone(bytes("[DONE]")), true);
  });

  it("counts the tokens listed in logprobs of both endpoints", () => {
    const tokens = [1, 2, 3].map((token) => ({ token: `${token}`, logprob: -1, top_logprobs: [] }));
    assert.equal(
      chunk.numTokensInLogprobs(
        bytes({ choices: [{ delta: { content: "abc" }, logprobs: { content: tokens } }] }),
      ),
      3,
    );
    assert.equal(
      chunk.numTokensInLogprobs(bytes({ choices: [{ logprobs: { token_logprobs: [-1, -2] } }] })),
      2,
    );
    assert.equal(chunk.numTokensInLogprobs(chat({ content: "x" })), 0);
  });
});

const REQUEST: ScheduledRequest = {
  index: 3,
  sessionIndex: 3,
  turn: 0,
  segments: [{ seed: 1, numTokens: 20 }],
  messages: null,
  maxTokens: 8,
  label: "all",
  tenant: { name: "a", key: null },
  schema: null,
  scheduledMs: 100,
  history: [],
  cancelAfterTokens: null,
  slowReader: false,
  captureText: true,
  keepText: false,
  slotWaitMs: 0,
};

function record(counting: TokenCounting, payloads: readonly Buffer[]) {
  const recorder = new RequestRecorder(REQUEST, counting, () => {});
  recorder.sent(101);
  recorder.headers(105, 200, "id-1");
  payloads.forEach((payload, index) => recorder.payload(payload, 110 + index * 10));
  return { recorder, made: recorder.finish(200, null, { worker: 2, cancelled: false }) };
}

const usage = (completion: number) => ({
  usage: { prompt_tokens: 21, completion_tokens: completion, prompt_tokens_details: { cached_tokens: 4 } },
});
const END = bytes({ choices: [{ delta: {}, finish_reason: "length" }] });

describe("the request recorder", () => {
  it("takes token counts from the running usage, hidden tokens included", () => {
    const { made, recorder } = record("usage", [
      chat({ role: "assistant", content: "" }, usage(0)),
      chat({ content: "a" }, usage(1)),
      chat({ content: "" }, usage(2)),
      chat({ content: "bcd" }, usage(5)),
      END,
    ]);
    assert.deepEqual(made.chunkTokens, [1, 4]);
    assert.deepEqual(made.chunkMs, [120, 140]);
    assert.equal(made.tokenCountSource, "continuous_usage");
    assert.deepEqual([made.promptTokens, made.cachedTokens, made.outputTokens], [21, 4, 5]);
    assert.deepEqual(
      [made.requestedInputTokens, made.tenant, made.worker, made.requestId],
      [20, "a", 2, "id-1"],
    );
    assert.equal(recorder.text(), "abcd");
  });

  it("counts a chunk as a token where only the end has usage, and corrects the total", () => {
    const { made } = record("usage", [
      chat({ content: "ab" }),
      chat({ content: "c" }),
      END,
      bytes({ choices: [], ...usage(3) }),
    ]);
    assert.deepEqual(made.chunkTokens, [1, 1]);
    assert.deepEqual([made.outputTokens, made.tokenCountSource], [3, "usage"]);
  });

  it("does not take a total that comes with the last text for a running count", () => {
    const { made } = record("usage", [
      chat({ content: "ab" }),
      chat({ content: "c" }),
      chat({ content: "d" }, usage(6)),
      END,
    ]);
    assert.deepEqual(made.chunkTokens, [1, 1, 1]);
    assert.deepEqual([made.outputTokens, made.tokenCountSource], [6, "usage"]);
  });

  it("finds the server's queue time, reported or derived from its prefill time", () => {
    const timings = bytes({ choices: [{ finish_reason: "length" }], timings: { prompt_ms: 4 } });
    // Sent at 101, first text at 110: 9 ms, of which 4 are prefill.
    const derived = record("usage", [
      chat({ content: "a" }),
      timings,
      bytes({ choices: [], ...usage(1) }),
    ]).made;
    assert.deepEqual([derived.serverQueueMs, derived.promptTokens], [5, 21]);
    const metrics = bytes({ choices: [], ...usage(1), metrics: { queue_time_ms: 2.5 } });
    assert.equal(record("usage", [chat({ content: "a" }), END, metrics]).made.serverQueueMs, 2.5);
    assert.equal(record("usage", [chat({ content: "a" }), END]).made.serverQueueMs, null);
  });

  it("names what went wrong", () => {
    assert.throws(() => record("usage", [bytes({ error: { message: "died" } })]), RequestError);
    assert.equal(record("usage", [chat({ content: "a" })]).made.errorKind, "incomplete");
    assert.equal(record("usage", [END]).made.errorKind, "empty");
    assert.equal(record("usage", [chat({ content: "a" }), END]).made.outcome, "ok");
  });
});
