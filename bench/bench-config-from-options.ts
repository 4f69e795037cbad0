import type { BenchConfig } from "./bench-config.ts";
import type { BenchOptionValues } from "./bench-options.ts";
import type { LoadOptions, TargetOptions } from "./load/load-options.ts";
import type { WorkloadOptions } from "./workloads/workload-options.ts";

import { parseLoadShape, type LoadShape } from "./load/load-shape.ts";
import { parseSlo } from "./measure/slo.ts";
import { EXAMPLE_SCHEMA } from "./workloads/example-schema.ts";
import { parseLength } from "./workloads/length-distribution.ts";
import { readText } from "./workloads/read-lines.ts";
import { DEFAULT_TENANTS, parseTenant } from "./workloads/tenants.ts";

const DEFAULT_REQUESTS = 100;
const DEFAULT_CONCURRENCY = 8;
/** One worker keeps its schedule to well above this; measured with bench/overhead.ts. */
const RATE_PER_WORKER = 200;
const DEFAULT_LENGTHS = { input: "128", output: "64" };
/** Close to the token counts of ShareGPT conversations: many short, a long tail. */
const LOGNORMAL_LENGTHS = { input: "100~1.2", output: "130~0.9" };
const UNLIMITED_TOKENS = 2 ** 31 - 1;

/** Makes a checked configuration of the options; throws RangeError for what does not fit together. */
export function benchConfig(
  options: BenchOptionValues,
  model: string,
  environment: NodeJS.ProcessEnv,
): BenchConfig {
  checkTimes(options);
  const workload = workloadOptions(options, environment);
  const load = loadOptions(options, workload);
  return {
    target: targetOptions(options, model),
    load,
    workload,
    slo: options.slo === undefined ? null : parseSlo(options.slo),
    warmupMs: options.warmup * 1000,
    cooldownMs: options.cooldown * 1000,
    numRuns: options.repeat,
    // A worker without a client of its own would add one to the number asked for.
    numWorkers: Math.min(options.workers ?? defaultWorkers(options), load.concurrency ?? Infinity),
    textSeed: options.textSeed ?? Math.floor(Math.random() * 2 ** 32),
    maxLagMs: options.maxLag,
    calibrate: options.calibrate,
  };
}

/** A window that holds nothing would end in an empty report after all the work. */
function checkTimes({ duration, warmup, cooldown, shape, rate }: BenchOptionValues): void {
  if (duration !== undefined && warmup + cooldown >= duration)
    throw new RangeError("--warmup and --cooldown leave nothing of --duration to measure");
  if (duration === undefined && cooldown > 0) throw new RangeError("--cooldown needs --duration");
  if (shape !== undefined && shape !== "steady" && rate !== undefined)
    throw new RangeError("--shape says the rate itself: leave --rate out");
}

function targetOptions(options: BenchOptionValues, model: string): TargetOptions {
  return {
    url: options.url,
    api: options.api,
    model,
    key: options.key ?? null,
    timeoutMs: options.timeout * 1000,
    counting: options.countTokens,
    ignoreEos: options.ignoreEos,
    temperature: options.temperature ?? null,
    extraBody: extraBody(options.extraBody),
  };
}

function extraBody(text: string | undefined): Record<string, unknown> {
  if (text === undefined) return {};
  const value: unknown = parseJson(text, "--extra-body");
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new RangeError("--extra-body: a JSON object is expected");
  }
  return value as Record<string, unknown>;
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RangeError(`${where}: ${(error as Error).message}`, { cause: error });
  }
}

function loadOptions(options: BenchOptionValues, workload: WorkloadOptions): LoadOptions {
  const shape = shapeOf(options);
  const isClosed = shape === null && !workload.useTraceTimes;
  const isEndless = options.requests === undefined && options.duration === undefined;
  return {
    shape,
    burstiness: options.burstiness,
    concurrency: options.concurrency ?? (isClosed ? DEFAULT_CONCURRENCY : null),
    maxRequests: options.requests ?? (isEndless && workload.name !== "trace" ? DEFAULT_REQUESTS : null),
    durationMs: options.duration === undefined ? null : options.duration * 1000,
    rampUpMs: options.rampUp * 1000,
    drainMs: options.drain * 1000,
    cancelShare: options.cancelShare,
    slowShare: options.slowShare,
    slowReadMs: options.slowReadMs,
    keepText: options.detailed ?? false,
    seed: options.seed,
  };
}

function shapeOf({ shape, rate }: BenchOptionValues): LoadShape | null {
  if (shape !== undefined) return parseLoadShape(shape, rate ?? null);
  return rate === undefined ? null : { kind: "steady", rate };
}

function workloadOptions(options: BenchOptionValues, environment: NodeJS.ProcessEnv): WorkloadOptions {
  const { workload: name } = options;
  const defaults = name === "lognormal" ? LOGNORMAL_LENGTHS : DEFAULT_LENGTHS;
  if ((name === "trace" || name === "prompts") && options.file === undefined) {
    throw new RangeError(`--workload ${name} needs --file`);
  }
  return {
    name,
    seed: options.seed,
    inputTokens: parseLength(options.inputTokens ?? defaults.input),
    outputTokens: parseLength(options.outputTokens ?? defaults.output),
    tenants: tenantsOf(options, environment),
    schema: schemaOf(options),
    prefixTokens: options.prefixTokens,
    numPrefixes: options.prefixes,
    turns: options.turns,
    thinkMs: options.think * 1000,
    intruderEvery: options.intruderEvery,
    intruderTokens: options.intruderTokens,
    file: options.file ?? null,
    scaleLength: options.scaleLength,
    scaleTime: options.scaleTime,
    maxInputTokens: options.maxInputTokens ?? UNLIMITED_TOKENS,
    maxOutputTokens: options.maxOutputTokens ?? UNLIMITED_TOKENS,
    useTraceTimes: name === "trace" && options.rate === undefined && options.shape === undefined,
  };
}

function tenantsOf({ tenant, workload }: BenchOptionValues, environment: NodeJS.ProcessEnv) {
  if (tenant.length > 0) return tenant.map((text) => parseTenant(text, environment));
  return workload === "tenants" ? DEFAULT_TENANTS : [];
}

function schemaOf({ schema, workload }: BenchOptionValues): object | null {
  if (schema !== undefined) return parseJson(readText(schema), schema) as object;
  return workload === "json-schema" ? EXAMPLE_SCHEMA : null;
}

function defaultWorkers({ rate, shape }: BenchOptionValues): number {
  const [rates = ""] = shape?.split("@") ?? [];
  const peak = Math.max(rate ?? 0, ...(rates.match(/\d+(\.\d+)?/g) ?? []).map(Number));
  return Math.max(1, Math.ceil(peak / RATE_PER_WORKER));
}
