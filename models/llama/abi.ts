import koffi from "koffi";
import type { CacheType } from "../memory-plan.ts";

/**
 * The part of llama.cpp's C interface that Headway calls, as declared by include/llama.h and ggml/include/ggml-backend.h
 * of LLAMA_VERSION. Everything that knows a struct layout is in this file; abi-check.ts compares it with the library.
 */
export const LLAMA_VERSION = "0.4.0-dev";

/** An address; koffi gives null for NULL. */
export type Pointer = bigint;
export type NullablePointer = Pointer | null;

export const LlamaModelParams = koffi.struct({
  devices: "void *",
  tensor_buft_overrides: "void *",
  n_gpu_layers: "int32_t",
  split_mode: "int32_t",
  load_mode: "int32_t",
  lazy_mode: "int32_t",
  main_gpu: "int32_t",
  tensor_split: "void *",
  progress_callback: "void *",
  progress_callback_user_data: "void *",
  kv_overrides: "void *",
  vocab_only: "bool",
  check_tensors: "bool",
  use_extra_bufts: "bool",
  no_host: "bool",
  no_alloc: "bool",
  load_mtp: "bool",
});

export const LlamaContextParams = koffi.struct({
  n_ctx: "uint32_t",
  n_batch: "uint32_t",
  n_ubatch: "uint32_t",
  n_seq_max: "uint32_t",
  n_rs_seq: "uint32_t",
  n_outputs_max: "uint32_t",
  n_outputs_max_per_seq: "uint32_t",
  n_threads: "int32_t",
  n_threads_batch: "int32_t",
  ctx_type: "int32_t",
  rope_scaling_type: "int32_t",
  pooling_type: "int32_t",
  attention_type: "int32_t",
  flash_attn_type: "int32_t",
  rope_freq_base: "float",
  rope_freq_scale: "float",
  yarn_ext_factor: "float",
  yarn_attn_factor: "float",
  yarn_beta_fast: "float",
  yarn_beta_slow: "float",
  yarn_orig_ctx: "uint32_t",
  defrag_thold: "float",
  cb_eval: "void *",
  cb_eval_user_data: "void *",
  type_k: "int32_t",
  type_v: "int32_t",
  abort_callback: "void *",
  abort_callback_data: "void *",
  embeddings: "bool",
  offload_kqv: "bool",
  no_perf: "bool",
  op_offload: "bool",
  swa_full: "bool",
  kv_unified: "bool",
  samplers: "void *",
  n_samplers: "size_t",
  ctx_other: "void *",
});

export const LlamaBatch = koffi.struct({
  n_tokens: "int32_t",
  token: "void *",
  embd: "void *",
  pos: "void *",
  n_seq_id: "void *",
  seq_id: "void *",
  logits: "void *",
});

/** From ggml/include/ggml.h. Named, since koffi mistakes pointers to structs and to functions without names for each other. */
export const GgmlThreadPoolParams = koffi.struct("ggml_threadpool_params", {
  cpumask: koffi.array("bool", 512),
  n_threads: "int32_t",
  prio: "int32_t",
  poll: "uint32_t",
  strict_cpu: "bool",
  paused: "bool",
});

export type ModelParams = Record<string, number | boolean | NullablePointer>;
export type ContextParams = Record<string, number | boolean | NullablePointer>;
export type ThreadPoolParams = Record<string, number | boolean | readonly boolean[]>;

/** llama_batch with its arrays in native memory. */
export interface NativeBatch {
  n_tokens: number;
  readonly token: Pointer;
  readonly embd: null;
  readonly pos: Pointer;
  readonly n_seq_id: Pointer;
  readonly seq_id: Pointer;
  readonly logits: Pointer;
}

export const LogCallback = koffi.proto("void", ["int", "void *", "void *"]);
export const ProgressCallback = koffi.proto("bool", ["float", "void *"]);

export const LogLevel = { debug: 1, info: 2, warn: 3, error: 4, continued: 5 } as const;
export const DeviceType = { cpu: 0, gpu: 1, integratedGpu: 2 } as const;
export const TokenAttribute = { unknown: 1, unused: 2, control: 8, userDefined: 16, byte: 32 } as const;
export const FlashAttention = { auto: -1, off: 0, on: 1 } as const;
/** Layers on the GPU: a negative number means all. */
export const ALL_LAYERS = -1;

/** enum ggml_type of the KV cache types, by option name. */
export const GGML_TYPES: Readonly<Record<CacheType, number>> = {
  f32: 0,
  f16: 1,
  bf16: 30,
  q8_0: 8,
  q5_1: 7,
  q5_0: 6,
  q4_1: 3,
  q4_0: 2,
  iq4_nl: 20,
};
