import type { Registry } from "prom-client";
import type { SchedulerStats } from "../../scheduler/contracts.ts";
import type { Engine, QueueState } from "../engine/generation.ts";
import { pull } from "./pulled-gauge.ts";

const read: Readonly<Record<string, readonly [help: string, value: (stats: SchedulerStats) => number]>> = {
  "vllm:num_requests_running": ["Sequences in the batch", (stats) => stats.numRunning],
  "vllm:num_requests_waiting": ["Sequences waiting for a place", (stats) => stats.numWaiting],
  "vllm:kv_cache_usage_perc": ["Share of KV blocks in use, 0 to 1", kvUsage],
  headway_queue_tokens: ["Prompt tokens of waiting sequences", (stats) => stats.numWaitingTokens],
};

const readFromQueue: Readonly<
  Record<string, readonly [help: string, milliseconds: (queue: QueueState) => number]>
> = {
  headway_queue_oldest_seconds: ["How long the oldest request has waited", (queue) => queue.oldestMs],
  headway_predicted_wait_seconds: [
    "Predicted time until all that waits has started",
    (queue) => queue.predictedWaitMs,
  ],
};

const blockStates = ["free", "cached", "used"] as const;

/** What is true of the engine at the moment of a scrape; nothing is computed in between. */
export function registerEngineGauges(registry: Registry, engine: Engine): void {
  for (const [name, [help, value]] of Object.entries(read)) {
    pull(registry, { name, help, collect: (gauge) => gauge.set(value(engine.stats())) });
  }
  for (const [name, [help, milliseconds]] of Object.entries(readFromQueue)) {
    pull(registry, { name, help, collect: (gauge) => gauge.set(milliseconds(engine.queue()) / 1000) });
  }
  pull(registry, {
    name: "headway_last_step_age_seconds",
    help: "Time since a step last finished while work waits",
    collect: (gauge) => gauge.set(engine.lastStepAgeMs() / 1000),
  });
  pull(registry, {
    name: "vllm:num_requests_waiting_by_reason",
    help: "Sequences waiting, by reason",
    labelNames: ["reason"],
    collect: (gauge) => {
      gauge.set({ reason: "capacity" }, engine.stats().numWaiting);
      gauge.set({ reason: "deferred" }, 0);
    },
  });
  pull(registry, {
    name: "headway_kv_blocks",
    help: "KV blocks by state; free, cached and used make up the pool",
    labelNames: ["state"],
    collect: (gauge) => {
      const { blocks } = engine.stats();
      for (const state of blockStates) gauge.set({ state }, blocks[state]);
    },
  });
  pull(registry, {
    name: "headway_kv_host_blocks",
    help: "KV blocks that host memory may hold, by state",
    labelNames: ["state"],
    collect: (gauge) => {
      const { total, used } = engine.stats().hostBlocks;
      gauge.set({ state: "free" }, total - used);
      gauge.set({ state: "used" }, used);
    },
  });
  pull(registry, {
    name: "headway_kv_disk_blocks",
    help: "KV blocks in files on disk, those included that host memory has too",
    collect: (gauge) => gauge.set(engine.stats().numDiskBlocks),
  });
}

/** The configuration as labels of a gauge that is always 1; absent until the model is loaded. */
export function registerCacheConfig(registry: Registry, engine: Engine): void {
  pull(registry, {
    name: "vllm:cache_config_info",
    help: "Configuration of the KV cache",
    labelNames: [
      "engine",
      "block_size",
      "num_gpu_blocks",
      "cache_dtype",
      "enable_prefix_caching",
      "gpu_memory_utilization",
    ],
    collect: (gauge) => {
      const pool = engine.model?.kvPool;
      if (pool === undefined) return;
      gauge.reset();
      gauge.set(
        {
          engine: "0",
          block_size: pool.blockSize,
          num_gpu_blocks: pool.numBlocks,
          cache_dtype: pool.cacheTypeK,
          enable_prefix_caching: "True",
          gpu_memory_utilization: "None",
        },
        1,
      );
    },
  });
}

/** Routers of the Gateway API Inference Extension expect it of every pod; there are no adapters to name. */
export function registerLoraInfo(registry: Registry): void {
  const labels = { max_lora: "0", waiting_lora_adapters: "", running_lora_adapters: "" };
  pull(registry, {
    name: "vllm:lora_requests_info",
    help: "LoRA adapters in use; the value is the Unix time",
    labelNames: ["max_lora", "waiting_lora_adapters", "running_lora_adapters"],
    collect: (gauge) => gauge.set(labels, Math.floor(Date.now() / 1000)),
  });
}

/** Cached blocks count as room, since they are given up when needed. */
function kvUsage({ blocks }: SchedulerStats): number {
  return blocks.total === 0 ? 0 : blocks.used / blocks.total;
}
