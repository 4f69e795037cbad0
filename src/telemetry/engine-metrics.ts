import { Counter, Histogram } from "prom-client";
import type { Registry } from "prom-client";
import type { FinishReason, SchedulerStats } from "../../scheduler/contracts.ts";
import type { EngineObserver, FinishedRequest } from "../engine/observer.ts";
import type { StepTimes } from "../engine/protocol.ts";
import * as buckets from "./buckets.ts";
import { pull } from "./pulled-gauge.ts";
import { TenantMetrics } from "./tenant-metrics.ts";

const finishReasons: readonly FinishReason[] = ["stop", "length", "abort", "error"];

/** Why requests are refused. */
const refusalReasons = [
  "queue_requests",
  "queue_tokens",
  "predicted_wait",
  "tenant_queue",
  "deadline",
  "loading",
  "draining",
  "engine_unavailable",
  "other",
] as const;

/** Of refusals without a reason of their own, by the code that the client saw. */
const reasonOfCode: Readonly<Record<string, string>> = {
  overloaded: "queue_requests",
  model_loading: "loading",
  shutting_down: "draining",
};

const knownReasons: ReadonlySet<string> = new Set(refusalReasons);

/** Counters that the scheduler keeps; they start again at 0 with each engine process. */
const scheduledCounters = {
  numGeneratedTokens: ["vllm:generation_tokens_total", "Tokens generated"],
  numPrefixQueryTokens: ["vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache"],
  numPrefixHitTokens: ["vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache"],
} as const;

/** Counters that are shown by kind. */
type CacheCounter =
  | "numPreemptions"
  | "numParks"
  | "numPrefixHitTokens"
  | "numHostHitTokens"
  | "numDiskHitTokens";

type ScheduledCounter = keyof typeof scheduledCounters;
type RequestTimes = Record<"e2e" | "queue" | "inference" | "prefill" | "decode", Histogram>;

/** What the engine does, under vLLM's names. One observation is about a microsecond. */
export class EngineMetrics implements EngineObserver {
  readonly #registry: Registry;
  readonly #scheduled: Record<ScheduledCounter, Counter>;
  readonly #accepted: Counter;
  readonly #closed: Counter<"outcome">;
  readonly #refused: Counter<"reason">;
  readonly #preempted: Counter;
  readonly #preemptions: Counter<"mode">;
  readonly #hitTokens: Counter<"tier">;
  readonly #restarts: Counter;
  readonly #success: Counter<"finished_reason">;
  readonly #promptTokens: Counter;
  readonly #promptTokensCached: Counter;
  readonly #promptTokensBySource: Counter<"source">;
  readonly #ttft: Histogram;
  readonly #itl: Histogram;
  readonly #tpot: Histogram;
  readonly #iterationTokens: Histogram;
  readonly #batchSequences: Histogram;
  readonly #stepSeconds: Histogram<"phase">;
  readonly #times: RequestTimes;
  readonly #sizes: Record<
    "prompt" | "generated" | "maxGenerated" | "maxTokens" | "prefilled" | "choices",
    Histogram
  >;
  readonly #tenants: TenantMetrics;
  #numThreads = 0;
  #numAccepted = 0;
  #numClosed = 0;
  #lastStats: SchedulerStats | null = null;

