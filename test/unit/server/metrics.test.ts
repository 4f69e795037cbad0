import assert from "node:assert/strict";
import { test } from "node:test";
import type { SchedulerStats } from "../../../scheduler/contracts.ts";
import type { FinishedRequest } from "../../../src/engine/observer.ts";
import { Telemetry } from "../../../src/telemetry/telemetry.ts";
import { FakeEngine } from "../../support/fake-engine.ts";

const model = 'model_name="m",engine="0"';

const finished = (overrides: Partial<FinishedRequest> = {}): FinishedRequest => ({
  tenantId: "",
  metTargets: null,
  finishReasons: ["stop"],
  numChoices: 1,
  maxTokens: 100,
  numPromptTokens: 30,
  numCachedTokens: 10,
  numGeneratedTokens: 5,
  maxNumGeneratedTokens: 5,
  ttftMs: 40,
  queueMs: 10,
  prefillMs: 30,
  decodeMs: 60,
  pausedMs: 0,
  e2eMs: 100,
  tpotMs: 15,
  ...overrides,
});

function stats(engine: FakeEngine, overrides: Partial<SchedulerStats>): SchedulerStats {
  return { ...engine.stats(), ...overrides };
}

const step = { scheduleMs: 1, executeMs: 20, updateMs: 2, numDecodeRows: 4, numPrefillTokens: 64 };

function createTelemetry() {
  const telemetry = new Telemetry("m");
  const engine = new FakeEngine();
  telemetry.watch(engine);
  const value = async (series: string) => {
    const line = (await telemetry.render())
      .split("\n")
      .find((candidate) => candidate.startsWith(`${series} `));
    assert.ok(line !== undefined, `there is no ${series}`);
    return Number(line.slice(series.length + 1));
  };
  return { telemetry, engine, value };
}

test("every series exists from the start, with 0", async () => {
  const { value } = createTelemetry();
  const series = [
    `vllm:num_requests_running{${model}}`,
    `vllm:num_requests_waiting{${model}}`,
    `vllm:num_requests_waiting_by_reason{reason="capacity",${model}}`,
    `vllm:kv_cache_usage_perc{${model}}`,
    `vllm:prefix_cache_queries_total{${model}}`,
    `vllm:prefix_cache_hits_total{${model}}`,
    `vllm:num_preemptions_total{${model}}`,
    `vllm:prompt_tokens_total{${model}}`,
    `vllm:generation_tokens_total{${model}}`,
    `vllm:prompt_tokens_by_source_total{source="local_cache_hit",${model}}`,
    ...["stop", "length", "abort", "error"].map(
      (reason) => `vllm:request_success_total{finished_reason="${reason}",${model}}`,
    ),
    ...[
      "time_to_first_token_seconds",
      "inter_token_latency_seconds",
      "request_time_per_output_token_seconds",
      "e2e_request_latency_seconds",
      "request_queue_time_seconds",
      "request_inference_time_seconds",
      "request_prefill_time_seconds",
      "request_decode_time_seconds",
      "request_prompt_tokens",
      "request_generation_tokens",
      "request_params_n",
      "request_params_max_tokens",
      "iteration_tokens_total",
    ].map((name) => `vllm:${name}_count{${model}}`),
    "vllm:websocket_connections_active",
    "headway_slow_clients",
  ];
  for (const name of series) assert.equal(await value(name), 0, name);
  assert.equal(
    await value(
      'vllm:cache_config_info{engine="0",block_size="16",num_gpu_blocks="64",cache_dtype="f16",enable_prefix_caching="True",gpu_memory_utilization="None"}',
    ),
    1,
  );
});

