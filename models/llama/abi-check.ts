import koffi from "koffi";
import {
  GgmlThreadPoolParams,
  LLAMA_VERSION,
  LlamaBatch,
  LlamaContextParams,
  LlamaModelParams,
} from "./abi.ts";
import type { GgmlFunctions, LlamaFunctions } from "./functions.ts";

/** Sizes on every 64-bit platform: the structs hold 4- and 8-byte fields, and booleans at the beginning or the end. */
const STRUCT_BYTES = [
  ["llama_model_params", LlamaModelParams, 80],
  ["llama_context_params", LlamaContextParams, 160],
  ["llama_batch", LlamaBatch, 56],
  ["ggml_threadpool_params", GgmlThreadPoolParams, 528],
] as const;

/** What src/llama-model.cpp, src/llama-context.cpp and ggml/src/ggml.c of LLAMA_VERSION return as defaults, in field order. */
const MODEL_DEFAULTS = {
  devices: null,
  tensor_buft_overrides: null,
  n_gpu_layers: -1,
  split_mode: 1,
  load_mode: -1,
  lazy_mode: 1,
  main_gpu: 0,
  tensor_split: null,
  progress_callback: null,
  progress_callback_user_data: null,
  kv_overrides: null,
  vocab_only: false,
  check_tensors: false,
  use_extra_bufts: true,
  no_host: false,
  no_alloc: false,
  load_mtp: false,
};

const CONTEXT_DEFAULTS = {
  n_ctx: 512,
  n_batch: 2048,
  n_ubatch: 512,
  n_seq_max: 1,
  n_rs_seq: 0,
  n_outputs_max: 0,
  n_outputs_max_per_seq: 1,
  n_threads: 4,
  n_threads_batch: 4,
  ctx_type: 0,
  rope_scaling_type: -1,
  pooling_type: -1,
  attention_type: -1,
  flash_attn_type: -1,
  rope_freq_base: 0,
  rope_freq_scale: 0,
  yarn_ext_factor: -1,
  yarn_attn_factor: -1,
  yarn_beta_fast: -1,
  yarn_beta_slow: -1,
  yarn_orig_ctx: 0,
  defrag_thold: -1,
  cb_eval: null,
  cb_eval_user_data: null,
  type_k: 1,
  type_v: 1,
  abort_callback: null,
  abort_callback_data: null,
  embeddings: false,
  offload_kqv: true,
  no_perf: true,
  op_offload: true,
  swa_full: true,
  kv_unified: false,
  samplers: null,
  n_samplers: 0,
  ctx_other: null,
};

const THREAD_POOL_DEFAULTS = { n_threads: 3, prio: 0, poll: 50, strict_cpu: false, paused: false };

/**
 * A library of another version reads our structs at wrong offsets and corrupts memory silently.
 * Returns what does not fit, empty when everything does. A moved, added or removed field shows as a wrong default.
 */
export function findAbiMismatches(llama: LlamaFunctions, ggml: GgmlFunctions): string[] {
  const mismatches: string[] = [];
  const version = llama.llama_version();
  if (version !== LLAMA_VERSION) mismatches.push(`version ${version} instead of ${LLAMA_VERSION}`);
  for (const [name, type, sizeBytes] of STRUCT_BYTES) {
    if (koffi.sizeof(type) !== sizeBytes) {
      mismatches.push(`${name} has ${koffi.sizeof(type)} bytes instead of ${sizeBytes}`);
    }
  }
  mismatches.push(
    ...findOtherValues("llama_model_params", MODEL_DEFAULTS, llama.llama_model_default_params()),
    ...findOtherValues("llama_context_params", CONTEXT_DEFAULTS, llama.llama_context_default_params()),
    ...findOtherValues(
      "ggml_threadpool_params",
      THREAD_POOL_DEFAULTS,
      ggml.ggml_threadpool_params_default(THREAD_POOL_DEFAULTS.n_threads),
    ),
  );
  return mismatches;
}

/** Exported for tests: pure comparison of a struct with its documented default values. */
export function findOtherValues(
  structName: string,
  expected: Readonly<Record<string, unknown>>,
  actual: Readonly<Record<string, unknown>>,
): string[] {
  return Object.entries(expected)
    .filter(([field, value]) => actual[field] !== value)
    .map(
      ([field, value]) =>
        `${structName}.${field} is ${String(actual[field])} by default, not ${String(value)}`,
    );
}
