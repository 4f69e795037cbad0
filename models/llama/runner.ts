import type {
  Batch,
  BatchResult,
  BatchRow,
  CacheOp,
  HostCopyRange,
  HostSlot,
  PromptLogprobs,
  Sample,
} from "../../scheduler/contracts.ts";
import type { ModelInfo } from "../model-info.ts";
import type { ModelRunner } from "../model-runner.ts";
import { ModelRunnerError } from "../model-runner.ts";
import type { RowLogprobs } from "../sampling/logprobs.ts";
import { rowLogprobs } from "../sampling/logprobs.ts";
import { Sampler } from "../sampling/sampler.ts";
import { type CallPart, type CallRules, composeCalls } from "./compose-calls.ts";
import type { Context } from "./context.ts";
import { HostCopy } from "./host-copy.ts";
import type { Model } from "./model.ts";

/** A row of logits to be read after a call: that of `tokens[position]` of the batch row. */
interface Output {
  readonly row: BatchRow;
  readonly position: number;
}

export interface LlamaModelRunnerOptions {
  readonly model: Model;
  readonly context: Context;
  readonly info: ModelInfo;
  readonly callRules: CallRules;
}

/** Runs batches on libllama: fill the batch, decode, read logits in place, sample. */
export class LlamaModelRunner implements ModelRunner {
  readonly info: ModelInfo;
  readonly #model: Model;
  readonly #context: Context;
  readonly #sampler: Sampler;
  #callRules: CallRules;
  /** Null for padding. */
  readonly #outputs: (Output | null)[] = [];
  /** What the call in the making only holds for its shape. */
  readonly #padding: { readonly seqId: number; readonly position: number }[] = [];
  readonly #hostCopies = new Map<HostSlot, HostCopy>();

  constructor(options: LlamaModelRunnerOptions) {
    this.info = options.info;
    this.#model = options.model;
    this.#context = options.context;
    this.#callRules = options.callRules;
    this.#sampler = new Sampler(options.info);
  }

  apply(operations: readonly CacheOp[]): void {
    for (const operation of operations) this.#apply(operation);
  }

  execute(batch: Batch): BatchResult {
    const results = new ResultBuilder(this.#sampler, this.info.vocabSize);
    for (const call of composeCalls(batch, this.#callRules)) {
      for (const part of call) this.#add(part);
      this.#call(results);
    }
    return results;
  }

  /** The library offers no count of its cells. */
  numUsedCells(): number | null {
    return null;
  }

  /** What is in a host slot, in the library's format, for as long as the caller does not free it; null before it is filled. */
  holdHostCopy(slot: HostSlot): HostCopy | null {
    return this.#hostCopies.get(slot)?.hold() ?? null;
  }

  /** Memory for bytes that a host copy had, here or in an earlier process with the same model and settings. */
  createHostCopy(sizeBytes: number): HostCopy {
    return new HostCopy(this.#context.buffers, sizeBytes);
  }

  /** Puts a copy, which is no longer the caller's, into an empty host slot. */
  fillHostSlot(slot: HostSlot, copy: HostCopy): void {
    this.#hostCopies.set(slot, copy);
  }

  /** Takes effect with the next call. */
  setNumThreads(numThreads: number): void {
    this.#context.setNumThreads(numThreads);
  }

  /** See CallRules.rowMultiple. */
  setRowMultiple(rowMultiple: number): void {
    this.#callRules = { ...this.#callRules, rowMultiple };
  }

  /** Runs the smallest batch once, so that the first request does not pay for page faults and lazy set-up. */
  warmUp(): void {
    this.#context.add(this.info.eogTokenIds[0] ?? 0, 0, 0, true);
    this.#context.decode();
    this.#context.logits();
    this.#context.batch.clear();
    this.#context.clear();
  }

  close(): void {
    for (const copy of this.#hostCopies.values()) copy.free();
    this.#hostCopies.clear();
    this.#context.close();
    this.#model.close();
  }

  #apply(operation: CacheOp): void {
    switch (operation.kind) {
      case "share":
        return this.#context.kv.share(operation.from, operation.to, operation.numTokens);
      case "trim":
        if (this.#context.trim(operation.seqId, operation.fromPosition)) return;
        throw new ModelRunnerError(`The model's memory cannot be cut at position ${operation.fromPosition}.`);
      case "save":
        return this.#save(operation);
      case "restore":
        return this.#restore(operation);
      case "discard":
        this.#hostCopy(operation.slot).free();
        this.#hostCopies.delete(operation.slot);
    }
  }

  #save({ slot, ...range }: HostCopyRange): void {
    this.#hostCopies.set(slot, this.#context.kv.save(range));
  }

  #restore({ slot, ...range }: HostCopyRange): void {
    this.#context.kv.restore(this.#hostCopy(slot), range);
  }

  #hostCopy(slot: HostSlot): HostCopy {
    const copy = this.#hostCopies.get(slot);
    if (copy === undefined) throw new ModelRunnerError(`Host slot ${slot} is empty.`);
    return copy;
  }

  #add(part: CallPart): void {
    if ("paddingSeqId" in part) return this.#addPadding(part.paddingSeqId);
    const { row, start, numTokens } = part;
    const last = row.start + row.numTokens - 1;
    for (let position = start; position < start + numTokens; position += 1) {
      const wantsLogits = row.logits === "all" || (position === last && row.logits === "last");
      this.#context.add(row.sequence.tokens[position]!, position, row.sequence.seqId, wantsLogits);
      if (wantsLogits) this.#outputs.push({ row, position });
    }
  }

