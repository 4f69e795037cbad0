import koffi from "koffi";
import type { KvLayout } from "../../scheduler/contracts.ts";
import { ModelRunnerError } from "../model-runner.ts";
import { FlashAttention, GGML_TYPES } from "./abi.ts";
import type { ContextParams, Pointer } from "./abi.ts";
import type { CacheType } from "../memory-plan.ts";
import type { LlamaFunctions } from "./functions.ts";
import { HostBuffers } from "./host-buffers.ts";
import { type KvMemory, NativeKvMemory } from "./kv-memory.ts";
import type { LlamaLibrary } from "./library.ts";
import type { Model } from "./model.ts";
import { ModelLoadError } from "./model-load-error.ts";
import { PagedMemory } from "./paged-memory.ts";
import { StreamsMemory } from "./streams-memory.ts";
import { ThreadPool } from "./thread-pool.ts";
import { TokenBatch } from "./token-batch.ts";

export interface ContextOptions {
  readonly layout: KvLayout;
  /** Cells of the KV memory. */
  readonly numCells: number;
  /** Slices that the streams layout cuts them into, a sequence each; without a meaning in the paged layout. */
  readonly numStreams: number;
  readonly maxNumSeqs: number;
  readonly maxNumBatchedTokens: number;
  /** Most rows of logits of one call. */
  readonly maxNumOutputs: number;
  readonly numThreads: number;
  readonly flashAttention: boolean;
  readonly cacheTypeK: CacheType;
  readonly cacheTypeV: CacheType;
}

const DECODE_FAILURES: Readonly<Record<number, string>> = {
  1: "there was no room in the KV memory",
  2: "the computation was aborted",
  [-1]: "the batch was invalid",
};

/** A llama_context: the KV memory, in one of its layouts, and what is computed on it. */
export class Context {
  readonly batch: TokenBatch;
  readonly kv: KvMemory;
  /** For copies of KV state. */
  readonly buffers = new HostBuffers();
  readonly #library: LlamaLibrary;
  readonly #llama: LlamaFunctions;
  readonly #pointer: Pointer;
  readonly #native: NativeKvMemory;
  readonly #threadPool: ThreadPool | null;
  readonly #vocabSize: number;
  #logits = new Float32Array(0);
  #logitsAddress: Pointer = 0n;

  /** Throws ModelLoadError when the memory cannot be allocated. */
  constructor(library: LlamaLibrary, model: Model, options: ContextOptions) {
    this.#library = library;
    this.#llama = library.llama;
    library.log.takeComplaints();
    const pointer = this.#llama.llama_init_from_model(model.pointer, contextParams(library, options));
    const memory = pointer === null ? null : this.#llama.llama_get_memory(pointer);
    if (pointer === null || memory === null) {
      throw new ModelLoadError(explainContextFailure(library.log.takeComplaints(), options));
    }
    this.#pointer = pointer;
    this.#threadPool = ThreadPool.create(library, options.numThreads);
    if (this.#threadPool !== null) {
      this.#llama.llama_attach_threadpool(pointer, this.#threadPool.pointer, this.#threadPool.pointer);
    }
    this.#native = new NativeKvMemory(this.#llama, pointer, memory, this.buffers);
    this.kv =
      options.layout === "streams"
        ? new StreamsMemory(this.#native, options.numStreams)
        : new PagedMemory(this.#native);
    this.#vocabSize = this.#llama.llama_vocab_n_tokens(model.vocab);
    this.batch = new TokenBatch(options.maxNumBatchedTokens);
  }

  /** Adds a token to `batch`. */
  add(tokenId: number, position: number, seqId: number, wantsLogits: boolean): void {
    this.batch.add(tokenId, position, this.kv.nativeId(seqId), wantsLogits);
  }

  /** Computes `batch`. Throws ModelRunnerError when the library refuses. */
  decode(): void {
    const code = this.#llama.llama_decode(this.#pointer, this.batch.native);
    if (code === 0) return;
    const reason = DECODE_FAILURES[code] ?? `the library answered ${code}`;
    const lastComplaint = this.#library.log.takeComplaints().at(-1);
    const detail = lastComplaint === undefined ? "" : ` (${lastComplaint})`;
    throw new ModelRunnerError(`A model call of ${this.batch.numTokens} tokens failed: ${reason}${detail}`);
  }

  /**
   * Logits of the last call, one row of the vocabulary for each token that asked for them, in batch order.
   * A view of the library's memory, valid until the next call. Writable: nothing reads it after us.
   */
  logits(): Float32Array {
    const address = this.#llama.llama_get_logits(this.#pointer);
    if (address === null) throw new ModelRunnerError("The model call returned no logits.");
    const length = this.batch.numOutputs * this.#vocabSize;
    // Making a view costs microseconds and garbage; the buffer moves only when it grows.
    if (address !== this.#logitsAddress || length > this.#logits.length) {
      this.#logits = new Float32Array(koffi.view(address, length * Float32Array.BYTES_PER_ELEMENT));
      this.#logitsAddress = address;
    }
    return this.#logits;
  }

  /** Drops [fromPosition, end). False when the memory cannot drop a part of a sequence. */
  trim(seqId: number, fromPosition: number): boolean {
    return this.#native.trim(this.kv.nativeId(seqId), fromPosition);
  }

  /** The position that a sequence's next token has. */
  nextPosition(seqId: number): number {
    return this.#native.nextPosition(this.kv.nativeId(seqId));
  }

  clear(): void {
    this.#llama.llama_memory_clear(this.#native.pointer, false);
  }

  /** May change before any call, at no cost, up to the number that the context was made with. */
  setNumThreads(numThreads: number): void {
    this.#llama.llama_set_n_threads(this.#pointer, numThreads, numThreads);
  }

  close(): void {
    this.batch.free();
    this.buffers.close();
    this.#llama.llama_free(this.#pointer);
    this.#threadPool?.close();
  }
}

function contextParams(library: LlamaLibrary, options: ContextOptions): ContextParams {
  return {
    ...library.llama.llama_context_default_params(),
    n_ctx: options.numCells,
    n_batch: options.maxNumBatchedTokens,
    n_ubatch: options.maxNumBatchedTokens,
    // The paged layout accepts sequence ids up to 255 whatever this says; only its buffers grow with it.
    n_seq_max: options.layout === "paged" ? options.maxNumSeqs : options.numStreams,
    n_outputs_max: options.maxNumOutputs,
    n_threads: options.numThreads,
    n_threads_batch: options.numThreads,
    flash_attn_type: options.flashAttention ? FlashAttention.on : FlashAttention.off,
    type_k: GGML_TYPES[options.cacheTypeK],
    type_v: GGML_TYPES[options.cacheTypeV],
    op_offload: library.backend !== "cpu",
    kv_unified: options.layout === "paged",
    // All positions stay in memory, so that sliding-window models can share and trim like others.
    swa_full: true,
  };
}

function explainContextFailure(complaints: readonly string[], options: ContextOptions): string {
  const size = `a KV pool of ${options.numCells} tokens (K ${options.cacheTypeK}, V ${options.cacheTypeV})`;
  const isMemory = complaints.some((line) => /alloc|out of memory/i.test(line));
  if (isMemory) return `The model was loaded, but there is no memory for ${size}; try a smaller --kv-memory.`;
  return `The model was loaded, but ${size} cannot be set up: ${complaints.at(0) ?? "no reason given"}.`;
}
