import type { LibraryHandle, TypeObject } from "koffi";
import { GgmlThreadPoolParams, LlamaBatch, LlamaContextParams, LlamaModelParams } from "./abi.ts";
import type {
  ContextParams,
  ModelParams,
  NativeBatch,
  NullablePointer,
  Pointer,
  ThreadPoolParams,
} from "./abi.ts";

/** Functions of libllama, by their C names. */
export interface LlamaFunctions {
  llama_version(): string;
  llama_log_set(callback: NullablePointer, userData: null): void;
  llama_backend_init(): void;
  llama_model_default_params(): ModelParams;
  llama_context_default_params(): ContextParams;

  llama_model_load_from_file(path: string, params: ModelParams): NullablePointer;
  llama_model_free(model: Pointer): void;
  llama_model_get_vocab(model: Pointer): Pointer;
  llama_model_n_ctx_train(model: Pointer): number;
  llama_model_n_swa(model: Pointer): number;
  llama_model_desc(model: Pointer, buffer: Uint8Array, size: number): number;
  llama_model_chat_template(model: Pointer, name: string | null): string | null;
  llama_model_has_encoder(model: Pointer): boolean;
  llama_model_has_decoder(model: Pointer): boolean;
  llama_model_is_recurrent(model: Pointer): boolean;
  llama_model_is_hybrid(model: Pointer): boolean;
  llama_model_is_diffusion(model: Pointer): boolean;

  llama_init_from_model(model: Pointer, params: ContextParams): NullablePointer;
  llama_free(context: Pointer): void;
  llama_get_memory(context: Pointer): NullablePointer;
  llama_memory_clear(memory: Pointer, data: boolean): void;
  llama_memory_seq_cp(memory: Pointer, from: number, to: number, p0: number, p1: number): void;
  llama_memory_seq_rm(memory: Pointer, seqId: number, p0: number, p1: number): boolean;
  llama_memory_seq_pos_max(memory: Pointer, seqId: number): number;
  llama_state_seq_get_size_ext(context: Pointer, seqId: number, flags: number): number;
  llama_state_seq_get_data_ext(
    context: Pointer,
    destination: Pointer | Uint8Array,
    size: number,
    seqId: number,
    flags: number,
  ): number;
  llama_state_seq_set_data_ext(
    context: Pointer,
    source: Pointer | Uint8Array,
    size: number,
    seqId: number,
    flags: number,
  ): number;
  llama_decode(context: Pointer, batch: NativeBatch): number;
  llama_get_logits(context: Pointer): NullablePointer;
  llama_set_n_threads(context: Pointer, numThreads: number, numThreadsBatch: number): void;
  llama_attach_threadpool(context: Pointer, threadPool: Pointer, threadPoolBatch: Pointer): void;

  llama_vocab_n_tokens(vocab: Pointer): number;
  llama_vocab_get_attr(vocab: Pointer, token: number): number;
  llama_vocab_is_eog(vocab: Pointer, token: number): boolean;
  llama_vocab_is_control(vocab: Pointer, token: number): boolean;
  llama_vocab_bos(vocab: Pointer): number;
  llama_vocab_eos(vocab: Pointer): number;
  llama_vocab_eot(vocab: Pointer): number;
  llama_vocab_get_add_bos(vocab: Pointer): boolean;
  llama_vocab_get_add_eos(vocab: Pointer): boolean;
  llama_tokenize(
    vocab: Pointer,
    text: Uint8Array,
    textBytes: number,
    tokens: Int32Array,
    maxTokens: number,
    addSpecial: boolean,
    parseSpecial: boolean,
  ): number;
  llama_token_to_piece(
    vocab: Pointer,
    token: number,
    buffer: Uint8Array,
    size: number,
    lstrip: number,
    special: boolean,
  ): number;
}

/** Functions of libggml, most of them of its backend registry, by their C names. */
export interface GgmlFunctions {
  ggml_backend_load_all_from_path(directory: string): void;
  ggml_backend_dev_count(): number;
  ggml_backend_dev_get(index: number): Pointer;
  ggml_backend_dev_name(device: Pointer): string;
  ggml_backend_dev_description(device: Pointer): string;
  ggml_backend_dev_type(device: Pointer): number;
  ggml_backend_dev_memory(device: Pointer, free: BigUint64Array, total: BigUint64Array): void;
  ggml_backend_dev_by_type(type: number): NullablePointer;
  ggml_backend_dev_backend_reg(device: Pointer): Pointer;
  ggml_backend_reg_get_proc_address(registry: Pointer, name: string): NullablePointer;
  ggml_threadpool_params_default(numThreads: number): ThreadPoolParams;
}

type Signature = readonly [result: string | TypeObject, ...parameters: readonly (string | TypeObject)[]];

