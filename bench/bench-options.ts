import { InvalidArgumentError, Option, type Command } from "commander";

import type { Api } from "./load/load-options.ts";
import { above, atLeast, share, wholeAtLeast } from "./option-numbers.ts";

import { LOAD_SHAPE_HELP } from "./load/load-shape.ts";
import { SLO_HELP } from "./measure/slo.ts";
import { LENGTH_HELP } from "./workloads/length-distribution.ts";
import { TENANT_HELP } from "./workloads/tenants.ts";
import { WORKLOAD_NAMES } from "./workloads/workload-options.ts";

export const APIS: readonly Api[] = ["chat", "completions", "websocket", "embeddings"];

/** Option values as commander gives them; `benchConfig` makes a BenchConfig of them. */
export interface BenchOptionValues {
  url: string;
  api: Api;
  model?: string;
  key?: string;
  concurrency?: number;
  rate?: number;
  burstiness: number;
  shape?: string;
  requests?: number;
  duration?: number;
  warmup: number;
  cooldown: number;
  rampUp: number;
  drain: number;
  timeout: number;
  repeat: number;
  workers?: number;
  workload: (typeof WORKLOAD_NAMES)[number];
  inputTokens?: string;
  outputTokens?: string;
  file?: string;
  scaleLength: number;
  scaleTime: number;
  maxInputTokens?: number;
  maxOutputTokens?: number;
  prefixTokens: number;
  prefixes: number;
  turns: number;
  think: number;
  intruderEvery: number;
  intruderTokens: number;
  tenant: string[];
  schema?: string;
  cancelShare: number;
  slowShare: number;
  slowReadMs: number;
  temperature?: number;
  ignoreEos: boolean;
  extraBody?: string;
  countTokens: "usage" | "logprobs" | "chunks";
  calibrate: boolean;
  slo?: string;
  seed: number;
  textSeed?: number;
  maxLag: number;
  /** Shown while it runs. */
  live: boolean;
  /** Of the commands that write vLLM's arrays, the replies' text among them. */
  detailed?: boolean;
}

const append = (text: string, previous: string[]): string[] => [...previous, text];

/** Everything that describes target, load and workload; shared by all bench commands. */
export function addBenchOptions(command: Command): Command {
  addTargetOptions(command);
  addLoadOptions(command);
  addWorkloadOptions(command);
  return command
    .optionsGroup("What is measured:")
    .option("--slo <limits>", `what a good request is, for goodput: ${SLO_HELP}`)
    .option(
      "--count-tokens <how>",
      "tokens per chunk from 'usage' (continuous_usage_stats), 'logprobs' or 'chunks' (one each)",
      choice("usage", "logprobs", "chunks"),
      "usage",
    )
    .option(
      "--max-lag <ms>",
      "warn when 1 % of the requests left later than this after their time",
      above(0),
      5,
    )
    .option("--seed <n>", "seed of arrivals, lengths and order", wholeAtLeast(0), 1)
    .option(
      "--text-seed <n>",
      "seed of the prompts' words (default: new words every time, so that no prefix cache remembers them)",
      wholeAtLeast(0),
    )
    .optionsGroup("Output:")
    .option("--no-live", "no view while it runs");
}

function choice(...allowed: string[]) {
  return (text: string): string => {
    if (!allowed.includes(text)) throw new InvalidArgumentError(`allowed: ${allowed.join(", ")}.`);
    return text;
  };
}

function addTargetOptions(command: Command): void {
  command
    .optionsGroup("Server:")
    .option("--url <url>", "address of the server, with or without /v1", "http://127.0.0.1:8000")
    .addOption(new Option("--api <api>", "endpoint to load").choices(APIS).default("chat"))
    .option("--model <name>", "model to ask for (default: the first one listed by /v1/models)")
    .addOption(new Option("--key <key>", "API key").env("HEADWAY_BENCH_KEY"))
    .option("--timeout <seconds>", "give a request up after this time", above(0), 600)
    .option("--temperature <t>", "sampling temperature (default: the server's)", atLeast(0))
    .option(
      "--no-ignore-eos",
      "let the model end its output early (default: asks for the full length with ignore_eos)",
    )
    .option("--extra-body <json>", "JSON object merged into every request")
    .option("--no-calibrate", "do not measure tokens per word with two first requests");
}