test("the text is well formed: one HELP and TYPE each, no series twice, counters end in _total", async () => {
  const { telemetry } = createTelemetry();
  telemetry.server.onHttpExchange({ handler: "/x", method: "GET", status: 200, durationMs: 1 });
  telemetry.engine.onStep(step, new FakeEngine().stats());
  const lines = (await telemetry.render()).split("\n").filter((line) => line !== "");
  const heads = lines.filter((line) => line.startsWith("#"));
  assert.equal(new Set(heads).size, heads.length);
  const series = lines
    .filter((line) => !line.startsWith("#"))
    .map((line) => line.slice(0, line.lastIndexOf(" ")));
  assert.equal(new Set(series).size, series.length);
  for (const head of heads.filter((line) => line.startsWith("# TYPE ") && line.endsWith(" counter"))) {
    assert.match(head.split(" ")[2] ?? "", /_total$|^process_cpu_|^nodejs_/);
  }
  for (const sample of lines.filter((line) => !line.startsWith("#"))) {
    assert.match(sample, /^[a-z_:][\w:]*(\{([\w]+="[^"]*",?)*\})? \S+$/i);
  }
});

test("vLLM's bucket bounds are all there", async () => {
  const { telemetry } = createTelemetry();
  const text = await telemetry.render();
  const bounds = {
    "vllm:time_to_first_token_seconds": [0.001, 0.08, 0.75, 7.5, 2560],
    "vllm:inter_token_latency_seconds": [0.01, 0.025, 0.075, 0.3, 80],
    "vllm:e2e_request_latency_seconds": [0.3, 1.5, 40, 7680],
    "vllm:iteration_tokens_total": [1, 8, 16384],
    "vllm:request_params_n": [1, 2, 5, 10, 20],
  };
  for (const [name, expected] of Object.entries(bounds)) {
    for (const bound of expected)
      assert.ok(text.includes(`${name}_bucket{le="${bound}",${model}} 0`), `${name} ${bound}`);
  }
});

test("accepted = finished + aborted + failed + in flight", async () => {
  const { telemetry, value } = createTelemetry();
  for (let index = 0; index < 5; index += 1) telemetry.engine.onAccepted();
  telemetry.engine.onFinished(finished({ finishReasons: ["stop", "length"] }));
  telemetry.engine.onFinished(finished({ finishReasons: ["stop", "abort"] }));
  telemetry.engine.onFinished(finished({ finishReasons: ["error"], ttftMs: null }));
  assert.equal(await value(`headway_requests_accepted_total{${model}}`), 5);
  for (const outcome of ["finished", "aborted", "failed"]) {
    assert.equal(await value(`headway_requests_closed_total{outcome="${outcome}",${model}}`), 1, outcome);
  }
  assert.equal(await value(`headway_requests_in_flight{${model}}`), 2);
  assert.equal(await value(`vllm:request_success_total{finished_reason="stop",${model}}`), 2);
  assert.equal(await value(`vllm:request_success_total{finished_reason="abort",${model}}`), 1);
});

test("a finished request is seen in seconds and tokens", async () => {
  const { telemetry, value } = createTelemetry();
  telemetry.engine.onFirstToken(40);
  telemetry.engine.onTokenGaps([10, 20, -0.5]);
  telemetry.engine.onFinished(finished());
  const sums = {
    time_to_first_token_seconds: 0.04,
    inter_token_latency_seconds: 0.03,
    request_time_per_output_token_seconds: 0.015,
    e2e_request_latency_seconds: 0.1,
    request_queue_time_seconds: 0.01,
    request_prefill_time_seconds: 0.03,
    request_decode_time_seconds: 0.06,
    request_inference_time_seconds: 0.09,
    request_prompt_tokens: 30,
    request_prefill_kv_computed_tokens: 20,
    request_generation_tokens: 5,
    request_max_num_generation_tokens: 5,
    request_params_max_tokens: 100,
  };
  for (const [name, sum] of Object.entries(sums)) {
    assert.ok(Math.abs((await value(`vllm:${name}_sum{${model}}`)) - sum) < 1e-9, name);
  }
  assert.equal(await value(`vllm:prompt_tokens_total{${model}}`), 30);
  assert.equal(await value(`vllm:prompt_tokens_by_source_total{source="local_compute",${model}}`), 20);
});

test("counters of the scheduler go on growing over an engine's death", async () => {
  const { telemetry, engine, value } = createTelemetry();
  for (const numGeneratedTokens of [10, 25, 4, 9]) {
    telemetry.engine.onStep(
      step,
      stats(engine, { numGeneratedTokens, numPrefixHitTokens: numGeneratedTokens }),
    );
  }
  assert.equal(await value(`vllm:generation_tokens_total{${model}}`), 34);
  assert.equal(await value(`vllm:prefix_cache_hits_total{${model}}`), 34);
  assert.equal(await value(`vllm:iteration_tokens_total_sum{${model}}`), 4 * 68);
});

test("preemptions and cache hits are told apart by where the blocks went", async () => {
  const { telemetry, engine, value } = createTelemetry();
  const counts = {
    numPreemptions: 5,
    numParks: 3,
    numPrefixHitTokens: 100,
    numHostHitTokens: 40,
    numDiskHitTokens: 15,
  };
  telemetry.engine.onStep(step, stats(engine, counts));
  telemetry.engine.onStep(step, stats(engine, { ...counts, numPreemptions: 6 }));
  assert.equal(await value(`headway_preemptions_total{mode="swap",${model}}`), 3);
  assert.equal(await value(`headway_preemptions_total{mode="recompute",${model}}`), 3);
  assert.equal(await value(`headway_prefix_cache_hit_tokens_total{tier="host",${model}}`), 25);
  assert.equal(await value(`headway_prefix_cache_hit_tokens_total{tier="disk",${model}}`), 15);
  assert.equal(await value(`headway_prefix_cache_hit_tokens_total{tier="pool",${model}}`), 60);
});

test("the first step of a new engine may hit more than the whole life of the last one", async () => {
  const { telemetry, engine, value } = createTelemetry();
  telemetry.engine.onStep(step, stats(engine, { numPrefixHitTokens: 16, numPreemptions: 2 }));
  telemetry.engine.onEngineRestart();
  const restored = { numPrefixHitTokens: 900, numHostHitTokens: 900, numDiskHitTokens: 900 };
  telemetry.engine.onStep(step, stats(engine, { ...restored, numPreemptions: 3, numParks: 3 }));
  const hits = (tier: string) => value(`headway_prefix_cache_hit_tokens_total{tier="${tier}",${model}}`);
  assert.deepEqual(await Promise.all(["pool", "host", "disk"].map(hits)), [16, 0, 900]);
  assert.equal(await value(`vllm:prefix_cache_hits_total{${model}}`), 916);
  assert.equal(await value(`headway_preemptions_total{mode="recompute",${model}}`), 2);
  assert.equal(await value(`headway_preemptions_total{mode="swap",${model}}`), 3);
});

test("label values are bounded, whatever clients send", async () => {
  const { telemetry, value } = createTelemetry();
  telemetry.server.onHttpExchange({ handler: "none", method: "PROPFIND", status: 404, durationMs: 1 });
  telemetry.engine.onRefused("some_new_code");
  assert.equal(await value('http_requests_total{handler="none",method="OTHER",status="404"}'), 1);
  assert.equal(await value(`headway_admission_rejections_total{reason="other",${model}}`), 1);
});
