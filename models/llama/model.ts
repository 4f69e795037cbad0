import koffi from "koffi";
import { ALL_LAYERS, ProgressCallback } from "./abi.ts";
import type { Pointer } from "./abi.ts";
import type { LlamaFunctions } from "./functions.ts";
import type { LlamaLibrary } from "./library.ts";
import { ModelLoadError, explainLoadFailure, findFileProblem } from "./model-load-error.ts";

export interface ModelOptions {
  readonly path: string;
  /** Reads the tokenizer and metadata only. */
  readonly vocabularyOnly: boolean;
  /** All layers go to the GPU; otherwise none does, even where the library has one. */
  readonly onGpu: boolean;
  /** Called with 0 to 1 while weights are read. */
  readonly onProgress?: (progress: number) => void;
}

/** Weights (or only the vocabulary) of one GGUF file inside the library. */
export class Model {
  readonly pointer: Pointer;
  readonly vocab: Pointer;
  readonly #llama: LlamaFunctions;
  #isOpen = true;

  private constructor(llama: LlamaFunctions, pointer: Pointer) {
    this.#llama = llama;
    this.pointer = pointer;
    this.vocab = llama.llama_model_get_vocab(pointer);
  }

  /** Throws ModelLoadError. */
  static load(library: Pick<LlamaLibrary, "llama" | "log">, options: ModelOptions): Model {
    const problem = findFileProblem(options.path);
    if (problem !== null) throw new ModelLoadError(problem);
    const { llama, log } = library;
    log.takeComplaints();
    const progress = options.onProgress;
    const callback =
      progress === undefined ? null : koffi.register(reporter(progress), koffi.pointer(ProgressCallback));
    const pointer = llama.llama_model_load_from_file(options.path, {
      ...llama.llama_model_default_params(),
      n_gpu_layers: options.onGpu ? ALL_LAYERS : 0,
      vocab_only: options.vocabularyOnly,
      progress_callback: callback,
    });
    if (callback !== null) koffi.unregister(callback);
    if (pointer === null) throw new ModelLoadError(explainLoadFailure(options.path, log.takeComplaints()));
    return new Model(llama, pointer);
  }

  /** "llama 135M Q4_1" and the like, from the library. */
  description(): string {
    const buffer = new Uint8Array(256);
    const length = this.#llama.llama_model_desc(this.pointer, buffer, buffer.length);
    return new TextDecoder().decode(buffer.subarray(0, Math.max(0, Math.min(length, buffer.length - 1))));
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#llama.llama_model_free(this.pointer);
  }
}

/** The library reports every tensor; whole percents are enough. Returning false would cancel the load. */
function reporter(onProgress: (progress: number) => void): (progress: number) => boolean {
  let lastPercent = -1;
  return (progress) => {
    const percent = Math.floor(progress * 100);
    if (percent > lastPercent) {
      lastPercent = percent;
      onProgress(progress);
    }
    return true;
  };
}