  /** Any token will do: nothing is read from it, and it is gone after the call. */
  #addPadding(seqId: number): void {
    const position = this.#context.nextPosition(seqId);
    const wantsLogits = this.#callRules.rowMultiple > 1;
    this.#context.add(0, position, seqId, wantsLogits);
    if (wantsLogits) this.#outputs.push(null);
    this.#padding.push({ seqId, position });
  }

  #call(results: ResultBuilder): void {
    const { batch } = this.#context;
    try {
      this.#context.decode();
      if (this.#outputs.length > 0) results.read(this.#context.logits(), this.#outputs);
      for (const { seqId, position } of this.#padding) this.#context.trim(seqId, position);
    } finally {
      batch.clear();
      this.#outputs.length = 0;
      this.#padding.length = 0;
    }
  }
}

/** PromptLogprobs that still grow. */
interface OpenPromptLogprobs extends PromptLogprobs {
  readonly entries: RowLogprobs[];
}

/** Collects what the calls of one batch give. */
class ResultBuilder implements BatchResult {
  readonly samples: Sample[] = [];
  readonly promptLogprobs: OpenPromptLogprobs[] = [];
  readonly #sampler: Sampler;
  readonly #vocabSize: number;

  constructor(sampler: Sampler, vocabSize: number) {
    this.#sampler = sampler;
    this.#vocabSize = vocabSize;
  }

  read(logits: Float32Array, outputs: readonly (Output | null)[]): void {
    for (const [index, output] of outputs.entries()) {
      if (output === null) continue;
      const { row, position } = output;
      const rowLogits = logits.subarray(index * this.#vocabSize, (index + 1) * this.#vocabSize);
      if (row.logits === "all") this.#addPromptLogprob(rowLogits, row, position);
      if (row.sample && position === row.start + row.numTokens - 1) {
        this.samples.push(this.#sampler.sample(rowLogits, row.sequence));
      }
    }
  }

  /** Logits at a position rate the token after it; the one after the last position is the sampler's. */
  #addPromptLogprob(logits: Float32Array, { sequence }: BatchRow, position: number): void {
    const next = position + 1;
    const { promptLogprobs } = sequence.sampling;
    if (promptLogprobs === null || next >= sequence.numPromptTokens) return;
    const entry = rowLogprobs(logits, sequence.tokens[next]!, promptLogprobs);
    const last = this.promptLogprobs.at(-1);
    if (last?.requestId === sequence.requestId && last.start + last.entries.length === next) {
      last.entries.push(entry);
    } else {
      this.promptLogprobs.push({ requestId: sequence.requestId, start: next, entries: [entry] });
    }
  }
}
