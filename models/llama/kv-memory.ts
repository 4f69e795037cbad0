import type { HostCopyRange } from "../../scheduler/contracts.ts";
import { ModelRunnerError } from "../model-runner.ts";
import type { Pointer } from "./abi.ts";
import type { LlamaFunctions } from "./functions.ts";
import type { HostBuffers } from "./host-buffers.ts";
import { HostCopy } from "./host-copy.ts";

/** A range of a sequence, whichever host slot it is for. */
export type KvRange = Omit<HostCopyRange, "slot">;

/** How the cells of sequences are shared and copied; one implementation for each layout. */
export interface KvMemory {
  /** Sequences that can have cells at once. */
  readonly numSeqIds: number;
  /** The library's id of a sequence. */
  nativeId(seqId: number): number;
  /** Gives cells [0, numTokens) of one sequence to another, which has none. */
  share(from: number, to: number, numTokens: number): void;
  /** Copies a range to host memory. Throws ModelRunnerError when that fails. */
  save(range: KvRange): HostCopy;
  /** Brings a range of a copy back. Throws ModelRunnerError when that fails. */
  restore(copy: HostCopy, range: KvRange): void;
}

/** The KV memory of one context, by the library's own sequence ids. */
export class NativeKvMemory {
  readonly llama: LlamaFunctions;
  /** llama_memory_t */
  readonly pointer: Pointer;
  readonly #context: Pointer;
  readonly #buffers: HostBuffers;

  constructor(llama: LlamaFunctions, context: Pointer, pointer: Pointer, buffers: HostBuffers) {
    this.llama = llama;
    this.#context = context;
    this.pointer = pointer;
    this.#buffers = buffers;
  }

  tag(from: number, to: number, fromPosition: number, toPosition: number): void {
    this.llama.llama_memory_seq_cp(this.pointer, from, to, fromPosition, toPosition);
  }

  /** Drops [fromPosition, end). False when the memory cannot drop a part of a sequence. */
  trim(id: number, fromPosition: number): boolean {
    return this.llama.llama_memory_seq_rm(this.pointer, id, fromPosition, -1);
  }

  /** The position that a sequence's next token has. */
  nextPosition(id: number): number {
    return this.llama.llama_memory_seq_pos_max(this.pointer, id) + 1;
  }

  /** The whole of a sequence; the library copies nothing less. */
  read(id: number): HostCopy {
    const sizeBytes = this.llama.llama_state_seq_get_size_ext(this.#context, id, 0);
    const copy = new HostCopy(this.#buffers, sizeBytes);
    const { address } = copy;
    const numWritten = this.llama.llama_state_seq_get_data_ext(this.#context, address, sizeBytes, id, 0);
    if (numWritten === sizeBytes) return copy;
    copy.free();
    throw new ModelRunnerError(`Copying ${sizeBytes} bytes of KV memory to the host failed.`);
  }

  /** Takes the place of all that the sequence has. */
  write({ address, sizeBytes }: HostCopy, id: number): void {
    const numRead = this.llama.llama_state_seq_set_data_ext(this.#context, address, sizeBytes, id, 0);
    if (numRead !== sizeBytes) {
      throw new ModelRunnerError(`Copying ${sizeBytes} bytes of KV memory from the host failed.`);
    }
  }
}