const pointer = "void *";
const modelNumber: Signature = ["int32_t", pointer];
const modelFlag: Signature = ["bool", pointer];
const vocabFlag: Signature = ["bool", pointer, "int32_t"];

const LLAMA: Record<keyof LlamaFunctions, Signature> = {
  llama_version: ["str"],
  llama_log_set: ["void", pointer, pointer],
  llama_backend_init: ["void"],
  llama_model_default_params: [LlamaModelParams],
  llama_context_default_params: [LlamaContextParams],

  llama_model_load_from_file: [pointer, "str", LlamaModelParams],
  llama_model_free: ["void", pointer],
  llama_model_get_vocab: [pointer, pointer],
  llama_model_n_ctx_train: modelNumber,
  llama_model_n_swa: modelNumber,
  llama_model_desc: ["int32_t", pointer, pointer, "size_t"],
  llama_model_chat_template: ["str", pointer, "str"],
  llama_model_has_encoder: modelFlag,
  llama_model_has_decoder: modelFlag,
  llama_model_is_recurrent: modelFlag,
  llama_model_is_hybrid: modelFlag,
  llama_model_is_diffusion: modelFlag,

  llama_init_from_model: [pointer, pointer, LlamaContextParams],
  llama_free: ["void", pointer],
  llama_get_memory: [pointer, pointer],
  llama_memory_clear: ["void", pointer, "bool"],
  llama_memory_seq_cp: ["void", pointer, "int32_t", "int32_t", "int32_t", "int32_t"],
  llama_memory_seq_rm: ["bool", pointer, "int32_t", "int32_t", "int32_t"],
  llama_memory_seq_pos_max: ["int32_t", pointer, "int32_t"],
  llama_state_seq_get_size_ext: ["size_t", pointer, "int32_t", "uint32_t"],
  llama_state_seq_get_data_ext: ["size_t", pointer, pointer, "size_t", "int32_t", "uint32_t"],
  llama_state_seq_set_data_ext: ["size_t", pointer, pointer, "size_t", "int32_t", "uint32_t"],
  llama_decode: ["int32_t", pointer, LlamaBatch],
  llama_get_logits: [pointer, pointer],
  llama_set_n_threads: ["void", pointer, "int32_t", "int32_t"],
  llama_attach_threadpool: ["void", pointer, pointer, pointer],

  llama_vocab_n_tokens: ["int32_t", pointer],
  llama_vocab_get_attr: ["int32_t", pointer, "int32_t"],
  llama_vocab_is_eog: vocabFlag,
  llama_vocab_is_control: vocabFlag,
  llama_vocab_bos: ["int32_t", pointer],
  llama_vocab_eos: ["int32_t", pointer],
  llama_vocab_eot: ["int32_t", pointer],
  llama_vocab_get_add_bos: ["bool", pointer],
  llama_vocab_get_add_eos: ["bool", pointer],
  llama_tokenize: ["int32_t", pointer, pointer, "int32_t", pointer, "int32_t", "bool", "bool"],
  llama_token_to_piece: ["int32_t", pointer, "int32_t", pointer, "int32_t", "int32_t", "bool"],
};

const GGML: Record<keyof GgmlFunctions, Signature> = {
  ggml_backend_load_all_from_path: ["void", "str"],
  ggml_backend_dev_count: ["size_t"],
  ggml_backend_dev_get: [pointer, "size_t"],
  ggml_backend_dev_name: ["str", pointer],
  ggml_backend_dev_description: ["str", pointer],
  ggml_backend_dev_type: ["int32_t", pointer],
  ggml_backend_dev_memory: ["void", pointer, pointer, pointer],
  ggml_backend_dev_by_type: [pointer, "int32_t"],
  ggml_backend_dev_backend_reg: [pointer, pointer],
  ggml_backend_reg_get_proc_address: [pointer, pointer, "str"],
  ggml_threadpool_params_default: [GgmlThreadPoolParams, "int32_t"],
};

/** The first library that exports the function wins: libggml forwards to libggml-base on some platforms only. */
function bind<Functions>(
  libraries: readonly LibraryHandle[],
  signatures: Record<keyof Functions, Signature>,
): Functions {
  const entries = Object.entries<Signature>(signatures).map(([name, [result, ...parameters]]) => {
    for (const library of libraries) {
      try {
        return [name, library.func(name, result, parameters)] as const;
      } catch {
        continue;
      }
    }
    throw new Error(`the library has no function ${name}`);
  });
  return Object.fromEntries(entries) as Functions;
}

export function bindLlama(libraries: readonly LibraryHandle[]): LlamaFunctions {
  return bind<LlamaFunctions>(libraries, LLAMA);
}

export function bindGgml(libraries: readonly LibraryHandle[]): GgmlFunctions {
  return bind<GgmlFunctions>(libraries, GGML);
}
