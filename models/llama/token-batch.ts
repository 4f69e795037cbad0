import koffi from "koffi";
import type { NativeBatch, Pointer } from "./abi.ts";

const INT32_BYTES = 4;
const POINTER_BYTES = 8;

/**
 * A llama_batch whose arrays are allocated once and written through typed arrays, so that filling it costs no calls
 * and no garbage. Every token belongs to one sequence: cells get more owners by sharing, not by decoding.
 */
export class TokenBatch {
  readonly native: NativeBatch;
  readonly capacity: number;
  numOutputs = 0;
  readonly #tokens: Int32Array;
  readonly #positions: Int32Array;
  readonly #seqIds: Int32Array;
  readonly #outputs: Int8Array;
  readonly #pointers: readonly Pointer[];

  constructor(capacity: number) {
    this.capacity = capacity;
    const token = koffi.alloc("int32_t", capacity) as Pointer;
    const pos = koffi.alloc("int32_t", capacity) as Pointer;
    const numSeqIds = koffi.alloc("int32_t", capacity) as Pointer;
    const seqIds = koffi.alloc("int32_t", capacity) as Pointer;
    const seqIdPointers = koffi.alloc("int64_t", capacity) as Pointer;
    const logits = koffi.alloc("int8_t", capacity) as Pointer;
    this.#pointers = [token, pos, numSeqIds, seqIds, seqIdPointers, logits];
    this.#tokens = new Int32Array(koffi.view(token, capacity * INT32_BYTES));
    this.#positions = new Int32Array(koffi.view(pos, capacity * INT32_BYTES));
    this.#seqIds = new Int32Array(koffi.view(seqIds, capacity * INT32_BYTES));
    this.#outputs = new Int8Array(koffi.view(logits, capacity));
    new Int32Array(koffi.view(numSeqIds, capacity * INT32_BYTES)).fill(1);
    const addresses = new BigUint64Array(koffi.view(seqIdPointers, capacity * POINTER_BYTES));
    for (let index = 0; index < capacity; index += 1) addresses[index] = seqIds + BigInt(index * INT32_BYTES);
    this.native = { n_tokens: 0, token, embd: null, pos, n_seq_id: numSeqIds, seq_id: seqIdPointers, logits };
  }

  get numTokens(): number {
    return this.native.n_tokens;
  }

  clear(): void {
    this.native.n_tokens = 0;
    this.numOutputs = 0;
  }

  add(tokenId: number, position: number, seqId: number, wantsLogits: boolean): void {
    const index = this.native.n_tokens;
    this.#tokens[index] = tokenId;
    this.#positions[index] = position;
    this.#seqIds[index] = seqId;
    this.#outputs[index] = wantsLogits ? 1 : 0;
    this.native.n_tokens = index + 1;
    if (wantsLogits) this.numOutputs += 1;
  }

  free(): void {
    for (const pointer of this.#pointers) koffi.free(pointer);
  }
}