  constructor(registry: Registry) {
    this.#registry = registry;
    this.#tenants = new TenantMetrics(registry);
    this.#scheduled = {
      numGeneratedTokens: this.#counter(...scheduledCounters.numGeneratedTokens),
      numPrefixQueryTokens: this.#counter(...scheduledCounters.numPrefixQueryTokens),
      numPrefixHitTokens: this.#counter(...scheduledCounters.numPrefixHitTokens),
    };
    this.#accepted = this.#counter("headway_requests_accepted_total", "Requests given to the engine");
    this.#closed = this.#labelled("headway_requests_closed_total", "Accepted requests that have ended", {
      outcome: ["finished", "aborted", "failed"],
    });
    this.#refused = this.#labelled("headway_admission_rejections_total", "Requests refused before they ran", {
      reason: refusalReasons,
    });
    this.#preempted = this.#counter("vllm:num_preemptions_total", "Sequences pushed out of the KV cache");
    this.#preemptions = this.#labelled(
      "headway_preemptions_total",
      "Sequences pushed out of the KV cache, by how they come back: computed again, or copied from host memory",
      { mode: ["recompute", "swap"] },
    );
    this.#hitTokens = this.#labelled(
      "headway_prefix_cache_hit_tokens_total",
      "Tokens found in the prefix cache, by the memory they were in",
      { tier: ["pool", "host", "disk"] },
    );
    this.#restarts = this.#counter("headway_engine_restarts_total", "Engine processes started after a crash");
    this.#success = this.#labelled("vllm:request_success_total", "Choices ended, by reason", {
      finished_reason: finishReasons,
    });
    this.#promptTokens = this.#counter("vllm:prompt_tokens_total", "Prompt tokens of requests that ran");
    this.#promptTokensCached = this.#counter("vllm:prompt_tokens_cached_total", "Prompt tokens not computed");
    this.#promptTokensBySource = this.#labelled(
      "vllm:prompt_tokens_by_source_total",
      "Origin of prompt tokens",
      {
        source: ["local_compute", "local_cache_hit", "external_kv_transfer"],
      },
    );
    this.#ttft = this.#histogram("vllm:time_to_first_token_seconds", buckets.ttftSeconds);
    this.#itl = this.#histogram("vllm:inter_token_latency_seconds", buckets.itlSeconds);
    this.#tpot = this.#histogram("vllm:request_time_per_output_token_seconds", buckets.itlSeconds);
    this.#iterationTokens = this.#histogram("vllm:iteration_tokens_total", buckets.iterationTokens);
    this.#batchSequences = this.#histogram("headway_batch_sequences", buckets.batchSequences);
    this.#stepSeconds = this.#phaseHistogram();
    this.#times = this.#createTimes();
    this.#sizes = {
      prompt: this.#histogram("vllm:request_prompt_tokens", buckets.requestTokens),
      generated: this.#histogram("vllm:request_generation_tokens", buckets.requestTokens),
      maxGenerated: this.#histogram("vllm:request_max_num_generation_tokens", buckets.requestTokens),
      maxTokens: this.#histogram("vllm:request_params_max_tokens", buckets.requestTokens),
      prefilled: this.#histogram("vllm:request_prefill_kv_computed_tokens", buckets.requestTokens),
      choices: this.#histogram("vllm:request_params_n", buckets.numChoices),
    };
    this.#registerGauges();
  }

  onAccepted(): void {
    this.#numAccepted += 1;
    this.#accepted.inc();
  }

  onRefused(reason: string): void {
    const known = knownReasons.has(reason) ? reason : reasonOfCode[reason];
    this.#refused.inc({ reason: known ?? "other" });
  }

  onFirstToken(ttftMs: number): void {
    this.#ttft.observe(seconds(ttftMs));
  }

  onTokenGaps(gapsMs: readonly number[]): void {
    for (const gapMs of gapsMs) this.#itl.observe(seconds(gapMs));
  }

  onStep(times: StepTimes, stats: SchedulerStats): void {
    this.#iterationTokens.observe(times.numDecodeRows + times.numPrefillTokens);
    if (times.numDecodeRows > 0) this.#batchSequences.observe(times.numDecodeRows);
    this.#stepSeconds.observe({ phase: "schedule" }, seconds(times.scheduleMs));
    this.#stepSeconds.observe({ phase: "execute" }, seconds(times.executeMs));
    this.#stepSeconds.observe({ phase: "update" }, seconds(times.updateMs));
    for (const key of Object.keys(this.#scheduled) as ScheduledCounter[]) {
      this.#scheduled[key].inc(growth(this.#lastStats?.[key] ?? 0, stats[key]));
    }
    this.#observeCache(this.#lastStats, stats);
    this.#lastStats = stats;
  }

  #observeCache(before: SchedulerStats | null, now: SchedulerStats): void {
    const grown = (key: CacheCounter): number => growth(before?.[key] ?? 0, now[key]);
    this.#preemptions.inc({ mode: "swap" }, grown("numParks"));
    this.#preemptions.inc({ mode: "recompute" }, grown("numPreemptions") - grown("numParks"));
    this.#hitTokens.inc({ tier: "disk" }, grown("numDiskHitTokens"));
    this.#hitTokens.inc({ tier: "host" }, grown("numHostHitTokens") - grown("numDiskHitTokens"));
    this.#hitTokens.inc({ tier: "pool" }, grown("numPrefixHitTokens") - grown("numHostHitTokens"));
  }

  onPreempted(): void {
    this.#preempted.inc();
  }

  onEngineRestart(): void {
    this.#restarts.inc();
    // The next process counts from 0; two of its counters must not be measured by different processes.
    this.#lastStats = null;
  }

  onThreads(numThreads: number): void {
    this.#numThreads = numThreads;
  }

  onFinished(request: FinishedRequest): void {
    this.#numClosed += 1;
    this.#tenants.onFinished(request);
    this.#closed.inc({ outcome: outcomeOf(request.finishReasons) });
    for (const reason of request.finishReasons) this.#success.inc({ finished_reason: reason });
    this.#sizes.choices.observe(request.numChoices);
    this.#sizes.maxTokens.observe(request.maxTokens);
    this.#times.e2e.observe(seconds(request.e2eMs));
    this.#times.queue.observe(seconds(request.queueMs));
    // Others never left the queue and would drag the figures to 0.
    if (request.prefillMs > 0 || request.ttftMs !== null) this.#observeRun(request);
  }

  #observeRun(request: FinishedRequest): void {
    const numComputed = request.numPromptTokens - request.numCachedTokens;
    this.#promptTokens.inc(request.numPromptTokens);
    this.#promptTokensCached.inc(request.numCachedTokens);
    this.#promptTokensBySource.inc({ source: "local_compute" }, numComputed);
    this.#promptTokensBySource.inc({ source: "local_cache_hit" }, request.numCachedTokens);
    this.#sizes.prompt.observe(request.numPromptTokens);
    this.#sizes.prefilled.observe(numComputed);
    this.#sizes.generated.observe(request.numGeneratedTokens);
    this.#sizes.maxGenerated.observe(request.maxNumGeneratedTokens);
    this.#times.inference.observe(seconds(request.prefillMs + request.decodeMs));
    this.#times.prefill.observe(seconds(request.prefillMs));
    this.#times.decode.observe(seconds(request.decodeMs));
    if (request.tpotMs !== null) this.#tpot.observe(seconds(request.tpotMs));
  }

  #createTimes(): RequestTimes {
    return {
      e2e: this.#histogram("vllm:e2e_request_latency_seconds", buckets.latencySeconds),
      queue: this.#histogram("vllm:request_queue_time_seconds", buckets.latencySeconds),
      inference: this.#histogram("vllm:request_inference_time_seconds", buckets.latencySeconds),
      prefill: this.#histogram("vllm:request_prefill_time_seconds", buckets.latencySeconds),
      decode: this.#histogram("vllm:request_decode_time_seconds", buckets.latencySeconds),
    };
  }

  #registerGauges(): void {
    pull(this.#registry, {
      name: "headway_engine_threads",
      help: "Threads that the engine computes with",
      collect: (gauge) => gauge.set(this.#numThreads),
    });
    pull(this.#registry, {
      name: "headway_requests_in_flight",
      help: "Requests accepted and not ended: accepted = finished + aborted + failed + these",
      collect: (gauge) => gauge.set(this.#numAccepted - this.#numClosed),
    });
  }

  #counter(name: string, help: string): Counter {
    return new Counter({ name, help, registers: [this.#registry] });
  }

  /** A counter with one label, all of whose values exist from the start. */
  #labelled<Label extends string>(
    name: string,
    help: string,
    values: Readonly<Record<Label, readonly string[]>>,
  ): Counter<Label> {
    const [label, known] = Object.entries<readonly string[]>(values)[0] as [Label, readonly string[]];
    const counter = new Counter<Label>({ name, help, labelNames: [label], registers: [this.#registry] });
    for (const value of known) counter.inc({ [label]: value } as Record<Label, string>, 0);
    return counter;
  }

  #histogram(name: string, bounds: readonly number[]): Histogram {
    const help = `Histogram of ${name.replace(/^\w+:|^headway_/, "").replaceAll("_", " ")}`;
    return new Histogram({ name, help, buckets: [...bounds], registers: [this.#registry] });
  }

  #phaseHistogram(): Histogram<"phase"> {
    const histogram = new Histogram<"phase">({
      name: "headway_step_seconds",
      help: "Time of one engine step, by phase",
      labelNames: ["phase"],
      buckets: buckets.stepSeconds,
      registers: [this.#registry],
    });
    for (const phase of ["schedule", "execute", "update"]) histogram.zero({ phase });
    return histogram;
  }
}

function outcomeOf(reasons: readonly FinishReason[]): string {
  if (reasons.includes("error")) return "failed";
  return reasons.includes("abort") ? "aborted" : "finished";
}

/** A counter that fell has started again from 0. */
function growth(before: number, after: number): number {
  return after >= before ? after - before : after;
}

/** A clock that is read in two processes may run backwards by a hair. */
function seconds(milliseconds: number): number {
  return Math.max(0, milliseconds) / 1000;
}