function addLoadOptions(command: Command): void {
  command
    .optionsGroup("Load:")
    .option(
      "--concurrency <n>",
      "closed loop: clients that send one request after another; with --rate: most requests in flight",
      wholeAtLeast(1),
    )
    .option(
      "--rate <r>",
      "open loop: requests (conversations) per second, whatever the server does",
      above(0),
    )
    .option(
      "--burstiness <b>",
      "shape of the gamma-distributed gaps: 1 Poisson, below 1 bursts, inf evenly spaced",
      above(0),
      1,
    )
    .option("--shape <shape>", `open loop with changing rate: ${LOAD_SHAPE_HELP}`)
    .option(
      "--requests <n>",
      "number of requests (default: 100 where no --duration is given)",
      wholeAtLeast(1),
    )
    .option("--duration <seconds>", "send for this long", above(0))
    .option("--warmup <seconds>", "leave requests due in the first seconds out of the results", atLeast(0), 0)
    .option(
      "--cooldown <seconds>",
      "leave requests due in the last seconds out (with --duration)",
      atLeast(0),
      0,
    )
    .option("--ramp-up <seconds>", "closed loop: start the clients over this time", atLeast(0), 0)
    .option("--drain <seconds>", "wait this long for running requests at the end", atLeast(0), 60)
    .option(
      "--repeat <n>",
      "runs with other seeds; intervals then come from the differences between runs",
      wholeAtLeast(1),
      1,
    )
    .option("--workers <n>", "load processes (default: one, more for rates above 200/s)", wholeAtLeast(1))
    .option("--cancel-share <share>", "share of requests that break off at a random point", share, 0)
    .option("--slow-share <share>", "share of requests whose client reads slowly", share, 0)
    .option("--slow-read-ms <ms>", "pause of a slow client after each read", atLeast(1), 250);
}

function addWorkloadOptions(command: Command): void {
  command
    .optionsGroup("Workload:")
    .addOption(new Option("--workload <name>", "kind of requests").choices(WORKLOAD_NAMES).default("random"))
    .option("--input-tokens <length>", `prompt length: ${LENGTH_HELP} (default: 128; lognormal 100~1.2)`)
    .option("--output-tokens <length>", "output length, same forms (default: 64; lognormal 130~0.9)")
    .option(
      "--file <path>",
      "trace (own JSONL, Azure CSV, Mooncake JSONL; may be .gz) or prompts (text, JSONL, ShareGPT JSON)",
    )
    .option("--scale-length <factor>", "trace: multiply all lengths", above(0), 1)
    .option("--scale-time <factor>", "trace: multiply all times (2 = half the rate)", above(0), 1)
    .option("--max-input-tokens <n>", "cut longer prompts", wholeAtLeast(1))
    .option("--max-output-tokens <n>", "cut longer outputs", wholeAtLeast(1))
    .option("--prefix-tokens <n>", "shared-prefix: length of a prefix", wholeAtLeast(1), 512)
    .option("--prefixes <n>", "shared-prefix: number of prefixes", wholeAtLeast(1), 8)
    .option("--turns <n>", "multi-turn: requests in a conversation", wholeAtLeast(1), 4)
    .option("--think <seconds>", "multi-turn: pause between turns", atLeast(0), 0)
    .option("--intruder-every <n>", "intruder: every n-th request is long", wholeAtLeast(1), 8)
    .option("--intruder-tokens <n>", "intruder: length of the long prompt", wholeAtLeast(1), 1500)
    .option("--tenant <tenant>", `a tenant, may be repeated: ${TENANT_HELP}`, append, [])
    .option("--schema <path>", "JSON schema that every output must follow");
}
